package raw

import "testing"

// TestSplitColumns builds a message in which one table comes with two sets of
// columns, and expects parts that have one set each, with every row.
func TestSplitColumns(t *testing.T) {
	full := payloadOf(t, "3.3.3.0", "insert rows")
	part := payloadOf(t, "3.3.3.0", "insert some columns only")
	a, _, err := Rows(full.rawType, full.payload)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := Rows(part.rawType, part.payload)
	if err != nil {
		t.Fatal(err)
	}
	if a[0].Table != b[0].Table || len(a[0].Columns) == len(b[0].Columns) {
		t.Fatalf("the fixture changed: %s with %d columns, %s with %d", a[0].Table, len(a[0].Columns), b[0].Table, len(b[0].Columns))
	}
	if items, err := SplitColumns(EncodeRows([]Block{a[0], a[0]}, nil)); err != nil || items != nil {
		t.Errorf("one set of columns: %d parts, %v", len(items), err)
	}
	items, err := SplitColumns(EncodeRows([]Block{a[0], b[0], b[0], a[0]}, nil))
	if err != nil || len(items) != 3 {
		t.Fatalf("%d parts, %v; want 3", len(items), err)
	}
	rows := int64(0)
	for i, it := range items {
		s, err := Stats(it.RawType, it.Payload)
		if err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
		rows += s.Rows
	}
	if want := int64(2*a[0].Rows + 2*b[0].Rows); rows != want {
		t.Errorf("%d rows in the parts, %d in the message", rows, want)
	}
}
