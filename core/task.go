package core

import "time"

// State is what a task is doing. The words are part of the documented JSON.
type State string

// The states of a task: stopped → starting → running ⇄ interrupted → stopping →
// stopped. A failed task waits for a person; removing ends it.
const (
	Stopped     State = "stopped"
	Starting    State = "starting"
	Running     State = "running"
	Interrupted State = "interrupted"
	Stopping    State = "stopping"
	Failed      State = "failed"
	Removing    State = "removing"
)

// States lists every state in the order in which an operator needs them:
// trouble first.
func States() []State {
	return []State{Failed, Interrupted, Starting, Running, Stopping, Removing, Stopped}
}

// Live reports whether a task in this state has a pump, or is about to have one.
func (s State) Live() bool { return s == Starting || s == Running || s == Interrupted }

// Phase refines Running: whether the task still has WAL entries to apply.
type Phase string

// The phases of a running task. Outside Running the phase is empty. A task that
// has caught up stays so while nothing waits for longer than two seconds: under
// constant load a few messages are always on their way.
const (
	CatchingUp Phase = "catching-up"
	CaughtUp   Phase = "caught-up"
)

// Desired is what the operator wants of a task. It is remembered over restarts
// and never changed by what happens to the task.
type Desired string

// What an operator can want of a task.
const (
	WantRunning Desired = "running"
	WantStopped Desired = "stopped"
)

// Unknown stands for a number that cannot be known now (a diff that was never
// measured, an ETA while the backlog does not shrink). Screens show it as "–".
const Unknown int64 = -1

// Task replicates one database of a replica. A Task in a Snapshot is a copy:
// it never changes.
type Task struct {
	Replica  string `json:"replica"`
	Number   int    `json:"task"` // counts from 1 within the replica, never reused
	Source   string `json:"source"`
	Sink     string `json:"sink"`
	Database string `json:"database"`

	State   State     `json:"state"`
	Phase   Phase     `json:"phase,omitempty"`
	Desired Desired   `json:"desired"`
	Since   time.Time `json:"since"` // when State was entered
	Note    string    `json:"note"`  // why, and what to do about it; empty when all is well
	Retry   Retry     `json:"retry"`
	Step    Step      `json:"step"`

	Diff   int64 `json:"diff"`    // sum over the vgroups; Unknown if never measured
	LagMS  int64 `json:"lag_ms"`  // age of the oldest unapplied message; 0 when caught up
	EtaMS  int64 `json:"eta_ms"`  // time until diff is 0; Unknown while it does not shrink
	Trend  int   `json:"trend"`   // of diff: -1 shrinking, 0 steady, +1 growing
	IdleMS int64 `json:"idle_ms"` // since the last applied message; Unknown if none was

	Rate   Rate   `json:"rate"`
	Totals Totals `json:"totals"`
	// Conflicts is all zero unless the instance copies the other way too.
	Conflicts Conflicts `json:"conflicts"`
	History   []int64   `json:"history,omitempty"` // diff each 10 s, the newest last, at most 60

	Vgroups    []Vgroup  `json:"vgroups"`
	LeftOut    int       `json:"vgroups_left_out,omitempty"` // how many vgroups an overview does not list
	MeasuredAt time.Time `json:"measured_at"`                // when the vgroups' numbers were true

	Topic   string `json:"topic"`
	Group   string `json:"group"`
	Workers int    `json:"workers"`
	// RawRows is set while rows are read as they are stored. Then they are not
	// counted.
	RawRows bool `json:"raw_rows"`
	// AutoWorkers is set if the task chooses the number of its workers itself.
	AutoWorkers bool      `json:"auto_workers"`
	QueueBytes  int64     `json:"queue_bytes"`
	QueueLimit  int64     `json:"queue_limit"`
	LastCommit  time.Time `json:"last_commit"`
	LastError   string    `json:"last_error,omitempty"` // whole, kept after the task recovered

	SourceVersion string `json:"source_version,omitempty"`
	SinkVersion   string `json:"sink_version,omitempty"`
	Precision     string `json:"precision,omitempty"`
	// WALRetentionS is the source database's wal_retention_period in seconds,
	// -1 if it keeps its WAL for ever, 0 if not known.
	WALRetentionS int64 `json:"wal_retention_s"`
	// WALHeldMS is for how long the WAL that the source keeps for the task
	// (hold_wal) waits for a commit; Unknown if it keeps none.
	WALHeldMS int64    `json:"wal_held_ms"`
	Warnings  []string `json:"warnings,omitempty"` // what is fit for now, but not for long
	// Audit is the verify or the repair that it is in, or was in last since the
	// instance started; nil if there was none.
	Audit       *TaskAudit `json:"audit,omitempty"`
	Quarantined int        `json:"quarantined"` // messages that the sink refused and that wait in quarantine
}

// Key names the task within its instance.
func (t *Task) Key() TaskKey { return TaskKey{Replica: t.Replica, Database: t.Database} }

// TaskKey identifies a task within an instance.
type TaskKey struct {
	Replica  string `json:"replica"`
	Database string `json:"database"`
}

func (k TaskKey) String() string { return k.Replica + "/" + k.Database }

// Retry tells how an interrupted task goes on by itself.
type Retry struct {
	Tries int       `json:"tries"` // in a row without success
	Next  time.Time `json:"next"`  // zero when no retry is planned
}

// Step is what the pump is doing right now and since when. "In poll for 41 s"
// says more to an operator than "running".
type Step struct {
	Name  string    `json:"name,omitempty"`
	Since time.Time `json:"since"`
}

// Rate is measured over the last few seconds.
type Rate struct {
	Messages float64 `json:"messages_per_s"`
	Bytes    float64 `json:"bytes_per_s"`
	Rows     float64 `json:"rows_per_s"`     // Unknown where rows are not counted
	Versions float64 `json:"versions_per_s"` // WAL versions applied
}

// Totals count since the instance started.
type Totals struct {
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"`
	Rows     int64 `json:"rows"` // Unknown where rows are not counted
	Retries  int64 `json:"retries"`
	Commits  int64 `json:"commits"`
	DDL      int64 `json:"ddl"`
}

// Conflicts counts rows that were written on both sides before either side knew
// of the other's: each keeps what came last, and the two can differ. A conflict
// is counted once, by the direction that reads its row later.
type Conflicts struct {
	Rows      int64 `json:"rows"`      // since the instance started
	Unchecked int64 `json:"unchecked"` // that would have had to be compared with what is forgotten
	// Watched is how many rows the other direction's are compared with now. A row
	// stays among them until the other direction has read whatever was written at
	// the sink before this one's copy arrived there.
	Watched int64 `json:"watched"`
}

// Vgroup is the progress of a task in one vgroup of the source.
type Vgroup struct {
	ID int32 `json:"vgroup_id"`
	// Current is the next WAL version to apply: everything below it is at the
	// sink. Committed is the offset stored at the source, Latest the end of the
	// WAL (exclusive). Each is Unknown until it was first measured.
	Current   int64 `json:"current"`
	Committed int64 `json:"committed"`
	Latest    int64 `json:"latest"`
	Diff      int64 `json:"diff"` // latest − current, in WAL versions, never below 0

	Rate    float64   `json:"versions_per_s"`
	LagMS   int64     `json:"lag_ms"`
	EtaMS   int64     `json:"eta_ms"`
	LastAt  time.Time `json:"last_at"`         // when its last message was applied
	Owner   string    `json:"owner,omitempty"` // in a shared group: the instance that reads it
	State   string    `json:"state,omitempty"` // reading, caught up, or waits while the task is interrupted
	History []int64   `json:"history,omitempty"`
}
