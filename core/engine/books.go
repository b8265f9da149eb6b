package engine

import (
	"context"
	"fmt"
	"time"

	"tdreplica/core"
)

const (
	// quietCommit is how often a position that moved without any message (all
	// of them were filtered) is committed, so that a restart need not scan the
	// same WAL again, or find it gone.
	quietCommit = 10 * time.Minute
	// ownEntries is by how many WAL versions a vgroup moves on its own: commits
	// and subscriptions are entries too.
	ownEntries = 4
	// maxMarks bounds the ledger. Beyond it marks get farther apart.
	maxMarks = 128
)

// mark says: everything up to a sequence number lies below these positions.
// It is taken between two polls, when the position covers exactly the messages
// handed out so far.
type mark struct {
	seq uint64
	at  []core.VgroupOffset
}

// ledger is what a reader knows of positions and commits.
type ledger struct {
	marks []mark // by sequence number; the first may be acknowledged

	committedSeq uint64
	committed    map[int32]int64
	committedAt  time.Time
}

func (l *ledger) add(m mark) {
	if n := len(l.marks); n > 0 && (l.marks[n-1].seq == m.seq || n >= maxMarks) {
		l.marks[n-1] = m
		return
	}
	l.marks = append(l.marks, m)
}

// applied returns the newest mark that is acknowledged as a whole, and forgets
// the older ones.
func (l *ledger) applied(acked uint64) (mark, bool) {
	n := 0
	for n < len(l.marks) && l.marks[n].seq <= acked {
		n++
	}
	if n == 0 {
		return mark{}, false
	}
	l.marks = l.marks[n-1:]
	return l.marks[0], true
}

