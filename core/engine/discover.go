package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tdreplica/core"
)

// discover looks for the databases of one replica: once after the start for
// those that were declared by pattern or not named at all, and then at the
// checking interval for new ones. It ends with the instance or the replica.
func (e *Engine) discover(r *replica) {
	tries := 0
	for {
		wait, due := e.nextLook(r, tries)
		var timer <-chan time.Time
		if due {
			timer = e.clock.After(wait)
		}
		select {
		case <-e.quit:
			return
		case <-r.gone:
			return
		case <-r.wake:
			continue
		case <-timer:
		}
		if err := e.lookForNew(r); err != nil {
			tries++
			e.troubled(r, err)
			continue
		}
		tries = 0
	}
}

// nextLook tells how long to wait before the next look, and false if there is
// nothing to look for.
func (e *Engine) nextLook(r *replica, tries int) (time.Duration, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	open := r.rec.AllDatabases || slices.ContainsFunc(r.rec.Databases, isPattern)
	switch {
	case !open, r.looked && r.rec.NoNewDatabases:
		return 0, false
	case tries > 0:
		return backoff(e.cfg.Engine.RetryMin.Duration, e.cfg.Engine.RetryMax.Duration, tries), true
	case !r.looked:
		return 0, true
	}
	return time.Duration(r.rec.CheckIntervalS) * time.Second, true
}

// lookForNew adds a task for every database that belongs to the replica and
// has none.
func (e *Engine) lookForNew(r *replica) error {
	ctx, cancel := context.WithCancel(e.hard)
	defer cancel()
	go func() {
		select {
		case <-e.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := e.lock(ctx); err != nil {
		return err
	}
	defer e.unlock()
	e.mu.Lock()
	rec := r.rec
	e.mu.Unlock()
	f, err := e.look(ctx, rec)
	if err != nil {
		return err
	}
	names, err := f.choose(&rec.Replica, nil)
	if err != nil {
		return err
	}
	e.mu.Lock()
	names = slices.DeleteFunc(names, func(name string) bool { return r.tasks[name] != nil })
	e.mu.Unlock()
	select {
	case <-r.gone:
		return nil
	default:
	}
	if err := e.addTasks(r, names, &core.Result{}); err != nil {
		return err
	}
	e.mu.Lock()
	r.looked, r.note = true, ""
	e.supervise(r)
	e.mu.Unlock()
	for _, name := range names {
		e.event(core.Event{
			Level: core.LevelInfo, Kind: core.EventInstance, Replica: rec.ID, Database: name,
			Text: fmt.Sprintf("database `%s` exists on both sides: it is replicated from now on", name),
		})
	}
	e.changed()
	return nil
}

// troubled notes why a replica's databases are not known; an event tells it
// once, not at every try.
func (e *Engine) troubled(r *replica, err error) {
	if e.hard.Err() != nil {
		return
	}
	note := explain(err)
	e.mu.Lock()
	same := r.note == note
	r.note = note
	id := r.rec.ID
	e.mu.Unlock()
	if !same {
		e.event(core.Event{
			Level: core.LevelWarn, Kind: core.EventError, Replica: id, Text: "cannot look for databases: " + note,
		})
	}
}
