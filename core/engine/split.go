package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
	"tdreplica/core/store"
)

// A vgroup that is split goes, and two new ones take its place. By the source
// text each of them begins as a copy of it: the WAL with all its entries and
// versions, and the stored offsets. So what is known of the vgroup that went
// holds for both: up to where it was applied, which drops are echoes, where to
// go back to after tags were set.
//
// Rows from before the split are handed out only by the new vgroup that has the
// table now, but changes and deletions by both, and nothing orders these two. So
// from what both have, a vgroup takes the changes of its own tables only.

// lostFor is how long a vgroup that the reader began with may be missing from
// its assignment: a rebalance takes some two seconds.
const lostFor = 10 * time.Second

// goneVgroups are those that are remembered from earlier runs on the same
// database and not among those that there are.
func (t *task) goneVgroups(pl *plan, there map[int32]bool) []int32 {
	t.mu.Lock()
	same := sameTime(t.rec.SourceCreatedAt, pl.db.CreatedAt)
	t.mu.Unlock()
	if !same || len(there) < pl.db.Vgroups {
		return nil
	}
	return t.meter.without(there)
}

// inherit gives a vgroup that is new what is known of the one that it was split
// from. If several went at once, it is the one whose stored offset it has.
func (t *task) inherit(pl *plan, a core.Assignment, stored int64, gone []int32) error {
	if _, known := t.meter.position(a.Vgroup); known || len(gone) == 0 {
		return nil
	}
	from := slices.Clone(gone)
	if len(gone) > 1 {
		from = slices.DeleteFunc(from, func(vg int32) bool { return t.meter.stored(vg) != stored })
	}
	if len(from) != 1 {
		return &core.Error{
			Class: core.ClassOperator,
			Op:    fmt.Sprintf("resume database `%s` at %s", t.key.Database, pl.sourceName),
			Text:  fmt.Sprintf("vgroup %d is new and was split from one of %v; it cannot be told from which", a.Vgroup, gone),
			Hint:  anew(t),
		}
	}
	old := from[0]
	t.meter.inherit(a.Vgroup, old)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notes++
	t.rec.Shared = with(t.rec.Shared, a.Vgroup, a.End)
	for _, e := range t.rec.Echoes {
		if e.Vgroup == old {
			e.Vgroup = a.Vgroup
			t.rec.Echoes = append(t.rec.Echoes, e)
		}
	}
	if list := t.rec.Samples[old]; len(list) > 0 {
		t.rec.Samples[a.Vgroup] = slices.Clone(list)
	}
	for _, m := range []map[int32]int64{t.rec.Rewinds, t.rec.Announced} {
		if at, ok := m[old]; ok {
			m[a.Vgroup] = at
		}
	}
	return nil
}

// bury forgets vgroups that are gone.
func (t *task) bury(gone []int32) {
	if len(gone) == 0 {
		return
	}
	t.say(core.LevelWarn, core.EventState, "vgroups %v were split: what was known of them holds for the new ones", gone)
	t.meter.forgetVgroups(gone)
	t.keepEchoes(func(e store.Echo) bool { return !slices.Contains(gone, e.Vgroup) })
	t.mu.Lock()
	defer t.mu.Unlock()
	t.urgent = true
	t.notes++
	maps.DeleteFunc(t.rec.Samples, func(vg int32, _ []store.Sample) bool { return slices.Contains(gone, vg) })
	for _, m := range []map[int32]int64{t.rec.Rewinds, t.rec.Announced, t.rec.Shared} {
		maps.DeleteFunc(m, func(vg int32, _ int64) bool { return slices.Contains(gone, vg) })
	}
}

// shares reports whether the message behind a position may be one that another
// vgroup has, too.
func (t *task) shares(vgroup int32, position int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	end, ok := t.rec.Shared[vgroup]
	return ok && position < end
}

// passedShared forgets a split when a committed offset has passed what both of
// the new vgroups have.
func (t *task) passedShared(vgroup int32, committed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if end, ok := t.rec.Shared[vgroup]; ok && committed >= end {
		delete(t.rec.Shared, vgroup)
	}
}

