package engine

import (
	"context"
	"time"

	"tdreplica/config"
	"tdreplica/core"
)

// filteredPace is how often the position of a vgroup is committed that moves
// although none of its messages is delivered: the direction whose rows all
// came by replication. It is rare because each commit is a WAL entry itself.
const filteredPace = 10 * time.Minute

// ownEntries is how far a position moves without anybody writing: our own
// commit, and what a subscription logs.
const ownEntries = 3

// mark says: when the sink has acknowledged message seq, everything below
// these positions is applied. It is taken between two polls, when the position
// covers exactly the messages that were handed out.
type mark struct {
	seq uint64
	at  map[int32]int64
	had map[int32]bool // vgroups that messages came from since the mark before
}

// marks decides what may be committed. Only the reader's goroutine uses it.
//
// Nothing is ever committed but the positions of a mark whose message has been
// acknowledged; that is the whole proof that no unwritten message is skipped.
type marks struct {
	touched map[int32]bool // vgroups with messages since the newest mark
	pending *mark
	applied mark           // the newest whose message is acknowledged
	dirty   map[int32]bool // vgroups with applied messages since the last commit

	committed    map[int32]int64
	committedSeq uint64
	committedAt  time.Time
}

func newMarks() marks {
	return marks{touched: map[int32]bool{}, dirty: map[int32]bool{}, committed: map[int32]int64{}}
}

// base is where a vgroup stood before the first poll.
func (m *marks) base(vgroup int32, offset int64) { m.committed[vgroup] = offset }

// forget drops all that is known of a vgroup.
func (m *marks) forget(vgroup int32) {
	delete(m.touched, vgroup)
	delete(m.dirty, vgroup)
	delete(m.committed, vgroup)
	delete(m.applied.at, vgroup)
	delete(m.applied.had, vgroup)
	if m.pending != nil {
		delete(m.pending.at, vgroup)
		delete(m.pending.had, vgroup)
	}
}

func (m *marks) handed(vgroup int32) { m.touched[vgroup] = true }

// take remembers positions. While an earlier mark waits it is kept: replaced
// by ever newer ones it would never be reached under constant load.
func (m *marks) take(seq uint64, at map[int32]int64) {
	if m.pending != nil {
		return
	}
	m.pending = &mark{seq: seq, at: at, had: m.touched}
	m.touched = map[int32]bool{}
}

// resolve reports whether the pending mark has been reached.
func (m *marks) resolve(acked uint64) bool {
	if m.pending == nil || m.pending.seq > acked {
		return false
	}
	m.applied = *m.pending
	for vg := range m.applied.had {
		m.dirty[vg] = true
	}
	m.pending = nil
	return true
}

// pendingAt reports whether a mark waits for more than what is acknowledged.
func (m *marks) pendingAt(acked uint64) bool { return m.pending != nil && m.pending.seq > acked }

// due reports whether a commit should be made now.
func (m *marks) due(now time.Time, c *config.Engine) bool {
	if len(m.dirty) > 0 {
		return now.Sub(m.committedAt) >= c.CommitInterval.Duration ||
			m.applied.seq-m.committedSeq >= uint64(max(1, c.CommitMessages))
	}
	if m.committedAt.IsZero() {
		m.committedAt = now // the first of the rare commits is not at once
	}
	return now.Sub(m.committedAt) >= filteredPace && len(m.filtered()) > 0
}

// filtered lists vgroups whose position moved without messages, by more than
// what nobody wrote.
func (m *marks) filtered() map[int32]bool {
	out := map[int32]bool{}
	for vg, at := range m.applied.at {
		if at-m.committed[vg] > ownEntries {
			out[vg] = true
		}
	}
	return out
}

// resolve takes note of what the writer has acknowledged.
func (w *worker) resolve(acked uint64) {
	if w.marks.resolve(acked) {
		w.p.t.meter.reached(w.marks.applied.at)
	}
}

// commit stores the applied positions of the vgroups that had messages since
// their last commit and, if all is set or the time has come, of those that were
// only filtered.
func (w *worker) commit(ctx context.Context, all bool) error {
	m := &w.marks
	now := w.p.e.clock.Now()
	which := map[int32]bool{}
	if all || now.Sub(m.committedAt) >= filteredPace {
		which = m.filtered()
	}
	for vg := range m.dirty {
		which[vg] = true
	}
	if err := w.p.t.saveNotes(); err != nil {
		return err
	}
	for vg := range which {
		at, ok := m.applied.at[vg]
		if !ok {
			delete(m.dirty, vg) // it was handed to another worker, or split
			continue
		}
		if at, ok = w.mayCommit(vg, at); !ok {
			delete(m.dirty, vg)
			continue
		}
		if err := w.store(ctx, core.VgroupOffset{Vgroup: vg, Offset: at}); err != nil {
			return err
		}
		delete(m.dirty, vg)
		m.committed[vg] = at
		w.p.t.meter.committed(vg, at, now)
		w.p.t.passedEchoes(vg, at)
		w.p.t.passedSamples(vg, at)
		w.p.t.passedShared(vg, at)
	}
	m.committedAt, m.committedSeq = now, m.applied.seq
	w.unsettled = true // each commit is a WAL entry, which the next polls step over
	return nil
}

