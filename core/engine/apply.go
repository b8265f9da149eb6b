package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// apply brings one message to the sink and reports whether all of it is there:
// a change of a super table may have to wait for other vgroups. Rows travel
// untouched. Metas are looked into, one by one: a sink stops at the first item
// of a batch that fails, and some of them, copied as they are, would change more
// at the sink than they did at the source.
func (w *worker) apply(ctx context.Context, j *job) (done bool, err error) {
	if j.it.m.Kind == core.KindMeta {
		if err := w.takeApart(ctx, j); err != nil {
			return false, err
		}
	}
	w.tenure = j.it.tenure
	defer func() {
		w.tenure = nil
		if errors.Is(err, errMovedAway) {
			j.gone, done, err = true, true, nil
		}
	}()
	if err := w.admit(ctx, j.it.m.Vgroup); err != nil {
		return false, err
	}
	m := j.it.m
	w.applying = j.it
	if m.Kind != core.KindMeta {
		w.p.ddl.RLock()
		defer w.p.ddl.RUnlock()
		if m = w.livingRows(m); m == nil {
			return true, nil
		}
		err := w.refusedRaw(m, w.applyRows(ctx, m))
		if w.quarantines(err) {
			j.quarantined, err = w.quarantine(ctx, j.it.m, m)
		}
		return err == nil, err
	}
	for ; j.next < len(j.metas); j.next++ {
		if done, err := w.applyInTurn(ctx, &j.metas[j.next], m); !done || err != nil {
			return false, err
		}
	}
	return true, nil
}

// takeApart finds the metas of a message. Rows before one that may concern them are
// looked after now, for they may have to be written again; and before the vgroup is
// admitted, for they may be of others.
func (w *worker) takeApart(ctx context.Context, j *job) (err error) {
	if j.metas == nil {
		if j.metas, err = raw.Metas(j.it.m.RawType, j.it.m.Payload()); err != nil {
			return refused(w.p, j.it.m, &core.Error{Class: core.ClassData, Op: "take it apart", Err: err})
		}
	}
	if slices.ContainsFunc(j.metas[j.next:], w.landing.concerns) {
		return w.lookAfter(ctx)
	}
	return nil
}

// applyInTurn applies a meta, unless it is the copy of one that was applied, or
// its time has not come. No row of another worker is in flight meanwhile.
func (w *worker) applyInTurn(ctx context.Context, meta *raw.Meta, m *core.Message) (done bool, err error) {
	if a := meta.Alter; a != nil && strings.Contains(a.Statement, core.ChangeMark) {
		return true, nil // the other direction made it, because this side's source has it
	}
	w.p.ddl.Lock()
	defer w.p.ddl.Unlock()
	w.forgetDropped(meta)
	if meta.Kind == raw.CreateSuperTable && meta.Super != nil {
		w.p.t.forgetAdded(meta.Super)
	}
	switch w.p.changes.arrive(w.p.t, m.Vgroup, meta) {
	case mustNot:
		return false, plainError{"a change of a super table cannot wait any longer for all vgroups to come to it"}
	case mustWait:
		return false, nil
	case isCopy:
		return true, nil
	}
	if err := w.applyMeta(ctx, meta, m); err != nil {
		return false, err
	}
	if reshapes(meta) {
		w.p.reshaped.Add(1)
		// Connections keep tables' ids and columns by their names, and what they send
		// to those that are gone may be acknowledged and lost, whoever dropped them.
		w.p.mended.changed()
	}
	if meta.Kind == raw.AlterSuperTable && meta.Super != nil {
		if meta.Destroys() {
			w.p.t.noteAltered(meta)
		}
		w.p.t.noteAdded(meta)
		w.p.t.noteTags(meta)
	}
	w.p.changes.applied(meta)
	return true, nil
}

// reshapes reports whether a table may have other columns afterwards.
func reshapes(meta *raw.Meta) bool {
	switch meta.Kind {
	case raw.CreateTables, raw.DeleteRows:
		return false
	case raw.AlterOneTable:
		return meta.Alter.Change != raw.SetTag && meta.Alter.Change != raw.SetTags
	}
	return true
}

