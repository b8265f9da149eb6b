package raw

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tdreplica/core"
)

// tagsNamed are tags of type INT, unless a name has another type behind it.
func tagsNamed(names ...string) (cols []core.Column) {
	for _, s := range names {
		name, other, _ := strings.Cut(s, " ")
		cols = append(cols, core.Column{Name: name, Type: cmp.Or(other, "INT"), Note: "TAG"})
	}
	return cols
}

// readAgain decodes a request once more.
func readAgain(t *testing.T, n NewTable) NewTable {
	t.Helper()
	metas, err := Metas(core.RawCreateTbl, EncodeCreate([]NewTable{n}))
	if err != nil {
		t.Fatal(err)
	}
	return metas[0].Tables[0]
}

// child is a request with the tags k, g and h of the numbers 3, 4 and 5, the last of
// which is a text.
func child(text string) NewTable {
	values := [][]byte{{6, byte(Int), 1, 0, 0, 0}, {8, byte(Int), 2, 0, 0, 0}, appendBlob([]byte{10, byte(VarChar)}, []byte(text))}
	list := []byte{0, 0, 0, 3, 0, 1, 0, 0, 0}
	if len(text) > 100 {
		list[0] = tagsAreLarge
	}
	at := 0
	for _, v := range values {
		if list = append(list, byte(at)); list[0] != 0 {
			list = append(list, byte(at>>8))
		}
		at += len(v)
	}
	list = append(list, bytes.Join(values, nil)...)
	rec := appendI64(appendI64(appendCStr([]byte{0}, "c"), 7), 8)
	rec = append(appendI32(rec, 0), childTable)
	rec = appendI64(append(appendCStr(appendI32(rec, -1), "st"), 3), 9)
	rec = appendI32(appendBlob(rec, list), 3)
	for _, name := range []string{"k", "g", "h"} {
		rec = appendCStr(rec, name)
	}
	return NewTable{Record: append(rec, 0, 0, 0, 0)}
}

func TestTagsArePairedAndArranged(t *testing.T) {
	for _, text := range []string{"short", strings.Repeat("long", 100)} {
		n := readAgain(t, child(text))
		tags := func(n NewTable) (s []string) {
			for i, tag := range n.Tags {
				s = append(s, fmt.Sprintf("%s%d %q", n.TagNames[i], tag.ID, tag.Value))
			}
			return s
		}
		want := func(what string, n NewTable, list ...string) {
			t.Helper()
			if got := tags(readAgain(t, n)); !slices.Equal(got, list) || !slices.Equal(tags(n), list) {
				t.Errorf("%s: %q, read again %q, want %q", what, tags(n), got, list)
			}
		}
		one, two, long := `3 "\x01\x00\x00\x00"`, `4 "\x02\x00\x00\x00"`, fmt.Sprintf("5 %q", text)
		want("as it came", n, "k"+one, "g"+two, "h"+long)
		paired, known := n.Paired(tagsNamed("g", "h", "x", "k VARCHAR"), false)
		if !known {
			t.Fatal("a tag is not known")
		}
		want("paired", paired, "g"+one, "h"+two, "k"+long)
		arranged := paired.Arranged(tagsNamed("k", "g", "h"))
		want("arranged", arranged, "k"+long, "g"+one, "h"+two)
		want("without one", arranged.Arranged(tagsNamed("h", "g")), "k"+long, "g"+one, "h"+two)
		if back := arranged.Arranged(tagsNamed("g", "h", "k")); !bytes.Equal(back.Record, paired.Record) {
			t.Error("arranged back it is another request")
		}
		for _, c := range []struct {
			what string
			tags []core.Column
			some bool
		}{
			{"a tag that is not there", tagsNamed("g", "k VARCHAR"), false},
			{"a tag of another type", tagsNamed("g", "h", "k BIGINT"), false},
			{"types in another order", tagsNamed("k VARCHAR", "g", "h"), true},
			{"a tag that two values may be", tagsNamed("kk", "g", "h VARCHAR"), true},
			{"no tag that is there", tagsNamed("x"), true},
		} {
			if same, known := n.Paired(c.tags, c.some); known || !bytes.Equal(same.Record, n.Record) {
				t.Errorf("%s: %v, %q", c.what, known, tags(same))
			}
		}
		renamed, known := n.Paired(tagsNamed("gg", "k", "x", "h", "g VARCHAR"), true)
		if !known {
			t.Error("all are known")
		}
		want("in another order", renamed, "k"+one, "h"+two, "g"+long)
		if renamed, known = n.Paired(tagsNamed("hh", "k VARCHAR"), true); !known {
			t.Error("k can only be the last")
		}
		want("others were renamed", renamed, "g"+one, "h"+two, "k"+long)
		want("in the end", n, "k"+one, "g"+two, "h"+long)
	}
}

// TestTagsWithoutNames has requests whose names and values cannot be brought together:
// they stay as they are.
func TestTagsWithoutNames(t *testing.T) {
	n := readAgain(t, child("x"))
	n.TagNames = n.TagNames[1:]
	if same, known := n.Paired(tagsNamed("g", "h", "k VARCHAR"), true); known || !bytes.Equal(same.Record, n.Record) {
		t.Error("it was paired")
	}
	if same := n.Arranged(tagsNamed("h", "g", "k")); !bytes.Equal(same.Record, n.Record) {
		t.Error("it was arranged")
	}
}
