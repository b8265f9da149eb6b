package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/store"
)

var _ core.Controller = (*Engine)(nil)

// Changes implements core.Controller.
func (e *Engine) Changes() <-chan struct{} { return e.changes }

// Events implements core.Controller: from memory, and from the state file for
// what is older.
func (e *Engine) Events(_ context.Context, after uint64, limit int) ([]core.Event, error) {
	if events, all := e.events.after(after, limit); all {
		return events, nil
	}
	if err := e.events.flush(e.store); err != nil {
		return nil, err
	}
	return e.store.Events(after, limit)
}

// Shutdown implements core.Controller. The one who called Run sees Done and
// ends its context.
func (e *Engine) Shutdown(_ context.Context, by core.Actor) error {
	if e.opts.ReadOnly {
		return core.ErrReadOnly
	}
	e.event(core.Event{Level: core.LevelInfo, Kind: core.EventCommand, Actor: by, Text: "stop the instance"})
	e.doneOnce.Do(func() { close(e.done) })
	return nil
}

// Start implements core.Controller.
func (e *Engine) Start(ctx context.Context, req core.StartRequest) (*core.Result, error) {
	if e.opts.ReadOnly {
		return nil, core.ErrReadOnly
	}
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	if req.ID != "" {
		r, err := e.replica(req.ID)
		if err != nil {
			return nil, err
		}
		return e.extend(ctx, r, req)
	}
	source, sink, err := e.pair(req.Source, req.Sink)
	if err != nil {
		return nil, err
	}
	if r := e.replicaOf(source.address, sink.address); r != nil {
		return e.extend(ctx, r, req)
	}
	return e.create(ctx, source, sink, req)
}

// create makes a new replica, after everything that can be checked was.
func (e *Engine) create(ctx context.Context, source, sink side, req core.StartRequest) (*core.Result, error) {
	defaults := config.DefaultReplica()
	rec := store.Replica{
		Replica: core.Replica{
			Source: source.address, Sink: sink.address, Origin: core.FromCommand,
			AllDatabases: len(req.Databases) == 0, Databases: req.Databases,
			CheckIntervalS: int64(defaults.CheckInterval.Seconds()), Workers: defaults.Workers,
			StartFrom: defaults.StartFrom, MaxLagS: int64(defaults.MaxLag.Seconds()),
			MaxInterruptedS: int64(defaults.MaxInterrupted.Seconds()),
		},
		SourceEndpoint: source.endpoint, SinkEndpoint: sink.endpoint,
		CreatedAt: e.clock.Now(), NextTask: 1,
	}
	if err := applyOptions(&rec.Replica, req.Options); err != nil {
		return nil, err
	}
	found, err := e.look(ctx, rec)
	if err != nil {
		return nil, err
	}
	names, err := found.choose(&rec.Replica, req.Databases)
	if err != nil {
		return nil, err
	}
	rec.ID = store.NewID(func(id string) bool { _, err := e.replica(id); return err == nil })
	r := newReplica(rec)
	r.looked = true
	res := &core.Result{ID: rec.ID, Warnings: found.warnings}
	if err := e.addTasks(r, names, res); err != nil {
		return nil, err
	}
	e.adopt(r)
	e.command(req.Actor, rec.ID, "", fmt.Sprintf("start %s → %s as %s: %s", rec.Source, rec.Sink, rec.ID, listOr(names, "no database yet")))
	return res, nil
}

// extend adds databases to a replica that exists and starts what is stopped.
func (e *Engine) extend(ctx context.Context, r *replica, req core.StartRequest) (*core.Result, error) {
	e.mu.Lock()
	rec := r.rec
	rec.Databases = slices.Clone(rec.Databases)
	have := make(map[string]bool, len(r.tasks))
	for name := range r.tasks {
		have[name] = true
	}
	e.mu.Unlock()
	if err := applyOptions(&rec.Replica, req.Options); err != nil {
		return nil, err
	}
	all := req.ID == "" && len(req.Databases) == 0
	missing := slices.DeleteFunc(slices.Clone(req.Databases), func(name string) bool { return have[name] })
	res := &core.Result{ID: rec.ID}
	var names []string
	if all || len(missing) > 0 {
		found, err := e.look(ctx, rec)
		if err != nil {
			return nil, err
		}
		rec.AllDatabases = rec.AllDatabases || all
		if names, err = found.choose(&rec.Replica, missing); err != nil {
			return nil, err
		}
		names = slices.DeleteFunc(names, func(name string) bool { return have[name] })
		res.Warnings = found.warnings
	}
	for _, name := range missing {
		if !rec.AllDatabases && !slices.Contains(rec.Databases, name) {
			rec.Databases = append(rec.Databases, name)
		}
	}
	e.startStopped(r, req.Databases, res)
	e.mu.Lock()
	rec.NextTask = r.rec.NextTask
	r.rec = rec
	e.mu.Unlock()
	if err := e.addTasks(r, names, res); err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.supervise(r)
	e.mu.Unlock()
	signal(r.wake)
	e.command(req.Actor, rec.ID, "", "start "+rec.ID+": "+outcomes(res))
	return res, nil
}

