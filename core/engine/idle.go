package engine

import (
	"context"
	"sync/atomic"
	"time"

	"tdreplica/core"
)

// probeAfter is how often writers look whether the sink gave no sign of life, all of
// them at the same moment. The first asks if it is still there: a dead one is noticed
// after two times as long at the most. Without it the first to notice would be the
// first row after a quiet night.
const probeAfter = 12 * time.Second

// heldPause is how often a held writer looks whether its time is up.
const heldPause = 250 * time.Millisecond

// presence is when the sink of a replica last gave a sign of life, to any of its
// tasks. It is safe for concurrent use.
type presence struct{ at atomic.Int64 } // in ns; 0: never, or lost

func (p *presence) answered(now time.Time) { p.at.Store(now.UnixNano()) }

// claim reports whether the sink was silent for that long. Whoever learns it
// first asks for all: to the others it has just answered, unless it is lost.
func (p *presence) claim(now time.Time, silent time.Duration) bool {
	last := p.at.Load()
	return now.UnixNano()-last >= int64(silent) && p.at.CompareAndSwap(last, now.UnixNano())
}

// lost makes every other task look for itself.
func (p *presence) lost() { p.at.Store(0) }

// idle waits for something to write. When nothing came for a while the task's
// first worker looks after the sink; the others have the same.
func (w *worker) idle(ctx context.Context) error {
	if w.probe == nil && w.n == 0 {
		w.probe = w.p.e.clock.After(untilNext(w.p.e.clock.Now(), w.p.e.probing))
	}
	var tick <-chan time.Time
	if len(w.parked) > 0 {
		tick = w.p.e.clock.After(heldPause)
	}
	if len(w.landing.jobs) > 0 {
		if w.lookTick == nil { // kept until it comes: a busy writer rests after each message
			w.lookTick = w.p.e.clock.After(idleLook)
		}
		tick = w.lookTick
	}
	select {
	case <-w.q.more:
		return nil
	case <-w.wake:
		return nil
	case <-tick:
		w.lookTick = nil
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-w.probe:
	}
	w.probe = nil
	// It answered a little after the look before.
	if silent := w.p.e.probing * 3 / 4; !w.p.isHalted() && w.p.t.replica.sink.claim(w.p.e.clock.Now(), silent) {
		w.probeSink(ctx)
	}
	return nil
}

// probeSink asks the sink's server until it answers, and lets the task be
// interrupted meanwhile. The connection for writing is made anew after that: it
// is hardly alive when the server was not. An answer that only a person could
// change, as a password that is no longer right, is left to the next write,
// which may be allowed all the same.
func (w *worker) probeSink(ctx context.Context) {
	lost := false
	_ = w.ask(ctx, func(ctx context.Context) error {
		_, err := w.p.plan.sinkCatalog.Database(ctx, w.p.t.key.Database)
		if err != nil && core.ClassOf(err).Retryable() {
			lost = true
			w.p.t.replica.sink.lost()
		}
		return err
	})
	if lost {
		w.dropSink()
		w.lost = true
	}
}
