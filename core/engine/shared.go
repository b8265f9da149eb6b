package engine

import (
	"context"
	"time"

	"tdreplica/core"
	"tdreplica/core/store"
)

// holdFor bounds how long a commit is held back for a drop that was announced.
// It follows its announcement at once, unless whoever announced it has ended.
const holdFor = 10 * time.Minute

// renewPatience is how often a shared group's only member looks whether it is.
const renewPatience = 5 * time.Second

// moved takes up the vgroups that have come to this worker and lays down those
// that have gone, between two polls.
func (w *worker) moved(ctx context.Context) error {
	for vg, t := range w.tenures {
		if t.over.Load() {
			w.layDown(vg)
		}
	}
	for vg, t := range w.p.members.vgroups(w.n) {
		if w.tenures[vg] == t {
			continue
		}
		if err := w.takeUp(ctx, vg, t); err != nil {
			return err
		}
	}
	return nil
}

// layDown forgets what was read of a vgroup and not committed: its new owner
// reads it again, with the notes that it leaves.
func (w *worker) layDown(vgroup int32) {
	delete(w.tenures, vgroup)
	w.marks.forget(vgroup)
	w.p.t.forgetNotes(vgroup, core.Unknown)
}

// takeUp begins to read a vgroup where the group's offset is: nobody else knows
// what other members have applied. What this worker was given of it before is
// dropped, for it may have been read by somebody else since.
func (w *worker) takeUp(ctx context.Context, vgroup int32, t *tenure) error {
	w.marks.forget(vgroup)
	assigned, err := w.assignment(ctx)
	if err != nil {
		return err
	}
	var a *core.Assignment
	for i := range assigned {
		if assigned[i].Vgroup == vgroup {
			a = &assigned[i]
		}
	}
	if a == nil {
		return nil // this consumer has not heard of it yet
	}
	stored, err := w.offsets(ctx, w.source.Committed, []int32{vgroup})
	if err != nil {
		return err
	}
	offset := stored[vgroup]
	if a.Offset, err = w.p.startOf(*a, offset); err != nil {
		return err
	}
	if err := w.seek(ctx, *a); err != nil {
		return err
	}
	w.p.t.forgetNotes(vgroup, a.Offset)
	w.marks.base(vgroup, a.Offset)
	w.p.takenUp(*a)
	w.p.t.meter.takenUp(*a, offset)
	if offset == core.Unknown {
		// From now on every member begins here.
		if err := w.store(ctx, core.VgroupOffset{Vgroup: vgroup, Offset: a.Offset}); err != nil {
			return err
		}
	}
	t.from = a.Offset
	w.tenures[vgroup] = t
	w.p.members.took(t, a.End)
	w.unsettled = true
	return nil
}

// startOf is where a vgroup of a shared group goes on; stored is the group's
// offset, or Unknown.
func (p *pump) startOf(a core.Assignment, stored int64) (int64, error) {
	at := stored
	if at == core.Unknown {
		at = a.Begin
		if p.plan.latest {
			at = a.End
		}
		// A group that was made anew goes on where its only member stood, also if the
		// pump that made it did not come to that.
		if was, ok := p.t.meter.position(a.Vgroup); ok && p.t.madeAnew() && was <= a.End {
			at, stored = was, was
		}
	}
	a.Offset = at
	pass, err := p.t.checkStart(p.plan, a, stored)
	if pass {
		at = a.Begin
	}
	return at, err
}

// madeAnew reports whether this task has made the group anew, in this run or in an
// earlier one, which may have ended before it took the vgroups up.
func (t *task) madeAnew() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rec.Renewed
}

// takenUp begins a vgroup's samples (see tagged.go).
func (p *pump) takenUp(a core.Assignment) {
	if !p.plan.sourceVersion.AtLeast(tagsEndRows) {
		return
	}
	end := a.Offset
	if p.renewed {
		end = max(end, p.freshEnds[a.Vgroup])
	}
	p.t.subscribed(a.Vgroup, a.Offset, end)
}

// given reports whether a message may be handed on, and with which tenure. What
// comes of a vgroup of a shared group that was not taken up yet is dropped: it
// comes again.
func (w *worker) given(m *core.Message) (t *tenure, ok bool, err error) {
	if w.p.members == nil {
		return nil, true, w.began(m.Vgroup)
	}
	t = w.tenures[m.Vgroup]
	if ok = t != nil && !t.over.Load(); !ok {
		signal(w.p.members.look)
	}
	return t, ok, nil
}

