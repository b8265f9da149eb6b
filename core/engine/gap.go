package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tdreplica/core"
)

// gapError is a run of WAL versions that were deleted before they were read.
type gapError struct{ cause *core.Error }

func (g gapError) Error() string { return g.cause.Error() }

func (g gapError) Unwrap() error { return g.cause }

func isGap(err error) bool {
	var g gapError
	return errors.As(err, &g)
}

// checkStart compares where the server would go on in a vgroup with what is
// still in its WAL, before the first poll: the server jumps over what is
// missing without a word. stored is Unknown if the group has no offset. It
// reports whether to go on behind a gap, as somebody has decided.
func (t *task) checkStart(pl *plan, a core.Assignment, stored int64) (pass bool, err error) {
	known := core.Unknown
	if stored != core.Unknown {
		known = a.Offset
	}
	remembered, ok := t.remembered(pl, a.Vgroup)
	if ok {
		known = max(known, remembered)
	}
	switch {
	case ok && a.End < remembered:
		return false, &core.Error{
			Class: core.ClassOperator,
			Op:    fmt.Sprintf("resume vgroup %d of database `%s` at %s", a.Vgroup, t.key.Database, pl.sourceName),
			Text:  fmt.Sprintf("its WAL ends at version %d, but everything below %d was applied before: the WAL was made anew", a.End, remembered),
			Hint:  anew(t),
		}
	case known != core.Unknown && known < a.Begin:
		err := t.gap(pl, a.Vgroup, known, a.Begin)
		if t.passes(a) {
			return true, nil
		}
		return false, err
	case known == core.Unknown && a.Begin > 0 && !pl.latest:
		t.warn(fmt.Sprintf("vgroup %d: the history before version %d is not in the source's WAL and was not copied", a.Vgroup, a.Begin))
	}
	return false, nil
}

// passes reports whether the task may go on behind a gap that is on record, and
// takes note of it.
func (t *task) passes(a core.Assignment) bool {
	t.mu.Lock()
	may := t.rec.PassGap
	for i := range t.rec.Gaps {
		if g := &t.rec.Gaps[i]; may && g.Vgroup == a.Vgroup {
			g.Passed = true
		}
	}
	if at, ok := t.rec.Rewinds[a.Vgroup]; ok && may {
		t.rec.Rewinds[a.Vgroup] = max(at, a.Begin)
	}
	t.mu.Unlock()
	if may {
		t.say(core.LevelWarn, core.EventGap, "vgroup %d goes on at version %d, behind the gap in its WAL: `repair` has to copy what is missing", a.Vgroup, a.Begin)
	}
	return may
}

