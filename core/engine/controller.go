package engine

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/store"
)

var _ core.Controller = (*Engine)(nil)

// resolve turns what was given as an endpoint into one with a canonical URL:
// a name of the configuration is looked up, credentials in the URL are taken
// out of it, and credentials that were given beside it win.
func (e *Engine) resolve(which string, ep core.Endpoint) (core.Endpoint, error) {
	given := ep
	if named, ok := e.cfg.Endpoints[ep.URL]; ok {
		ep = core.Endpoint{
			URL: named.URL, User: named.User, PasswordFile: named.PasswordFile, PasswordEnv: named.PasswordEnv,
			TokenFile: named.TokenFile, TLSCAFile: named.TLSCAFile, TLSSkip: named.TLSSkipVerify,
			Compression: named.Compression,
		}
	} else if config.EndpointName(ep.URL) {
		return core.Endpoint{}, e.noEndpoint(which, ep.URL)
	} else {
		ep = core.Endpoint{URL: ep.URL}
	}
	addr, user, err := config.ParseAddress(ep.URL)
	if err != nil {
		return core.Endpoint{}, &core.RefusedError{Text: which + ": " + err.Error()}
	}
	ep.URL = addr.String()
	if user != nil {
		ep.User = user.Username()
		if password, ok := user.Password(); ok {
			ep.Password, ep.PasswordFile, ep.PasswordEnv = password, "", ""
		}
	}
	override(&ep, given)
	return ep, nil
}

// noEndpoint is the error for a name that the configuration does not have, which may
// have been written into the file after the instance had read it.
func (e *Engine) noEndpoint(which, name string) error {
	known := strings.Join(slices.Sorted(maps.Keys(e.cfg.Endpoints)), ", ")
	if known == "" {
		known = "none"
	}
	return &core.RefusedError{
		Text: fmt.Sprintf("%s: %q is neither a URL nor an endpoint of the configuration; known: %s", which, name, known),
		Hint: fmt.Sprintf("write http://%s:%d, or declare [endpoints.%s]; an instance reads its configuration when it starts", name, config.DefaultPort, name),
	}
}

// override replaces credentials by those that were given; one way to prove
// who one is replaces all others.
func override(ep *core.Endpoint, given core.Endpoint) {
	if given.User != "" {
		ep.User = given.User
	}
	if given.Password+given.PasswordFile+given.PasswordEnv+given.Token+given.TokenFile != "" {
		ep.Password, ep.PasswordFile, ep.PasswordEnv = given.Password, given.PasswordFile, given.PasswordEnv
		ep.Token, ep.TokenFile = given.Token, given.TokenFile
	}
	if given.TLSCAFile != "" {
		ep.TLSCAFile = given.TLSCAFile
	}
	ep.TLSSkip = ep.TLSSkip || given.TLSSkip
	ep.Compression = ep.Compression || given.Compression
}

// unknown is the error for an id that no replica has; the caller holds e.mu.
func (e *Engine) unknown(id string) error {
	err := &core.UnknownReplicaError{ID: id}
	for known := range e.replicas {
		err.Known = append(err.Known, known)
	}
	sort.Strings(err.Known)
	return err
}

func (e *Engine) find(id string) (*replica, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.replicas[id]; r != nil {
		return r, nil
	}
	return nil, e.unknown(id)
}

// findPair returns the replica of a source and a sink, or nil.
func (e *Engine) findPair(source, sink string) *replica {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.replicas {
		if r.rec.Source == source && r.rec.Sink == sink {
			return r
		}
	}
	return nil
}

// replicaRecord copies a replica's record.
func (e *Engine) replicaRecord(r *replica) store.Replica {
	e.mu.Lock()
	defer e.mu.Unlock()
	rec := r.rec
	rec.Databases = append([]string(nil), rec.Databases...)
	rec.Exclude = append([]string(nil), rec.Exclude...)
	return rec
}

// targets returns the tasks that a request names, sorted.
func (e *Engine) targets(req core.TargetRequest) ([]*task, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*task
	switch r := e.replicas[req.ID]; {
	case req.All:
		for _, r := range e.replicas {
			for _, t := range r.tasks {
				out = append(out, t)
			}
		}
	case r == nil:
		return nil, e.unknown(req.ID)
	case len(req.Databases) == 0:
		for _, t := range r.tasks {
			out = append(out, t)
		}
	default:
		for _, name := range req.Databases {
			t := r.tasks[name]
			if t == nil {
				return nil, &core.RefusedError{
					Text: fmt.Sprintf("replica %s has no database `%s`", req.ID, name),
					Hint: fmt.Sprintf("`start -i %s %s` adds it", req.ID, name),
				}
			}
			out = append(out, t)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if a, b := out[i].key.Replica, out[j].key.Replica; a != b {
			return a < b
		}
		return out[i].rec.Number < out[j].rec.Number
	})
	return out, nil
}

