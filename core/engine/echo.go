package engine

import (
	"slices"

	"tdreplica/core"
	"tdreplica/core/store"
)

// The notes about echoed drops are a function of the WAL below the position
// that was read: a note says that the announcement lies below it and, once the
// drop was swallowed, where. A reader that begins anew at an earlier position
// therefore keeps those notes, and only those, whose announcement it will not
// see again and whose drop it will. For this to hold after a crash the notes
// are written to disk before any offset is committed (saveNotes), and a
// swallowed one is forgotten only when a commit has passed its drop.

// expectEcho notes that a drop, announced by this message, will come back.
func (t *task) expectEcho(m *core.Message, table string, before int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.rec.Echoes {
		if e.Vgroup == m.Vgroup && e.Table == table && e.Swallowed == 0 {
			return
		}
	}
	t.rec.Echoes = append(t.rec.Echoes, store.Echo{
		Vgroup: m.Vgroup, Table: table, Announced: m.Offset, Before: before, At: t.e.clock.Now(),
	})
	t.notes++
}

// takeEcho reports whether the drop in this message was announced.
func (t *task) takeEcho(m *core.Message, table string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.rec.Echoes {
		if e := &t.rec.Echoes[i]; e.Vgroup == m.Vgroup && e.Table == table && e.Swallowed == 0 {
			e.Swallowed = m.Offset
			t.notes++
			return true
		}
	}
	return false
}

// echoDue reports whether a drop of a table was announced and not seen yet.
func (t *task) echoDue(vgroup int32, table string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.rec.Echoes, func(e store.Echo) bool {
		return e.Vgroup == vgroup && e.Table == table && e.Swallowed == 0
	})
}

// saveNotes brings the notes to disk. It must succeed before an offset is
// committed.
func (t *task) saveNotes() error {
	if _, saved := t.unsaved(); saved {
		return nil
	}
	t.e.writing.Lock()
	defer t.e.writing.Unlock()
	notes, saved := t.unsaved()
	if saved {
		return nil // by another worker
	}
	if err := t.e.store.PutTasks(t.keep(t.e.clock.Now())); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.saved = notes
	return nil
}

// unsaved counts the changes of the notes, and reports whether all are on disk.
func (t *task) unsaved() (notes uint64, saved bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.notes, t.saved == t.notes
}

// passedEchoes forgets the drops that a committed offset has passed, if the vgroup
// is not going to be read again from before them because tags were set.
func (t *task) passedEchoes(vgroup int32, committed int64) {
	committed = t.lowest(vgroup, committed)
	t.keepEchoes(func(e store.Echo) bool {
		return e.Vgroup != vgroup || e.Swallowed == 0 || e.Swallowed > committed
	})
}

// rereadEchoes prepares the notes for a reader that begins at a position:
// announcements behind it come again, and so do the drops of the others.
func (t *task) rereadEchoes(vgroup int32, from int64) {
	t.keepEchoes(func(e store.Echo) bool {
		return e.Vgroup != vgroup || e.Announced <= from && (e.Swallowed == 0 || e.Swallowed > from)
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.rec.Echoes {
		if e := &t.rec.Echoes[i]; e.Vgroup == vgroup {
			e.Swallowed = 0
		}
	}
}

func (t *task) keepEchoes(keep func(store.Echo) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := len(t.rec.Echoes)
	t.rec.Echoes = slices.DeleteFunc(t.rec.Echoes, func(e store.Echo) bool { return !keep(e) })
	if len(t.rec.Echoes) != before {
		t.notes++
	}
}
