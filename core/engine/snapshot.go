package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tdreplica/core"
	"tdreplica/core/store"
)

const (
	// snapshotEvery is how old a snapshot may be whose numbers are all that
	// could differ; after a change of state a new one is built sooner.
	snapshotEvery = 250 * time.Millisecond
	snapshotSoon  = 20 * time.Millisecond
)

// snapshots keeps the last one, so that many askers cost as much as one.
type snapshots struct {
	mu    sync.Mutex
	last  *core.Snapshot
	dirty bool
}

func (s *snapshots) stale() {
	s.mu.Lock()
	s.dirty = true
	s.mu.Unlock()
}

// Snapshot implements core.Controller.
func (e *Engine) Snapshot(context.Context) (*core.Snapshot, error) {
	e.snaps.mu.Lock()
	defer e.snaps.mu.Unlock()
	now := e.clock.Now()
	if last := e.snaps.last; last != nil {
		age := now.Sub(last.At)
		if age >= 0 && (age < snapshotSoon || !e.snaps.dirty && age < snapshotEvery) {
			return last, nil
		}
	}
	e.snaps.dirty = false
	s := &core.Snapshot{Seq: 1, At: now, Instance: e.instance(), Replicas: []core.Replica{}, Tasks: []core.Task{}}
	if e.snaps.last != nil {
		s.Seq = e.snaps.last.Seq + 1
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.replicas {
		s.Replicas = append(s.Replicas, e.reportReplica(r))
		for _, t := range r.tasks {
			s.Tasks = append(s.Tasks, t.report(&r.rec, now))
		}
	}
	slices.SortFunc(s.Replicas, func(a, b core.Replica) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(s.Tasks, func(a, b core.Task) int {
		if c := strings.Compare(a.Replica, b.Replica); c != 0 {
			return c
		}
		return a.Number - b.Number
	})
	e.snaps.last = s
	return s, nil
}

// reportReplica describes one replica. The caller holds e.mu.
func (e *Engine) reportReplica(r *replica) core.Replica {
	out := r.rec.Replica
	out.Databases, out.Exclude = slices.Clone(out.Databases), slices.Clone(out.Exclude)
	out.Note, out.TwoWay = r.note, ""
	for id, other := range e.replicas {
		if other.rec.Source == out.Sink && other.rec.Sink == out.Source {
			out.TwoWay = id
		}
	}
	return out
}

// report describes one task. rec is its replica's record.
func (t *task) report(rec *store.Replica, now time.Time) core.Task {
	t.mu.Lock()
	out := core.Task{
		Replica: t.key.Replica, Number: t.rec.Number, Source: rec.Source, Sink: rec.Sink, Database: t.key.Database,
		State: t.state, Desired: t.intent.desired, Since: t.since, Note: t.note, Retry: t.retry, LastError: t.lastErr,
		Topic: t.rec.Topic, Group: t.rec.Group, Workers: t.facts.workers, QueueLimit: int64(t.e.cfg.Engine.QueueBytes),
		SourceVersion: t.facts.sourceVersion, SinkVersion: t.facts.sinkVersion, Precision: t.facts.precision,
		WALRetentionS: t.facts.walRetentionS, Warnings: slices.Clone(t.facts.warnings),
	}
	if t.pump != nil {
		if step := t.pump.step.Load(); step != nil {
			out.Step = *step
		}
	}
	t.mu.Unlock()
	t.meter.fill(&out, now)
	if out.State == core.Running {
		out.Phase = core.CatchingUp
		if out.Diff == 0 {
			out.Phase = core.CaughtUp
		}
	} else {
		out.Rate = core.Rate{}
	}
	return out
}

// record returns what the state file should hold of the task, and false if it
// holds it already. Numbers alone wait for a full flush.
func (t *task) record(now time.Time, full bool) (store.Task, bool) {
	t.mu.Lock()
	urgent := t.urgent
	t.urgent = false
	t.mu.Unlock()
	if !urgent && (!full || !t.meter.takeChanged()) {
		return store.Task{}, false
	}
	t.e.mu.Lock()
	rec := t.replica.rec
	_, there := t.e.replicas[rec.ID]
	t.e.mu.Unlock()
	if !there {
		return store.Task{}, false
	}
	last := t.report(&rec, now)
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.rec
	out.Last = last
	return out, true
}

// Detail implements core.Controller.
func (e *Engine) Detail(_ context.Context, key core.TaskKey) (*core.TaskDetail, error) {
	r, err := e.replica(key.Replica)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t := r.tasks[key.Database]
	if t == nil {
		return nil, &core.RefusedError{Text: fmt.Sprintf("replica %s has no task for database `%s`", key.Replica, key.Database)}
	}
	d := &core.TaskDetail{Task: t.report(&r.rec, e.clock.Now()), Replica: e.reportReplica(r)}
	t.mu.Lock()
	d.Gaps = slices.Clone(t.rec.Gaps)
	t.mu.Unlock()
	t.meter.detail(d)
	return d, nil
}
