package engine

import (
	"slices"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// conflictPace is how often conflicts are told at the most; what comes between
// is gathered.
const conflictPace = 10 * time.Second

// conflictLog is what a task knows of rows that were written on both sides.
// Task.mu guards it.
type conflictLog struct {
	rows, unchecked int64 // since the instance started
	toldAt          time.Time
	told            [2]int64 // of rows and unchecked, what was told
	last            string   // table and time of the last row in conflict
}

// look finds out what is in a message that was just read and, if this instance
// copies the other way too, compares its rows with what was written that way.
func (w *worker) look(it *item) {
	m, t := it.m, w.p.t
	if m.Kind == core.KindMeta {
		return
	}
	// A payload that cannot be read is written all the same: only its rows are not
	// counted.
	c := t.crossing
	if c == nil || !c.both.Load() {
		it.stat, _ = raw.Stats(m.RawType, m.Payload())
		return
	}
	var x crossed
	var err error
	if w.keys, it.stat, err = raw.AppendKeys(w.keys[:0], m.RawType, m.Payload()); err != nil {
		x.unchecked = 1
	} else {
		it.keys, x = c.read(t.side, w.p.e.clock.Now(), slices.Clone(w.keys))
	}
	if x.rows > 0 || x.unchecked > 0 {
		t.crossed(m, w.p.plan.db.Precision, x)
	}
}

// crossed counts what a message has in common with the other direction.
func (t *task) crossed(m *core.Message, precision string, x crossed) {
	last := ""
	if x.rows > 0 {
		last = "`" + raw.KeyTable(m.RawType, m.Payload(), x.table) + "`, " + instant(x.at, precision).UTC().Format(time.RFC3339Nano)
	}
	t.mu.Lock()
	l := &t.conflicts
	l.rows, l.unchecked = l.rows+x.rows, l.unchecked+x.unchecked
	if last != "" {
		l.last = last
	}
	t.mu.Unlock()
	t.tellConflicts(t.e.clock.Now())
}

// tellConflicts makes an event of what was counted since the last one.
func (t *task) tellConflicts(now time.Time) {
	t.mu.Lock()
	l := &t.conflicts
	rows, unchecked, last := l.rows-l.told[0], l.unchecked-l.told[1], l.last
	if rows == 0 && unchecked == 0 || now.Sub(l.toldAt) < conflictPace {
		t.mu.Unlock()
		return
	}
	l.toldAt, l.told = now, [2]int64{l.rows, l.unchecked}
	t.mu.Unlock()
	if rows > 0 {
		t.say(core.LevelWarn, core.EventConflict, "rows written on both sides, where each keeps what came last: %d; the last one: %s", rows, last)
	}
	if unchecked > 0 {
		t.say(core.LevelWarn, core.EventConflict, "rows that could not be compared with what the other direction had written: %d", unchecked)
	}
}

// reportConflicts is what is shown.
func (t *task) reportConflicts() core.Conflicts {
	t.mu.Lock()
	out := core.Conflicts{Rows: t.conflicts.rows, Unchecked: t.conflicts.unchecked}
	t.mu.Unlock()
	if t.crossing != nil {
		out.Watched = t.crossing.watched(t.side)
	}
	return out
}

// awaited reports whether the other direction remembers rows until this one has
// read on.
func (w *worker) awaited() bool {
	c := w.p.t.crossing
	return c != nil && c.watched(1-w.p.t.side) > 0
}

// cover tells the crossing up to when this worker has read everything. The ends of
// the WALs are those of when their vgroups were asked.
func (w *worker) cover(assigned []core.Assignment, at map[int32]int64, asked time.Time) {
	c := w.p.t.crossing
	if c == nil || asked.IsZero() {
		return
	}
	if until := w.covers.sampled(assigned, at, asked); !until.IsZero() {
		c.level(w.p.t.side, w.n, len(w.p.workers), until)
	}
}

// coverage knows from samples up to when a worker has read everything.
type coverage struct {
	at   time.Time
	ends map[int32]int64 // of the WALs, then
}

// sampled takes positions, and the ends as they were seen at a time, and returns
// up to when everything is read; it is zero if that is not known yet.
func (c *coverage) sampled(assigned []core.Assignment, at map[int32]int64, seen time.Time) time.Time {
	level, reached, same := true, true, len(assigned) == len(c.ends)
	ends := make(map[int32]int64, len(assigned))
	for _, a := range assigned {
		pos, known := at[a.Vgroup]
		end, had := c.ends[a.Vgroup]
		level = level && known && pos >= a.End
		reached = reached && known && pos >= end
		same = same && had
		ends[a.Vgroup] = a.End
	}
	var until time.Time
	switch {
	case level:
		until = seen
	case same && reached:
		until = c.at
	case same:
		return until // an end that is replaced by newer ones would never be reached
	}
	c.at, c.ends = seen, ends
	return until
}
