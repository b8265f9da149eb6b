package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"tdreplica/core"
)

// plan is what a preflight found to be so, and what the pump works from.
type plan struct {
	source, sink         core.Endpoint
	sourceName, sinkName string // canonical
	db                   core.Database
	topic, group         string
	workers              int  // at most one for each vgroup
	auto                 bool // their number is the task's own choice
	raw                  bool // rows are read as they are stored
	shared               bool // the group may have members of other instances
	latest               bool
	holdWAL              bool
	commitsItself        bool      // stored offsets may be in front of what is applied
	catalog, sinkCatalog Catalog   // the pump closes them
	sinkCreatedAt        time.Time // of the database
	facts                facts
	sourceVersion        core.Version
	sinkVersion          core.Version
}

// toldCommits is the first version whose client library commits only what it is told
// to [M: 3.3.6.13; from 3.3.4.8 on by its source text]. That of 3.3.3.0 stores every
// five seconds the positions of all that was polled, also with
// enable.auto.commit=false [M].
var toldCommits = core.Version{3, 3, 5, 0}

// preflight checks everything that must hold before the first byte moves, and
// creates what may be created: the database at the sink, the topic.
func (t *task) preflight(ctx context.Context) (*plan, error) {
	rec := t.e.replicaRecord(t.replica)
	source, sink, err := t.e.catalogs(ctx, rec.SourceEndpoint, rec.SinkEndpoint)
	if err != nil {
		return nil, err
	}
	pl := &plan{
		source: rec.SourceEndpoint, sink: rec.SinkEndpoint, sourceName: rec.Source, sinkName: rec.Sink,
		topic: topicName(t.key.Database), group: groupName(t.e.store.InstanceID(), t.key),
		workers: rec.Workers, auto: rec.Workers == core.AutoWorkers, latest: rec.StartFrom == "latest", holdWAL: rec.HoldWAL, catalog: source, sinkCatalog: sink,
	}
	if err := t.check(ctx, pl, sink, rec.CreateDatabases); err != nil {
		source.Close()
		sink.Close()
		return nil, err
	}
	return pl, nil
}

func (t *task) check(ctx context.Context, pl *plan, sink Catalog, create bool) error {
	ctx, cancel := t.e.request(ctx)
	defer cancel()
	source := pl.catalog
	warnings, err := t.e.checkVersions(t.key.Replica, pl.sourceName, pl.sinkName, source.Versions(), sink.Versions())
	if err != nil {
		return err
	}
	unwise, err := t.checkDatabases(ctx, pl, sink, create)
	if err != nil {
		return err
	}
	if rec := t.e.replicaRecord(t.replica); rec.GroupName != "" {
		if err := t.share(ctx, pl, rec.GroupName, sink); err != nil {
			return err
		}
	}
	if err := source.EnsureTopic(ctx, pl.topic, t.key.Database); err != nil {
		return err
	}
	if pl.auto {
		pl.workers = t.autoWorkers()
	}
	pl.workers = max(1, min(pl.workers, pl.db.Vgroups))
	pl.facts = facts{
		sourceVersion: source.Versions().Server, sinkVersion: sink.Versions().Server,
		precision: pl.db.Precision, walRetentionS: pl.db.WALPeriodS,
		workers: pl.workers, auto: pl.auto, warnings: append(warnings, unwise...),
	}
	if pl.sourceVersion, err = core.ParseVersion(pl.facts.sourceVersion); err != nil {
		return err
	}
	if pl.sinkVersion, err = core.ParseVersion(pl.facts.sinkVersion); err != nil {
		return fmt.Errorf("read the version of %s: %w", pl.sinkName, err)
	}
	adapter, err := core.ParseVersion(source.Versions().Adapter)
	pl.commitsItself = err != nil || !adapter.AtLeast(toldCommits)
	if t.e.replicaRecord(t.replica).RawRows {
		why, err := t.unfitForRaw(ctx, pl)
		if err != nil {
			return err
		}
		if pl.raw = why == ""; !pl.raw {
			pl.facts.warnings = append(pl.facts.warnings, "raw rows are not read: "+why)
		}
		pl.facts.raw = pl.raw
	}
	t.learned(pl.facts)
	return nil
}