// passGap lets a task that has failed at a gap go on behind it, and waits until
// it runs. Up to where the WALs are gone is found out by the start itself: it
// may be further than when the task failed.
func (t *task) passGap(ctx context.Context) error {
	t.mu.Lock()
	open, passed := false, false
	for _, g := range t.rec.Gaps {
		open, passed = open || !g.Passed, passed || g.Passed && g.Repaired.IsZero()
	}
	failed := t.state == core.Failed
	if open && failed {
		t.rec.PassGap = true
	}
	t.mu.Unlock()
	switch {
	case passed && !(open && failed):
		return nil // it went on before, and what is missing was not copied yet
	case !open || !failed:
		return &core.RefusedError{
			Text: fmt.Sprintf("%s has not failed at a gap in the WAL", t.key),
			Hint: "without `--gap` a repair makes both sides equal all the same",
		}
	}
	if err := t.e.persist([]*task{t}); err != nil {
		return err
	}
	t.want(func(i *intent) { i.desired, i.restart = core.WantRunning, true })
	for {
		want, _ := t.wanted()
		t.mu.Lock()
		state, note := t.state, t.note
		t.mu.Unlock()
		switch {
		case want.restart: // not taken up yet
		case state == core.Running:
			return nil
		case state == core.Failed:
			return &core.RefusedError{Text: "the task has failed again: " + note}
		case !want.run():
			return &core.RefusedError{Text: fmt.Sprintf("%s was stopped meanwhile", t.key)}
		}
		select {
		case <-t.e.clock.After(settlePoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// filled takes note that nothing of what gaps took is missing any more.
func (t *task) filled() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.rec.Gaps {
		if g := &t.rec.Gaps[i]; g.Passed && g.Repaired.IsZero() {
			g.Repaired, t.urgent = t.e.clock.Now(), true
		}
	}
}

// missing warns of what a gap took and nobody has copied; the caller holds t.mu.
func (t *task) missing() []string {
	for _, g := range t.rec.Gaps {
		if g.Passed && g.Repaired.IsZero() {
			return []string{fmt.Sprintf("rows of a gap in the WAL are missing: `repair %s %s` copies them", t.key.Replica, t.key.Database)}
		}
	}
	return nil
}

// remembered is the position up to which we know that everything is applied,
// from an earlier run on the same database. In a shared group only the group's
// own offset counts: what other members have done is not known here.
func (t *task) remembered(pl *plan, vgroup int32) (int64, bool) {
	t.mu.Lock()
	same := sameTime(t.rec.SourceCreatedAt, pl.db.CreatedAt) && t.rec.Group == pl.group && !pl.shared
	t.mu.Unlock()
	if !same {
		return 0, false
	}
	return t.meter.position(vgroup)
}

// goesOn reports whether a task has read of its database before, and missed nothing.
func (t *task) goesOn(pl *plan) bool {
	t.mu.Lock()
	same := sameTime(t.rec.SourceCreatedAt, pl.db.CreatedAt) && t.rec.Group == pl.group && len(t.rec.Gaps) == 0
	t.mu.Unlock()
	return same && t.meter.hasRead()
}

func sameTime(a, b time.Time) bool { return !a.IsZero() && a.Equal(b) }

// gap records missing versions and is the error that fails the task.
func (t *task) gap(pl *plan, vgroup int32, from, to int64) error {
	g := core.Gap{At: t.e.clock.Now(), Vgroup: vgroup, From: from, To: to, Since: t.meter.lastAt(vgroup)}
	t.mu.Lock()
	known := false
	for _, old := range t.rec.Gaps {
		known = known || old.Vgroup == vgroup && old.From == from && old.To == to
	}
	if !known {
		t.rec.Gaps = append(t.rec.Gaps, g)
		t.urgent = true
	}
	t.mu.Unlock()
	err := gapError{&core.Error{
		Class: core.ClassOperator,
		Op:    fmt.Sprintf("read vgroup %d of database `%s` at %s", vgroup, t.key.Database, pl.sourceName),
		Text:  fmt.Sprintf("WAL versions %d to %d were deleted before they were read; they were written %s", from, to-1, window(g)),
		Hint: fmt.Sprintf("`repair %s %s --gap` goes on behind them and copies what is missing; raise the source's wal_retention_period",
			t.key.Replica, t.key.Database),
	}}
	if !known {
		t.e.event(core.Event{Level: core.LevelError, Kind: core.EventGap, Replica: t.key.Replica, Database: t.key.Database, Text: err.Error()})
	}
	return err
}

// window says in words when a gap's versions were written.
func window(g core.Gap) string {
	until := "before " + g.At.Format(time.RFC3339)
	if g.Since.IsZero() {
		return until
	}
	return "after " + g.Since.Format(time.RFC3339) + ", when the last message before them was applied, and " + until
}

// anew is how to go on where the WAL cannot.
func anew(t *task) string {
	return fmt.Sprintf("copy the rows of the missing time to the sink, then `remove %s --force` and `start` it anew", t.key.Replica)
}

// partialRows is the first version known to hand out rows that a client wrote to some
// columns of a table by a prepared statement. Before, they may end a vgroup's
// subscriptions, for whoever reads [M: 3.3.3.0, 3.3.6.13].
var partialRows = core.Version{3, 3, 7, 5}

func stalled(pl *plan, vgroup int32, at, end int64, silence time.Duration) error {
	e := &core.Error{
		Class: core.ClassReconnect,
		Op:    "read topic " + pl.topic + " at " + pl.sourceName,
		Text:  fmt.Sprintf("vgroup %d gave nothing for %v although its WAL goes from %d to %d; the subscription is made anew", vgroup, silence, at, end),
	}
	if !pl.sourceVersion.AtLeast(partialRows) {
		e.Hint = "if it comes back: rows that a prepared statement wrote to some columns may end all subscriptions of a source before 3.3.7.5, which must be upgraded then"
	}
	return e
}
