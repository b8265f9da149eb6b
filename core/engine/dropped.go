package engine

import (
	"slices"

	"tdreplica/core"
	"tdreplica/core/raw"
	"tdreplica/core/store"
)

// maxDropped bounds how many drops, and how many changes, are remembered. Their copies
// come from the other vgroups soon, or when these have caught up.
const maxDropped = 1000

// droppedBefore reports whether a super table was dropped already, through
// another vgroup. Each vgroup logs a drop, and a server applies it by name: the
// second copy would drop a table that was created anew under that name since,
// with all rows. The id is one that no other super table ever has.
func (t *task) droppedBefore(suid int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.rec.Dropped, suid)
}

// noteDropped remembers a drop that was applied. Like the notes about echoes
// it is on disk before an offset behind it is committed.
func (t *task) noteDropped(suid int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if suid != 0 && !slices.Contains(t.rec.Dropped, suid) {
		t.rec.Dropped = appendBounded(t.rec.Dropped, suid)
		t.notes++
	}
}

// alteredBefore and noteAltered are the same for changes that destroy. Their
// copies may come after a column of the same name was added again.
func (t *task) alteredBefore(s *raw.SuperTable) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.rec.Altered, func(a store.Altered) bool {
		return a.SUID == s.SUID && a.Columns == s.ColumnVersion && a.Tags == s.TagVersion
	})
}

func (t *task) noteAltered(meta *raw.Meta) {
	s := meta.Super
	note := store.Altered{SUID: s.SUID, Columns: s.ColumnVersion, Tags: s.TagVersion}
	if a := meta.Alter; a != nil && a.Change == raw.DropColumn && len(a.Fields) > 0 {
		note.Table, note.Dropped = s.Name, a.Fields[0].Name
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec.Altered = appendBounded(t.rec.Altered, note)
	t.notes++
}

// noteAdded takes note of columns that have the name of one that was dropped.
func (t *task) noteAdded(meta *raw.Meta) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.rec.Altered {
		a := &t.rec.Altered[i]
		if a.SUID != meta.Super.SUID || a.Dropped == "" || meta.Super.ColumnVersion <= a.Columns {
			continue
		}
		for _, c := range meta.Super.Columns {
			if c.Name == a.Dropped && c.ID > a.Again {
				a.Again = c.ID
				t.notes++
			}
		}
	}
}

// forgetAdded takes note that a super table is made anew: its columns have ids of
// their own. The drop in between may have been applied by another instance. The
// creation of one that was dropped since is read again, and says nothing.
func (t *task) forgetAdded(s *raw.SuperTable) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Contains(t.rec.Dropped, s.SUID) {
		return
	}
	for i := range t.rec.Altered {
		if a := &t.rec.Altered[i]; a.Again != 0 && a.Table == s.Name && a.SUID != s.SUID {
			a.Again = 0
			t.notes++
		}
	}
}

// isAnother reports whether a column of rows was dropped from a super table since
// they were written, and another one added under its name: the values of these rows
// are gone at the source, too. A later column has a greater id.
func (t *task) isAnother(table string, c raw.Column) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.rec.Altered, func(a store.Altered) bool {
		return a.Again > c.ID && c.ID > 0 && a.Dropped == c.Name && a.Table == table && !slices.Contains(t.rec.Dropped, a.SUID)
	})
}

// appendBounded forgets the oldest beyond maxDropped.
func appendBounded[T any](list []T, v T) []T {
	if n := len(list); n >= maxDropped {
		list = slices.Delete(list, 0, n-maxDropped+1)
	}
	return append(list, v)
}

// outlived reports whether a change is of a super table whose drop was applied
// already: this vgroup has not come to its own copy of the drop yet.
func (t *task) outlived(meta *raw.Meta) bool {
	switch {
	case meta.Super != nil:
		return t.droppedBefore(meta.Super.SUID)
	case meta.Delete != nil:
		return meta.Delete.SUID != 0 && t.droppedBefore(meta.Delete.SUID)
	}
	return false
}

// livingTables leaves the children of dropped super tables out of a creation
// of tables. Created by name they would become children of a new super table.
func (t *task) livingTables(tables []raw.NewTable) []raw.NewTable {
	return slices.DeleteFunc(slices.Clone(tables), func(n raw.NewTable) bool { return t.droppedBefore(n.SUID) })
}

// livingRows leaves out of a message what it would create, and write, under a
// super table that was dropped since, and the tables without rows: a subscription
// leaves out the rows that replication wrote, but from 3.3.7 on not the tables
// that came with them, and a table that its own side has dropped since would be
// made there again. Rows that create a table always come in one message with it.
// It returns the message itself where there is nothing of the kind, and nil
// where nothing else is in it.
func (w *worker) livingRows(m *core.Message) *core.Message {
	t := w.p.t
	if m.Kind != core.KindMetadata {
		return m
	}
	blocks, created, err := raw.Rows(m.RawType, m.Payload())
	if err != nil {
		return m // the sink judges what cannot be read
	}
	gone, written := map[string]bool{}, map[string]bool{}
	for _, b := range blocks {
		written[b.Table] = true
	}
	dropped := 0
	for _, n := range created {
		switch {
		case t.droppedBefore(n.SUID):
			dropped++
			gone[n.Name] = true
		case !written[n.Name]:
			gone[n.Name] = true
		}
	}
	if len(gone) == 0 {
		return m
	}
	blocks = slices.DeleteFunc(blocks, func(b raw.Block) bool { return gone[b.Table] })
	created = slices.DeleteFunc(created, func(n raw.NewTable) bool { return gone[n.Name] })
	if dropped > 0 {
		t.say(core.LevelInfo, core.EventDDL, "rows of %d tables are left out: their super table was dropped since", dropped)
	}
	if len(blocks) == 0 {
		return nil
	}
	rawType, payload := raw.EncodeRows(blocks, created)
	return raw.Item{RawType: rawType, Payload: payload}.Message(m)
}
