package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// compareSchemas looks at the super tables that both sides have, before the
// first row. The source may be ahead of its WAL: what differs in type is told,
// and the changes still to come, or the first row that does not fit, decide. So
// it is with what is missing where the sink is somebody's source, too: it may
// have been dropped there, and that drop is on its way here. Where rows are read
// raw, nothing may be made by SQL, and what is missing is on its way.
func (w *worker) compareSchemas(ctx context.Context) error {
	pl, db := w.p.plan, w.p.t.key.Database
	lists := make([][]string, 2)
	for i, c := range []Catalog{pl.catalog, pl.sinkCatalog} {
		err := w.ask(ctx, func(ctx context.Context) (err error) {
			lists[i], err = c.SuperTables(ctx, db)
			return err
		})
		if err != nil {
			return err
		}
	}
	there, err := w.superIDs(ctx, pl.catalog, pl.sourceVersion)
	if err != nil {
		return err
	}
	here, err := w.superIDs(ctx, pl.sinkCatalog, pl.sinkVersion)
	if err != nil {
		return err
	}
	for _, name := range lists[0] {
		if !slices.Contains(lists[1], name) {
			continue
		}
		if err := w.compareSuper(ctx, name, replicated(there, here, name, db)); err != nil {
			return err
		}
	}
	return nil
}

// replicated reports whether replication has made a super table at one side from the
// other one's, as far as ids tell.
func replicated(there, here map[string]int64, name, db string) bool {
	if there == nil || here == nil {
		return true
	}
	return here[name] == raw.SinkSUID(there[name], db) || there[name] == raw.SinkSUID(here[name], db)
}

// readsSink reports whether the sink's database is somebody's source, too.
func (w *worker) readsSink(ctx context.Context) (yes bool, err error) {
	err = w.ask(ctx, func(ctx context.Context) error {
		topic, err := w.p.plan.sinkCatalog.Topic(ctx, w.p.plan.topic)
		yes = topic != nil
		return err
	})
	return yes, err
}

// compareSuper leaves the tags of a super table that is replicated alone where a task
// goes on: what was done to them is in the WAL, and a tag that is added at once would
// be in the way of one that is renamed.
func (w *worker) compareSuper(ctx context.Context, name string, replicated bool) error {
	there, err := w.describe(ctx, w.p.plan.catalog, name)
	if there == nil || err != nil {
		return err
	}
	here, err := w.describe(ctx, w.p.plan.sinkCatalog, name)
	if here == nil || err != nil {
		return err
	}
	want := unlessRenamed(there, here)
	if replicated && w.p.goesOn {
		want.Tags = nil
	}
	if len(lacks(want, here)) > 0 && !w.p.plan.raw {
		// Asked behind the looks at both: what came from the sink was read there then.
		read, err := w.readsSink(ctx)
		if err == nil && !read {
			here, err = w.mend(ctx, name, want, here, there)
		}
		if err != nil {
			return err
		}
	}
	for _, c := range lacks(there, here) {
		if old, ok := find(here, c); ok && old.Type != c.Type {
			w.p.t.drifted(clash(w.p.t.key.Database, name, there, here, nil).Error())
			return nil
		}
	}
	if there.SecondKey() != here.SecondKey() {
		w.p.t.drifted(clash(w.p.t.key.Database, name, there, here, errOtherKey).Error())
		return nil
	}
	w.tellExtra(name, there, here)
	return nil
}

// unlessRenamed is a source's super table without the tags that the sink's may have
// under a name of before: that change is still in the WAL, and a second tag would be
// in its way.
func unlessRenamed(there, here *core.Table) *core.Table {
	var old []string // types
	for _, c := range here.Tags {
		if _, ok := find(there, c); !ok {
			old = append(old, c.Type)
		}
	}
	want := *there
	want.Tags = slices.DeleteFunc(slices.Clone(there.Tags), func(c core.Column) bool {
		_, ok := find(here, c)
		return !ok && slices.Contains(old, c.Type)
	})
	return &want
}

// drifted warns once that the two sides differ.
func (t *task) drifted(text string) {
	t.mu.Lock()
	known := slices.Contains(t.facts.warnings, text)
	if !known {
		t.facts.warnings = append(slices.Clip(t.facts.warnings), text)
	}
	t.mu.Unlock()
	if !known {
		t.say(core.LevelWarn, core.EventDrift, "%s", text)
	}
}

// undrift takes back the warnings that begin like that: a change that was on its way
// may have mended what they tell of.
func (t *task) undrift(beginning string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	begins := func(w string) bool { return strings.HasPrefix(w, beginning) }
	if slices.ContainsFunc(t.facts.warnings, begins) {
		t.facts.warnings = slices.DeleteFunc(slices.Clone(t.facts.warnings), begins)
	}
}

// tellExtra warns of what only the sink has.
func (w *worker) tellExtra(name string, there, here *core.Table) {
	var extra []string
	for _, c := range slices.Concat(here.Columns, here.Tags) {
		if _, ok := find(there, c); !ok {
			extra = append(extra, c.Name)
		}
	}
	if len(extra) > 0 {
		w.p.t.drifted(onlyAtSink(name) + strings.Join(extra, ", "))
	}
}

// onlyAtSink begins the warning of what only the sink's super table has.
func onlyAtSink(name string) string {
	return fmt.Sprintf("super table %s has at the sink only: ", name)
}