// begin is the last check before the first poll: is everything that was not
// applied yet still in the WAL?
func (w *worker) begin(ctx context.Context) error {
	for _, a := range w.assigned {
		w.vgroups = append(w.vgroups, a.Vgroup)
	}
	stored, err := w.source.Committed(ctx, w.vgroups)
	if err != nil {
		return err
	}
	w.ledger.committed = map[int32]int64{}
	offsets := map[int32]int64{}
	for _, s := range stored {
		offsets[s.Vgroup] = s.Offset
		w.ledger.committed[s.Vgroup] = s.Offset
		w.p.t.meter.committed(s.Vgroup, s.Offset, time.Time{})
	}
	w.ledger.committedAt = w.e.clock.Now()
	for _, a := range w.assigned {
		offset, ok := offsets[a.Vgroup]
		if !ok {
			offset = core.Unknown
		}
		if err := w.beginVgroup(ctx, a, offset); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) beginVgroup(ctx context.Context, a core.Assignment, stored int64) error {
	t := w.p.t
	known := t.remembered(a.Vgroup)
	if known > a.End {
		return &core.Error{
			Class: core.ClassOperator,
			Op:    fmt.Sprintf("subscribe to topic %s", w.p.plan.topic),
			Text:  fmt.Sprintf("the WAL of vgroup %d ends at version %d, but versions up to %d were applied already", a.Vgroup, a.End, known),
			Hint:  "the database or its WAL was created anew at the source; `remove` the replica, compare the two sides, and `start` it again",
		}
	}
	next := max(stored, known)
	switch {
	case next == core.Unknown && a.Begin > 0 && !w.p.plan.latest:
		t.warn(fmt.Sprintf("vgroup %d: history before WAL version %d is not in the source's WAL and was not copied", a.Vgroup, a.Begin))
	case next != core.Unknown && next < a.Begin:
		return w.gap(core.Gap{At: w.e.clock.Now(), Vgroup: a.Vgroup, From: next, To: a.Begin})
	case stored == core.Unknown && known > a.Begin:
		// The group was dropped meanwhile; this instance remembers where it was.
		return w.source.Seek(ctx, core.VgroupOffset{Vgroup: a.Vgroup, Offset: known})
	}
	return nil
}

// gap makes missing WAL versions known and fails the task.
func (w *worker) gap(g core.Gap) error {
	t := w.p.t
	t.keepGap(g)
	text := fmt.Sprintf("gap in vgroup %d: versions %d to %d are gone from the source's WAL", g.Vgroup, g.From, g.To-1)
	t.e.event(core.Event{Level: core.LevelError, Kind: core.EventGap, Replica: t.key.Replica, Database: t.key.Database, Text: text})
	hint := "rows written in that time may be missing at the sink: `remove` the replica, copy that time's rows, and `start` it again"
	if last := t.meter.lastApplied(); !last.IsZero() {
		hint = "rows written after " + last.Format(time.DateTime) + " may be missing at the sink: `remove` the replica, copy the rows since then, and `start` it again"
	}
	return &core.Error{Class: core.ClassOffset, Op: "replicate `" + t.key.Database + "`", Text: text, Hint: hint}
}

// keepBooks measures and commits when it is time to. It is called between two
// polls.
func (w *worker) keepBooks(ctx context.Context) error {
	now := w.e.clock.Now()
	pace := measureEvery
	if w.pollWait >= w.e.cfg.Engine.PollWaitMax.Duration && w.handed == w.ledger.committedSeq {
		pace = measureIdle
	}
	many := w.handed-w.ledger.committedSeq >= uint64(w.e.cfg.Engine.CommitMessages)
	if now.Sub(w.measuredAt) < pace && !many {
		return nil
	}
	w.measuredAt = now
	if err := w.measure(ctx, now); err != nil {
		return err
	}
	if many || now.Sub(w.ledger.committedAt) >= w.e.cfg.Engine.CommitInterval.Duration {
		return w.commit(ctx, now)
	}
	return nil
}

// measure asks for positions and ends, takes a mark, and looks for what must
// not go unnoticed: a gap, and a source that has news but does not hand them out.
func (w *worker) measure(ctx context.Context, now time.Time) error {
	position, err := w.source.Position(ctx, w.vgroups)
	if err != nil {
		return err
	}
	assigned, err := w.source.Assignment(ctx)
	if err != nil {
		return err
	}
	w.ledger.add(mark{seq: w.handed, at: position})
	applied, ok := w.ledger.applied(w.acked.Load())
	at, sum, behind := map[int32]int64{}, int64(0), false
	for _, p := range position {
		at[p.Vgroup] = p.Offset
		sum += p.Offset
	}
	for _, a := range assigned {
		if p, ours := at[a.Vgroup]; ours {
			behind = behind || p < a.End
			if p != core.Unknown && p < a.Begin {
				return w.gap(core.Gap{At: now, Vgroup: a.Vgroup, From: p, To: a.Begin})
			}
		}
		w.p.t.meter.latest(a.Vgroup, a.End, now)
	}
	if ok {
		for _, p := range applied.at {
			w.p.t.meter.current(p.Vgroup, p.Offset, now)
		}
	}
	w.p.t.meter.measured(w.q.size(), now)
	if sum != w.lastSum || !behind {
		w.lastSum, w.movedAt = sum, now
	}
	if stalled := now.Sub(w.movedAt); stalled > w.e.cfg.Engine.StallTimeout.Duration {
		return &core.Error{
			Class: core.ClassReconnect, Op: "read topic " + w.p.plan.topic,
			Text: fmt.Sprintf("the source has news but handed out nothing for %s; subscribing anew", stalled.Round(time.Second)),
		}
	}
	return nil
}

// commit stores at the source what the sink has acknowledged. When nothing was
// applied since the last commit nothing is committed: a commit is a WAL entry
// of its own, and an idle database must stay idle.
func (w *worker) commit(ctx context.Context, now time.Time) error {
	m, ok := w.ledger.applied(w.acked.Load())
	if !ok || m.seq == w.ledger.committedSeq && !w.quietlyMoved(m, now) {
		return nil
	}
	for _, p := range m.at {
		if p.Offset == core.Unknown || p.Offset == w.ledger.committed[p.Vgroup] {
			continue
		}
		if err := w.source.Commit(ctx, p); err != nil {
			return err
		}
		w.ledger.committed[p.Vgroup] = p.Offset
		w.p.t.meter.committed(p.Vgroup, p.Offset, now)
	}
	w.ledger.committedSeq, w.ledger.committedAt = m.seq, now
	return nil
}

// quietlyMoved reports whether so much WAL was passed over without a message
// that it is worth a commit.
func (w *worker) quietlyMoved(m mark, now time.Time) bool {
	if now.Sub(w.ledger.committedAt) < quietCommit {
		return false
	}
	for _, p := range m.at {
		if p.Offset > w.ledger.committed[p.Vgroup]+ownEntries {
			return true
		}
	}
	return false
}

// lastCommit covers everything that was acknowledged before the stop.
func (w *worker) lastCommit(ctx context.Context) error {
	now := w.e.clock.Now()
	if acked := w.acked.Load(); acked == w.handed && acked > w.ledger.committedSeq {
		if err := w.measure(ctx, now); err != nil {
			return err
		}
	}
	return w.commit(ctx, now)
}
