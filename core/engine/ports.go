package engine

import (
	"context"
	"time"

	"tdreplica/core"
	"tdreplica/core/audit"
)

// Connector opens connections to endpoints. core/taos is the one that speaks to
// TDengine. Every method is safe for concurrent use and obeys ctx.
type Connector interface {
	// Catalog connects for SQL and learns the versions.
	Catalog(ctx context.Context, ep core.Endpoint) (Catalog, error)
	// Source opens one consumer. It returns before the first poll, so that
	// Assignment tells where the group stands.
	Source(ctx context.Context, ep core.Endpoint, sub Subscription) (Source, error)
	// Sink opens one connection with a current database to write into.
	Sink(ctx context.Context, ep core.Endpoint, database string) (Sink, error)
	// Side connects for comparing what two endpoints hold.
	Side(ctx context.Context, ep core.Endpoint) (audit.Side, error)
}

// Subscription says what a Source reads.
type Subscription struct {
	Topic    string
	Group    string
	ClientID string
	// Latest starts a group that has no stored offset at the end of the WAL
	// instead of its beginning.
	Latest bool
	// Everything delivers also what replication wrote. Never set it where the
	// other direction may be replicated too: it loops.
	Everything bool
	// RawRows delivers rows as the source stores them (core.KindRaw). Such a
	// message can be fetched once: when that fails, the source must be opened
	// anew.
	RawRows bool
	// ChangesOnly fetches no rows: messages of rows are handed out without their
	// payload.
	ChangesOnly bool
	// MinRows is how many rows the source gathers for a message unless the WAL
	// ends before; 0 is its own default of 4,096. Sources that cannot be told
	// ignore it.
	MinRows int
	// HoldWAL asks the source to keep its WAL from the committed offsets on,
	// whatever its retention says. Not all servers can: see Source.HoldsWAL.
	HoldWAL bool
	// MaxPollInterval is how long the source may go without a poll before the
	// server drops the consumer.
	MaxPollInterval time.Duration
}

// Source reads one consumer's share of a topic. Calls are made by one goroutine
// at a time. After an error of class reconnect it must be closed and opened anew.
type Source interface {
	// Poll returns the next message, whole, or nil if none came within wait.
	// The message's memory is the caller's.
	Poll(ctx context.Context, wait time.Duration) (*core.Message, error)
	// Assignment returns what the server tells of every vgroup this consumer
	// owns. Called before the first poll its Offset is the stored offset.
	Assignment(ctx context.Context) ([]core.Assignment, error)
	// Position returns the next version to read, vgroup by vgroup. Between two
	// polls it covers exactly the messages handed out so far.
	Position(ctx context.Context, vgroups []int32) ([]core.VgroupOffset, error)
	// Committed returns the stored offsets; core.Unknown where none is stored.
	Committed(ctx context.Context, vgroups []int32) ([]core.VgroupOffset, error)
	// HoldsWAL reports whether commits make the source keep its WAL.
	HoldsWAL() bool
	// Commit stores an offset: the next version to read.
	Commit(ctx context.Context, at core.VgroupOffset) error
	// Seek moves the position without storing it.
	Seek(ctx context.Context, to core.VgroupOffset) error
	// Close unsubscribes (so that the group is free at once) and disconnects.
	Close(ctx context.Context) error
}

// Sink applies messages to one database. Calls are made by one goroutine at a
// time. After an error of class reconnect it must be closed and opened anew.
type Sink interface {
	// Write returns nil only when the sink has acknowledged the whole message.
	// After a timeout the outcome is unknown: writing the same again is safe.
	Write(ctx context.Context, m *core.Message) error
	Close() error
}

