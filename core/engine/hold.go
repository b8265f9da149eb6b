package engine

import (
	"context"
	"fmt"
	"time"

	"tdreplica/core"
)

// Servers that can keep the WAL for a subscriber do so from its last commit on,
// however long that was ago: a replicator that is gone for good fills the disk.
// So a hold has a limit. As long as this instance lives it warns when nothing was
// committed for half of it, and lets go when all of it has passed; then the
// retention counts, as without a hold. Nobody does so for an instance that is
// gone: `trim database … wal` at the source does.

// holdPace is how often holds are looked after.
const holdPace = 10 * time.Second

// hold is what a task knows of the WAL that the source keeps for it. The task's
// mutex guards it; since when it is held is in the record, for restarts.
type hold struct {
	asked    bool      // the subscription's commits hold it
	warned   bool      // of half of the limit
	failed   bool      // it was told that letting go does not work
	released time.Time // when it was let go of, last
}

// holdWAL takes note of whether the source keeps its WAL for the subscription
// that was just made, and lets go of it if that is not wanted any more.
func (p *pump) holdWAL(ctx context.Context) error {
	t, can := p.t, p.plan.holdWAL
	for _, w := range p.workers {
		can = can && w.source.HoldsWAL()
	}
	t.mu.Lock()
	held := !t.rec.HeldSince.IsZero()
	t.hold.asked = can
	if can && !held {
		t.rec.HeldSince, t.urgent = t.e.clock.Now(), true
	}
	if p.plan.holdWAL && !can {
		const text = "the source cannot keep its WAL for subscribers; its wal_retention_period counts, and hold_wal does nothing"
		t.facts.warnings = append(t.facts.warnings[:len(t.facts.warnings):len(t.facts.warnings)], text)
	}
	t.mu.Unlock()
	if !held || can {
		return nil
	}
	if err := p.plan.catalog.ReleaseWAL(ctx, t.key.Database); err != nil {
		return err
	}
	t.letGo()
	return nil
}

// letGo takes note that the WAL is not held any longer.
func (t *task) letGo() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec.HeldSince, t.hold.released, t.urgent = time.Time{}, t.e.clock.Now(), true
}

// holding moves the beginning of a hold: to now while nothing is left to commit,
// else to the last commit.
func (t *task) holding(now time.Time) {
	level, committed := t.meter.settled()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.hold.asked || t.pump == nil {
		return
	}
	since := t.rec.HeldSince
	if t.state == core.Running && level {
		since = now
	} else if committed.After(since) && committed.After(t.hold.released) {
		since = committed
	}
	if since != t.rec.HeldSince {
		t.rec.HeldSince, t.hold.warned, t.hold.failed = since, false, false
	}
}

// heldMS is for how long what the source keeps waits for a commit; Unknown if it
// keeps nothing. The caller holds t.mu.
func (t *task) heldMS(now time.Time) int64 {
	if t.rec.HeldSince.IsZero() {
		return core.Unknown
	}
	return max(0, now.Sub(t.rec.HeldSince).Milliseconds())
}

// keepHolds looks after the limits of all holds until ctx ends.
func (e *Engine) keepHolds(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.clock.After(e.holdPace):
		}
		for _, t := range e.allTasks() {
			t.checkHold(ctx)
		}
	}
}

// checkHold warns of a hold, or ends it.
func (t *task) checkHold(ctx context.Context) {
	rec := t.e.replicaRecord(t.replica)
	limit := time.Duration(rec.HoldWALLimitS) * time.Second
	t.mu.Lock()
	held := time.Duration(t.heldMS(t.e.clock.Now())) * time.Millisecond
	warn := !t.hold.warned && held >= limit/2 && held < limit
	if t.rec.HeldSince.IsZero() || limit == 0 || held < limit/2 {
		t.mu.Unlock()
		return
	}
	t.hold.warned = t.hold.warned || warn
	t.mu.Unlock()
	if held < limit {
		if warn {
			t.say(core.LevelWarn, core.EventError, "the source keeps its WAL for this task and nothing was committed for %v; it is let go of after %v", held.Round(time.Second), limit)
		}
		return
	}
	err := t.e.releaseWAL(ctx, t)
	if err == nil {
		// Told first: who sees that nothing is held finds the reason.
		t.say(core.LevelError, core.EventError, "the source keeps its WAL no longer for this task; nothing was committed for %v, and from now on its wal_retention_period counts", limit)
		t.letGo()
		return
	}
	t.mu.Lock()
	told := t.hold.failed
	t.hold.failed = true
	t.mu.Unlock()
	if !told {
		t.say(core.LevelError, core.EventError, "the source keeps its WAL for longer than hold_wal_limit, and cannot be told to let go of it: %v", err)
	}
}

// releaseWAL lets the source's retention count again.
func (e *Engine) releaseWAL(ctx context.Context, t *task) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	source, err := e.connector.Catalog(ctx, e.replicaRecord(t.replica).SourceEndpoint)
	if err != nil {
		return err
	}
	defer source.Close()
	return source.ReleaseWAL(ctx, t.key.Database)
}

// dropHold lets go of the WAL of a task that is removed. The server has one hold
// for all who ask: it stays while another task of this instance wants it.
func (e *Engine) dropHold(ctx context.Context, source Catalog, at string, t *task, req core.RemoveRequest, res *core.Result) error {
	t.mu.Lock()
	held := !t.rec.HeldSince.IsZero()
	t.mu.Unlock()
	if !held {
		return nil
	}
	what := fmt.Sprintf("the hold on the WAL of database `%s` at %s", t.key.Database, at)
	for _, other := range e.allTasks() {
		other.mu.Lock()
		too := other != t && other.key.Database == t.key.Database && !other.rec.HeldSince.IsZero()
		other.mu.Unlock()
		if too && e.replicaRecord(other.replica).Source == at {
			res.Kept = append(res.Kept, what+": replica "+other.key.Replica+" needs it too")
			return nil
		}
	}
	if !req.DryRun {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		if err := source.ReleaseWAL(ctx, t.key.Database); err != nil {
			if !req.Force {
				return err
			}
			res.Warnings = append(res.Warnings, fmt.Sprintf("left: %s; `trim database %s wal` there ends it (%v)", what, t.key.Database, err))
			return nil
		}
		t.letGo()
	}
	res.Deleted = append(res.Deleted, what)
	return nil
}
