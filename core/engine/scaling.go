package engine

import (
	"errors"
	"fmt"
	"time"

	"tdreplica/core"
)

const (
	// maxAutoWorkers bounds what `workers = "auto"` chooses, besides the vgroups
	// and the processors (two at least, for workers mostly wait): each worker
	// costs a connection at both ends, and a sink has other things to do.
	maxAutoWorkers = 4
	// growAfter is how long one worker must have been busy without a pause while
	// more is left than it can do in as much time.
	growAfter = 30 * time.Second
	// shrinkFactor times growAfter is how long a task must have been caught up
	// under a load that one worker would manage; half of that is the least time
	// between two changes. Each change leaves the group and joins it again.
	shrinkFactor = 20
)

// errScale ends a pump in order so that another one begins with another number
// of workers. Everything acknowledged is committed, so nothing is read twice.
var errScale = errors.New("the number of workers is changed")

// inOrder reports whether a pump ended only so that the next one begins.
func inOrder(cause error) bool {
	return errors.Is(cause, errRenew) || errors.Is(cause, errScale) || errors.Is(cause, errNarrow)
}

// scaling is how many workers a task has whose replica leaves that to it. It
// begins with one, takes more when one is not enough, and goes back to one. The
// task's mutex guards it.
type scaling struct {
	workers int       // 0 is 1
	changed time.Time // zero: never
	busy    time.Time // since when one worker is not enough; zero: it is
	calm    time.Time // since when one worker would do; zero: it would not
	one     float64   // bytes per second that one worker managed when it was busy
}

// load is what the number of workers is judged by.
type load struct {
	workers, vgroups int
	busy             bool    // the workers had hardly a pause in the last second
	behind           int64   // WAL versions; Unknown if not known
	eta              int64   // milliseconds; Unknown while the backlog does not shrink
	level            bool    // caught up
	bytes            float64 // per second
}

// decide returns the number of workers from now on and why, or 0 if it stays.
func (s *scaling) decide(now time.Time, l load, grow time.Duration, cpus int) (workers int, why string) {
	shrink := shrinkFactor * grow
	late := l.eta == core.Unknown || l.eta > grow.Milliseconds()
	// Before anything was done it is not known what one worker manages, and there would
	// be no way back to it.
	since(&s.busy, now, l.workers == 1 && l.busy && l.behind > 0 && late && l.bytes > 0)
	since(&s.calm, now, l.workers > 1 && l.level && l.bytes <= s.one/2)
	if !s.changed.IsZero() && now.Sub(s.changed) < shrink/2 {
		return 0, ""
	}
	most := min(l.vgroups, max(cpus, 2), maxAutoWorkers)
	switch {
	case most > 1 && !s.busy.IsZero() && now.Sub(s.busy) >= grow:
		s.one = l.bytes
		workers, why = most, fmt.Sprintf("one was busy for %v and %d WAL versions are left", now.Sub(s.busy).Round(time.Second), l.behind)
	case !s.calm.IsZero() && now.Sub(s.calm) >= shrink:
		workers, why = 1, fmt.Sprintf("one has been enough for %v", now.Sub(s.calm).Round(time.Second))
	default:
		return 0, ""
	}
	s.workers, s.changed, s.busy, s.calm = workers, now, time.Time{}, time.Time{}
	return workers, why
}

// since keeps in at when something began that is so now, and zero while it is
// not.
func since(at *time.Time, now time.Time, so bool) {
	switch {
	case !so:
		*at = time.Time{}
	case at.IsZero():
		*at = now
	}
}

// adapt changes the number of workers if that is left to the task and time to.
// The housekeeper calls it about once a second.
func (t *task) adapt(now time.Time) {
	t.mu.Lock()
	p := t.pump
	t.mu.Unlock()
	if p == nil {
		return
	}
	l, ok := p.load(now)
	if !ok {
		return
	}
	t.mu.Lock()
	workers, why := t.scaling.decide(now, l, t.e.growAfter, t.e.cpus)
	t.mu.Unlock()
	if workers == 0 {
		return
	}
	t.say(core.LevelInfo, core.EventState, "workers: %d → %d: %s", l.workers, workers, why)
	p.halt(errScale)
}

// autoWorkers is the number that the next pump begins with.
func (t *task) autoWorkers() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(1, t.scaling.workers)
}

// load is false for a pump that does not run, or whose number of workers is
// fixed.
func (p *pump) load(now time.Time) (load, bool) {
	h := p.health()
	if !h.ready || p.isHalted() || !p.plan.auto {
		return load{}, false
	}
	l := p.t.meter.load()
	l.workers, l.vgroups = len(p.workers), p.plan.db.Vgroups
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := p.rest / time.Duration(l.workers)
	// More workers would wait for the same sink when there is trouble with it.
	l.busy = h.trouble == nil && rest < now.Sub(p.loadAt)/5
	p.rest, p.loadAt = 0, now
	return l, true
}

// rested takes note that a worker had nothing to do for some time, or was not
// to do it.
func (p *pump) rested(d time.Duration) {
	p.mu.Lock()
	p.rest += d
	p.mu.Unlock()
}

// load fills in what only the meter knows.
func (m *meter) load() load {
	m.mu.Lock()
	defer m.mu.Unlock()
	diff := m.diff()
	return load{behind: diff, eta: m.drain.eta(diff), level: m.level, bytes: m.bytes}
}
