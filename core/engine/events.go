package engine

import (
	"fmt"
	"slices"
	"sync"

	"tdreplica/core"
)

// recentEvents is how many events are answered from memory.
const recentEvents = 1000

// eventLog numbers events, keeps the newest in memory and hands all of them to
// the store in batches.
type eventLog struct {
	writing sync.Mutex // held while some are written; taken before mu

	mu      sync.Mutex
	last    uint64
	recent  []core.Event
	pending []core.Event
}

func (l *eventLog) start(last uint64) { l.last = last }

func (l *eventLog) add(ev core.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	ev.Seq = l.last
	if len(l.recent) == 2*recentEvents {
		l.recent = append(l.recent[:0], l.recent[recentEvents:]...)
	}
	l.recent = append(l.recent, ev)
	// While the disk is full the oldest unwritten events give way: memory
	// stays bounded, and the newest say what is wrong.
	if len(l.pending) == 10*recentEvents {
		l.pending = append(l.pending[:0], l.pending[recentEvents:]...)
	}
	l.pending = append(l.pending, ev)
}

// flush has what is pending written. Who has something to say meanwhile does not
// wait for the disk.
func (l *eventLog) flush(write func(...core.Event) error) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	pending := slices.Clone(l.pending)
	l.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	if err := write(pending...); err != nil {
		return fmt.Errorf("keep events: %w", err)
	}
	last := pending[len(pending)-1].Seq
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = slices.DeleteFunc(l.pending, func(ev core.Event) bool { return ev.Seq <= last })
	return nil
}

// after returns events from memory, and false if some of them are only in the
// store.
func (l *eventLog) after(seq uint64, limit int) ([]core.Event, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq >= l.last {
		return nil, true
	}
	if len(l.recent) == 0 || l.recent[0].Seq > seq+1 {
		return nil, false
	}
	out := l.recent[seq+1-l.recent[0].Seq:]
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return append([]core.Event(nil), out...), true
}

// event makes something known. Its time is now; without an actor it was the
// engine itself.
func (e *Engine) event(ev core.Event) {
	ev.At = e.clock.Now()
	if ev.Actor.Via == "" {
		ev.Actor.Via = "engine"
	}
	e.events.add(ev)
	args := []any{"kind", ev.Kind, "via", ev.Actor.String()}
	if ev.Replica != "" {
		args = append(args, "replica", ev.Replica)
	}
	if ev.Database != "" {
		args = append(args, "database", ev.Database)
	}
	switch ev.Level {
	case core.LevelError:
		e.log.Error(ev.Text, args...)
	case core.LevelWarn:
		e.log.Warn(ev.Text, args...)
	default:
		e.log.Info(ev.Text, args...)
	}
	e.changed()
}