// direct changes what is wanted of tasks, remembers it, and reports what each
// change was.
func (e *Engine) direct(req core.TargetRequest, verb string, change func(*intent), outcome func(*task, intent) core.Outcome) (_ *core.Result, err error) {
	defer func() { e.failed(verb, req.ID, req.Actor, err) }()
	if e.opts.ReadOnly {
		return nil, core.ErrReadOnly
	}
	tasks, err := e.targets(req)
	if err != nil {
		return nil, err
	}
	res := &core.Result{ID: req.ID, Tasks: []core.TaskResult{}}
	for _, t := range tasks {
		o := outcome(t, t.want(change))
		res.Tasks = append(res.Tasks, core.TaskResult{Replica: t.key.Replica, Database: t.key.Database, Outcome: o})
		e.event(core.Event{
			Level: core.LevelInfo, Kind: core.EventCommand, Actor: req.Actor,
			Replica: t.key.Replica, Database: t.key.Database, Text: verb + ": " + string(o),
		})
	}
	return res, e.persist(tasks)
}

// Settings implements core.Controller.
func (e *Engine) Settings(context.Context) (string, error) { return e.cfg.Redacted(), nil }

// failed makes known that something was asked for in vain, and why: who looks
// into a night finds what was tried as well as what was done.
func (e *Engine) failed(verb, id string, by core.Actor, err error) {
	if err != nil {
		e.event(core.Event{Level: core.LevelWarn, Kind: core.EventCommand, Actor: by, Replica: id, Text: verb + ": " + explain(err)})
	}
}

// persist writes tasks at once: what an operator was told is so after a crash.
func (e *Engine) persist(tasks []*task) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	recs := make([]store.Task, 0, len(tasks))
	now := e.clock.Now()
	for _, t := range tasks {
		select {
		case <-t.replica.gone: // removed since somebody wanted something of it
		default:
			recs = append(recs, t.keep(now))
		}
	}
	return e.store.PutTasks(recs...)
}

// Stop makes tasks stop. It returns before they have; a snapshot tells.
func (e *Engine) Stop(_ context.Context, req core.TargetRequest) (*core.Result, error) {
	return e.direct(req, "stop", func(i *intent) { i.desired, i.restart = core.WantStopped, false },
		func(_ *task, before intent) core.Outcome {
			if before.desired == core.WantStopped {
				return core.OutcomeAlreadyStopped
			}
			return core.OutcomeStopped
		})
}

// Restart makes tasks stop and start again from the committed offset; it also
// starts what is stopped, and tries again what has failed.
func (e *Engine) Restart(_ context.Context, req core.TargetRequest) (*core.Result, error) {
	return e.direct(req, "restart", func(i *intent) { i.desired, i.restart = core.WantRunning, true },
		func(*task, intent) core.Outcome { return core.OutcomeRestarted })
}

// Update changes settings of a replica. Those that a pump reads when it starts
// (workers) take effect with the next start of a task. Without any it is refused.
func (e *Engine) Update(ctx context.Context, req core.UpdateRequest) (_ *core.Result, err error) {
	defer func() { e.failed("update", req.ID, req.Actor, err) }()
	if e.opts.ReadOnly {
		return nil, core.ErrReadOnly
	}
	if reflect.ValueOf(req.Options).IsZero() {
		return nil, &core.RefusedError{Text: "nothing to update: no option is given"}
	}
	if err := checkOptions(req.Options); err != nil {
		return nil, err
	}
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	r, err := e.find(req.ID)
	if err != nil {
		return nil, err
	}
	rec := e.replicaRecord(r)
	setOptions(&rec, req.Options)
	if err := e.checkRaw(rec.ID, rec.Source, rec.Sink, rec.RawRows); err != nil {
		return nil, err
	}
	if err := e.keepReplica(r, rec); err != nil {
		return nil, err
	}
	signal(r.wake)
	e.event(core.Event{Level: core.LevelInfo, Kind: core.EventCommand, Actor: req.Actor, Replica: req.ID, Text: "update: updated"})
	return &core.Result{ID: req.ID, Tasks: e.outcomes(r, core.OutcomeUpdated)}, nil
}

