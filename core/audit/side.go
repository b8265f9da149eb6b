// Package audit compares what two sides hold of a database, and makes the sink
// equal to the source where they differ, without stopping replication.
//
// Windows of time are compared by counts and sums that the servers compute; one
// that differs is halved until its rows are few enough to be read. Nothing
// counts as different because it was on its way: what differed is looked at
// again after replication has passed everything that was there at the first
// look, and counts if it is still the same difference then.
package audit

import (
	"context"
	"errors"
	"math"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// Side is one of the two ends. core/taos has the one that speaks to TDengine.
// It is safe for concurrent use.
type Side interface {
	Versions() core.Versions
	// Database returns nil, nil if there is none of that name; so does Topic.
	Database(ctx context.Context, name string) (*core.Database, error)
	Topic(ctx context.Context, name string) (*core.Topic, error)
	SuperTables(ctx context.Context, database string) ([]string, error)
	// Tables lists child and normal tables.
	Tables(ctx context.Context, database string) ([]Table, error)
	Describe(ctx context.Context, database, table string) (*core.Table, error)
	// Tags returns the tag values of the children of a super table, by table and
	// tag, as a statement has them.
	Tags(ctx context.Context, database, super string) (map[string]map[string]string, error)
	// Checksums reports whether the server can compute checksums of values.
	Checksums(ctx context.Context) (bool, error)
	// Span tells how many rows a group has, and their first and last time.
	Span(ctx context.Context, database string, g Group) (Span, error)
	// Digests sums up the rows of a window, by table. A table without rows in it
	// may be missing.
	Digests(ctx context.Context, database string, g Group, w Window) (map[string]Digest, error)
	// Rows returns the first rows of a table in a window, in the order of their
	// keys, at most limit of them, with the group's columns in its order.
	Rows(ctx context.Context, database, table string, g Group, w Window, limit int) (raw.Block, error)

	CreateStatement(ctx context.Context, database, table string) (core.CreateStatement, error)
	CreateTable(ctx context.Context, database string, s core.CreateStatement) error
	AddColumn(ctx context.Context, database, table string, c core.Column) error
	WidenColumn(ctx context.Context, database, table string, c core.Column) error
	// SetTag sets a tag of a child table to a value as Tags returns it.
	SetTag(ctx context.Context, database, table string, tag core.Column, literal string) error
	Close() error
}

// ErrTooLong is wrapped by a Side's error if the server did not answer in time,
// which it may do about less.
var ErrTooLong = errors.New("the query takes too long")

// Writer writes rows and deletes at the sink with the mark of replication, so
// that no other direction sends them back. Calls are made one after the other.
type Writer interface {
	Write(ctx context.Context, m *core.Message) error
	Close() error
}

// Table is a child table or, without a super table, a normal one.
type Table struct{ Name, Super string }

// Group is what one query is about: children of one super table, or a normal
// table.
type Group struct {
	Super  string   // empty for a normal table
	Tables []string // the normal table, or children; none: all of the super table
	// Columns are compared; the first is the time. Those in front of Keys are the
	// key: one, or two.
	Columns   []core.Column
	Tags      []core.Column
	Keys      int
	Checksums bool   // both sides can compute them
	Precision string // of times: ms, us or ns
}

// Window is a range of times in the database's precision: From ≤ time < To.
type Window struct{ From, To int64 }

// Span is a group's extent; First and Last mean nothing without rows.
type Span struct{ Rows, First, Last int64 }

// Digest sums up rows, in whatever order they come.
type Digest struct {
	Rows  int64
	Exact uint64 // of everything that does not depend on an order
	// Sums of floating-point values do: they may differ by their slack.
	Sums, Slack []float64
}

// Equal reports whether two digests may be of the same rows.
func (d Digest) Equal(e Digest) bool {
	if d.Rows != e.Rows || d.Rows > 0 && d.Exact != e.Exact || len(d.Sums) != len(e.Sums) {
		return d.Rows == 0 && e.Rows == 0
	}
	for i := range d.Sums {
		if math.Abs(d.Sums[i]-e.Sums[i]) > max(d.Slack[i], e.Slack[i]) {
			return false
		}
	}
	return true
}
