package engine

import (
	"context"
	"fmt"
	"time"

	"tdreplica/core"
)

// plan is what a pump needs to know, as the preflight found it.
type plan struct {
	catalog        Catalog // the source's; the pump closes it
	topic, group   string
	sourceName     string // the source's address
	sourceEndpoint core.Endpoint
	sinkEndpoint   core.Endpoint
	db             core.Database // at the source
	workers        int
	latest         bool
}

// preflight checks everything that would make replication fail or go wrong,
// before the first byte: both ends, versions, rights, the database on both
// sides, its precision, the WAL's retention, the topic.
func (t *task) preflight(ctx context.Context) (_ *plan, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*t.e.cfg.Engine.RequestTimeout.Duration)
	defer cancel()
	t.e.mu.Lock()
	rec := t.replica.rec
	t.e.mu.Unlock()
	var source, sink Catalog
	err = both(ctx, t.e.cfg.Engine.RequestTimeout.Duration,
		func(ctx context.Context) (err error) {
			source, err = t.e.connector.Catalog(ctx, rec.SourceEndpoint)
			return err
		},
		func(ctx context.Context) (err error) {
			sink, err = t.e.connector.Catalog(ctx, rec.SinkEndpoint)
			return err
		})
	defer func() {
		if sink != nil {
			sink.Close()
		}
		if err != nil && source != nil {
			source.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	name := t.key.Database
	src, dst, err := t.databases(ctx, source, sink, &rec.Replica)
	if err != nil {
		return nil, err
	}
	warnings, err := t.fit(src, dst, rec.Source, rec.Sink)
	if err != nil {
		return nil, err
	}
	if t.e.replicaOf(rec.Sink, rec.Source) != nil {
		if err := source.Versions().CheckTwoWay(rec.Source); err != nil {
			return nil, err
		}
	} else if !source.Versions().CanExclude() {
		warnings = append(warnings, fmt.Sprintf("the adapter at %s is too old for two-way replication: never replicate the other way too", rec.Source))
	}
	if err := source.CanSubscribe(ctx, name); err != nil {
		return nil, err
	}
	if err := sink.CanWrite(ctx, name); err != nil {
		return nil, err
	}
	if err := source.EnsureTopic(ctx, t.rec.Topic, name); err != nil {
		return nil, err
	}
	t.learn(facts{
		sourceVersion: source.Versions().Server, sinkVersion: sink.Versions().Server, precision: src.Precision,
		walRetentionS: src.WALPeriodS, workers: rec.Workers, warnings: warnings,
	})
	return &plan{
		catalog: source, topic: t.rec.Topic, group: t.rec.Group, sourceName: rec.Source,
		sourceEndpoint: rec.SourceEndpoint, sinkEndpoint: rec.SinkEndpoint,
		db: *src, workers: rec.Workers, latest: rec.StartFrom == "latest",
	}, nil
}

// databases finds the database on both sides, or creates it at the sink if the
// operator wants that.
func (t *task) databases(ctx context.Context, source, sink Catalog, r *core.Replica) (src, dst *core.Database, err error) {
	name := t.key.Database
	missing := func(at, hint string) error {
		return &core.Error{
			Class: core.ClassOperator, Op: "replicate `" + name + "`",
			Text: fmt.Sprintf("database `%s` does not exist at %s", name, at), Hint: hint,
		}
	}
	if src, err = source.Database(ctx, name); err != nil {
		return nil, nil, err
	}
	if src == nil {
		return nil, nil, missing(r.Source, "was it dropped? then `remove` the replica or stop this task")
	}
	if dst, err = sink.Database(ctx, name); err != nil {
		return nil, nil, err
	}
	if dst == nil && r.CreateDatabases {
		if err = sink.CreateDatabaseLike(ctx, *src); err != nil {
			return nil, nil, err
		}
		dst, err = sink.Database(ctx, name)
	}
	if err == nil && dst == nil {
		err = missing(r.Sink, "create it there with the same options, or use --create-databases")
	}
	return src, dst, err
}

// fit compares the two databases and returns what is unwise about them.
func (t *task) fit(src, dst *core.Database, sourceAt, sinkAt string) (warnings []string, err error) {
	name := t.key.Database
	refuse := func(hint, format string, args ...any) error {
		return &core.Error{Class: core.ClassOperator, Op: "replicate `" + name + "`", Text: fmt.Sprintf(format, args...), Hint: hint}
	}
	f := found{
		source: map[string]core.Database{name: *src}, sink: map[string]core.Database{name: *dst},
		sourceAt: sourceAt, sinkAt: sinkAt,
	}
	problems, warnings := f.judge(name, true)
	if len(problems) > 0 {
		hint := "times would be written wrongly: create the database at the sink with precision '" + src.Precision + "'"
		if src.WALPeriodS == 0 {
			hint = "alter database `" + name + "` wal_retention_period 604800 at the source"
		}
		return nil, refuse(hint, "%s", problems[0])
	}
	t.mu.Lock()
	known := t.rec.SourceCreatedAt
	t.mu.Unlock()
	if !known.IsZero() && !src.CreatedAt.IsZero() && !known.Equal(src.CreatedAt) {
		return nil, refuse("`remove` the replica, decide which side is right, and `start` it again",
			"the database at %s was dropped and created again (%s); what was replicated before belonged to another one",
			sourceAt, src.CreatedAt.Format(time.DateTime))
	}
	return warnings, nil
}

// learn keeps what a preflight found out.
func (t *task) learn(f facts) {
	t.mu.Lock()
	t.facts = f
	t.mu.Unlock()
}

// warn adds a warning until the next preflight.
func (t *task) warn(text string) {
	t.mu.Lock()
	t.facts.warnings = append(t.facts.warnings, text)
	t.mu.Unlock()
	t.e.event(core.Event{Level: core.LevelWarn, Kind: core.EventError, Replica: t.key.Replica, Database: t.key.Database, Text: text})
}

// remembered is the position up to which a vgroup is known to be applied, or
// core.Unknown.
func (t *task) remembered(vgroup int32) int64 {
	t.meter.mu.Lock()
	defer t.meter.mu.Unlock()
	if v := t.meter.vgroups[vgroup]; v != nil {
		return v.v.Current
	}
	return core.Unknown
}

// keepGap remembers a gap with the task.
func (t *task) keepGap(g core.Gap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec.Gaps = append(t.rec.Gaps, g)
	t.urgent = true
}

// began notes that a pump passed its last check: what is remembered from now
// on belongs to this database and these vgroups.
func (t *task) began(p *plan) {
	keep := map[int32]bool{}
	for _, w := range t.pump.workers {
		for _, vg := range w.vgroups {
			keep[vg] = true
		}
	}
	t.meter.forget(keep)
	t.mu.Lock()
	t.rec.SourceCreatedAt = p.db.CreatedAt
	t.urgent = true
	t.mu.Unlock()
}