// startStopped makes the named tasks of a replica (all without names) wanted.
func (e *Engine) startStopped(r *replica, names []string, res *core.Result) {
	for _, t := range e.tasksOf(r, names) {
		outcome := core.OutcomeStarted
		if before := t.want(func(i *intent) { i.desired = core.WantRunning }); before.desired == core.WantRunning {
			outcome = core.OutcomeAlreadyRunning
		}
		// A failed task is wanted already; asking for it again tries again.
		if outcome == core.OutcomeAlreadyRunning && t.current() == core.Failed {
			t.want(func(i *intent) { i.restart = true })
			outcome = core.OutcomeStarted
		}
		res.Tasks = append(res.Tasks, core.TaskResult{Replica: t.key.Replica, Database: t.key.Database, Outcome: outcome})
	}
}

// addTasks creates tasks and writes them down together with their replica. The
// caller holds the right to create.
func (e *Engine) addTasks(r *replica, names []string, res *core.Result) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	rec := r.rec
	var recs []store.Task
	for _, name := range names {
		if r.tasks[name] != nil {
			continue
		}
		recs = append(recs, store.Task{
			Replica: rec.ID, Database: name, Number: rec.NextTask, Desired: core.WantRunning,
			CreatedAt: e.clock.Now(), Topic: topicName(name), Group: groupName(e.store.InstanceID(), rec.ID, name),
		})
		rec.NextTask++
	}
	if err := e.store.PutReplica(rec, recs...); err != nil {
		return err
	}
	r.rec = rec
	for _, t := range recs {
		r.tasks[t.Database] = newTask(e, r, t)
		res.Tasks = append(res.Tasks, core.TaskResult{Replica: rec.ID, Database: t.Database, Outcome: core.OutcomeCreated})
	}
	return nil
}

// adopt makes a new replica part of the instance.
func (e *Engine) adopt(r *replica) {
	e.mu.Lock()
	e.replicas[r.rec.ID] = r
	e.supervise(r)
	e.mu.Unlock()
	e.changed()
}

// Stop implements core.Controller. It returns when the stop is wanted and
// written down, not when the write in flight is finished.
func (e *Engine) Stop(_ context.Context, req core.TargetRequest) (*core.Result, error) {
	return e.each(req, "stop", func(t *task) core.Outcome {
		before := t.want(func(i *intent) { i.desired, i.restart = core.WantStopped, false })
		if before.desired == core.WantStopped {
			return core.OutcomeAlreadyStopped
		}
		return core.OutcomeStopped
	})
}

// Restart implements core.Controller. A stopped task is started by it.
func (e *Engine) Restart(_ context.Context, req core.TargetRequest) (*core.Result, error) {
	return e.each(req, "restart", func(t *task) core.Outcome {
		t.want(func(i *intent) { i.desired, i.restart = core.WantRunning, true })
		return core.OutcomeRestarted
	})
}

// each carries a request out on every task it names.
func (e *Engine) each(req core.TargetRequest, verb string, act func(*task) core.Outcome) (*core.Result, error) {
	if e.opts.ReadOnly {
		return nil, core.ErrReadOnly
	}
	tasks := e.allTasks()
	if !req.All {
		r, err := e.replica(req.ID)
		if err != nil {
			return nil, err
		}
		tasks = e.tasksOf(r, req.Databases)
		for _, name := range req.Databases {
			if !slices.ContainsFunc(tasks, func(t *task) bool { return t.key.Database == name }) {
				return nil, &core.RefusedError{
					Text: fmt.Sprintf("replica %s has no task for database `%s`", req.ID, name),
					Hint: "`tdreplica status " + req.ID + "` lists its tasks",
				}
			}
		}
	}
	sortTasks(tasks)
	res := &core.Result{ID: req.ID, Tasks: []core.TaskResult{}}
	for _, t := range tasks {
		res.Tasks = append(res.Tasks, core.TaskResult{Replica: t.key.Replica, Database: t.key.Database, Outcome: act(t)})
	}
	e.command(req.Actor, req.ID, strings.Join(req.Databases, ","), verb+": "+outcomes(res))
	return res, e.flush(false)
}

