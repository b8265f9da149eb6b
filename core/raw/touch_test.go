package raw

import (
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
	rawType, payload := EncodeTouch([]TimeColumn{{"a", "ts"}, {"b", "t"}}, TimeColumn{"st", "ts"}, nil)
	blocks, _, err := Rows(rawType, payload)
	if err != nil || rawType != core.RawData {
		t.Fatal(rawType, err)
	}
	var got []string
	for _, b := range blocks {
		got = append(got, fmt.Sprintf("%s(%s) %d", b.Table, b.Columns[0].Name, b.Rows))
	}
	if fmt.Sprint(got) != "[a(ts) 0 b(t) 0 st(ts) 1]" {
		t.Error(got)
	}
}