// checkDatabases looks at the database on both sides, creates the sink's if it may,
// and returns what is unwise about the two. Both must be those that the task began
// with, and its user must be allowed to read the one and to write to the other.
func (t *task) checkDatabases(ctx context.Context, pl *plan, sink Catalog, create bool) (unwise []string, err error) {
	name := t.key.Database
	db, err := pl.catalog.Database(ctx, name)
	if err != nil {
		return nil, err
	}
	if db == nil {
		return nil, noDatabase(name, pl.sourceName)
	}
	pl.db = *db
	if err := t.checkAge(pl); err != nil {
		return nil, err
	}
	there, err := ensureDatabase(ctx, sink, pl, create)
	if err != nil {
		return nil, err
	}
	if err := t.checkSinkAge(pl, there); err != nil {
		return nil, err
	}
	pl.sinkCreatedAt = there.CreatedAt
	problems, unwise := compare(*db, there)
	if len(problems) > 0 {
		return nil, &core.Error{Class: core.ClassOperator, Op: fmt.Sprintf("prepare database `%s`", name), Text: problems[0]}
	}
	if err := pl.catalog.CanSubscribe(ctx, name); err != nil {
		return nil, err
	}
	return unwise, sink.CanWrite(ctx, name)
}

// share makes the group one that members of other instances may be in. They must
// write to the same sink; so the sink is in the group's name, by what every
// instance sees of it, whatever address it has there.
func (t *task) share(ctx context.Context, pl *plan, name string, sink Catalog) error {
	for _, c := range []Catalog{pl.catalog, sink} {
		if v, err := core.ParseVersion(c.Versions().Server); err != nil || !v.AtLeast(sharedGroups) {
			return &core.Error{
				Class: core.ClassOperator, Op: fmt.Sprintf("share the consumer group %q", name),
				Text: fmt.Sprintf("a server's version is %s; both must be %s or later", c.Versions().Server, sharedGroups),
				Hint: "leave group_name out",
			}
		}
	}
	cluster, err := sink.ClusterID(ctx)
	if err != nil {
		return err
	}
	pl.shared, pl.group = true, sharedGroup(name, cluster, t.key.Database)
	return nil
}

// checkAge notices a source database that was dropped and created again: its
// WAL versions begin anew and mean something else.
func (t *task) checkAge(pl *plan) error {
	t.mu.Lock()
	before := t.rec.SourceCreatedAt
	t.mu.Unlock()
	if before.IsZero() || pl.db.CreatedAt.IsZero() || before.Equal(pl.db.CreatedAt) {
		return nil
	}
	return createdAgain(t, pl.sourceName, pl.db.CreatedAt, before)
}

// checkSinkAge notices the same of the sink's database: all that was applied is
// missing in it.
func (t *task) checkSinkAge(pl *plan, there *core.Database) error {
	if there == nil {
		return noDatabase(t.key.Database, pl.sinkName)
	}
	t.mu.Lock()
	before := t.rec.SinkCreatedAt
	t.mu.Unlock()
	if before.IsZero() || there.CreatedAt.IsZero() || before.Equal(there.CreatedAt) {
		return nil
	}
	return createdAgain(t, pl.sinkName, there.CreatedAt, before)
}

func createdAgain(t *task, at string, now, before time.Time) error {
	return &core.Error{
		Class: core.ClassOperator,
		Op:    fmt.Sprintf("resume database `%s` at %s", t.key.Database, at),
		Text: fmt.Sprintf("it was created at %s, but the one that was replicated so far at %s: it was dropped and created again",
			now.UTC().Format(time.RFC3339), before.UTC().Format(time.RFC3339)),
		Hint: anew(t),
	}
}

func ensureDatabase(ctx context.Context, sink Catalog, pl *plan, create bool) (*core.Database, error) {
	there, err := sink.Database(ctx, pl.db.Name)
	if err != nil || there != nil {
		return there, err
	}
	if !create {
		return nil, noDatabase(pl.db.Name, pl.sinkName)
	}
	if err := sink.CreateDatabaseLike(ctx, pl.db); err != nil && core.ClassOf(err) != core.ClassDone {
		return nil, err
	}
	return sink.Database(ctx, pl.db.Name)
}

func noDatabase(name, address string) error {
	return &core.Error{
		Class: core.ClassOperator, Op: fmt.Sprintf("database `%s` does not exist at %s", name, address),
	}
}

// compare lists what forbids replication between two databases, and what is
// unwise. A nil sink is a database that is still to be created.
func compare(source core.Database, sink *core.Database) (problems, warnings []string) {
	if sink != nil && source.Precision != sink.Precision {
		problems = append(problems, fmt.Sprintf("its precision is %s at the source and %s at the sink; times would be written wrong", source.Precision, sink.Precision))
	}
	switch day := int64(24 * 3600); {
	case source.WALPeriodS == 0:
		problems = append(problems, fmt.Sprintf("the source keeps no WAL for subscriptions; `alter database %s wal_retention_period 604800` there keeps it for a week", source.Name))
	case source.WALPeriodS > 0 && source.WALPeriodS < day:
		warnings = append(warnings, fmt.Sprintf("the source keeps its WAL for %v only; an interruption that lasts longer loses rows", time.Duration(source.WALPeriodS)*time.Second))
	}
	return problems, warnings
}

