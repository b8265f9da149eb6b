package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/store"
)

// inventory is what exists on both sides.
type inventory struct {
	source, sink map[string]core.Database
}

func listBoth(ctx context.Context, source, sink Catalog) (*inventory, error) {
	a, err := source.Databases(ctx)
	if err != nil {
		return nil, err
	}
	b, err := sink.Databases(ctx)
	if err != nil {
		return nil, err
	}
	inv := &inventory{source: map[string]core.Database{}, sink: map[string]core.Database{}}
	for _, db := range a {
		inv.source[db.Name] = db
	}
	for _, db := range b {
		inv.sink[db.Name] = db
	}
	return inv, nil
}

// wanted lists the databases that belong to a replica. Those named by name
// must exist; patterns and "all" take what is on both sides, or at the source
// if databases are to be created.
func (inv *inventory) wanted(rec store.Replica, named []string) ([]string, error) {
	var out, patterns []string
	for _, name := range named {
		if isPattern(name) {
			patterns = append(patterns, name)
			continue
		}
		if _, ok := inv.source[name]; !ok {
			return nil, &core.RefusedError{Text: noDatabase(name, rec.Source).Error()}
		}
		if _, ok := inv.sink[name]; !ok && !rec.CreateDatabases {
			return nil, &core.RefusedError{
				Text: noDatabase(name, rec.Sink).Error(), Hint: "create it there, or use --create-databases",
			}
		}
		out = append(out, name)
	}
	if len(named) == 0 && rec.AllDatabases || len(patterns) > 0 {
		out = append(out, inv.matching(rec, patterns)...)
	}
	return out, nil
}

func (inv *inventory) matching(rec store.Replica, patterns []string) []string {
	var out []string
	for name := range inv.source {
		if _, ok := inv.sink[name]; (ok || rec.CreateDatabases) && !core.IsSystemDatabase(name) && matches(patterns, rec.Exclude, name) {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

func matches(patterns, exclude []string, name string) bool {
	return config.MatchDatabases(patterns, exclude, name)
}

// searching reports whether a replica's databases are not all named.
func searching(rec store.Replica) bool {
	return rec.AllDatabases || slices.ContainsFunc(rec.Databases, isPattern)
}

// discover looks for databases of a replica that have appeared on both sides:
// at once when the replica has none yet, then at its interval.
func (e *Engine) discover(r *replica) {
	id := e.replicaRecord(r).ID
	defer func() {
		if v := recover(); v != nil {
			e.event(core.Event{Level: core.LevelError, Kind: core.EventError, Replica: id, Text: fmt.Sprint("looking for new databases ended by an internal error: ", v)})
		}
	}()
	looked, failures := e.clock.Now(), 0
	first := true
	for {
		rec := e.replicaRecord(r)
		due := e.lookDue(r, rec, first, failures)
		var timer <-chan time.Time
		if due >= 0 {
			timer = e.clock.After(max(0, due-e.clock.Now().Sub(looked)))
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
		err := e.look(r)
		looked = e.clock.Now()
		if err == nil {
			first, failures = false, 0
			e.noteReplica(r, "")
			continue
		}
		failures++
		e.noteReplica(r, "looking for databases: "+explain(err))
	}
}

// lookDue is how long after the last look the next one is, or negative for
// never.
func (e *Engine) lookDue(r *replica, rec store.Replica, first bool, failures int) time.Duration {
	interval := time.Duration(rec.CheckIntervalS) * time.Second
	if interval <= 0 {
		interval = core.DefaultCheckInterval
	}
	e.mu.Lock()
	none := len(r.tasks) == 0
	e.mu.Unlock()
	switch {
	case !searching(rec), rec.NoNewDatabases && !none:
		return -1
	case failures > 0:
		return min(interval, e.pause(errors.New("unreachable"), failures))
	case first && rec.Origin == core.FromConfig, first && none:
		return 0
	}
	return interval
}

// endWith cancels what is done for a replica when the instance stops or the replica
// is removed, until it is told that it is over; then it is cancelled, too.
func (e *Engine) endWith(r *replica, cancel context.CancelFunc) (over func()) {
	stop := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-e.quit:
		case <-r.gone:
		case <-stop:
		}
		cancel()
	})
	return func() {
		close(stop)
		watcher.Wait()
	}
}

// look adds the databases that appeared.
func (e *Engine) look(r *replica) error {
	ctx, cancel := e.request(e.hard)
	defer cancel()
	defer e.endWith(r, cancel)()
	rec := e.replicaRecord(r)
	source, sink, err := e.catalogs(ctx, rec.SourceEndpoint, rec.SinkEndpoint)
	if err != nil {
		return err
	}
	defer source.Close()
	defer sink.Close()
	inv, err := listBoth(ctx, source, sink)
	if err != nil {
		return err
	}
	var patterns []string
	if !rec.AllDatabases {
		patterns = slices.DeleteFunc(slices.Clone(rec.Databases), func(s string) bool { return !isPattern(s) })
	}
	names := slices.DeleteFunc(inv.matching(rec, patterns), func(name string) bool { return e.has(r, name) })
	if len(names) == 0 {
		return nil
	}
	if err := e.lock(ctx); err != nil {
		return err
	}
	defer e.unlock()
	select {
	case <-r.gone:
		return nil
	default:
	}
	created, err := e.addTasks(r, e.replicaRecord(r), names, true)
	if err != nil {
		return err
	}
	e.event(core.Event{
		Level: core.LevelInfo, Kind: core.EventCommand, Replica: rec.ID,
		Text: "found on both sides and added: " + strings.Join(created, ", "),
	})
	return nil
}

// noteReplica shows why a replica's databases are not known.
func (e *Engine) noteReplica(r *replica, note string) {
	e.mu.Lock()
	was, id := r.note, r.rec.ID
	r.note = note
	e.mu.Unlock()
	if was == note {
		return
	}
	ev := core.Event{Level: core.LevelInfo, Kind: core.EventError, Replica: id, Text: "looking for databases works again"}
	if note != "" {
		ev.Level, ev.Text = core.LevelWarn, note
	}
	e.event(ev)
}
