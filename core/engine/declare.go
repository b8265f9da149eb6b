package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/store"
)

// declare makes the replicas of the configuration exist, without talking to
// any endpoint: their tasks find out for themselves whether it is there. What
// an operator stopped stays stopped, and what is no longer declared is only
// marked as such.
func (e *Engine) declare() error {
	// A request holds the lock for a few seconds at most.
	if err := e.lock(context.Background()); err != nil {
		return err
	}
	defer e.unlock()
	declared := map[string]bool{}
	for _, want := range e.cfg.Replicas {
		id, err := e.declareOne(want)
		if err != nil {
			return err
		}
		declared[id] = true
	}
	e.mu.Lock()
	replicas := slices.Collect(maps.Values(e.replicas))
	e.mu.Unlock()
	for _, r := range replicas {
		rec := e.replicaRecord(r)
		undeclared := rec.Origin == core.FromConfig && !declared[rec.ID]
		if rec.Undeclared == undeclared {
			continue
		}
		rec.Undeclared = undeclared
		if err := e.keepReplica(r, rec); err != nil {
			return err
		}
		if undeclared {
			e.event(core.Event{
				Level: core.LevelWarn, Kind: core.EventInstance, Replica: rec.ID,
				Text: "the configuration declares this replica no longer; it goes on until it is removed",
			})
		}
	}
	return nil
}

func (e *Engine) declareOne(want config.Replica) (string, error) {
	source, err := e.resolve("source", core.Endpoint{URL: want.Source})
	if err != nil {
		return "", fmt.Errorf("declare replica %q: %w", want.ID, err)
	}
	sink, err := e.resolve("sink", core.Endpoint{URL: want.Sink})
	if err != nil {
		return "", fmt.Errorf("declare replica %q: %w", want.ID, err)
	}
	r := e.findPair(source.URL, sink.URL)
	known := r != nil
	var rec store.Replica
	if known {
		rec = e.replicaRecord(r)
		rec.SourceEndpoint, rec.SinkEndpoint = source, sink
	} else {
		rec = e.draft(source, sink, core.FromConfig)
		if want.ID != "" {
			if other := e.replicas[want.ID]; other != nil {
				return "", fmt.Errorf("declare replica %q: the id belongs to %s → %s; remove that replica first, or choose another id",
					want.ID, other.rec.Source, other.rec.Sink)
			}
			rec.ID = want.ID
		}
		r = newReplica(rec)
	}
	rec.Origin, rec.Undeclared = core.FromConfig, false
	rec.AllDatabases = len(want.Databases) == 0
	rec.Databases, rec.Exclude = want.Databases, want.Exclude
	rec.CreateDatabases, rec.NoNewDatabases = want.CreateDatabases, want.NoNewDatabases
	rec.CheckIntervalS, rec.Workers, rec.StartFrom = int64(want.CheckInterval.Seconds()), int(want.Workers), want.StartFrom
	rec.GroupName, rec.RawRows = want.GroupName, want.RawRows
	rec.MaxBytesPerS = int64(want.MaxBytesPerSecond)
	rec.HoldWAL, rec.HoldWALLimitS = want.HoldWAL, int64(want.HoldWALLimit.Seconds())
	rec.MaxLagS, rec.MaxInterruptedS = int64(want.MaxLag.Seconds()), int64(want.MaxInterrupted.Seconds())
	names := slices.DeleteFunc(slices.Clone(want.Databases), isPattern)
	created, err := e.addTasks(r, rec, names, known)
	if err != nil {
		return "", err
	}
	if !known || len(created) > 0 {
		e.event(core.Event{
			Level: core.LevelInfo, Kind: core.EventCommand, Actor: core.Actor{Via: "config"}, Replica: rec.ID,
			Text: fmt.Sprintf("declared: %s → %s", rec.Source, rec.Sink),
		})
	}
	return rec.ID, nil
}
