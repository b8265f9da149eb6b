package core

import (
	"context"
	"time"
)

// Controller is everything that may be asked of an instance. The engine is one
// (in-process); the client of the control socket is another. Every method is
// safe for concurrent use, returns when ctx ends, and is idempotent: asking for
// what is already so succeeds and says so in the outcome.
//
// Errors an asker decides on are typed: *UnknownReplicaError, *Error (with its
// class and hint), ErrReadOnly, ErrNotRunning.
type Controller interface {
	Snapshot(ctx context.Context) (*Snapshot, error)
	// Overview is a snapshot with the vgroups of one task only.
	Overview(ctx context.Context, of TaskKey) (*Snapshot, error)
	Detail(ctx context.Context, task TaskKey) (*TaskDetail, error)
	// Events returns those with a sequence number above after, oldest first, at
	// most limit of them (0: as many as are kept).
	Events(ctx context.Context, after uint64, limit int) ([]Event, error)
	// Settings is the configuration that the instance runs with, in the form of
	// the configuration file, without secrets.
	Settings(ctx context.Context) (string, error)
	// Changes is signalled (coalesced, never blocking the engine) when a
	// snapshot would differ in more than its numbers. It may be nil: then the
	// asker polls.
	Changes() <-chan struct{}

	Start(ctx context.Context, req StartRequest) (*Result, error)
	Stop(ctx context.Context, req TargetRequest) (*Result, error)
	Restart(ctx context.Context, req TargetRequest) (*Result, error)
	Update(ctx context.Context, req UpdateRequest) (*Result, error)
	Remove(ctx context.Context, req RemoveRequest) (*Result, error)
	// Inspect looks at two endpoints without changing anything and says, for
	// each database found on either, whether it could be replicated.
	Inspect(ctx context.Context, req InspectRequest) ([]Candidate, error)
	// Quarantined lists the messages in quarantine, by task, vgroup and offset.
	Quarantined(ctx context.Context) ([]Quarantined, error)
	// Replay writes a message in quarantine to the sink as it would have been
	// written then, through its running task; if the sink takes it, it leaves
	// quarantine. Newer rows of the same keys are overwritten by it.
	Replay(ctx context.Context, req QuarantineRequest) (*Quarantined, error)
	// Discard deletes a message in quarantine: its rows never reach the sink.
	Discard(ctx context.Context, req QuarantineRequest) (*Quarantined, error)
	// Verify begins to compare the two sides of a replica while replication goes
	// on, and Repair to make the sink equal to the source; Audit tells how far
	// that is and how it ended, and is a RefusedError if there was none since the
	// instance started. One audit of a replica runs at a time. It belongs to the
	// instance: it goes on when the asker leaves, and ends with CancelAudit or with
	// the instance.
	Verify(ctx context.Context, req VerifyRequest) (*Audit, error)
	Repair(ctx context.Context, req RepairRequest) (*Audit, error)
	Audit(ctx context.Context, id string) (*Audit, error)
	CancelAudit(ctx context.Context, req TargetRequest) (*Audit, error)
	// Shutdown ends the instance gracefully: every task finishes its write in
	// flight and commits. Desired states stay as they are.
	Shutdown(ctx context.Context, by Actor) error
}

// Endpoint is one side of a replica as an operator gives it. URL may be the
// name of an endpoint of the configuration. Of the credentials only what is
// given counts; an Endpoint with a password or a token is a secret and is
// never logged or shown: use its canonical address (Replica.Source).
type Endpoint struct {
	URL          string `json:"url"`
	User         string `json:"user,omitempty"`
	Password     string `json:"password,omitempty"`
	PasswordFile string `json:"password_file,omitempty"` // read again at each connect
	PasswordEnv  string `json:"password_env,omitempty"`  // of the instance's environment
	Token        string `json:"token,omitempty"`         // instead of user and password
	TokenFile    string `json:"token_file,omitempty"`
	TLSCAFile    string `json:"tls_ca_file,omitempty"`
	TLSSkip      bool   `json:"tls_skip_verify,omitempty"`
	Compression  bool   `json:"compression,omitempty"` // for a thin line
}

// HasCredentials reports whether an endpoint says who asks, apart from its URL.
func (e Endpoint) HasCredentials() bool {
	return e.User+e.Password+e.PasswordFile+e.PasswordEnv+e.Token+e.TokenFile != ""
}

// StartRequest creates a replica, extends one, or starts what is stopped.
// Either ID or both Source and Sink are set. The same source and sink always
// mean the same replica. Databases empty means all of them (for a new replica)
// or those it has (for an existing one).
type StartRequest struct {
	ID        string   `json:"id,omitempty"`
	Source    Endpoint `json:"source"`
	Sink      Endpoint `json:"sink"`
	Databases []string `json:"databases,omitempty"`
	Options   Options  `json:"options"`
	Actor     Actor    `json:"actor"`
}