func (e *Engine) outcomes(r *replica, o core.Outcome) []core.TaskResult {
	tasks, _ := e.targets(core.TargetRequest{ID: r.rec.ID})
	out := []core.TaskResult{}
	for _, t := range tasks {
		out = append(out, core.TaskResult{Replica: t.key.Replica, Database: t.key.Database, Outcome: o})
	}
	return out
}

// keepReplica stores a replica's new record and makes it the one in force.
func (e *Engine) keepReplica(r *replica, rec store.Replica) error {
	if err := e.store.PutReplica(rec); err != nil {
		return err
	}
	e.mu.Lock()
	r.rec = rec
	r.limit.set(rec.MaxBytesPerS)
	e.mu.Unlock()
	e.changed()
	return nil
}

// minLimit is the least that a replica may be held to, in bytes per second. With
// less, one big message would keep the source waiting for longer than it does.
const minLimit = 64 << 10

func checkOptions(o core.Options) error {
	switch {
	case o.CheckIntervalS != nil && *o.CheckIntervalS < 1:
		return &core.RefusedError{Text: fmt.Sprintf("the checking interval is %d; allowed: 1 second or more", *o.CheckIntervalS)}
	case o.Workers != nil && (*o.Workers < core.AutoWorkers || *o.Workers > 64):
		return &core.RefusedError{Text: fmt.Sprintf("the number of workers is %d; allowed: 1 to 64, or 0 (auto)", *o.Workers)}
	case o.MaxBytesPerS != nil && *o.MaxBytesPerS != 0 && *o.MaxBytesPerS < minLimit:
		return &core.RefusedError{Text: fmt.Sprintf("the limit is %d bytes per second; allowed: 0 (none), or %d or more", *o.MaxBytesPerS, minLimit)}
	case o.GroupName != nil && *o.GroupName != "" && !config.GroupName.MatchString(*o.GroupName):
		return &core.RefusedError{Text: fmt.Sprintf("%q is no name for a group; allowed: up to 64 letters, digits, - and _", *o.GroupName)}
	case o.StartFrom != nil && *o.StartFrom != "earliest" && *o.StartFrom != "latest":
		return &core.RefusedError{Text: fmt.Sprintf("start from %q is unknown; allowed: earliest, latest", *o.StartFrom)}
	}
	for name, limit := range map[string]*int64{"max_lag_s": o.MaxLagS, "max_interrupted_s": o.MaxInterruptedS, "hold_wal_limit_s": o.HoldWALLimitS} {
		if limit != nil && *limit < 0 {
			return &core.RefusedError{Text: fmt.Sprintf("the limit %s is %d; allowed: 0 (no limit) or more seconds", name, *limit)}
		}
	}
	return nil
}

func setOptions(rec *store.Replica, o core.Options) {
	if o.Exclude != nil {
		rec.Exclude = o.Exclude
	}
	setIf(&rec.CreateDatabases, o.CreateDatabases)
	setIf(&rec.NoNewDatabases, o.NoNewDatabases)
	setIf(&rec.CheckIntervalS, o.CheckIntervalS)
	setIf(&rec.Workers, o.Workers)
	setIf(&rec.GroupName, o.GroupName)
	setIf(&rec.RawRows, o.RawRows)
	if rec.HoldWALLimitS == 0 && !rec.HoldWAL {
		rec.HoldWALLimitS = int64(core.DefaultHoldLimit.Seconds()) // of a version that knew no holds
	}
	setIf(&rec.HoldWAL, o.HoldWAL)
	setIf(&rec.HoldWALLimitS, o.HoldWALLimitS)
	setIf(&rec.MaxBytesPerS, o.MaxBytesPerS)
	setIf(&rec.StartFrom, o.StartFrom)
	setIf(&rec.MaxLagS, o.MaxLagS)
	setIf(&rec.MaxInterruptedS, o.MaxInterruptedS)
}

func setIf[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Shutdown asks for the end of the instance; Run's context is what ends it.
func (e *Engine) Shutdown(_ context.Context, by core.Actor) error {
	if e.opts.ReadOnly {
		return core.ErrReadOnly
	}
	e.event(core.Event{Level: core.LevelInfo, Kind: core.EventCommand, Actor: by, Text: "shutdown"})
	e.doneOnce.Do(func() { close(e.done) })
	return nil
}

// isPattern reports whether a database was named by a *-pattern.
func isPattern(name string) bool { return strings.Contains(name, "*") }
