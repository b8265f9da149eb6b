package engine

import (
	"context"
	"fmt"
	"time"

	"tdreplica/core"
)

// watch is the watchdog. Servers up to 3.3.7 answer a poll that failed with
// "no message", so silence is suspicious once the server knows of a longer WAL,
// or of no such subscription. The sink's database is looked at as often.
func (w *worker) watch(ctx context.Context, now time.Time, moved bool) error {
	limit := w.p.e.cfg.Engine.StallTimeout.Duration
	if limit <= 0 {
		return nil
	}
	ctx, cancel := w.request(ctx)
	defer cancel()
	if w.n == 0 && now.Sub(w.checked) >= limit {
		w.checked = now
		if err := w.checkSink(ctx); err != nil && !core.ClassOf(err).Retryable() {
			return err // what passes, the writes notice
		}
	}
	if moved || w.q.size() > 0 {
		w.progressed = now
		return nil
	}
	if now.Sub(w.progressed) < limit {
		return nil
	}
	w.progressed = now // look again after as long a time
	if err := w.checkSubscription(ctx); err != nil {
		return err
	}
	ends := w.p.t.replica.ends.ask(ctx, w.p.plan.catalog, now, limit/2)
	for _, a := range w.assigned {
		end := max(a.End, ends[a.Vgroup])
		if pos := w.marks.applied.at[a.Vgroup]; end > pos+ownEntries {
			return stalled(w.p.plan, a.Vgroup, pos, end, limit)
		}
	}
	return nil
}

// checkSink fails if the sink's database has gone, or is another one by now.
func (w *worker) checkSink(ctx context.Context) error {
	there, err := w.p.plan.sinkCatalog.Database(ctx, w.p.t.key.Database)
	if err != nil {
		return err
	}
	return w.p.t.checkSinkAge(w.p.plan, there)
}

// checkSubscription fails if the server does not count this consumer any more:
// somebody dropped its group, or the topic. The next preflight says what is so.
func (w *worker) checkSubscription(ctx context.Context) error {
	pl := w.p.plan
	subs, err := pl.catalog.Subscriptions(ctx, pl.topic)
	if err != nil {
		return nil // a source that does not answer is no news here
	}
	read := map[int32]bool{}
	for _, s := range subs {
		read[s.Vgroup] = read[s.Vgroup] || s.Group == pl.group && s.Consumer != ""
	}
	for _, vg := range w.vgroups {
		if !read[vg] {
			return &core.Error{Class: core.ClassReconnect, Op: "read topic " + pl.topic + " at " + pl.sourceName,
				Text: fmt.Sprintf("the server counts no consumer of vgroup %d any more: the subscription is made anew", vg)}
		}
	}
	return nil
}

// checkVersion halts the pump if the sink's server has another version than at
// the preflight: what was decided by it is to be decided again.
func (w *worker) checkVersion(ctx context.Context) error {
	pl := w.p.plan
	c, err := w.p.e.connector.Catalog(ctx, pl.sink)
	if err != nil {
		return err
	}
	defer c.Close()
	now := c.Versions().Server
	if now == pl.facts.sinkVersion {
		return nil
	}
	w.p.halt(&core.Error{Class: core.ClassReconnect, Op: "write at " + pl.sinkName,
		Text: fmt.Sprintf("the server's version was %s and is %s now: the task begins anew", pl.facts.sinkVersion, now)})
	return errHalted
}