// finish is the orderly end of a reader, after its writer has ended: commit
// what is acknowledged and leave the group.
func (w *worker) finish(ctx context.Context, healthy bool) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	acked := w.acked.Load()
	w.resolve(acked)
	if healthy && acked == w.handed {
		if err := w.sample(ctx, w.p.e.clock.Now()); err != nil {
			w.p.e.log.Debug("no last position", "err", err)
		}
	}
	if healthy {
		if err := w.commit(ctx, true); err != nil {
			w.p.e.log.Warn("the last commit failed; what it covers is applied again", "err", err)
		}
	}
	source := w.source
	w.source = nil
	if err := source.Close(ctx); err != nil {
		w.p.e.log.Debug("the source was not left in order", "err", err)
	}
}

// sample asks where the reader stands and where the WAL ends.
func (w *worker) sample(ctx context.Context, now time.Time) error {
	w.sampledAt = now // also if it fails: the next try is not with the next message
	assigned, err := w.assignment(ctx)
	if err != nil {
		return err
	}
	if w.p.members != nil {
		assigned = w.only(assigned)
	} else if err := w.sameVgroups(ctx, assigned, now); err != nil {
		return err
	}
	w.assigned, w.vgroups = assigned, w.vgroups[:0]
	for _, a := range assigned {
		w.vgroups = append(w.vgroups, a.Vgroup)
	}
	at := w.marks.applied.at
	if !w.atRest() {
		if at, err = w.offsets(ctx, w.source.Position, w.vgroups); err != nil {
			return err
		}
	}
	moved := w.handed != w.sampledSeq || w.marks.pending != nil
	for vg, pos := range at {
		moved = moved || pos != w.marks.applied.at[vg]
	}
	w.marks.take(w.handed, at)
	w.resolve(w.acked.Load())
	asked, sure := w.askedAll(now)
	w.p.changes.sampled(w, assigned, at, asked)
	w.sampledSeq = w.handed
	if w.p.plan.sourceVersion.AtLeast(tagsEndRows) {
		for _, a := range assigned {
			if pos, ok := at[a.Vgroup]; ok {
				w.p.t.sampled(a.Vgroup, pos, a.End)
			}
		}
	}
	w.cover(assigned, at, asked)
	behind := w.p.t.meter.measured(assigned, now, asked, w.quiet && w.q.size() == 0)
	w.unsettled = behind > 0 || !sure || w.marks.pending != nil || len(w.marks.dirty) > 0
	if w.sampling = idleSampling; !moved && !w.unsettled {
		w.sampling = min(longSampling, max(idleSampling, w.p.e.cfg.Engine.StallTimeout.Duration/4))
	}
	for _, a := range assigned {
		if pos, ok := at[a.Vgroup]; ok && pos < a.Begin {
			return w.p.t.gap(w.p.plan, a.Vgroup, pos, a.Begin)
		}
	}
	return w.watch(ctx, now, at, moved)
}

// atRest reports whether the reader stood at the ends of its WALs when it was
// last asked, and they still are there: then it need not be asked again.
func (w *worker) atRest() bool {
	for _, a := range w.assigned {
		if at, ok := w.marks.applied.at[a.Vgroup]; !ok || at != a.End {
			return false
		}
	}
	return w.handed == w.sampledSeq && w.marks.pending == nil && len(w.assigned) == len(w.marks.applied.at)
}

// vainSilence is how long nothing must have come for a poll that finds nothing to
// have asked every vgroup. It then blocks for a quarter of that; shorter ones are
// over before all vgroups of a busy server have answered.
const vainSilence = 400 * time.Millisecond

// askedAll returns when every vgroup was asked last, zero if that is not known:
// when the last poll began, if it was long enough and found nothing. Otherwise it
// is a while ago, and at least as many polls as there are vgroups, for these take
// turns; that is not sure.
func (w *worker) askedAll(now time.Time) (at time.Time, sure bool) {
	if w.quiet && w.polled().Sub(w.pace.since) >= vainSilence {
		return w.polled(), true
	}
	turns := max(1, len(w.vgroups))
	if len(w.polledAt) < turns {
		return time.Time{}, false
	}
	at = now.Add(-levelLag)
	if first := w.polledAt[len(w.polledAt)-turns]; first.Before(at) {
		at = first
	}
	return at, false
}

// polled is when the last poll began; zero if it failed.
func (w *worker) polled() time.Time {
	if len(w.polledAt) == 0 {
		return time.Time{}
	}
	return w.polledAt[len(w.polledAt)-1]
}

// answered keeps when a poll began, and of those before it as many as there are
// vgroups.
func (w *worker) answered(began time.Time) {
	if len(w.polledAt) > max(1, len(w.vgroups)) {
		w.polledAt = w.polledAt[:copy(w.polledAt, w.polledAt[len(w.polledAt)-len(w.vgroups):])]
	}
	w.polledAt = append(w.polledAt, began)
}
