package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tdreplica/core"
	"tdreplica/core/store"
)

// Start creates a replica, extends one, or starts what is stopped. Whatever
// can be checked within a few seconds is checked before anything is created.
func (e *Engine) Start(ctx context.Context, req core.StartRequest) (_ *core.Result, err error) {
	defer func() { e.failed("start", req.ID, req.Actor, err) }()
	if e.opts.ReadOnly {
		return nil, core.ErrReadOnly
	}
	if err := checkOptions(req.Options); err != nil {
		return nil, err
	}
	for _, name := range req.Databases {
		if name == "" || strings.ContainsAny(name, "`'\"/\\ \t\r\n") {
			return nil, &core.RefusedError{Text: fmt.Sprintf("%q is not the name of a database", name)}
		}
	}
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	r, rec, known, err := e.subject(req)
	if err != nil {
		return nil, err
	}
	setOptions(&rec, req.Options)
	if err := e.checkRaw(rec.ID, rec.Source, rec.Sink, rec.RawRows); err != nil {
		return nil, err
	}
	named := slices.Clone(req.Databases)
	if !known && len(named) == 0 {
		rec.AllDatabases = true
	}
	for _, name := range named {
		if !slices.Contains(rec.Databases, name) && !(rec.AllDatabases && isPattern(name)) {
			rec.Databases = append(rec.Databases, name)
		}
	}
	fresh, warnings, err := e.databasesFor(ctx, r, rec, known, named, req)
	if err != nil {
		return nil, err
	}
	res, err := e.establish(r, rec, known, fresh, named, req.Actor)
	if err == nil {
		res.Warnings = append(res.Warnings, warnings...)
	}
	return res, err
}

// subject finds the replica that a request is about, or drafts a new one.
func (e *Engine) subject(req core.StartRequest) (r *replica, rec store.Replica, known bool, err error) {
	if req.ID != "" && req.Source.URL == "" && req.Sink.URL == "" {
		if r, err = e.find(req.ID); err != nil {
			return nil, rec, false, err
		}
		return r, e.replicaRecord(r), true, nil
	}
	source, err := e.resolve("source", req.Source)
	if err != nil {
		return nil, rec, false, err
	}
	sink, err := e.resolve("sink", req.Sink)
	if err != nil {
		return nil, rec, false, err
	}
	if source.URL == sink.URL {
		return nil, rec, false, &core.RefusedError{Text: "source and sink are the same endpoint: " + source.URL}
	}
	if r = e.findPair(source.URL, sink.URL); r != nil {
		rec = e.replicaRecord(r)
		if source.HasCredentials() {
			rec.SourceEndpoint = source
		}
		if sink.HasCredentials() {
			rec.SinkEndpoint = sink
		}
		return r, rec, true, nil
	}
	rec = e.draft(source, sink, core.FromCommand)
	if req.ID != "" {
		e.mu.Lock()
		taken := e.replicas[req.ID] != nil
		e.mu.Unlock()
		if taken {
			return nil, rec, false, &core.RefusedError{Text: fmt.Sprintf("the id %q belongs to a replica with another source or sink", req.ID)}
		}
		rec.ID = req.ID
	}
	return newReplica(rec), rec, false, nil
}

// draft is a new replica with the settings that nobody gave.
func (e *Engine) draft(source, sink core.Endpoint, from core.Origin) store.Replica {
	e.mu.Lock()
	id := store.NewID(func(id string) bool { return e.replicas[id] != nil })
	e.mu.Unlock()
	return store.Replica{
		Replica: core.Replica{
			ID: id, Source: source.URL, Sink: sink.URL, Origin: from,
			CheckIntervalS: int64(core.DefaultCheckInterval.Seconds()), Workers: 1, StartFrom: "earliest", MaxInterruptedS: 300, HoldWALLimitS: int64(core.DefaultHoldLimit.Seconds()),
		},
		SourceEndpoint: source, SinkEndpoint: sink, CreatedAt: e.clock.Now(), NextTask: 1,
	}
}