// Update implements core.Controller.
func (e *Engine) Update(ctx context.Context, req core.UpdateRequest) (*core.Result, error) {
	if e.opts.ReadOnly {
		return nil, core.ErrReadOnly
	}
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	r, err := e.replica(req.ID)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	rec := r.rec
	err = applyOptions(&rec.Replica, req.Options)
	if err == nil {
		err = e.store.PutReplica(rec)
	}
	if err == nil {
		r.rec = rec
	}
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	signal(r.wake)
	res := &core.Result{ID: req.ID, Tasks: []core.TaskResult{}}
	for _, t := range e.tasksOf(r, nil) {
		res.Tasks = append(res.Tasks, core.TaskResult{Replica: req.ID, Database: t.key.Database, Outcome: core.OutcomeUpdated})
	}
	e.command(req.Actor, req.ID, "", "update the settings")
	return res, nil
}

// applyOptions changes a replica's settings as far as they are given.
func applyOptions(r *core.Replica, o core.Options) error {
	refuse := func(format string, args ...any) error {
		return &core.RefusedError{Text: fmt.Sprintf(format, args...)}
	}
	if o.CheckIntervalS != nil && *o.CheckIntervalS < 1 {
		return refuse("the new-database checking interval is %d s; allowed: 1 s and more", *o.CheckIntervalS)
	}
	if o.Workers != nil && (*o.Workers < 1 || *o.Workers > 64) {
		return refuse("workers is %d; allowed: 1 to 64", *o.Workers)
	}
	if o.StartFrom != nil && *o.StartFrom != "earliest" && *o.StartFrom != "latest" {
		return refuse("start_from is %q; allowed: earliest, latest", *o.StartFrom)
	}
	if o.Exclude != nil {
		r.Exclude = slices.Clone(o.Exclude)
	}
	set(&r.CreateDatabases, o.CreateDatabases)
	set(&r.NoNewDatabases, o.NoNewDatabases)
	set(&r.CheckIntervalS, o.CheckIntervalS)
	set(&r.Workers, o.Workers)
	set(&r.StartFrom, o.StartFrom)
	set(&r.MaxLagS, o.MaxLagS)
	set(&r.MaxInterruptedS, o.MaxInterruptedS)
	return nil
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// replica finds one by its id.
func (e *Engine) replica(id string) (*replica, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.replicas[id]; r != nil {
		return r, nil
	}
	known := make([]string, 0, len(e.replicas))
	for id := range e.replicas {
		known = append(known, id)
	}
	slices.Sort(known)
	return nil, &core.UnknownReplicaError{ID: id, Known: known}
}

// replicaOf finds the one replica of a source and a sink, or nil.
func (e *Engine) replicaOf(source, sink string) *replica {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.replicas {
		if r.rec.Source == source && r.rec.Sink == sink {
			return r
		}
	}
	return nil
}

// tasksOf returns a replica's tasks of these databases; all without names.
func (e *Engine) tasksOf(r *replica, names []string) []*task {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*task
	for name, t := range r.tasks {
		if len(names) == 0 || slices.Contains(names, name) {
			out = append(out, t)
		}
	}
	sortTasks(out)
	return out
}

func sortTasks(tasks []*task) {
	slices.SortFunc(tasks, func(a, b *task) int {
		if c := strings.Compare(a.key.Replica, b.key.Replica); c != 0 {
			return c
		}
		return a.rec.Number - b.rec.Number
	})
}

func (e *Engine) command(by core.Actor, replica, database, text string) {
	e.event(core.Event{
		Level: core.LevelInfo, Kind: core.EventCommand, Replica: replica, Database: database, Actor: by, Text: text,
	})
}

// outcomes says in words what was done: "power created, factory started".
func outcomes(res *core.Result) string {
	var parts []string
	for _, t := range res.Tasks {
		parts = append(parts, t.Database+" "+string(t.Outcome))
	}
	return listOr(parts, "nothing to do")
}

func listOr(words []string, none string) string {
	if len(words) == 0 {
		return none
	}
	return strings.Join(words, ", ")
}

// both runs two checks at the same time, each below the same deadline.
func both(ctx context.Context, limit time.Duration, first, second func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var wg sync.WaitGroup
	var errs [2]error
	wg.Go(func() { errs[0] = first(ctx) })
	wg.Go(func() { errs[1] = second(ctx) })
	wg.Wait()
	if errs[0] != nil {
		return errs[0]
	}
	return errs[1]
}
