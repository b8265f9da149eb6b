package core

import (
	"slices"
	"time"
)

// Snapshot is all that an instance reports at one moment. It is immutable and
// may be shared between goroutines.
type Snapshot struct {
	Seq      uint64    `json:"seq"` // grows with each snapshot of one instance
	At       time.Time `json:"at"`
	Instance Instance  `json:"instance"`
	Replicas []Replica `json:"replicas"` // sorted by id
	Tasks    []Task    `json:"tasks"`    // sorted by replica, then number
}

// Instance describes the process that owns a state directory.
type Instance struct {
	Name     string    `json:"name"`    // of the configuration, else the host's
	ID       string    `json:"id"`      // random, made with the state directory, part of every consumer group
	Running  bool      `json:"running"` // false: the snapshot was read from the state directory
	PID      int       `json:"pid,omitempty"`
	Version  string    `json:"version"`
	StateDir string    `json:"state_dir"`
	Since    time.Time `json:"since"` // start of the process; of the last one when none runs
	ReadOnly bool      `json:"read_only"`
	Demo     bool      `json:"demo"`
}

// Origin tells who declared a replica.
type Origin string

// Where replicas come from.
const (
	FromConfig  Origin = "config"
	FromCommand Origin = "command"
)

// Replica is a pair source → sink and what is wanted of it.
type Replica struct {
	ID     string `json:"id"`
	Source string `json:"source"` // canonical, without credentials
	Sink   string `json:"sink"`
	Origin Origin `json:"origin"`
	// Undeclared marks a replica that the configuration declared once and no
	// longer does. It goes on as it was until an operator removes it.
	Undeclared bool `json:"undeclared"`
	// AllDatabases is set if no database was named: then every user database
	// that exists on both sides belongs to the replica.
	AllDatabases    bool     `json:"all_databases"`
	Databases       []string `json:"databases,omitempty"` // names and *-patterns
	Exclude         []string `json:"exclude,omitempty"`
	CreateDatabases bool     `json:"create_databases"`
	NoNewDatabases  bool     `json:"no_new_databases"`
	CheckIntervalS  int64    `json:"new_database_checking_interval_s"`
	Workers         int      `json:"workers"`              // of each task; AutoWorkers: each chooses itself
	MaxBytesPerS    int64    `json:"max_bytes_per_second"` // all tasks together; 0 is no limit
	StartFrom       string   `json:"start_from"`           // earliest or latest
	RawRows         bool     `json:"raw_rows"`             // rows are read as they are stored, where that is right
	// GroupName is what instances that share the consumer groups of their
	// replicas have in common; empty: the groups are this instance's alone.
	GroupName string `json:"group_name,omitempty"`
	// HoldWAL has the source keep its WAL until it is committed, where it can;
	// but no longer than HoldWALLimitS seconds without a commit (0: no limit).
	HoldWAL       bool  `json:"hold_wal"`
	HoldWALLimitS int64 `json:"hold_wal_limit_s"`
	// TwoWay names the replica of this instance that copies the other way;
	// empty if there is none.
	TwoWay string `json:"two_way,omitempty"`
	// Note is why the databases of the replica are not known yet, or why it cannot
	// be what was declared; empty when all is well.
	Note string `json:"note,omitempty"`
	// The limits of `status --check`, in seconds; 0 means no limit.
	MaxLagS         int64 `json:"max_lag_s"`
	MaxInterruptedS int64 `json:"max_interrupted_s"`
}

// Overview is the snapshot with the vgroups of one task only: ten thousand of
// them are a few megabytes of JSON, of which a screen shows one task's.
func (s *Snapshot) Overview(of TaskKey) *Snapshot {
	o := *s
	o.Tasks = slices.Clone(s.Tasks)
	for i := range o.Tasks {
		if t := &o.Tasks[i]; t.Key() != of {
			t.Vgroups, t.LeftOut = nil, len(t.Vgroups)
		}
	}
	return &o
}