// elsewhere tells of tables that a change names which of them another vgroup of
// the source has. It is empty but after a split.
func (w *worker) elsewhere(ctx context.Context, m *core.Message, names ...string) (map[string]bool, error) {
	if !w.p.t.shares(m.Vgroup, w.before[m.Vgroup]) || len(names) == 0 {
		return nil, nil
	}
	var ids map[string]core.TableID
	err := w.ask(ctx, func(ctx context.Context) (err error) {
		ids, err = w.p.plan.catalog.TableIDs(ctx, w.p.t.key.Database, names)
		return err
	})
	other := map[string]bool{}
	for name, id := range ids {
		other[name] = id.Vgroup != m.Vgroup
	}
	return other, err
}

// ownTables leaves out of a creation of tables, or the change of one, what
// another vgroup has. It returns false if nothing is left.
func (w *worker) ownTables(ctx context.Context, meta *raw.Meta, m *core.Message) (bool, error) {
	if meta.Kind == raw.AlterOneTable {
		other, err := w.elsewhere(ctx, m, meta.Alter.Table)
		return !other[meta.Alter.Table], err
	}
	names := make([]string, len(meta.Tables))
	for i, n := range meta.Tables {
		names[i] = n.Name
	}
	other, err := w.elsewhere(ctx, m, names...)
	if err != nil || len(other) == 0 {
		return err == nil, err
	}
	meta.Tables = slices.DeleteFunc(slices.Clone(meta.Tables), func(n raw.NewTable) bool { return other[n.Name] })
	meta.Item = raw.Item{RawType: core.RawCreateTbl, Payload: raw.EncodeCreate(meta.Tables)}
	return len(meta.Tables) > 0, nil
}

// sameVgroups ends a reader that is handed other vgroups than it began with: a
// vgroup was split, or one moved. Each is to begin where the task stands in it.
func (w *worker) sameVgroups(ctx context.Context, assigned []core.Assignment, now time.Time) error {
	there := map[int32]bool{}
	for _, a := range assigned {
		if err := w.began(a.Vgroup); err != nil {
			return err
		}
		there[a.Vgroup] = true
	}
	missing := slices.DeleteFunc(slices.Sorted(maps.Keys(w.begun)), func(vg int32) bool { return there[vg] })
	switch {
	case len(missing) == 0:
		w.lostAt = time.Time{}
	case w.lostAt.IsZero():
		w.lostAt = now
		return w.p.stranger(ctx)
	case now.Sub(w.lostAt) >= lostFor:
		return &core.Error{Class: core.ClassReconnect, Op: "read topic " + w.p.plan.topic + " at " + w.p.plan.sourceName,
			Text: fmt.Sprintf("vgroup %d is not handed out any more; the subscription is made anew", missing[0])}
	}
	return nil
}

// began is an error unless the reader began with the vgroup.
func (w *worker) began(vgroup int32) error {
	if w.begun[vgroup] {
		return nil
	}
	return &core.Error{Class: core.ClassReconnect, Op: "read topic " + w.p.plan.topic + " at " + w.p.plan.sourceName,
		Text: fmt.Sprintf("vgroup %d was handed out later than the others; the subscription is made anew", vgroup)}
}

// without lists the vgroups with a position that are not among those given.
func (m *meter) without(there map[int32]bool) []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []int32
	for vg, v := range m.vg {
		if !there[vg] && v.current != core.Unknown {
			out = append(out, vg)
		}
	}
	slices.Sort(out)
	return out
}

// stored is the offset that was committed last; Unknown if none was.
func (m *meter) stored(vgroup int32) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.vgroup(vgroup).committed
}

func (m *meter) inherit(vgroup, from int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, v := m.vgroup(from), m.vgroup(vgroup)
	v.current, v.committed, v.rewind, v.lastAt, v.tickedCurrent = old.current, old.committed, old.rewind, old.lastAt, old.current
	m.changed = true
}

func (m *meter) forgetVgroups(gone []int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, vg := range gone {
		delete(m.vg, vg)
	}
	m.changed = true
}
