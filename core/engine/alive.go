package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tdreplica/core"
)

// watch is the watchdog. Servers up to 3.3.7 answer a poll that failed with
// "no message", so silence is suspicious once the server knows of a longer WAL,
// or of no such subscription. The sink's database is looked at as often.
func (w *worker) watch(ctx context.Context, now time.Time, at map[int32]int64, moved bool) error {
	limit := w.p.e.cfg.Engine.StallTimeout.Duration
	if limit <= 0 {
		return nil
	}
	ctx, cancel := w.p.e.request(ctx)
	defer cancel()
	if w.n == 0 && now.Sub(w.checked) >= limit {
		w.checked = now
		if err := w.checkSink(ctx, now, limit/2); err != nil && !core.ClassOf(err).Retryable() {
			return err // what passes, the writes notice
		}
	}
	stuck := w.standing(now, at, limit)
	if moved || w.q.size() > 0 {
		w.progressed = now
		if len(stuck) == 0 {
			return nil
		}
		return w.stuck(stuck, at, w.sourceEnds(ctx, now, limit/2), limit)
	}
	if now.Sub(w.progressed) < limit {
		return nil
	}
	w.progressed = now // look again after as long a time
	if err := w.checkSubscription(ctx, now, limit/2); err != nil {
		return err
	}
	ends := w.sourceEnds(ctx, now, limit/2)
	for _, a := range w.assigned {
		end := max(a.End, ends[a.Vgroup])
		if pos := w.marks.applied.at[a.Vgroup]; end > pos+ownEntries {
			return stalled(w.p.plan, a.Vgroup, pos, end, limit)
		}
	}
	return nil
}

// stood is where a vgroup's reader is, and since when.
type stood struct {
	at    int64
	since time.Time
}

// standing lists the vgroups that were read no further for that long, while others
// could be.
func (w *worker) standing(now time.Time, at map[int32]int64, limit time.Duration) (list []core.Assignment) {
	read := w.q.room() && w.narrowBy.IsZero() && w.p.t.replica.limit.owed(now) <= 0
	for _, a := range w.assigned {
		pos, ok := at[a.Vgroup]
		s, known := w.stands[a.Vgroup]
		switch {
		case !ok:
		case known && pos != s.at:
			w.p.t.undrift(givesNothing(a.Vgroup))
			fallthrough
		case !known, !read:
			w.stands[a.Vgroup] = stood{pos, now}
		case now.Sub(s.since) >= limit:
			w.stands[a.Vgroup] = stood{pos, now} // look again after as long a time
			list = append(list, a)
		}
	}
	return list
}

// stuck makes the subscription anew for a vgroup that gives nothing although its WAL
// goes on. If it gives nothing there again, all that is left is to say so: the rest
// of the task goes on. A WAL that was damaged when taosd was killed looks like that.
func (w *worker) stuck(list []core.Assignment, at, ends map[int32]int64, limit time.Duration) error {
	for _, a := range list {
		pos, end := at[a.Vgroup], max(a.End, ends[a.Vgroup])
		switch {
		case end <= pos+ownEntries:
		case w.p.t.stuckBefore(a.Vgroup, pos):
			w.p.t.drifted(givesNothing(a.Vgroup) + fmt.Sprintf("it stands at %d although its WAL goes to %d, and others move; is its WAL damaged? Look for vgId:%d in the log of the source's taosd", pos, end, a.Vgroup))
		default:
			return stalled(w.p.plan, a.Vgroup, pos, end, limit)
		}
	}
	return nil
}

// givesNothing begins the warning of a vgroup that cannot be read any further.
func givesNothing(vgroup int32) string {
	return fmt.Sprintf("vgroup %d gives nothing: ", vgroup)
}

// stuckBefore remembers where a vgroup was found stuck and reports whether it was
// found there before.
func (t *task) stuckBefore(vgroup int32, at int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, known := t.stuckAt[vgroup]
	t.stuckAt = with(t.stuckAt, vgroup, at)
	return known && was == at
}

// sourceEnds is where the source's WALs end, known no longer ago than that. It is
// empty if the server does not tell, or cannot be asked.
func (w *worker) sourceEnds(ctx context.Context, now time.Time, old time.Duration) map[int32]int64 {
	ends, _ := w.p.t.replica.ends.ask(ctx, now, old, func(ctx context.Context) (map[int32]int64, error) {
		ends, _, err := w.p.plan.catalog.WALEnds(ctx, "")
		return ends, err
	})
	return ends
}

// checkSink fails if the sink's database has gone, or is another one by now, as
// known no longer ago than that. The worker must have begun before.
func (w *worker) checkSink(ctx context.Context, now time.Time, old time.Duration) error {
	list, err := w.p.t.replica.sinkDatabases.ask(ctx, now, old, w.p.plan.sinkCatalog.Databases)
	if err != nil {
		return err
	}
	var there *core.Database
	if i := slices.IndexFunc(list, func(d core.Database) bool { return d.Name == w.p.t.key.Database }); i >= 0 {
		there = &list[i]
	}
	return w.p.t.checkSinkAge(w.p.plan, there)
}

// checkSubscription fails if the server does not count this consumer any more, as
// known no longer ago than that: somebody dropped its group, or the topic. The next
// preflight says what is so. The worker must have begun before.
func (w *worker) checkSubscription(ctx context.Context, now time.Time, old time.Duration) error {
	pl := w.p.plan
	subs, err := w.p.t.replica.subscriptions.ask(ctx, now, old, func(ctx context.Context) ([]core.Subscription, error) {
		return pl.catalog.Subscriptions(ctx, "")
	})
	if err != nil {
		return nil // a source that does not answer is no news here
	}
	read := map[int32]bool{}
	for _, s := range subs {
		read[s.Vgroup] = read[s.Vgroup] || s.Topic == pl.topic && s.Group == pl.group && s.Consumer != ""
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