// only leaves out, in a shared group, the vgroups that were not taken up.
func (w *worker) only(assigned []core.Assignment) []core.Assignment {
	out := assigned[:0]
	for _, a := range assigned {
		if t := w.tenures[a.Vgroup]; t != nil && !t.over.Load() {
			out = append(out, a)
		}
	}
	return out
}

// mayCommit is how far a vgroup may be committed, and false if not at all. In a
// shared group the next owner must find the notes that this one has made, so the
// offset stays below what they come from.
func (w *worker) mayCommit(vgroup int32, at int64) (int64, bool) {
	if w.p.members == nil {
		return at, true
	}
	if t := w.tenures[vgroup]; t == nil || t.over.Load() {
		return 0, false
	}
	at = min(at, w.p.t.held(vgroup, at, w.p.e.clock.Now()))
	return at, at != w.marks.committed[vgroup]
}

// held is up to where a commit must not go for the notes' sake.
func (t *task) held(vgroup int32, at int64, now time.Time) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.rec.Echoes {
		if e.Vgroup == vgroup && (e.Swallowed == 0 || e.Swallowed > at) && now.Sub(e.At) < holdFor {
			at = min(at, e.Before)
		}
	}
	for _, notes := range []map[int32]int64{t.rec.Announced, t.rec.Rewinds} {
		if from, ok := notes[vgroup]; ok {
			at = min(at, from)
		}
	}
	return at
}

// forgetNotes drops the notes of a vgroup that come again when it is read from
// an offset; with Unknown, which is when it has gone, all of them.
func (t *task) forgetNotes(vgroup int32, from int64) {
	t.keepEchoes(func(e store.Echo) bool { return e.Vgroup != vgroup })
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rec.Announced, vgroup)
	if at, ok := t.rec.Rewinds[vgroup]; ok && (from == core.Unknown || at < from) {
		delete(t.rec.Rewinds, vgroup)
	}
	if from == core.Unknown {
		// Recognising what another member has read would leave out what is to be done about
		// it. What was missed stays: it is nobody's word that a change was applied.
		t.tagged = nil
		delete(t.reread, vgroup)
		delete(t.redropped, vgroup)
	}
	t.notes++
}

// admit waits until what is read of a vgroup may be written. It returns
// errMovedAway if the vgroup has another owner by now.
func (w *worker) admit(ctx context.Context, vgroup int32) error {
	if w.tenure == nil {
		return nil
	}
	if err := w.p.members.await(ctx, w.tenure); err != nil {
		return err
	}
	if _, known := w.before[vgroup]; !known || w.last[vgroup] != w.tenure {
		w.before[vgroup], w.last[vgroup] = w.tenure.from, w.tenure
	}
	return nil
}

// joined is the first look at a shared group. Its vgroups come when the server
// hands them out; nobody waits for all of them, for others may have them.
func (p *pump) joined(ctx context.Context) error {
	p.doing("join the shared group")
	if err := p.members.see(ctx); err != nil {
		return err
	}
	p.t.began(p.plan)
	if p.t.rewindsLeft() {
		p.renewSoon()
	}
	return nil
}

// owner takes what the server told of a vgroup's reading when it was asked. Where
// another member owns it, it is all that is known of it, and may be late.
func (m *meter) owner(s core.Subscription, owner string, mine bool, asked time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.vgroup(s.Vgroup)
	if v.owner != owner {
		v.owner, m.changed = owner, true
	}
	if v.foreign = !mine; mine {
		return
	}
	v.samples = nil
	if s.Position != v.read {
		v.read, m.changed = s.Position, true
	}
	if s.End != core.Unknown {
		v.latest = max(s.End, v.read)
		if s.Consumer != "" { // else it is not told any more
			v.end, v.endAt = s.End, asked.Add(-toldLate)
		}
	}
	v.committed, v.rewind = core.Unknown, core.Unknown
}

// takenUp takes note of where a vgroup is read from.
func (m *meter) takenUp(a core.Assignment, stored int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.vgroup(a.Vgroup)
	v.current, v.latest, v.committed, v.foreign, v.rewind = a.Offset, max(a.End, a.Offset), stored, false, core.Unknown
	m.changed, m.level = true, false
}
