package tui

import (
	"context"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"tdreplica/core"
)

const (
	snapshotDeadline = 4 * time.Second        // of one request for a snapshot
	staleAfter       = 5 * time.Second        // an age at which numbers are no longer live
	changeGap        = 250 * time.Millisecond // between two pulls that changes caused
	eventPage        = 1000                   // events per request
	eventsKept       = 10_000                 // in the console; the instance keeps its own
	wholeVgroups     = 1_000                  // with more, only the selected task's are asked for
	costShare        = 50                     // an overview may take one part in so many of the time
	slowestPace      = 5 * time.Second        // however long an overview takes
)

// refreshSteps are the intervals that + and - choose from.
var refreshSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute,
}

// feed is what the console knows of the instance and how it asks for more. At
// most one request of each kind is in flight, so a slow instance is not asked
// faster than it answers.
type feed struct {
	snap     *core.Snapshot
	err      error     // of the last request; nil when it succeeded
	asking   bool      // a request is in flight
	again    bool      // something changed meanwhile
	asked    int       // number of the last request
	lastAsk  time.Time // when the last request was sent
	refresh  time.Duration
	cost     time.Duration // of the last overview, from the question to its last byte
	paused   bool
	events   []core.Event // oldest first
	lastSeq  uint64
	eventErr error
	eventing bool
}

type (
	tickMsg     time.Time // once a second: the clock on the screen
	changedMsg  struct{}  // the instance has news
	listenMsg   struct{}  // listen for changes again
	snapshotMsg struct {
		number int
		snap   *core.Snapshot
		cost   time.Duration // 0 unless it is an overview
		err    error
	}
	eventsMsg struct {
		events []core.Event
		err    error
	}
)

func tick() tea.Cmd {
	return tea.Tick(time.Second, func(t time.Time) tea.Msg { return tickMsg(t) })
}

// listen waits for the instance's next change.
func (a *app) listen() tea.Cmd {
	changes := a.ctrl.Changes()
	if changes == nil {
		return nil
	}
	return func() tea.Msg {
		select {
		case _, open := <-changes:
			if open {
				return changedMsg{}
			}
		case <-a.ctx.Done():
		}
		return nil
	}
}

// pull asks for a snapshot unless a request is under way.
func (a *app) pull() tea.Cmd {
	f := &a.feed
	if f.asking {
		f.again = true
		return nil
	}
	f.asking, f.again = true, false
	f.asked++
	f.lastAsk = a.clock()
	number, whole, of := f.asked, f.whole(), a.tasks.at
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(a.ctx, snapshotDeadline)
		defer cancel()
		var m snapshotMsg
		if whole {
			m.snap, m.err = a.ctrl.Snapshot(ctx)
		} else {
			began := time.Now()
			m.snap, m.err = a.ctrl.Overview(ctx, of)
			m.cost = time.Since(began)
		}
		m.number = number
		return m
	}
}

// whole reports whether the next snapshot is to have all vgroups: where there
// are not too many for once a second, and of a screen that is to stand still,
// on which the operator will look at one task after the other.
func (f *feed) whole() bool {
	if f.snap == nil || f.paused {
		return true
	}
	n := 0
	for i := range f.snap.Tasks {
		n += vgroupsOf(&f.snap.Tasks[i])
	}
	return n <= wholeVgroups
}

// pullMissing asks for the selected task's vgroups if they were left out.
func (a *app) pullMissing() tea.Cmd {
	if t := a.selected(); t != nil && t.LeftOut > 0 && a.feed.err == nil {
		return a.pull()
	}
	return nil
}

// pullEvents asks for the events after the last one known.
func (a *app) pullEvents() tea.Cmd {
	f := &a.feed
	if f.eventing {
		return nil
	}
	f.eventing = true
	after := f.lastSeq
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(a.ctx, snapshotDeadline)
		defer cancel()
		events, err := a.ctrl.Events(ctx, after, eventPage)
		return eventsMsg{events: events, err: err}
	}
}

// refreshAll pulls everything that the screen shows.
func (a *app) refreshAll() tea.Cmd {
	return tea.Batch(a.pull(), a.pullEvents(), a.detail.pull(a))
}

func (a *app) onTick(t time.Time) tea.Cmd {
	a.now = t
	a.notices.expire(t)
	f := &a.feed
	// The timer may fire a little early; half a second of slack keeps 1 Hz
	// from becoming 0.5 Hz.
	if f.paused || a.now.Sub(f.lastAsk) < f.pace()-500*time.Millisecond {
		return tick()
	}
	return tea.Batch(tick(), a.refreshAll())
}

func (a *app) onChanged() tea.Cmd {
	rearm := tea.Tick(changeGap, func(time.Time) tea.Msg { return listenMsg{} })
	if a.feed.paused {
		return rearm
	}
	return tea.Batch(rearm, a.pull(), a.pullEvents())
}

func (a *app) onSnapshot(m snapshotMsg) tea.Cmd {
	f := &a.feed
	f.asking = false
	f.err, f.cost = m.err, m.cost
	if m.err == nil && m.snap != nil {
		if f.snap != nil && f.snap.Instance.ID != m.snap.Instance.ID {
			// Another instance's events count from the beginning.
			f.events, f.lastSeq = nil, 0
		}
		f.snap = m.snap
		a.apply()
	}
	a.settle(m)
	if f.again {
		return a.pull()
	}
	return a.pullMissing()
}

func (a *app) onEvents(m eventsMsg) tea.Cmd {
	f := &a.feed
	f.eventing = false
	f.eventErr = m.err
	if m.err != nil || len(m.events) == 0 {
		return nil
	}
	for _, e := range m.events {
		if e.Seq > f.lastSeq {
			f.events = append(f.events, e)
			f.lastSeq = e.Seq
		}
	}
	if over := len(f.events) - eventsKept; over > 0 {
		f.events = append([]core.Event(nil), f.events[over:]...)
	}
	a.applyEvents()
	if len(m.events) == eventPage {
		return a.pullEvents()
	}
	return nil
}

// age is how old the numbers on the screen are.
func (f *feed) age(now time.Time) time.Duration {
	if f.snap == nil {
		return 0
	}
	return max(0, now.Sub(f.snap.At))
}

// stale reports whether the numbers must not look live: the last request
// failed, they are too old for the chosen interval, the screen is paused, or
// no instance runs and they come from its state directory.
func (f *feed) stale(now time.Time) bool {
	if f.snap == nil {
		return false
	}
	return f.err != nil || f.paused || !f.snap.Instance.Running ||
		f.age(now) > staleAfter+f.pace()
}

// pace is how often numbers are asked for: as was chosen, but of thousands of
// tasks not so often that looking at them keeps two processes busy.
func (f *feed) pace() time.Duration {
	return max(f.refresh, min(costShare*f.cost, slowestPace))
}

// slower and faster change the refresh interval by one step.
func (f *feed) step(by int) {
	at := 0
	for i, d := range refreshSteps {
		if d <= f.refresh {
			at = i
		}
	}
	f.refresh = refreshSteps[max(0, min(at+by, len(refreshSteps)-1))]
}
