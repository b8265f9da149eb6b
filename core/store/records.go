package store

import (
	"time"

	"tdreplica/core"
)

// Replica is what the state file keeps of a replica.
type Replica struct {
	core.Replica
	// SourceEndpoint and SinkEndpoint hold the credentials as they were given:
	// references to files or variables where the operator used them, a literal
	// password otherwise. The file is readable by its owner only.
	SourceEndpoint core.Endpoint `json:"source_endpoint"`
	SinkEndpoint   core.Endpoint `json:"sink_endpoint"`
	CreatedAt      time.Time     `json:"created_at"`
	NextTask       int           `json:"next_task"` // number of the next task
}

// Task is what the state file keeps of a task.
type Task struct {
	Replica   string       `json:"replica"`
	Database  string       `json:"database"`
	Number    int          `json:"task"`
	Desired   core.Desired `json:"desired"`
	CreatedAt time.Time    `json:"created_at"`
	Topic     string       `json:"topic"`
	Group     string       `json:"group"`
	// SourceCreatedAt is the source database's creation time: if it differs at
	// the next start, the database was dropped and created again.
	SourceCreatedAt time.Time `json:"source_created_at"`
	// SinkCreatedAt is the sink database's; zero in records of earlier versions.
	SinkCreatedAt time.Time `json:"sink_created_at,omitzero"`
	// HeldSince is since when the WAL that the source keeps for the task waits for
	// a commit; zero if it keeps none.
	HeldSince time.Time `json:"held_since,omitzero"`
	// Last is the task as it was last reported, for `status` and `diff` when no
	// instance runs. Its vgroups' Current is also the position up to which
	// everything is known to be applied (or filtered), for the gap check.
	Last core.Task  `json:"last"`
	Gaps []core.Gap `json:"gaps,omitempty"`
	// PassGap lets the next start go on behind a gap, once.
	PassGap bool `json:"pass_gap,omitempty"`
	// Echoes are drops that are known to come back: announced at the source by
	// the replication of the other direction, and not yet passed by a commit.
	Echoes []Echo `json:"echoes,omitempty"`
	// Dropped are the ids (at the source) of super tables whose drop was
	// applied: the copies from other vgroups are recognised by them.
	Dropped []int64 `json:"dropped,omitempty"`
	// Altered are the changes of super tables that destroyed something and were
	// applied, for the same reason.
	Altered []Altered `json:"altered,omitempty"`
	// Retagged are super tables whose tags were renamed or dropped, with those that
	// they have since.
	Retagged []Retagged `json:"retagged,omitempty"`
	// RawBorn says that the sink's database was empty when replication began, for
	// raw rows; BySQL that a table there was made or changed by SQL since.
	RawBorn bool `json:"raw_born,omitempty"`
	BySQL   bool `json:"by_sql,omitempty"`
	// Samples are by vgroup, from the oldest on that may still be needed.
	Samples map[int32][]Sample `json:"samples,omitempty"`
	// Rewinds are the positions from which vgroups are to be read again, as
	// soon as the consumer group has been made anew; Announced are those of
	// changes that were announced and not seen yet.
	Rewinds   map[int32]int64 `json:"rewinds,omitempty"`
	Announced map[int32]int64 `json:"announced,omitempty"`
	// Missed are changes of tags of tables that the sink did not have, by a hash of
	// what they hold: they are to follow when the rows that make the table are read
	// again.
	Missed []uint64 `json:"missed,omitempty"`
	// Renewed says that the task has made its consumer group anew, or was about to.
	Renewed bool `json:"renewed,omitempty"`
	// Shared are vgroups that were split from another one: the end of what they
	// have in common with the other half.
	Shared map[int32]int64 `json:"shared,omitempty"`
}

// Sample says that everything below Position had been read when the WAL ended
// at End.
type Sample struct {
	Position int64 `json:"position"`
	End      int64 `json:"end"`
}

// Altered is a change of a super table: its id at the source, and the versions
// of its columns and tags after the change. Dropped is the column that it dropped
// from the table of that name, and Again the id of the one that was added under
// the same name since.
type Altered struct {
	SUID    int64  `json:"suid"`
	Columns int32  `json:"columns"`
	Tags    int32  `json:"tags"`
	Table   string `json:"table,omitempty"`
	Dropped string `json:"dropped,omitempty"`
	Again   int16  `json:"again,omitempty"`
}

// Retagged is a super table: its id at the source, the version of its tags, and their
// names by their numbers.
type Retagged struct {
	SUID  int64            `json:"suid"`
	Table string           `json:"table"`
	Tags  int32            `json:"tags"`
	Names map[int16]string `json:"names"`
}

// Echo is a drop that a source will hand out although replication made it.
// Announced and Swallowed are the WAL versions behind the announcement and
// behind the drop; Swallowed is 0 while the drop has not been read.
type Echo struct {
	Vgroup    int32  `json:"vgroup_id"`
	Table     string `json:"table"`
	Announced int64  `json:"announced,omitempty"`
	Swallowed int64  `json:"swallowed,omitempty"`
	// Before is an offset that is not behind the announcement, and At when it
	// was read. Commits of a shared group stay below it meanwhile.
	Before int64     `json:"before,omitempty"`
	At     time.Time `json:"at"`
}
