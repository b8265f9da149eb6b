package raw

import (
	"slices"
	"testing"

	"tdreplica/core"
)

// TestRowsOfAQuery takes rows apart as /ws hands them out, picks some, joins
// them again, and writes them: nothing changes on the way.
func TestRowsOfAQuery(t *testing.T) {
	f := payloadOf(t, "3.3.7.5", "insert rows")
	blocks, _, err := Rows(f.rawType, f.payload)
	if err != nil {
		t.Fatal(err)
	}
	b := &blocks[0]
	var names []string
	for _, c := range b.Columns {
		names = append(names, c.Name)
	}
	query := b.AppendBlock(nil)
	query[0] = 1 // a query's says 1, with the sizes turned round all the same
	got, err := DecodeQuery(query, names, "ms")
	if err != nil {
		t.Fatal(err)
	}
	backwards := got.Pick([]int{1, 0})
	joined := Join([]Block{backwards.Pick([]int{1}), backwards.Pick([]int{0})})
	joined.Table = b.Table
	kind, payload := EncodeRows([]Block{joined}, nil)
	if kind != core.RawData {
		t.Fatal(kind)
	}
	again, _, err := Rows(kind, payload)
	if err != nil || len(again) != 1 {
		t.Fatalf("%d blocks, %v", len(again), err)
	}
	for i := range b.Columns {
		for row := range b.Rows {
			if v, w := b.Columns[i].Text(row), again[0].Columns[i].Text(row); v != w {
				t.Errorf("%s of row %d was %s and is %s", names[i], row, v, w)
			}
		}
	}
	if _, err := DecodeQuery(query, names[1:], "ms"); err == nil {
		t.Error("a name is missing, and nobody noticed")
	}
	if _, err := DecodeQuery(query[:len(query)-9], names, "ms"); err == nil {
		t.Error("a block that was cut off was decoded")
	}
	if v, ok := again[0].Columns[3].Value(1); ok || !slices.Equal(v, nil) {
		t.Errorf("NULL became %q", v)
	}
}