// wholeRows is the first version that takes every message of rows whole [M: 3.3.6.13;
// before by its source text]. 3.3.3.0's adapter ends at some, and writes rows of
// others to the wrong table.
var wholeRows = core.Version{3, 3, 4, 0}

// blobRows is the first version that may take BLOB values: 3.3.7.5's adapter
// ends when it is given one, and would end again at every retry.
var blobRows = core.Version{3, 3, 8, 0}

// decimalRows is the first version that knows DECIMAL. The adapter of 3.3.0.0 ends
// when it is given one; 3.3.3.0 takes it, and cannot describe the table any more [M].
var decimalRows = core.Version{3, 3, 6, 0}

// stat is what a message of rows holds. It was found when the message was read,
// unless something has been left out of it since.
func (w *worker) stat(m *core.Message) raw.Stat {
	if m == w.applying.m {
		return w.applying.stat
	}
	s, _ := raw.Stats(m.RawType, m.Payload())
	return s
}

// applyRows writes rows as they came, to sinks that survive it.
func (w *worker) applyRows(ctx context.Context, m *core.Message) error {
	v := w.p.plan.sinkVersion
	if v.AtLeast(blobRows) {
		return w.writeRows(ctx, m)
	}
	if err := w.unfitType(m, v); err != nil {
		return err
	}
	if v.AtLeast(wholeRows) {
		return w.writeRows(ctx, m)
	}
	parts, err := raw.Divide(m.RawType, m.Payload())
	if err != nil || parts == nil {
		return w.writeRows(ctx, m)
	}
	for _, part := range parts {
		if err := w.writeRows(ctx, part.Message(m)); err != nil {
			return err
		}
	}
	return nil
}

// unfitType refuses rows with values that a sink of this version does not survive.
func (w *worker) unfitType(m *core.Message, sink core.Version) error {
	var text, hint string
	switch s := w.stat(m); {
	case s.Blobs:
		text = "they hold BLOB values, and the taosAdapter of version " + sink.String() + " crashes when it is given one"
		hint = "upgrade the sink to 3.3.8 or later, or drop the table at the source"
	case s.Decimals && !sink.AtLeast(decimalRows):
		text = "they hold DECIMAL values, which version " + sink.String() + " does not know"
		hint = "upgrade the sink to 3.3.6 or later, or drop the table at the source"
	default:
		return nil
	}
	return refused(w.p, m, &core.Error{Class: core.ClassData, Op: "write rows", Text: text, Hint: hint})
}

func (w *worker) applyMeta(ctx context.Context, meta *raw.Meta, m *core.Message) error {
	switch meta.Kind {
	case raw.DeleteRows:
		return w.applyDelete(ctx, meta, m)
	case raw.DropTables, raw.DropSuperTable:
		return w.applyDrop(ctx, meta, m)
	}
	if w.p.t.outlived(meta) {
		return nil
	}
	if own, err := w.ownTables(ctx, meta, m); !own || err != nil {
		return err
	}
	if a := meta.Alter; meta.Kind == raw.AlterSuperTable && a != nil && a.Change == raw.RenameTag {
		return w.renameTag(ctx, meta, m)
	} else if a != nil && (a.Change == raw.SetTag || a.Change == raw.SetTags) {
		return w.setTags(ctx, meta, m)
	}
	if before, err := w.renamedBefore(ctx, meta); before || err != nil {
		return err
	}
	send := true
	if meta.Kind == raw.AlterSuperTable {
		var err error
		if send, err = w.extends(ctx, meta); err != nil {
			return err
		}
	}
	item := meta.Item
	if meta.Kind == raw.CreateTables {
		var err error
		if item, send, err = w.creation(ctx, meta); err != nil {
			return err
		}
	}
	if send {
		if err := w.insist(ctx, item.Message(m)); err != nil {
			return err
		}
	}
	if meta.Kind != raw.CreateTables {
		w.p.t.changed(meta, m.Vgroup)
	}
	if err := w.dropLeft(ctx, meta); err != nil {
		return err
	}
	if meta.Super != nil {
		return w.afterSuper(ctx, meta.Super, m)
	}
	return nil
}

