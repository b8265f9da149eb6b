package engine

import (
	"context"
	"time"

	"tdreplica/core"
)

// probeAfter is how often a writer looks whether its sink went unused, and asks
// if it is still there: a dead one is noticed after one to two times as long.
// Without it the first to notice would be the first row after a quiet night.
const probeAfter = 12 * time.Second

// heldPause is how often a held writer looks whether its time is up.
const heldPause = 250 * time.Millisecond

// idle waits for something to write. When nothing came for a while the task's
// first worker asks the sink for a sign of life; the others have the same sink.
func (w *worker) idle(ctx context.Context) error {
	if w.probe == nil && w.n == 0 {
		w.probe, w.probeSeq = w.p.e.clock.After(w.p.e.probing), w.acked.Load()
	}
	var tick <-chan time.Time
	if len(w.parked) > 0 {
		tick = w.p.e.clock.After(heldPause)
	}
	select {
	case <-w.q.more:
		return nil
	case <-w.wake:
		return nil
	case <-tick:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-w.probe:
	}
	w.probe = nil
	if w.acked.Load() == w.probeSeq && !w.p.isHalted() {
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
		lost = lost || core.ClassOf(err).Retryable() && err != nil
		return err
	})
	if lost && w.sink != nil {
		w.sink.Close()
		w.sink = nil
	}
}
