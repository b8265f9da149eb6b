package engine

import (
	"fmt"
	"slices"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/store"
)

// declare makes the replicas of the configuration exist. What an operator
// stopped stays stopped; a replica that the configuration no longer declares
// is marked, never deleted. No endpoint is contacted: declared replicas exist
// even while their servers do not.
func (e *Engine) declare() error {
	declared := map[string]bool{}
	for _, d := range e.cfg.Replicas {
		source, sink, err := e.pair(core.Endpoint{URL: d.Source}, core.Endpoint{URL: d.Sink})
		if err != nil {
			return fmt.Errorf("replica %q of the configuration: %w", d.ID, err)
		}
		r := e.replicaOf(source.address, sink.address)
		if r == nil {
			r = newReplica(store.Replica{
				Replica:   core.Replica{ID: e.declaredID(d.ID), Source: source.address, Sink: sink.address},
				CreatedAt: e.clock.Now(), NextTask: 1,
			})
			e.mu.Lock()
			e.replicas[r.rec.ID] = r
			e.mu.Unlock()
			e.event(core.Event{
				Level: core.LevelInfo, Kind: core.EventCommand, Replica: r.rec.ID, Actor: core.Actor{Via: "config"},
				Text: fmt.Sprintf("declare %s → %s", source.address, sink.address),
			})
		}
		declared[r.rec.ID] = true
		e.mu.Lock()
		settle(&r.rec, d)
		r.rec.SourceEndpoint, r.rec.SinkEndpoint = source.endpoint, sink.endpoint
		e.mu.Unlock()
		plain := slices.DeleteFunc(slices.Clone(d.Databases), isPattern)
		if err := e.addTasks(r, plain, &core.Result{}); err != nil {
			return err
		}
	}
	return e.undeclare(declared)
}

// declaredID is the id that a declaration asks for, or a new word if it asks
// for none or if another replica has it.
func (e *Engine) declaredID(id string) string {
	taken := func(id string) bool { return e.replicas[id] != nil }
	e.mu.Lock()
	defer e.mu.Unlock()
	if id != "" && !taken(id) {
		return id
	}
	for _, d := range e.cfg.Replicas {
		if d.ID != "" {
			reserved, before := d.ID, taken
			taken = func(id string) bool { return id == reserved || before(id) }
		}
	}
	return store.NewID(taken)
}

// settle writes a declaration's settings into a replica's record.
func settle(rec *store.Replica, d config.Replica) {
	rec.Origin, rec.Undeclared = core.FromConfig, false
	rec.AllDatabases, rec.Databases, rec.Exclude = len(d.Databases) == 0, d.Databases, d.Exclude
	rec.CreateDatabases, rec.NoNewDatabases = d.CreateDatabases, d.NoNewDatabases
	rec.CheckIntervalS = int64(d.CheckInterval.Seconds())
	rec.Workers, rec.StartFrom = d.Workers, d.StartFrom
	rec.MaxLagS, rec.MaxInterruptedS = int64(d.MaxLag.Seconds()), int64(d.MaxInterrupted.Seconds())
}

// undeclare marks the replicas that the configuration declared once and no
// longer does.
func (e *Engine) undeclare(declared map[string]bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, r := range e.replicas {
		if r.rec.Origin != core.FromConfig || declared[id] || r.rec.Undeclared {
			continue
		}
		r.rec.Undeclared = true
		if err := e.store.PutReplica(r.rec); err != nil {
			return err
		}
	}
	return nil
}
