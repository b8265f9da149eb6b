package raw

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"testing"

	"tdreplica/core"
)

// TestParts divides rows of every kind, NULLs among them, and joins them again.
func TestParts(t *testing.T) {
	for _, server := range []string{"3.3.3.0", "3.3.7.5"} {
		f := payloadOf(t, server, "insert rows")
		blocks, _, err := Rows(f.rawType, f.payload)
		if err != nil {
			t.Fatal(err)
		}
		var pick []int
		for i := range 45 {
			pick = append(pick, i*i%3%2)
		}
		whole := blocks[0].Pick(pick)
		var parts []Block
		for p := range whole.Parts(1) {
			parts = append(parts, *p)
		}
		if len(parts) != 6 {
			t.Fatalf("%d parts of 45 rows", len(parts))
		}
		if joined := Join(parts); !reflect.DeepEqual(joined, whole) {
			t.Errorf("%s: joined they are\n%+v, not\n%+v", server, joined, whole)
		}
		for p := range whole.Parts(1 << 20) {
			if p.Rows != whole.Rows {
				t.Errorf("a part of %d rows of what fits into one", p.Rows)
			}
		}
	}
}

func TestWithoutRequests(t *testing.T) {
	for _, server := range []string{"3.3.3.0", "3.3.7.5"} {
		f := payloadOf(t, server, "json tag child")
		want, created, err := Rows(f.rawType, f.payload)
		if err != nil || len(created) == 0 {
			t.Fatalf("%v created, %v", created, err)
		}
		payload, err := WithoutRequests(f.payload)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := Rows(core.RawData, payload); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", server, got, err, want)
		}
	}
}

func TestEncodeTouch(t *testing.T) {
	columns := []Column{{Name: "t", Type: Timestamp, Bytes: 8, ID: 1}, {Name: "k", Type: VarChar, Flags: keyFlag, Bytes: 10, ID: 2}, {Name: "v", Type: Int, Bytes: 4, ID: 3}}
	key, err := SchemaKey(appendSchema(nil, columns, 1))
	if err != nil || len(key) != 2 {
		t.Fatal(key, err)
	}
	if key, err := SchemaKey(appendSchema(nil, columns[2:], 1)); err != nil || len(key) != 1 {
		t.Error(key, err)
	}
	if key, err := SchemaKey(appendSchema(nil, nil, 1)); err == nil {
		t.Error(key, "of no columns")
	}
	rawType, payload := EncodeTouch([]Keyed{ByTime("a", "ts"), {"b", key}}, ByTime("st", "ts"), nil)
	blocks, _, err := Rows(rawType, payload)
	if err != nil || rawType != core.RawData {
		t.Fatal(rawType, err)
	}
	var got []string
	for _, b := range blocks {
		last := b.Columns[len(b.Columns)-1]
		got = append(got, fmt.Sprintf("%s(%s) %d", b.Table, last.Name, b.Rows))
	}
	if fmt.Sprint(got) != "[a(ts) 0 b(k) 0 st(ts) 1]" {
		t.Error(got)
	}
}

// at is rows of a table with nothing but their times.
func at(table, column string, times ...int64) Block {
	b := onlyKey(ByTime(table, column), len(times))
	for i, v := range times {
		binary.LittleEndian.PutUint64(b.Columns[0].Data[8*i:], uint64(v))
	}
	return b
}

// TestGathered joins what is in the order of time, and leaves apart what a writer
// could not tell the newer one of, and what has other columns.
func TestGathered(t *testing.T) {
	got := ""
	blocks := []Block{
		at("a", "ts", 1), at("b", "ts", 1), at("a", "ts", 2, 4), at("b", "ts", 1), at("a", "ts", 5),
		at("a", "ts", 5), at("b", "t", 9), at("a", "ts", 7, 6), at("a", "ts", 8), at("a", "ts"), at("b", "t", 10),
	}
	for b := range Gathered(blocks, 1<<10) {
		got += fmt.Sprintf("%s(%s)", b.Table, b.Columns[0].Name)
		for row := range b.Rows {
			v, _ := b.Time(row)
			got += fmt.Sprint(" ", v)
		}
		got += "; "
	}
	if want := "a(ts) 1 2 4 5; b(ts) 1; b(ts) 1; a(ts) 5; b(t) 9 10; a(ts) 7 6; a(ts) 8; a(ts); "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	n := 0
	for range Gathered(blocks, 1) {
		n++
	}
	if n != len(blocks) {
		t.Errorf("%d blocks came of %d that are full", n, len(blocks))
	}
}