// dropLeft drops by SQL what a change has dropped at the source and a sink that
// ignored it still has: its super table was not made by this direction.
func (w *worker) dropLeft(ctx context.Context, meta *raw.Meta) error {
	a := meta.Alter
	if a == nil || meta.Kind != raw.AlterSuperTable || a.Change != raw.DropColumn && a.Change != raw.DropTag || len(a.Fields) == 0 {
		return nil
	}
	here, err := w.describe(ctx, w.p.plan.sinkCatalog, meta.Super.Name)
	if here == nil || err != nil {
		return err
	}
	c := core.Column{Name: a.Fields[0].Name}
	if a.Change == raw.DropTag {
		c.Note = "TAG"
	}
	return w.dropIfGone(ctx, here, c)
}

// dropIfGone drops by SQL a column or tag of a sink's table that the source's
// has no more.
func (w *worker) dropIfGone(ctx context.Context, here *core.Table, c core.Column) error {
	if _, has := find(here, c); !has {
		return nil
	}
	if gone, err := w.droppedForGood(ctx, here.Name, c); !gone || err != nil {
		return err
	}
	err := w.ask(ctx, func(ctx context.Context) error {
		return w.p.plan.sinkCatalog.DropColumn(ctx, w.p.t.key.Database, here.Name, c)
	})
	w.p.mended.changed()
	w.p.t.bySQL()
	return err
}

// renamedBefore reports whether a column of a normal table has its new name at
// the sink already, as it has when the log is read again from before. Written
// once more, the change would make two columns of one name, after which a server
// of 3.3.3 cannot describe the table. What was added again under the old name is
// dropped again.
func (w *worker) renamedBefore(ctx context.Context, meta *raw.Meta) (bool, error) {
	a := meta.Alter
	if meta.Kind != raw.AlterOneTable || a == nil || a.Change != raw.RenameColumn || len(a.Fields) == 0 {
		return false, nil
	}
	here, err := w.describe(ctx, w.p.plan.sinkCatalog, a.Table)
	if here == nil || err != nil {
		return false, err
	}
	if _, there := find(here, core.Column{Name: a.NewName}); !there {
		return false, nil
	}
	return true, w.dropIfGone(ctx, here, core.Column{Name: a.Fields[0].Name})
}

// renameTag renames by SQL: written raw, the renamed tag is a new one to the
// sink, and every child table loses its value.
func (w *worker) renameTag(ctx context.Context, meta *raw.Meta, m *core.Message) error {
	a := meta.Alter
	if len(a.Fields) == 0 || a.NewName == "" {
		return refused(w.p, m, &core.Error{Class: core.ClassData, Op: "rename a tag", Text: "the message does not tell the names"})
	}
	err := w.ask(ctx, func(ctx context.Context) error {
		return w.p.plan.sinkCatalog.RenameTag(ctx, w.p.t.key.Database, a.Table, a.Fields[0].Name, a.NewName)
	})
	w.p.t.bySQL()
	if err != nil {
		return err
	}
	w.p.t.undrift(onlyAtSink(a.Table))
	w.p.t.changed(meta, m.Vgroup)
	if meta.Super != nil {
		return w.afterSuper(ctx, meta.Super, m) // it may have been made longer before, and the sink have ignored that
	}
	return nil
}

// changed notes a change of schema. A super table's comes once from every
// vgroup and is told once.
func (t *task) changed(meta *raw.Meta, vgroup int32) {
	text := raw.Describe(*meta)
	if t.meter.schemaChanged(core.DDLRecord{At: t.e.clock.Now(), Vgroup: vgroup, Text: text}) {
		t.say(core.LevelInfo, core.EventDDL, "%s", text)
	}
}

// applyDelete applies a delete exactly. The statement's tag condition is not in
// the log: every vgroup logs which of its children matched, or none. Applied as
// it is under the super table's name it would delete in all children.
func (w *worker) applyDelete(ctx context.Context, meta *raw.Meta, m *core.Message) error {
	d, t := meta.Delete, w.p.t
	if mark := dropMark(w.p.plan.db.Precision); d.From == mark && d.To == mark {
		t.expectEcho(m, d.Table, w.before[m.Vgroup])
		return nil
	}
	if w.takeTagsMark(meta, m) {
		return nil
	}
	if t.outlived(meta) {
		return nil
	}
	super := false
	if d.SUID != 0 {
		err := w.ask(ctx, func(ctx context.Context) error {
			names, err := w.p.plan.sinkCatalog.SuperTables(ctx, t.key.Database)
			super = slices.Contains(names, d.Table)
			return err
		})
		if err != nil {
			return err
		}
	}
	if !super {
		if other, err := w.elsewhere(ctx, m, d.Table); err != nil || other[d.Table] {
			return err
		}
		if err := d.Check(); err != nil {
			return refused(w.p, m, &core.Error{Class: core.ClassData, Op: "delete", Err: err})
		}
		return w.insist(ctx, meta.Message(m))
	}
	return w.applyDeletes(ctx, meta, m)
}