// Options are the settings of a replica that a request may carry. A nil field
// leaves the replica's setting (or the default of a new one) as it is.
type Options struct {
	Exclude         []string `json:"exclude,omitempty"`
	CreateDatabases *bool    `json:"create_databases,omitempty"`
	NoNewDatabases  *bool    `json:"no_new_databases,omitempty"`
	CheckIntervalS  *int64   `json:"new_database_checking_interval_s,omitempty"`
	Workers         *int     `json:"workers,omitempty"`
	MaxBytesPerS    *int64   `json:"max_bytes_per_second,omitempty"`
	StartFrom       *string  `json:"start_from,omitempty"`
	GroupName       *string  `json:"group_name,omitempty"`
	RawRows         *bool    `json:"raw_rows,omitempty"`
	HoldWAL         *bool    `json:"hold_wal,omitempty"` // from the next subscription on
	HoldWALLimitS   *int64   `json:"hold_wal_limit_s,omitempty"`
	MaxLagS         *int64   `json:"max_lag_s,omitempty"`
	MaxInterruptedS *int64   `json:"max_interrupted_s,omitempty"`
}

// TargetRequest names tasks: all of a replica's, some of them, or (All) those
// of every replica.
type TargetRequest struct {
	ID        string   `json:"id,omitempty"`
	Databases []string `json:"databases,omitempty"`
	All       bool     `json:"all,omitempty"`
	Actor     Actor    `json:"actor"`
}

// UpdateRequest changes settings of a replica while it runs.
type UpdateRequest struct {
	ID      string  `json:"id"`
	Options Options `json:"options"`
	Actor   Actor   `json:"actor"`
}

// RemoveRequest deletes a replica: its consumer groups and, where nobody else
// reads them, its topics at the source, and its state here. Rows at the sink
// stay. Without Force it is refused while a task is live. DryRun only lists
// what would be deleted.
type RemoveRequest struct {
	ID     string `json:"id"`
	Force  bool   `json:"force,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
	Actor  Actor  `json:"actor"`
}

// InspectRequest names two endpoints, or a replica by its id.
type InspectRequest struct {
	ID     string   `json:"id,omitempty"`
	Source Endpoint `json:"source"`
	Sink   Endpoint `json:"sink"`
	// Databases limits what is looked at; empty: all that exist on either side.
	Databases []string `json:"databases,omitempty"`
	// Thorough also looks at the rights of the users and compares super tables,
	// which takes a few requests for each database.
	Thorough bool `json:"thorough,omitempty"`
}

// Outcome is what a request did to one task.
type Outcome string

// The outcomes of requests.
const (
	OutcomeCreated        Outcome = "created"
	OutcomeStarted        Outcome = "started"
	OutcomeAlreadyRunning Outcome = "already running"
	OutcomeStopped        Outcome = "stopped"
	OutcomeAlreadyStopped Outcome = "already stopped"
	OutcomeRestarted      Outcome = "restarted"
	OutcomeUpdated        Outcome = "updated"
	OutcomeRemoved        Outcome = "removed"
)

// Result is what a request did.
type Result struct {
	ID     string       `json:"id,omitempty"` // of the replica
	DryRun bool         `json:"dry_run,omitempty"`
	Tasks  []TaskResult `json:"tasks"` // with DryRun, what it would do
	// Deleted lists, in words, what was (or with DryRun would be) deleted, and
	// Kept what stays and why.
	Deleted  []string `json:"deleted,omitempty"`
	Kept     []string `json:"kept,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// TaskResult is the outcome for one task.
type TaskResult struct {
	Replica  string  `json:"replica"`
	Database string  `json:"database"`
	Outcome  Outcome `json:"outcome"`
}

// Candidate is a database that Inspect found.
type Candidate struct {
	Database  string   `json:"database"`
	AtSource  bool     `json:"at_source"`
	AtSink    bool     `json:"at_sink"`
	Precision string   `json:"precision"`
	Vgroups   int      `json:"vgroups"`
	Problems  []string `json:"problems,omitempty"` // what forbids replication
	Warnings  []string `json:"warnings,omitempty"` // what is unwise
}

// AutoWorkers stands for a number of workers that each task chooses itself,
// and changes as its load does.
const AutoWorkers = 0

// DefaultHoldLimit is for how long a source keeps its WAL without a commit where
// it is asked to.
const DefaultHoldLimit = 24 * time.Hour

// DefaultCheckInterval is how often new databases are looked for.
const DefaultCheckInterval = 1800 * time.Second
