package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"tdreplica/core"
	"tdreplica/core/store"
)

// snapshotPace is the shortest time between two snapshots that are built.
const snapshotPace = 250 * time.Millisecond

// snapshots holds the newest snapshot; everybody who asks shares it.
type snapshots struct {
	build sync.Mutex // one builder at a time
	mu    sync.Mutex
	last  *core.Snapshot
	old   bool // something besides numbers changed since
	seq   uint64
}

func (s *snapshots) stale() {
	s.mu.Lock()
	s.old = true
	s.mu.Unlock()
}

// Overview implements core.Controller.
func (e *Engine) Overview(ctx context.Context, of core.TaskKey) (*core.Snapshot, error) {
	s, err := e.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return s.Overview(of), nil
}

// Snapshot reports everything. It is built at most four times a second; a
// change that is younger than the newest snapshot is waited for.
func (e *Engine) Snapshot(ctx context.Context) (*core.Snapshot, error) {
	s := &e.snaps
	s.build.Lock()
	defer s.build.Unlock()
	s.mu.Lock()
	last, old := s.last, s.old
	s.mu.Unlock()
	if last != nil {
		age := e.clock.Now().Sub(last.At)
		if age < snapshotPace && !old {
			return last, nil
		}
		if age < snapshotPace {
			select {
			case <-e.clock.After(snapshotPace - age):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	s.mu.Lock()
	s.old = false
	s.seq++
	seq := s.seq
	s.mu.Unlock()
	snap := e.snapshot(seq)
	s.mu.Lock()
	s.last = snap
	s.mu.Unlock()
	return snap, nil
}

func (e *Engine) snapshot(seq uint64) *core.Snapshot {
	now := e.clock.Now()
	snap := &core.Snapshot{Seq: seq, At: now, Instance: e.instance(), Replicas: []core.Replica{}, Tasks: []core.Task{}}
	e.mu.Lock()
	var tasks []*task
	for _, r := range e.replicas {
		snap.Replicas = append(snap.Replicas, e.describeReplica(r))
		for _, t := range r.tasks {
			tasks = append(tasks, t)
		}
	}
	e.mu.Unlock()
	for _, t := range tasks {
		snap.Tasks = append(snap.Tasks, t.report(now))
	}
	sort.Slice(snap.Replicas, func(i, j int) bool { return snap.Replicas[i].ID < snap.Replicas[j].ID })
	sort.Slice(snap.Tasks, func(i, j int) bool {
		a, b := &snap.Tasks[i], &snap.Tasks[j]
		if a.Replica != b.Replica {
			return a.Replica < b.Replica
		}
		return a.Number < b.Number
	})
	for i := range snap.Tasks {
		t := &snap.Tasks[i]
		if r := snap.Replica(t.Replica); r != nil {
			t.Source, t.Sink = r.Source, r.Sink
		}
	}
	return snap
}

// describeReplica is what is shown of a replica; the caller holds e.mu.
func (e *Engine) describeReplica(r *replica) core.Replica {
	out := r.rec.Replica
	out.Note = r.note
	for id, other := range e.replicas {
		if other.rec.Source == out.Sink && other.rec.Sink == out.Source {
			out.TwoWay = id
		}
	}
	return out
}

// otherWay names a replica that copies from sink to source, or "".
func (e *Engine) otherWay(id, source, sink string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for other, r := range e.replicas {
		if other != id && r.rec.Source == sink && r.rec.Sink == source {
			return other
		}
	}
	return ""
}

// Detail reports one task.
func (e *Engine) Detail(_ context.Context, key core.TaskKey) (*core.TaskDetail, error) {
	e.mu.Lock()
	r := e.replicas[key.Replica]
	if r == nil {
		err := e.unknown(key.Replica)
		e.mu.Unlock()
		return nil, err
	}
	t, rep := r.tasks[key.Database], e.describeReplica(r)
	e.mu.Unlock()
	if t == nil {
		return nil, &core.RefusedError{Text: fmt.Sprintf("replica %s has no database `%s`", key.Replica, key.Database)}
	}
	d := &core.TaskDetail{Task: t.report(e.clock.Now()), Replica: rep}
	d.Task.Source, d.Task.Sink = rep.Source, rep.Sink
	t.mu.Lock()
	d.Gaps = append([]core.Gap{}, t.rec.Gaps...)
	t.mu.Unlock()
	d.Poisoned = d.Task.Quarantined
	t.meter.detail(d)
	return d, nil
}

// Events returns what happened.
func (e *Engine) Events(_ context.Context, after uint64, limit int) ([]core.Event, error) {
	if out, ok := e.events.after(after, limit); ok {
		return out, nil
	}
	if err := e.events.flush(e.store.AppendEvents); err != nil {
		return nil, err
	}
	return e.store.Events(after, limit)
}

// Changes is signalled when a snapshot would differ in more than its numbers.
func (e *Engine) Changes() <-chan struct{} { return e.changes }

// report is the task as it is now. Source and Sink are the replica's.
func (t *task) report(now time.Time) core.Task {
	t.mu.Lock()
	out := core.Task{
		Replica: t.key.Replica, Number: t.rec.Number, Database: t.key.Database,
		State: t.state, Desired: t.intent.desired, Since: t.since, Note: t.note, Retry: t.retry,
		Topic: t.rec.Topic, Group: t.rec.Group, LastError: t.lastErr,
		SourceVersion: t.facts.sourceVersion, SinkVersion: t.facts.sinkVersion, Precision: t.facts.precision,
		WALRetentionS: t.facts.walRetentionS, Workers: t.facts.workers, AutoWorkers: t.facts.auto, RawRows: t.facts.raw, Warnings: append(t.missing(), t.facts.warnings...),
		QueueLimit:  int64(t.e.cfg.Engine.QueueBytes),
		WALHeldMS:   t.heldMS(now),
		Quarantined: t.e.store.QuarantinedOf(t.key),
	}
	if t.state == core.Failed && t.intent.restart {
		// Whoever waits for what was started must not be told of the failure before.
		out.State, out.Note = core.Starting, ""
	}
	p, run, at := t.pump, t.audited, t.auditAt
	t.mu.Unlock()
	if run != nil {
		out.Audit = run.brief(at)
	}
	t.meter.fill(&out, now)
	out.Conflicts = t.reportConflicts()
	if out.State == core.Running && out.Diff == 0 {
		out.WALHeldMS = min(out.WALHeldMS, 0) // nothing waits, whenever that was noted last
	}
	if p != nil {
		out.QueueBytes = p.queued()
		out.Step = p.at()
	}
	return out
}

// record is the task for the state file, and false if it need not be written.
func (t *task) record(now time.Time, full bool) (store.Task, bool) {
	t.mu.Lock()
	need := t.urgent
	t.urgent = false
	t.mu.Unlock()
	if full && t.meter.takeChanged() {
		need = true
	}
	if !need {
		return store.Task{}, false
	}
	rec := t.keep(now)
	return rec, true
}

// keep is the task's record as of now.
func (t *task) keep(now time.Time) store.Task {
	last := t.report(now)
	last.History, last.Step = nil, core.Step{}
	t.meter.appliedHere(last.Vgroups)
	for i := range last.Vgroups {
		last.Vgroups[i].History = nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last.Warnings = t.facts.warnings // without those that gaps add each time
	rec := t.rec
	rec.Gaps = append([]core.Gap(nil), t.rec.Gaps...)
	rec.Echoes = append([]store.Echo(nil), t.rec.Echoes...)
	rec.Dropped = append([]int64(nil), t.rec.Dropped...)
	rec.Altered = append([]store.Altered(nil), t.rec.Altered...)
	rec.Retagged = append([]store.Retagged(nil), t.rec.Retagged...)
	rec.Announced, rec.Rewinds, rec.Shared = maps.Clone(t.rec.Announced), maps.Clone(t.rec.Rewinds), maps.Clone(t.rec.Shared)
	rec.Samples = nil
	for vg, list := range t.rec.Samples {
		if rec.Samples == nil {
			rec.Samples = map[int32][]store.Sample{}
		}
		rec.Samples[vg] = slices.Clone(list)
	}
	rec.Last = last
	return rec
}

// applied takes note of a message that the sink has acknowledged.
func (t *task) applied(it item) { t.meter.applied(it.m, it.stat.Rows, t.e.clock.Now()) }

// say makes an event of the task known.
func (t *task) say(level core.Level, kind core.EventKind, format string, args ...any) {
	t.e.event(core.Event{
		Level: level, Kind: kind, Replica: t.key.Replica, Database: t.key.Database, Text: fmt.Sprintf(format, args...),
	})
}

// queued is how many bytes were read and not written.
func (p *pump) queued() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readyAt.IsZero() {
		return 0
	}
	var sum int64
	for _, w := range p.workers {
		sum += w.q.size()
	}
	return sum
}