// applyDeletes applies the delete of a super table's rows: one for each child that
// the vgroup named, and nothing if it named none.
func (w *worker) applyDeletes(ctx context.Context, meta *raw.Meta, m *core.Message) error {
	d, t := meta.Delete, w.p.t
	if len(d.UIDs) == 0 {
		return nil
	}
	var names map[int64]string
	err := w.ask(ctx, func(ctx context.Context) (err error) {
		names, err = w.p.plan.catalog.TableNames(ctx, t.key.Database, d.UIDs)
		return err
	})
	if err != nil {
		return err
	}
	other, err := w.elsewhere(ctx, m, slices.Collect(maps.Values(names))...)
	if err != nil {
		return err
	}
	for _, uid := range d.UIDs {
		name, there := names[uid]
		if !there {
			t.say(core.LevelInfo, core.EventDDL, "a child of %s that was dropped since is left out of a delete", d.Table)
			continue
		}
		if other[name] {
			continue
		}
		payload, err := raw.RewriteDelete(*meta, name)
		if err != nil {
			return refused(w.p, m, &core.Error{Class: core.ClassData, Op: "delete", Err: err})
		}
		if err := w.insist(ctx, raw.Item{RawType: core.RawDeleteRows, Payload: payload}.Message(m)); err != nil {
			return err
		}
	}
	return nil
}

// applyDrop applies drops that users made, and swallows those that replication
// made. Drops carry no mark of their own and come back from the sink; so each
// one is announced in the sink's log by a delete at an instant that no row has,
// and whoever reads that log knows the drop behind it for an echo.
func (w *worker) applyDrop(ctx context.Context, meta *raw.Meta, m *core.Message) error {
	t := w.p.t
	for i, d := range meta.Dropped {
		users := meta.Kind == raw.DropTables && !d.IfExists
		echo := t.takeEcho(m, d.Name)
		super := meta.Kind == raw.DropSuperTable
		if echo && !users || super && t.droppedBefore(d.SUID) {
			if super {
				t.noteDropped(d.SUID) // another one of its name is made without a trace here
			}
			continue
		}
		other, err := w.elsewhere(ctx, m, d.Name)
		if err != nil {
			return err
		}
		if other[d.Name] {
			continue
		}
		if super {
			if means, err := w.meansThis(ctx, d); !means || err != nil {
				return err
			}
		}
		mark := dropMark(w.p.plan.db.Precision)
		err = w.ask(ctx, func(ctx context.Context) error {
			return w.p.plan.sinkCatalog.Announce(ctx, t.key.Database, d.Name, mark)
		})
		if err != nil {
			return err
		}
		if err := w.insist(ctx, meta.Drop(i).Message(m)); err != nil {
			return err
		}
		if super {
			t.noteDropped(d.SUID)
		} else {
			t.dropsAgain(m, d.Name, w.before[m.Vgroup])
		}
		one := raw.Meta{Kind: meta.Kind, Dropped: []raw.Dropped{d}}
		t.changed(&one, m.Vgroup)
	}
	return nil
}

// dropMark is the instant of the deletes that announce a drop.
func dropMark(precision string) int64 { return noRowsAt(precision, 0) }

// noRowsAt is an instant that no row has, in a database's precision: some
// seconds after 2199-12-31 23:58:57.
func noRowsAt(precision string, after int64) int64 {
	seconds := 7258118337 + after
	switch precision {
	case "us":
		return seconds * int64(time.Second/time.Microsecond)
	case "ns":
		return seconds * int64(time.Second)
	}
	return seconds * int64(time.Second/time.Millisecond)
}