// databasesFor returns the databases that the replica does not have yet and
// should, after checking both sides. Where nothing new is asked of the
// endpoints they are not bothered: then an operator can start a task although
// a side is down, and it waits for it.
func (e *Engine) databasesFor(ctx context.Context, r *replica, rec store.Replica, known bool, named []string, req core.StartRequest) ([]string, []string, error) {
	// The whole pair named once more means: whatever there is by now.
	again := len(named) == 0 && req.Source.URL != "" && rec.AllDatabases && !rec.NoNewDatabases
	news := !known || again || req.Source.HasCredentials() || req.Sink.HasCredentials()
	for _, name := range named {
		news = news || isPattern(name) || !e.has(r, name)
	}
	if !news {
		return nil, nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	source, sink, err := e.catalogs(ctx, rec.SourceEndpoint, rec.SinkEndpoint)
	if err != nil {
		return nil, nil, err
	}
	defer source.Close()
	defer sink.Close()
	warnings, err := e.checkVersions(rec.ID, rec.Source, rec.Sink, source.Versions(), sink.Versions())
	if err != nil {
		return nil, nil, err
	}
	there, err := listBoth(ctx, source, sink)
	if err != nil {
		return nil, nil, err
	}
	fresh, err := there.wanted(rec, named)
	if err != nil {
		return nil, nil, err
	}
	for _, ep := range []core.Endpoint{rec.SourceEndpoint, rec.SinkEndpoint} {
		if !ep.HasCredentials() {
			warnings = append(warnings, "no credentials were given for "+ep.URL+": the vendor's default user and password are used")
		}
	}
	if len(fresh) == 0 && !known {
		warnings = append(warnings, "no database exists on both sides yet")
	}
	return fresh, warnings, nil
}

func (e *Engine) has(r *replica, name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return r.tasks[name] != nil
}

// establish stores the replica with its new tasks and sets going what the
// request is about: the named databases, or all.
func (e *Engine) establish(r *replica, rec store.Replica, known bool, fresh, named []string, by core.Actor) (*core.Result, error) {
	created, err := e.addTasks(r, rec, fresh, known)
	if err != nil {
		return nil, err
	}
	res := &core.Result{ID: rec.ID, Tasks: []core.TaskResult{}}
	tasks, err := e.targets(core.TargetRequest{ID: rec.ID})
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		name, outcome := t.key.Database, core.OutcomeCreated
		if !slices.Contains(created, name) {
			if len(named) > 0 && !matches(named, nil, name) {
				continue
			}
			// An operator who starts what has failed wants it tried again.
			failed := t.current() == core.Failed
			before := t.want(func(i *intent) { i.desired, i.restart = core.WantRunning, i.restart || failed })
			outcome = core.OutcomeStarted
			if before.desired == core.WantRunning && !failed {
				outcome = core.OutcomeAlreadyRunning
			}
		}
		res.Tasks = append(res.Tasks, core.TaskResult{Replica: rec.ID, Database: name, Outcome: outcome})
		e.event(core.Event{Level: core.LevelInfo, Kind: core.EventCommand, Actor: by, Replica: rec.ID, Database: name, Text: "start: " + string(outcome)})
	}
	return res, e.persist(tasks)
}

// addTasks stores a replica and new tasks of it in one transaction, and sets
// them going. It returns those that did not exist.
func (e *Engine) addTasks(r *replica, rec store.Replica, names []string, known bool) ([]string, error) {
	var created []string
	var recs []store.Task
	var tasks []*task
	for _, name := range names {
		if e.has(r, name) {
			continue
		}
		tr := store.Task{
			Replica: rec.ID, Database: name, Number: max(1, rec.NextTask), Desired: core.WantRunning, CreatedAt: e.clock.Now(),
		}
		tr.Last = core.Task{Diff: core.Unknown}
		rec.NextTask = tr.Number + 1
		t := newTask(e, r, tr)
		created, tasks = append(created, name), append(tasks, t)
		recs = append(recs, t.keep(e.clock.Now()))
	}
	if err := e.store.PutReplica(rec, recs...); err != nil {
		for _, t := range tasks {
			e.crossings.leave(rec.Source, rec.Sink, t.key.Database)
		}
		return nil, err
	}
	e.mu.Lock()
	r.rec = rec
	r.limit.set(rec.MaxBytesPerS)
	for _, t := range tasks {
		r.tasks[t.key.Database] = t
	}
	if !known {
		e.replicas[rec.ID] = r
	}
	e.supervise(r)
	e.mu.Unlock()
	signal(r.wake)
	e.changed()
	return created, nil
}