// From freesTwice on, up to freesOnce, a source's taosd may end where a subscription
// reads rows of tables that were dropped since [M: 3.3.6.13]. When it is up again the
// consumer comes back to the same rows.
var (
	freesTwice = core.Version{3, 3, 6, 0}
	freesOnce  = core.Version{3, 3, 6, 14}
)

// checkVersions refuses servers that are too old to talk to, and adapters that
// would send replicated rows round for ever. Whether another instance copies
// the other way cannot be known; then it is only a warning.
func (e *Engine) checkVersions(id, sourceName, sinkName string, source, sink core.Versions) (warnings []string, err error) {
	for _, side := range []struct {
		name string
		v    core.Versions
	}{{sourceName, source}, {sinkName, sink}} {
		if v, err := core.ParseVersion(side.v.Server); err != nil || !v.AtLeast(core.MinServer) {
			return nil, &core.Error{
				Class: core.ClassOperator, Op: "use the server at " + side.name,
				Text: fmt.Sprintf("its version is %q, and %s is the oldest that can be replicated", side.v.Server, core.MinServer),
			}
		}
		if err := side.v.CheckCompare(side.name); err != nil {
			warnings = append(warnings, err.Error())
		}
	}
	if from, to := serverOf(source), serverOf(sink); !to.AtLeast(from) {
		warnings = append(warnings, fmt.Sprintf("the sink's server is %s, older than the source's %s; it may not know every type of column", to, from))
	}
	if from := serverOf(source); from.AtLeast(freesTwice) && !from.AtLeast(freesOnce) {
		warnings = append(warnings, fmt.Sprintf("the source's server is %s; it may end, again and again, where a subscription reads rows of tables that were dropped since, and is to be upgraded", from))
	}
	if err = source.CheckTwoWay(sourceName); err == nil {
		return warnings, nil
	}
	if e.otherWay(id, sourceName, sinkName) != "" {
		return nil, err
	}
	return append(warnings, "never replicate this database the other way too: "+err.Error()), nil
}

// serverOf is the version of a server that was found to have one.
func serverOf(v core.Versions) core.Version {
	version, _ := core.ParseVersion(v.Server)
	return version
}

// catalogs connects to both sides at the same time.
func (e *Engine) catalogs(ctx context.Context, source, sink core.Endpoint) (Catalog, Catalog, error) {
	var a, b Catalog
	var errA, errB error
	var wg sync.WaitGroup
	wg.Go(func() { a, errA = e.connector.Catalog(ctx, source) })
	wg.Go(func() { b, errB = e.connector.Catalog(ctx, sink) })
	wg.Wait()
	if errA == nil && errB == nil {
		return a, b, nil
	}
	if errA == nil {
		a.Close()
		return nil, nil, errB
	}
	if errB == nil {
		b.Close()
	}
	return nil, nil, errA
}

// topicName is shared by every replica that reads the database.
func topicName(database string) string { return "tdr_" + database }

// groupName is unique to the instance, the replica and the database. A group's
// name has at most 192 bytes and must not hold a colon; a database whose name
// does not fit is known by its hash.
func groupName(instance string, key core.TaskKey) string {
	return nameGroup(instance, key.Replica, key.Database)
}

// sharedGroup is the same for all instances that give the name and write to the
// same sink. No instance's id has five letters.
func sharedGroup(name, cluster, database string) string {
	return nameGroup("group", name+"."+cluster, database)
}

func nameGroup(owner, of, database string) string {
	name := fmt.Sprintf("tdr.%s.%s.%s", owner, of, database)
	fits := len(name) <= 192
	for _, c := range database {
		fits = fits && (c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
	}
	if fits {
		return name
	}
	sum := sha256.Sum256([]byte(database))
	return fmt.Sprintf("tdr.%s.%s.%s", owner, of, hex.EncodeToString(sum[:12]))
}

// learned keeps what a preflight found.
func (t *task) learned(f facts) {
	t.mu.Lock()
	t.facts = f
	t.mu.Unlock()
}

// began keeps what identifies the subscription, once it exists.
func (t *task) began(pl *plan) {
	t.mu.Lock()
	t.rec.Topic, t.rec.Group, t.rec.PassGap = pl.topic, pl.group, false
	t.rec.SourceCreatedAt, t.rec.SinkCreatedAt = pl.db.CreatedAt, pl.sinkCreatedAt
	t.urgent = true
	t.mu.Unlock()
}

// warn adds to what is shown as fit for now but not for long.
func (t *task) warn(text string) {
	t.mu.Lock()
	t.facts.warnings = append(t.facts.warnings[:len(t.facts.warnings):len(t.facts.warnings)], text)
	t.mu.Unlock()
	t.e.event(core.Event{Level: core.LevelWarn, Kind: core.EventError, Replica: t.key.Replica, Database: t.key.Database, Text: text})
}
