package engine

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/audit"
)

// Inspect looks at two endpoints without changing anything.
func (e *Engine) Inspect(ctx context.Context, req core.InspectRequest) ([]core.Candidate, error) {
	source, sink := req.Source, req.Sink
	if req.ID != "" {
		r, err := e.find(req.ID)
		if err != nil {
			return nil, err
		}
		rec := e.replicaRecord(r)
		source, sink = rec.SourceEndpoint, rec.SinkEndpoint
	}
	source, err := e.resolve("source", source)
	if err != nil {
		return nil, err
	}
	if sink, err = e.resolve("sink", sink); err != nil {
		return nil, err
	}
	a, b, err := e.catalogs(ctx, source, sink)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	defer b.Close()
	versions, err := e.checkVersions(req.ID, source.URL, sink.URL, a.Versions(), b.Versions())
	if err != nil {
		return nil, err
	}
	inv, err := listBoth(ctx, a, b)
	if err != nil {
		return nil, err
	}
	out := []core.Candidate{}
	for name := range inv.source {
		out = append(out, inv.candidate(name, source.URL, sink.URL, versions))
	}
	for name := range inv.sink {
		if _, ok := inv.source[name]; !ok {
			out = append(out, inv.candidate(name, source.URL, sink.URL, versions))
		}
	}
	out = slices.DeleteFunc(out, func(c core.Candidate) bool {
		return core.IsSystemDatabase(c.Database) || len(req.Databases) > 0 && !matches(req.Databases, nil, c.Database)
	})
	for _, name := range req.Databases {
		if !isPattern(name) && !slices.ContainsFunc(out, func(c core.Candidate) bool { return c.Database == name }) {
			return nil, &core.RefusedError{Text: noDatabase(name, source.URL+" or "+sink.URL).Error()}
		}
	}
	for i := range out {
		if req.Thorough && out[i].AtSource && out[i].AtSink {
			if err := examine(ctx, a, b, &out[i]); err != nil {
				return nil, err
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Database < out[j].Database })
	return out, nil
}

func (inv *inventory) candidate(name, source, sink string, warnings []string) core.Candidate {
	a, atSource := inv.source[name]
	b, atSink := inv.sink[name]
	c := core.Candidate{Database: name, AtSource: atSource, AtSink: atSink, Precision: a.Precision, Vgroups: a.Vgroups}
	switch {
	case !atSource:
		c.Precision, c.Vgroups = b.Precision, b.Vgroups
		c.Problems = append(c.Problems, noDatabase(name, source).Error())
	case !atSink:
		c.Problems, c.Warnings = compare(a, nil)
		c.Problems = append(c.Problems, noDatabase(name, sink).Error())
	default:
		c.Problems, c.Warnings = compare(a, &b)
	}
	c.Warnings = append(c.Warnings, warnings...)
	return c
}

// examine looks at the rights on a database and at the super tables that both
// sides have. Where a type differs rows will not fit; what the sink lacks is
// given to it when replication starts.
func examine(ctx context.Context, source, sink Catalog, c *core.Candidate) error {
	for _, err := range []error{source.CanSubscribe(ctx, c.Database), sink.CanWrite(ctx, c.Database)} {
		switch {
		case err != nil && core.ClassOf(err).Retryable():
			return err
		case err != nil:
			c.Problems = append(c.Problems, explain(err))
		}
	}
	supers, err := source.SuperTables(ctx, c.Database)
	if err != nil {
		return err
	}
	there, err := sink.SuperTables(ctx, c.Database)
	if err != nil {
		return err
	}
	for _, name := range supers {
		if !slices.Contains(there, name) {
			continue // it is created with its first message
		}
		a, err := source.Describe(ctx, c.Database, name)
		if err != nil {
			return err
		}
		b, err := sink.Describe(ctx, c.Database, name)
		if err != nil {
			return err
		}
		for _, d := range audit.CompareColumns(a, b) {
			text := fmt.Sprintf("super table %s: %s", name, d.Text)
			if d.Type {
				c.Problems = append(c.Problems, text)
			} else {
				c.Warnings = append(c.Warnings, text)
			}
		}
	}
	return nil
}

// Inspect is Engine.Inspect without an instance: of endpoints as the
// configuration has them or as they are given.
func Inspect(ctx context.Context, cfg *config.Config, connector Connector, req core.InspectRequest) ([]core.Candidate, error) {
	return (&Engine{cfg: cfg, connector: connector}).Inspect(ctx, req)
}
