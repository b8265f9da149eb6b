package engine

import (
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
// missing without a word. stored is Unknown if the group has no offset.
func (t *task) checkStart(pl *plan, a core.Assignment, stored int64) error {
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
		return &core.Error{
			Class: core.ClassOperator,
			Op:    fmt.Sprintf("resume vgroup %d of database `%s` at %s", a.Vgroup, t.key.Database, pl.sourceName),
			Text:  fmt.Sprintf("its WAL ends at version %d, but everything below %d was applied before: the WAL was made anew", a.End, remembered),
			Hint:  anew(t),
		}
	case known != core.Unknown && known < a.Begin:
		return t.gap(pl, a.Vgroup, known, a.Begin)
	case known == core.Unknown && a.Begin > 0 && !pl.latest:
		t.warn(fmt.Sprintf("vgroup %d: the history before version %d is not in the source's WAL and was not copied", a.Vgroup, a.Begin))
	}
	return nil
}

// remembered is the position up to which we know that everything is applied,
// from an earlier run on the same database.
func (t *task) remembered(pl *plan, vgroup int32) (int64, bool) {
	t.mu.Lock()
	same := sameTime(t.rec.SourceCreatedAt, pl.db.CreatedAt)
	t.mu.Unlock()
	if !same {
		return 0, false
	}
	return t.meter.position(vgroup)
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
		Hint:  anew(t) + "; raise the source's wal_retention_period",
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

func stalled(pl *plan, vgroup int32, at, end int64, silence time.Duration) error {
	return &core.Error{
		Class: core.ClassReconnect,
		Op:    "read topic " + pl.topic + " at " + pl.sourceName,
		Text:  fmt.Sprintf("vgroup %d gave nothing for %v although its WAL goes from %d to %d; the subscription is made anew", vgroup, silence, at, end),
	}
}
