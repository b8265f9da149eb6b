package engine

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// A task that goes back because tags were set learns of the next one as late as
// it is behind. From the moment in which that was set the new group keeps rows
// back, so the task would have to go back to where it was then; it would have
// read all the rest for nothing, and under an application that sets tags more
// often than this takes it would never be done.
//
// So it sends a scout: a consumer of a group of its own, which begins where the
// WALs ended before the new group was made, and fetches changes but no rows. What
// it comes to makes the task go back from where it is now, which is not far
// behind the place that it goes back to.

const (
	// scoutWait is a poll's blocking time; scoutPace is how often the scout says
	// up to where it has read.
	scoutWait = 300 * time.Millisecond
	scoutPace = 500 * time.Millisecond
	// scoutGather is how long more changes are waited for.
	scoutGather = 300 * time.Millisecond
	// A new group of a task that is behind must be worth it. Of the time since the
	// groups before were made, all but scoutCredit, one part in scoutShare must have
	// gone into rows that are not read again.
	scoutShare  = 4
	scoutCredit = 10 * time.Second
)

// scoutGroup is the scout's group beside that of its task.
func scoutGroup(group string) string { return group + "_scout" }

// scout reads changes ahead of a task. It outlives pumps that end so that the
// group is made anew, and rests while there is none.
type scout struct {
	t      *task
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing of it runs any more

	mu    sync.Mutex
	p     *pump         // the pump that flows; nil: none
	comes chan struct{} // one slot: there is a pump

	// Only its goroutine uses these.
	source Source
	before map[int32]int64 // below the next change, by vgroup
	fronts map[int32]int64 // where to go back to for changes that are announced
}

// scouting has a scout read ahead of a pump that flows, until the returned
// function is called. One is sent if the pump made its group anew.
func (p *pump) scouting(ctx context.Context) (rest func()) {
	t := p.t
	if s := t.scout; s != nil && s.ended() {
		t.scout = nil
	}
	if t.scout == nil && p.renewed && p.members == nil && len(p.freshEnds) > 0 {
		t.scout = newScout(ctx, p)
	}
	s := t.scout
	if s == nil {
		return func() {}
	}
	s.serve(p)
	signal(s.comes)
	return func() { s.serve(nil) }
}

// newScout sends a scout to where the WALs ended before the pump's group was made.
func newScout(ctx context.Context, p *pump) *scout {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &scout{
		t: p.t, cancel: cancel, done: make(chan struct{}), comes: make(chan struct{}, 1),
		before: maps.Clone(p.freshEnds), fronts: map[int32]int64{},
	}
	go func() {
		defer close(s.done)
		defer cancel()
		if err := p.guard(func() error { return s.run(ctx, p.plan, p.client) }); err != nil && ctx.Err() == nil {
			p.e.log.Debug("changes are not read ahead any more", "replica", p.t.key.Replica, "database", p.t.key.Database, "err", err)
		}
		p.t.scouted(nil) // what it knew is true no longer
	}()
	return s
}

// callBack ends the task's scout, if there is one.
func (t *task) callBack() {
	if t.scout != nil {
		t.scout.cancel()
		<-t.scout.done
		t.scout = nil
	}
}

// forgetScout drops the group of a scout that was not called back in order.
func (p *pump) forgetScout(ctx context.Context, subs []core.Subscription) {
	group, left := scoutGroup(p.plan.group), false
	for _, s := range subs {
		if s.Group == group && s.Consumer != "" {
			return // dropping it takes as long as the server counts on that one
		}
		left = left || s.Group == group
	}
	if !left || p.t.scout != nil {
		return
	}
	if err := p.plan.catalog.DropGroup(ctx, p.plan.topic, group); err != nil {
		p.e.log.Debug("a consumer group that nobody needs is left", "group", group, "err", err)
	}
}

func (s *scout) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// serve says for which pump the scout reads; nil: for none, until another comes.
func (s *scout) serve(p *pump) {
	s.mu.Lock()
	s.p = p
	s.mu.Unlock()
}

// run reads changes until the task has caught up, or ctx ends.
func (s *scout) run(ctx context.Context, pl *plan, client string) error {
	if far, err := s.farBehind(ctx); err != nil || !far {
		return err
	}
	err := s.open(ctx, pl, client)
	if err == nil {
		err = s.read(ctx)
	}
	if s.source == nil {
		return err
	}
	leave, cancel := context.WithTimeout(s.t.e.hard, closeTimeout)
	defer cancel()
	if cerr := s.source.Close(leave); err == nil {
		err = cerr
	}
	if err != nil || ctx.Err() != nil {
		return err // the next one finds the group, or the next pump drops it
	}
	var catalog Catalog
	err = s.withPump(ctx, func(p *pump) error { catalog = p.plan.catalog; return nil })
	if err != nil {
		return err
	}
	return catalog.DropGroup(leave, pl.topic, scoutGroup(pl.group))
}