// Catalog is the SQL side of an endpoint. It is safe for concurrent use.
type Catalog interface {
	Versions() core.Versions
	Databases(ctx context.Context) ([]core.Database, error)
	// Database returns nil, nil if there is none of that name.
	Database(ctx context.Context, name string) (*core.Database, error)
	// CreateDatabaseLike creates a database with the options of another one.
	CreateDatabaseLike(ctx context.Context, like core.Database) error
	// EnsureTopic creates the topic if it is missing and verifies that it is a
	// topic with meta of that database.
	EnsureTopic(ctx context.Context, topic, database string) error
	// Topic returns nil, nil if there is none of that name.
	Topic(ctx context.Context, name string) (*core.Topic, error)
	// Subscriptions lists the groups of a topic, or of all topics if it is "",
	// vgroup by vgroup.
	Subscriptions(ctx context.Context, topic string) ([]core.Subscription, error)
	// Consumers lists the members of a group by their ids.
	Consumers(ctx context.Context, topic, group string) (map[string]core.Consumer, error)
	// ClusterID tells one server, or cluster of them, from all others.
	ClusterID(ctx context.Context) (string, error)
	// WALEnds returns the end (exclusive) of the WAL of each vgroup of a
	// database, or of all of them if it is "", without a consumer, and false on
	// servers that do not tell (before 3.3.7 or so).
	WALEnds(ctx context.Context, database string) (map[int32]int64, bool, error)
	// ReleaseWAL lets the retention of a database's WAL count again in all
	// vgroups, for everything that is there now. It is for servers that hold it.
	ReleaseWAL(ctx context.Context, database string) error
	// CanSubscribe and CanWrite check the rights of the endpoint's user.
	CanSubscribe(ctx context.Context, database string) error
	CanWrite(ctx context.Context, database string) error
	// DropGroup and DropTopic succeed if there is nothing to drop.
	DropGroup(ctx context.Context, topic, group string) error
	DropTopic(ctx context.Context, topic string) error
	// Empty reports whether a database has no tables at all.
	Empty(ctx context.Context, database string) (bool, error)
	// SuperTableIDs maps the names of a database's super tables to their ids. It
	// takes version 3.3.7.
	SuperTableIDs(ctx context.Context, database string) (map[string]int64, error)
	SuperTables(ctx context.Context, database string) ([]string, error)
	Describe(ctx context.Context, database, table string) (*core.Table, error)
	// TableNames maps the uids of child and normal tables of one vgroup to their
	// names; a table that is gone is missing from the answer.
	TableNames(ctx context.Context, database string, uids []int64) (map[int64]string, error)
	// TableIDs finds child and normal tables by name; what does not exist is
	// missing from the answer.
	TableIDs(ctx context.Context, database string, names []string) (map[string]core.TableID, error)
	// EachTable calls each for every child and normal table of a database, in no
	// order. Names are valid during the call only; super is that of a child's super
	// table. It takes version 3.3.3.
	EachTable(ctx context.Context, database string, each func(name, super []byte, uid int64)) error
	// HasRow reports whether a table exists and has a row at an instant of its
	// time column, in the database's precision.
	HasRow(ctx context.Context, database, table, timeColumn string, at int64) (bool, error)
	// Announce deletes at one instant, which no row has, from a table: who reads
	// the log learns by the instant what replication is about to do to the
	// table, or has done. It does nothing if the table does not exist.
	Announce(ctx context.Context, database, table string, at int64) error
	// CreateStatement tells how to make a table or super table anew.
	CreateStatement(ctx context.Context, database, table string) (core.CreateStatement, error)
	// CreateTable succeeds if the table is there already.
	CreateTable(ctx context.Context, database string, s core.CreateStatement) error
	// The changes of columns and tags below carry core.ChangeMark.

	// AddColumn adds a column or a tag to a super table or a normal one; it
	// succeeds if there is one of that name. WidenColumn makes it longer.
	AddColumn(ctx context.Context, database, table string, c core.Column) error
	WidenColumn(ctx context.Context, database, table string, c core.Column) error
	// DropColumn takes a column or a tag off a super table or a normal one; it
	// succeeds if there is none of that name.
	DropColumn(ctx context.Context, database, table string, c core.Column) error
	// RenameTag does nothing if the super table has a tag of the new name
	// already, or none of the old one, or does not exist.
	RenameTag(ctx context.Context, database, table, from, to string) error
	Close() error
}

// Clock is time, so that tests can script it.
type Clock interface {
	Now() time.Time
	// After behaves as time.After.
	After(d time.Duration) <-chan time.Time
}
