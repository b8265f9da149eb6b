package raw

import (
	"slices"
	"testing"
)

// TestDivide builds a message in which one table comes with two sets of
// columns, and expects parts that have one set each, with every row.
func TestDivide(t *testing.T) {
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
	if items, err := Divide(EncodeRows([]Block{a[0], a[0]}, nil)); err != nil || items != nil {
		t.Errorf("one set of columns: %d parts, %v", len(items), err)
	}
	items, err := Divide(EncodeRows([]Block{a[0], b[0], b[0], a[0]}, nil))
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

// TestDivideWithRequests has the rows of a new table in the last part:
// there, and nowhere else, the request to create it must be.
func TestDivideWithRequests(t *testing.T) {
	var blocks []Block
	var created []NewTable
	for _, step := range []string{"insert rows", "insert some columns only", "insert with auto-create"} {
		f := payloadOf(t, "3.3.3.0", step)
		b, c, err := Rows(f.rawType, f.payload)
		if err != nil {
			t.Fatal(err)
		}
		blocks, created = append(blocks, b...), append(created, c...)
	}
	if len(created) == 0 {
		t.Fatal("the fixture creates no table")
	}
	items, err := Divide(EncodeRows(blocks, created))
	if err != nil || len(items) < 2 {
		t.Fatalf("%d parts, %v", len(items), err)
	}
	for i, it := range items {
		b, c, err := Rows(it.RawType, it.Payload)
		if err != nil {
			t.Fatal(err)
		}
		for _, request := range created {
			rows := slices.ContainsFunc(b, func(b Block) bool { return b.Table == request.Name })
			if there := slices.ContainsFunc(c, func(n NewTable) bool { return n.Name == request.Name }); there != rows {
				t.Errorf("part %d of %d: rows of %s %v, its request %v", i+1, len(items), request.Name, rows, there)
			}
		}
	}
}

// TestDivideTablesToBeCreated: a writer that is asked twice for a table that is to
// be created takes the next one, which is not, for it. No part may have both.
func TestDivideTablesToBeCreated(t *testing.T) {
	f := payloadOf(t, "3.3.3.0", "insert with auto-create")
	made, created, err := Rows(f.rawType, f.payload)
	if err != nil || len(created) == 0 {
		t.Fatal(err, len(created))
	}
	f = payloadOf(t, "3.3.3.0", "insert rows")
	other, _, err := Rows(f.rawType, f.payload)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		blocks []Block
		parts  int
	}{
		"once":             {[]Block{made[0], other[0], other[0]}, 0},
		"alone":            {[]Block{made[0], made[0]}, 0},
		"before another":   {[]Block{made[0], made[0], other[0]}, 2},
		"around another":   {[]Block{other[0], made[0], other[0], made[0]}, 2},
		"nothing to write": {nil, 0},
	} {
		items, err := Divide(EncodeRows(c.blocks, created[:1]))
		if err != nil || len(items) != c.parts {
			t.Errorf("%s: %d parts of %d, %v", name, len(items), c.parts, err)
		}
		rows := int64(0)
		for _, it := range items {
			b, create, err := Rows(it.RawType, it.Payload)
			if err != nil || misled(b, create) {
				t.Errorf("%s: %d blocks with %d requests, %v", name, len(b), len(create), err)
			}
			rows += int64(len(b))
		}
		if c.parts > 0 && rows != int64(len(c.blocks)) {
			t.Errorf("%s: %d blocks of %d", name, rows, len(c.blocks))
		}
	}
}