// withPump calls f as soon as a pump flows. The pump does not end before f has.
func (s *scout) withPump(ctx context.Context, f func(p *pump) error) error {
	for {
		s.mu.Lock()
		if p := s.p; p != nil {
			defer s.mu.Unlock()
			return f(p)
		}
		s.mu.Unlock()
		select {
		case <-s.comes:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// farBehind waits until it is clear whether the task catches up in a moment.
func (s *scout) farBehind(ctx context.Context) (far bool, err error) {
	for level := false; !far && !level; {
		if err := s.rest(ctx); err != nil {
			return false, err
		}
		err := s.withPump(ctx, func(p *pump) error {
			now := s.t.e.clock.Now()
			far, level = !p.near(now), p.caughtUp(now)
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	if !far {
		s.t.forgetWorth()
	}
	return far, nil
}

// near reports whether nothing has waited for long, as far as the pump has seen:
// at first nothing has.
func (p *pump) near(now time.Time) bool {
	return p.t.meter.near(now, time.Duration(p.lookPace.Load()))
}

// caughtUp reports whether the task reads changes soon after they are made.
func (p *pump) caughtUp(now time.Time) bool {
	return p.near(now) && now.Sub(p.readyAt) > 2*levelLag+time.Duration(p.lookPace.Load())
}

// open subscribes and moves to where the WALs ended before the group was made.
func (s *scout) open(ctx context.Context, pl *plan, client string) (err error) {
	s.source, err = s.t.e.connector.Source(ctx, pl.source, Subscription{
		Topic: pl.topic, Group: scoutGroup(pl.group), ClientID: client + "/scout",
		Latest: true, ChangesOnly: true, MinRows: gatherRows, MaxPollInterval: maxPollInterval,
	})
	if err != nil {
		return err
	}
	// What is polled until all vgroups are handed over is read again.
	deadline := s.t.e.clock.Now().Add(settleTimeout)
	for {
		assigned, err := s.assignment(ctx)
		if err != nil && core.ClassOf(err) != core.ClassRetry {
			return err
		}
		if err == nil && len(assigned) >= len(s.before) {
			break
		}
		if s.t.e.clock.Now().After(deadline) {
			return errors.New("the vgroups are not handed over")
		}
		m, _, err := s.poll(ctx)
		if err != nil {
			return err
		}
		if m != nil {
			m.Release()
		}
	}
	for vg, end := range s.before {
		if err := s.source.Seek(ctx, core.VgroupOffset{Vgroup: vg, Offset: end}); err != nil {
			return err
		}
	}
	return nil
}

func (s *scout) assignment(ctx context.Context) ([]core.Assignment, error) {
	ctx, cancel := s.t.e.request(ctx)
	defer cancel()
	return s.source.Assignment(ctx)
}

// poll returns the next message, nil if there is none now. Unless ok, the source
// may be behind a message that it has not handed out.
func (s *scout) poll(ctx context.Context) (m *core.Message, ok bool, err error) {
	limited, cancel := context.WithTimeout(ctx, scoutWait+2*s.t.e.cfg.Engine.RequestTimeout.Duration)
	defer cancel()
	m, err = s.source.Poll(limited, scoutWait)
	if err != nil && core.ClassOf(err) == core.ClassRetry {
		return nil, false, s.rest(ctx)
	}
	return m, err == nil, err
}

func (s *scout) rest(ctx context.Context) error {
	select {
	case <-s.t.e.clock.After(scoutPace):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read looks for tags that are set, until the task has caught up.
func (s *scout) read(ctx context.Context) error {
	for said := (time.Time{}); ctx.Err() == nil; {
		m, ok, err := s.poll(ctx)
		if err == nil && m != nil {
			err = s.withPump(ctx, func(p *pump) error { return s.look(p, m) })
			s.before[m.Vgroup] = m.Offset
			m.Release()
		}
		if err != nil {
			return err
		}
		now := s.t.e.clock.Now()
		if !ok || now.Sub(said) < scoutPace {
			continue
		}
		said = now
		if done, err := s.say(ctx, now); done || err != nil {
			return err
		}
	}
	return ctx.Err()
}

// say tells the task up to where the scout has read, and reports whether the task
// needs it no longer.
func (s *scout) say(ctx context.Context, now time.Time) (done bool, err error) {
	assigned, err := s.assignment(ctx)
	if err != nil && core.ClassOf(err) == core.ClassRetry {
		return false, nil
	} else if err != nil {
		return false, err
	}
	at := make(map[int32]int64, len(assigned))
	for _, a := range assigned {
		at[a.Vgroup], s.before[a.Vgroup] = a.Offset, a.Offset
	}
	err = s.withPump(ctx, func(p *pump) error {
		s.t.scouted(at)
		done = p.caughtUp(now)
		return nil
	})
	if done {
		s.t.forgetWorth()
	}
	return done, err
}

// look finds the changes in a message that the task must go back for.
func (s *scout) look(p *pump, m *core.Message) error {
	if m.Kind != core.KindMeta {
		return nil
	}
	metas, err := raw.Metas(m.RawType, m.Payload())
	if err != nil {
		return err
	}
	from := s.t.unspoiled(m.Vgroup, s.before[m.Vgroup])
	precision := p.plan.db.Precision
	for i := range metas {
		a, d := metas[i].Alter, metas[i].Delete
		switch {
		case a != nil && (a.Change == raw.SetTag || a.Change == raw.SetTags):
			p.found(m, from)
		case d == nil || d.From != d.To:
		case d.From == tagsMark(precision, false):
			if _, ok := s.fronts[m.Vgroup]; !ok {
				s.fronts[m.Vgroup] = from
			}
		case d.From == tagsMark(precision, true):
			if front, ok := s.fronts[m.Vgroup]; ok {
				from = front
			}
			p.found(m, from)
			delete(s.fronts, m.Vgroup)
		}
	}
	return nil
}

// found has the task go back, at once if that is worth it.
func (p *pump) found(m *core.Message, from int64) {
	p.tagsWereSet(m, from)
	p.mu.Lock()
	defer p.mu.Unlock()
	if soon := p.e.clock.Now().Add(scoutGather); p.renewAt.After(soon) {
		p.renewAt = soon
	}
}

// isScouted reports whether somebody reads changes ahead of the task.
func (t *task) isScouted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ahead != nil
}

// scouted takes note of up to where changes are known; nil: they are not.
func (t *task) scouted(at map[int32]int64) {
	t.mu.Lock()
	t.ahead = at
	t.mu.Unlock()
}

// knewBefore reports whether a scout came to a change before the task did.
func (t *task) knewBefore(m *core.Message) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	ahead, known := t.ahead[m.Vgroup]
	return known && m.Offset <= ahead
}

// worthwhile reports whether a task that is behind, and scouted, should make its
// group anew now, and counts what that wins.
func (t *task) worthwhile(now, ready time.Time) bool {
	t.mu.Lock()
	starts := map[int32]int64{}
	for vg, list := range t.rec.Samples {
		if len(list) > 0 {
			starts[vg] = list[0].Position
		}
	}
	t.mu.Unlock()
	read, kept, left := t.meter.since(starts, t.rewindsOfAll())
	if read == 0 {
		return false
	}
	per := float64(now.Sub(ready)) / float64(read)
	gain, rest := time.Duration(per*float64(kept)), time.Duration(per*float64(left))
	t.mu.Lock()
	defer t.mu.Unlock()
	// If the rest takes no longer than the task got with this group, it is as likely
	// as not that no more tags are set meanwhile.
	won, spent := t.won+gain, t.spent+now.Sub(t.renewed)
	if rest < gain || spent > scoutCredit+scoutShare*won {
		return false
	}
	t.won, t.spent = won, spent
	return true
}

// forgetWorth begins anew with what new groups are worth.
func (t *task) forgetWorth() {
	t.mu.Lock()
	t.won, t.spent = 0, 0
	t.mu.Unlock()
}

// since is how many versions were read since the vgroups were at starts, how many
// of them need not be read again if the vgroups go back to rewinds, and how many
// are left to read.
func (m *meter) since(starts, rewinds map[int32]int64) (read, kept, left int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for vg, start := range starts {
		v := m.vg[vg]
		if v == nil {
			continue
		}
		left += max(0, v.latest-v.current)
		if v.current <= start {
			continue
		}
		read += v.current - start
		to := v.current
		if back, ok := rewinds[vg]; ok {
			to = min(to, back)
		}
		kept += max(0, to-start)
	}
	return read, kept, left
}
