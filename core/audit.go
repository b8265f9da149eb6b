package core

import "time"

// VerifyRequest asks whether the two sides of a replica hold the same. Empty
// Databases means all of the replica's.
type VerifyRequest struct {
	ID        string   `json:"id"`
	Databases []string `json:"databases,omitempty"`
	// Exact reads every row of both sides, instead of counts and sums of windows
	// and the rows of those that differ.
	Exact bool  `json:"exact,omitempty"`
	Actor Actor `json:"actor"`
}

// RepairRequest asks to make the sink equal to the source. Rows are only ever
// written at the sink, and only those that stayed different while replication
// went on.
type RepairRequest struct {
	VerifyRequest
	DryRun bool `json:"dry_run,omitempty"` // only say what would be done
	// DeleteExtra also deletes the rows that only the sink has.
	DeleteExtra bool `json:"delete_extra,omitempty"`
	// Winner must be "source" where the sink is the source of another replica:
	// there either side may be the one that is right.
	Winner string `json:"winner,omitempty"`
	// Gap lets tasks that failed at a gap in the WAL go on behind it first.
	Gap bool `json:"gap,omitempty"`
}

// AuditState is how far an audit, or its work on one database, has come.
type AuditState string

// The states of audits, and of the databases in them.
const (
	AuditWaiting   AuditState = "waiting" // of a database whose turn has not come
	AuditRunning   AuditState = "running"
	AuditEqual     AuditState = "equal"
	AuditDifferent AuditState = "different"
	AuditFailed    AuditState = "failed"
	AuditCancelled AuditState = "cancelled"
)

// Over reports whether nothing will change any more.
func (s AuditState) Over() bool { return s != AuditWaiting && s != AuditRunning }

// Audit is a verify or a repair of one replica: the one that runs, or the last.
type Audit struct {
	Replica   string          `json:"replica"`
	Kind      string          `json:"kind"` // verify or repair
	DryRun    bool            `json:"dry_run"`
	State     AuditState      `json:"state"`
	Since     time.Time       `json:"since"`
	Until     time.Time       `json:"until"` // zero while it runs
	Actor     Actor           `json:"actor"`
	Databases []DatabaseAudit `json:"databases"`
}

// TaskAudit is the part of an audit that a task is concerned with, in short.
type TaskAudit struct {
	State AuditState `json:"state"`
	Text  string     `json:"text"` // what it is at, or how it ended
}

// DatabaseAudit is what is known of one database.
type DatabaseAudit struct {
	Database string     `json:"database"`
	State    AuditState `json:"state"`
	Step     string     `json:"step,omitempty"` // what it is at, while it runs
	Note     string     `json:"note,omitempty"` // why it failed, and what to do

	Tables      int64 `json:"tables"`       // compared so far
	TablesTotal int64 `json:"tables_total"` // of both sides together
	Rows        int64 `json:"rows"`         // compared so far, as the source counts them
	Windows     int64 `json:"windows"`      // compared so far
	Rounds      int   `json:"rounds"`       // how often what differed was looked at again

	// Differences counts what stayed different, Examples has the first of each
	// kind. Undecided counts rows that differed and changed with every look.
	Differences map[DifferenceKind]int64 `json:"differences"`
	Examples    []Difference             `json:"examples"`
	Undecided   int64                    `json:"undecided"`

	// What a repair did, or with DryRun would do. Differences are then those that
	// were left.
	Written int64    `json:"rows_written"`
	Deleted int64    `json:"rows_deleted"`
	Changes []string `json:"changes"` // tables, columns and tags, at most MaxAuditChanges
}

// MaxAuditChanges bounds the list of changes of a repair, and AuditExamples how
// many differences of each kind are told.
const (
	MaxAuditChanges = 1000
	AuditExamples   = 20
)

// DifferenceKind says in which way two sides differ.
type DifferenceKind string

// The kinds of differences.
const (
	MissingTable DifferenceKind = "missing_table" // at the sink
	ExtraTable   DifferenceKind = "extra_table"   // only at the sink
	OtherSchema  DifferenceKind = "schema"        // columns, tags, their types and lengths
	OtherTag     DifferenceKind = "tag_value"     // of a child table
	MissingRow   DifferenceKind = "missing_row"   // at the sink
	ExtraRow     DifferenceKind = "extra_row"     // only at the sink
	OtherValues  DifferenceKind = "other_values"  // of a row that both have
)

// DifferenceKinds lists them in the order in which they are shown.
func DifferenceKinds() []DifferenceKind {
	return []DifferenceKind{MissingTable, ExtraTable, OtherSchema, OtherTag, MissingRow, ExtraRow, OtherValues}
}

// Words is the kind for people.
func (k DifferenceKind) Words() string {
	switch k {
	case MissingTable:
		return "tables missing at the sink"
	case ExtraTable:
		return "tables only at the sink"
	case OtherSchema:
		return "columns or tags that differ"
	case OtherTag:
		return "tag values that differ"
	case MissingRow:
		return "rows missing at the sink"
	case ExtraRow:
		return "rows only at the sink"
	}
	return "rows with other values"
}

// Difference is one of them.
type Difference struct {
	Kind  DifferenceKind `json:"kind"`
	Table string         `json:"table"`
	Time  string         `json:"time,omitempty"` // of a row: RFC 3339 in UTC, with the key's second column behind it
	Text  string         `json:"text"`
}
