package engine

import (
	"testing"

	"tdreplica/core/raw"
)

// TestColumnsThatWereReplaced has rows of a column that was dropped and added again
// told from those of the new one, also when older changes are read once more.
func TestColumnsThatWereReplaced(t *testing.T) {
	tk := &task{}
	super := func(suid int64, version int32, ids ...int16) *raw.Meta {
		m := &raw.Meta{Kind: raw.AlterSuperTable, Super: &raw.SuperTable{Name: "st", SUID: suid, ColumnVersion: version}}
		for _, id := range ids {
			m.Super.Columns = append(m.Super.Columns, raw.Column{Name: "v", ID: id})
		}
		return m
	}
	replace := func(suid int64) {
		drop := super(suid, 2)
		drop.Alter = &raw.Alter{Table: "st", Change: raw.DropColumn, Fields: []raw.Column{{Name: "v", ID: 2}}}
		tk.noteAltered(drop)
		tk.noteAdded(super(suid, 3, 4))
	}
	expect := func(what string, id int16, another bool) {
		t.Helper()
		if got := tk.isAnother("st", raw.Column{Name: "v", ID: id}); got != another {
			t.Errorf("%s: column v of id %d is another one: %v", what, id, got)
		}
	}
	replace(1)
	expect("replaced", 2, true)
	expect("replaced", 4, false)
	tk.noteDropped(1)
	expect("dropped", 2, false)
	tk.forgetAdded(super(2, 1, 2).Super)
	replace(2)
	tk.forgetAdded(super(1, 1, 2).Super)
	expect("the first one's creation is read again", 2, true)
	tk.forgetAdded(super(3, 1, 2).Super)
	expect("made anew by another instance", 2, false)
}