// Task returns the task of a key, or nil.
func (s *Snapshot) Task(k TaskKey) *Task {
	for i := range s.Tasks {
		if s.Tasks[i].Key() == k {
			return &s.Tasks[i]
		}
	}
	return nil
}

// Replica returns the replica of an id, or nil.
func (s *Snapshot) Replica(id string) *Replica {
	for i := range s.Replicas {
		if s.Replicas[i].ID == id {
			return &s.Replicas[i]
		}
	}
	return nil
}

// HasTasks reports whether a replica has any.
func (s *Snapshot) HasTasks(id string) bool {
	return slices.ContainsFunc(s.Tasks, func(t Task) bool { return t.Replica == id })
}

// WithoutTasks lists the replicas that have none because their databases cannot be
// looked for; Note says why.
func (s *Snapshot) WithoutTasks() (list []*Replica) {
	for i := range s.Replicas {
		if r := &s.Replicas[i]; r.Note != "" && !s.HasTasks(r.ID) {
			list = append(list, r)
		}
	}
	return list
}

// Unhealthy lists why `status --check` would not be content: a task that has
// failed, was interrupted for longer than its limit, or lags beyond its limit, and
// a replica that has had no task for that long because its databases cannot be
// looked for.
func (s *Snapshot) Unhealthy() []string {
	var why []string
	for _, r := range s.WithoutTasks() {
		limit := time.Duration(r.MaxInterruptedS) * time.Second
		if limit > 0 && s.At.Sub(s.Instance.Since) >= limit {
			why = append(why, r.ID+": nothing is replicated: "+r.Note)
		}
	}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		r := s.Replica(t.Replica)
		if r == nil {
			continue
		}
		held := s.At.Sub(t.Since)
		limit := time.Duration(r.MaxInterruptedS) * time.Second
		switch {
		case t.State == Failed:
			why = append(why, t.Key().String()+": failed: "+t.Note)
		case t.State == Interrupted && limit > 0 && held >= limit:
			why = append(why, t.Key().String()+": interrupted for "+held.Round(time.Second).String()+": "+t.Note)
		case r.MaxLagS > 0 && t.LagMS > r.MaxLagS*1000:
			lag := time.Duration(t.LagMS) * time.Millisecond
			why = append(why, t.Key().String()+": lags by "+lag.Round(time.Second).String())
		}
	}
	return why
}

// TaskDetail is what only a task's own screen shows.
type TaskDetail struct {
	Task     Task         `json:"task"`
	Replica  Replica      `json:"replica"`
	DDL      []DDLRecord  `json:"ddl"`  // the newest last, at most 200
	Gaps     []Gap        `json:"gaps"` // found since the task was created
	Minutes  []Throughput `json:"last_15_min"`
	Day      []Throughput `json:"last_24_h"`
	Poisoned int          `json:"quarantined"` // messages in quarantine
}

// Throughput is one point of a chart: sums and extremes of one interval.
type Throughput struct {
	At       time.Time `json:"at"` // start of the interval
	Messages int64     `json:"messages"`
	Bytes    int64     `json:"bytes"`
	Diff     int64     `json:"diff"`   // the highest in the interval
	LagMS    int64     `json:"lag_ms"` // the highest in the interval
}

// DDLRecord is a change of schema that was applied at the sink.
type DDLRecord struct {
	At     time.Time `json:"at"`
	Vgroup int32     `json:"vgroup_id"`
	Text   string    `json:"text"`
}

// Gap is a run of WAL versions that the source deleted before they were read.
type Gap struct {
	At     time.Time `json:"at"` // when it was found
	Vgroup int32     `json:"vgroup_id"`
	From   int64     `json:"from"` // first missing version
	To     int64     `json:"to"`   // first version that is still there
	// Since is when the last message before the gap was applied: what is
	// missing was written between then, at the earliest, and At. It is zero if
	// no message of the vgroup was ever applied.
	Since time.Time `json:"since"`
	// Passed says that the task went on behind the gap, as somebody decided;
	// Repaired is when nothing of what it took was missing any more, or zero.
	Passed   bool      `json:"passed"`
	Repaired time.Time `json:"repaired"`
}
