package engine

import (
	"testing"

	"tdreplica/core"
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

// TestTagsByNumber: names by numbers are of no use where a tag was added, or renamed,
// that they do not know of.
func TestTagsByNumber(t *testing.T) {
	names := map[int16]string{3: "g", 5: "hh"}
	here := []core.Column{{Name: "g"}, {Name: "hh"}, {Name: "x"}}
	for what, c := range map[string]struct {
		names map[int16]string
		ids   []int16
		here  []core.Column
		tells bool
	}{
		"all known":                {names, []int16{3, 5}, here, true},
		"one was dropped":          {names, []int16{3, 4, 5}, here, true},
		"one was added":            {names, []int16{3, 6}, here, false},
		"the sink has renamed one": {names, []int16{3, 5}, here[:1], false},
		"nothing is known":         {nil, []int16{3}, here, false},
	} {
		var values []raw.Tag
		for _, id := range c.ids {
			values = append(values, raw.Tag{ID: id})
		}
		if tellsAll(c.names, values, c.here) != c.tells {
			t.Errorf("%s: not %v", what, c.tells)
		}
	}
}
