package engine

import (
	"context"
	"fmt"
	"slices"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/store"
)

// side is one endpoint of a request, resolved.
type side struct {
	endpoint core.Endpoint // with its credentials: a secret
	address  string        // canonical, without them
}

// side fills in what a name of the configuration stands for.
func (e *Engine) side(ep core.Endpoint) (side, error) {
	declared := e.cfg.Endpoint(ep.URL)
	if declared.URL != ep.URL {
		ep = core.Endpoint{
			URL: declared.URL, User: declared.User, PasswordFile: declared.PasswordFile, PasswordEnv: declared.PasswordEnv,
			TokenFile: declared.TokenFile, TLSCAFile: declared.TLSCAFile, TLSSkip: declared.TLSSkipVerify,
		}
	}
	a, _, err := config.ParseAddress(ep.URL)
	if err != nil {
		return side{}, &core.RefusedError{Text: err.Error()}
	}
	return side{endpoint: ep, address: a.String()}, nil
}

// pair resolves both ends of a replica, which must differ.
func (e *Engine) pair(from, to core.Endpoint) (source, sink side, err error) {
	if source, err = e.side(from); err != nil {
		return source, sink, fmt.Errorf("source: %w", err)
	}
	if sink, err = e.side(to); err != nil {
		return source, sink, fmt.Errorf("sink: %w", err)
	}
	if source.address == sink.address {
		return source, sink, &core.RefusedError{Text: "the source and the sink are the same endpoint, " + source.address}
	}
	return source, sink, nil
}

// found is what was seen at both ends of a replica.
type found struct {
	source, sink     map[string]core.Database
	sourceAt, sinkAt string
	warnings         []string
}

// look connects to both ends and lists their databases. It answers within
// checkTimeout and changes nothing.
func (e *Engine) look(ctx context.Context, rec store.Replica) (*found, error) {
	f := &found{sourceAt: rec.Source, sinkAt: rec.Sink}
	twoWay := e.replicaOf(rec.Sink, rec.Source) != nil
	list := func(ep core.Endpoint, address string, into *map[string]core.Database) func(context.Context) error {
		return func(ctx context.Context) error {
			cat, err := e.connector.Catalog(ctx, ep)
			if err != nil {
				return err
			}
			defer cat.Close()
			if twoWay {
				if err := cat.Versions().CheckTwoWay(address); err != nil {
					return err
				}
			}
			dbs, err := cat.Databases(ctx)
			if err != nil {
				return err
			}
			*into = make(map[string]core.Database, len(dbs))
			for _, db := range dbs {
				(*into)[db.Name] = db
			}
			return nil
		}
	}
	err := both(ctx, checkTimeout,
		list(rec.SourceEndpoint, rec.Source, &f.source), list(rec.SinkEndpoint, rec.Sink, &f.sink))
	if err != nil {
		return nil, err
	}
	return f, nil
}

// choose returns the databases that a request means: those it names, else all
// that belong to the replica and exist on both sides (or can be created).
// A name without a pattern must exist; nothing is chosen if one does not.
func (f *found) choose(r *core.Replica, names []string) ([]string, error) {
	var chosen []string
	for _, name := range names {
		if isPattern(name) {
			continue
		}
		if _, ok := f.source[name]; !ok {
			return nil, &core.RefusedError{Text: fmt.Sprintf("database `%s` does not exist at %s", name, f.sourceAt)}
		}
		if _, ok := f.sink[name]; !ok && !r.CreateDatabases {
			return nil, &core.RefusedError{
				Text: fmt.Sprintf("database `%s` does not exist at %s", name, f.sinkAt),
				Hint: "create it there with the same options, or use --create-databases",
			}
		}
		chosen = append(chosen, name)
	}
	for _, name := range f.names(r.CreateDatabases) {
		if slices.Contains(chosen, name) || core.IsSystemDatabase(name) {
			continue
		}
		wide := len(names) == 0 && (r.AllDatabases || len(r.Databases) > 0)
		patterns := names
		if wide && !r.AllDatabases {
			patterns = r.Databases
		}
		if (wide || slices.ContainsFunc(names, isPattern)) && config.MatchDatabases(patterns, r.Exclude, name) {
			chosen = append(chosen, name)
		}
	}
	return chosen, f.check(chosen)
}

// names lists the source's databases that could have a task, sorted.
func (f *found) names(create bool) []string {
	var out []string
	for name := range f.source {
		if _, ok := f.sink[name]; ok || create {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// check collects what is unwise about databases. What forbids replication is
// found by a task's own preflight, which keeps saying it until it is mended.
func (f *found) check(names []string) error {
	for _, name := range names {
		_, warnings := f.judge(name, true)
		for _, w := range warnings {
			f.warnings = append(f.warnings, fmt.Sprintf("database `%s`: %s", name, w))
		}
	}
	return nil
}

// day is the WAL retention below which an operator is warned, in seconds.
const day = 24 * 3600

// judge says what forbids the replication of a database and what is unwise.
func (f *found) judge(name string, create bool) (problems, warnings []string) {
	src, atSource := f.source[name]
	dst, atSink := f.sink[name]
	switch {
	case !atSource:
		return []string{"does not exist at " + f.sourceAt}, nil
	case !atSink && !create:
		problems = append(problems, "does not exist at "+f.sinkAt)
	case atSink && src.Precision != dst.Precision:
		problems = append(problems, fmt.Sprintf("its precision is %s at the source and %s at the sink", src.Precision, dst.Precision))
	}
	switch w := src.WALPeriodS; {
	case w == 0:
		problems = append(problems, "its wal_retention_period is 0 at the source, so nobody can subscribe to it")
	case w > 0 && w < day:
		warnings = append(warnings, fmt.Sprintf(
			"the source keeps its WAL for %d s only; a longer outage loses data (alter database `%s` wal_retention_period 604800)", w, name))
	}
	return problems, warnings
}

// Inspect implements core.Controller.
func (e *Engine) Inspect(ctx context.Context, req core.InspectRequest) ([]core.Candidate, error) {
	var rec store.Replica
	if req.ID != "" {
		r, err := e.replica(req.ID)
		if err != nil {
			return nil, err
		}
		e.mu.Lock()
		rec = r.rec
		e.mu.Unlock()
	} else {
		source, sink, err := e.pair(req.Source, req.Sink)
		if err != nil {
			return nil, err
		}
		rec.Source, rec.Sink = source.address, sink.address
		rec.SourceEndpoint, rec.SinkEndpoint = source.endpoint, sink.endpoint
	}
	f, err := e.look(ctx, rec)
	if err != nil {
		return nil, err
	}
	names := f.names(true)
	for name := range f.sink {
		if _, ok := f.source[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := []core.Candidate{}
	for _, name := range names {
		if core.IsSystemDatabase(name) {
			continue
		}
		src, atSource := f.source[name]
		_, atSink := f.sink[name]
		c := core.Candidate{Database: name, AtSource: atSource, AtSink: atSink, Precision: src.Precision, Vgroups: src.Vgroups}
		c.Problems, c.Warnings = f.judge(name, rec.CreateDatabases)
		out = append(out, c)
	}
	return out, nil
}

// isPattern reports whether a name stands for several databases.
func isPattern(name string) bool { return slices.Contains([]byte(name), '*') }
