package core

import "time"

// MaxQuarantined is how many messages the quarantine of an instance takes.
const MaxQuarantined = 10_000

// QuarantineTables is how many tables of a message are named in its description.
const QuarantineTables = 50

// Quarantined describes a message of rows that the sink refused for good and
// that was kept in the state directory instead of being applied.
type Quarantined struct {
	ID       string      `json:"id"` // REPLICA-VGROUP-DIGEST: the same rows always have the same
	Replica  string      `json:"replica"`
	Database string      `json:"database"`
	Vgroup   int32       `json:"vgroup_id"`
	Offset   int64       `json:"offset"` // where the poll began that read it first
	Kind     MessageKind `json:"message_type"`
	RawType  RawType     `json:"raw_type"`
	At       time.Time   `json:"at"` // when it was refused
	Bytes    int64       `json:"bytes"`

	Rows       int64     `json:"rows"` // Unknown if the message cannot be decoded
	TableCount int       `json:"table_count"`
	Tables     []string  `json:"tables"` // the first of them, at most QuarantineTables
	From       time.Time `json:"from"`   // of the oldest row; zero if not known
	To         time.Time `json:"to"`     // of the newest row; zero if not known

	Error string `json:"error"` // why the sink refused it
	Code  int    `json:"code,omitempty"`
	// Damaged is why the file cannot be replayed; empty if it can.
	Damaged string `json:"damaged,omitempty"`
}

// QuarantineRequest names one message in quarantine.
type QuarantineRequest struct {
	ID    string `json:"id"`
	Actor Actor  `json:"actor"`
}
