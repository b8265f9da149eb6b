package core

import (
	"fmt"
	"strings"
	"time"
)

// Database is what a catalog knows of a database.
type Database struct {
	Name       string
	CreatedAt  time.Time
	Vgroups    int
	Precision  string // ms, us or ns
	CreateSQL  string // `show create database`
	WALPeriodS int64  // wal_retention_period; 0 forbids subscriptions, -1 keeps for ever
}

// SystemDatabases are never replicated when no database was named.
var SystemDatabases = []string{"information_schema", "performance_schema", "log", "audit"}

// IsSystemDatabase reports whether name is one of SystemDatabases.
func IsSystemDatabase(name string) bool {
	for _, s := range SystemDatabases {
		if s == name {
			return true
		}
	}
	return false
}

// Versions are those of an endpoint.
type Versions struct {
	Server  string // select server_version()
	Adapter string // the libtaos of the adapter, as its version action tells
}

// Topic is a subscription source of a server.
type Topic struct {
	Name     string
	Database string
	WithMeta bool
}

// Subscription is a consumer group's progress in one vgroup, as the server
// last heard it. It freezes when the consumers leave.
type Subscription struct {
	Topic    string
	Group    string
	Vgroup   int32
	Consumer string // empty if no consumer owns the vgroup
	Position int64  // Unknown if not reported
	End      int64  // Unknown if not reported
}

// Consumer is a member of a consumer group.
type Consumer struct {
	Client string // what it calls itself
	// Rebalanced is when the server last gave it vgroups or took some away.
	Rebalanced time.Time
}

// Table describes a super table, or a table, for comparison.
type Table struct {
	Name    string
	Columns []Column
	Tags    []Column
}

// TableID tells a child or normal table from another one of its name.
type TableID struct {
	UID    int64
	Vgroup int32
	Super  string // its super table; empty for a normal table
}

// Column is a column or a tag.
type Column struct {
	Name   string
	Type   string // as `describe` prints it: TIMESTAMP, INT, VARCHAR, …
	Length int    // bytes; for NCHAR characters
	Note   string // the rest of `describe`: TAG, PRIMARY KEY, …
}

// ChangeMark ends every statement by which replication changes a table's columns
// or tags. The log of a server keeps the statement with the change, and so the
// other direction knows the change for one that its own sink has already.
const ChangeMark = "/* tdreplica */"

// IsTag reports whether `describe` shows a tag.
func (c Column) IsTag() bool { return strings.Contains(strings.ToUpper(c.Note), "TAG") }

// IsKey reports whether `describe` shows the second column of a key.
func (c Column) IsKey() bool { return strings.Contains(strings.ToUpper(c.Note), "KEY") }

// SecondKey is the name of the second column of a table's composite key; empty where
// the time alone is the key.
func (t *Table) SecondKey() string {
	if len(t.Columns) > 1 && t.Columns[1].IsKey() {
		return t.Columns[1].Name
	}
	return ""
}

// SQLType is the type as a statement has it: VARCHAR(16).
func (c Column) SQLType() string {
	switch c.Type {
	case "VARCHAR", "BINARY", "NCHAR", "VARBINARY", "GEOMETRY":
		return fmt.Sprintf("%s(%d)", c.Type, c.Length)
	}
	return c.Type
}

// String shows a table in one line, for messages.
func (t *Table) String() string {
	list := func(columns []Column) string {
		var parts []string
		for _, c := range columns {
			part := c.Name + " " + c.SQLType()
			if c.IsKey() {
				part += " PRIMARY KEY"
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, ", ")
	}
	if len(t.Tags) == 0 {
		return "(" + list(t.Columns) + ")"
	}
	return "(" + list(t.Columns) + ") tags (" + list(t.Tags) + ")"
}

// CreateStatement is what makes a table anew: `create table Table using Super
// Rest`, without the using for super tables and normal ones.
type CreateStatement struct {
	Table string
	Super string // empty unless it is a child table
	Rest  string // SQL behind the names, as the server wrote it
}
