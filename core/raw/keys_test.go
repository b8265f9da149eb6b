package raw

import (
	"errors"
	"slices"
	"testing"

	"tdreplica/core"
)

// timesBlock is rows of one table with nothing but timestamps.
func timesBlock(table string, times ...int64) Block {
	var data []byte
	for _, ts := range times {
		data = appendI64(data, ts)
	}
	return Block{Table: table, Rows: len(times), Precision: "ms", Columns: []ColumnData{
		{Column{Name: "ts", Type: Timestamp, Bytes: 8, ID: 1}, make([]byte, (len(times)+7)/8), data, 8},
	}}
}

func TestKeysOfRows(t *testing.T) {
	_, payload := EncodeRows([]Block{
		timesBlock("d1", 30, 10, 20), timesBlock("d1", 20, 40), timesBlock("d2"), timesBlock("d2", 10), timesBlock("d1", 5),
	}, nil)
	keys, _, err := AppendKeys([]int64{1, 2}, core.RawData, payload)
	if err != nil || len(keys) != 2+2+4+2+1+2+1 {
		t.Fatalf("%v, %v", keys, err)
	}
	d1, d2 := keys[2], keys[8]
	if want := []int64{1, 2, d1, 4, 10, 20, 30, 40, d2, 1, 10, d1, 1, 5}; !slices.Equal(keys, want) || d1 == d2 {
		t.Errorf("got %v, want %v", keys, want)
	}
	if name := KeyTable(core.RawData, payload, d2); name != "d2" {
		t.Errorf("the table is called %q", name)
	}
	if keys, _, err := AppendKeys(keys[:2], core.RawData, payload[:len(payload)/2]); !errors.Is(err, ErrMalformed) || len(keys) != 2 {
		t.Errorf("of half a message: %v, %v", keys, err)
	}
}

// TestKeysOfRecordedRows: real servers' messages have as many keys as rows.
func TestKeysOfRecordedRows(t *testing.T) {
	seen := 0
	for _, f := range frames(t) {
		if !f.rows() {
			continue
		}
		blocks, _, err := Rows(f.rawType, f.payload)
		keys, stat, kerr := AppendKeys(nil, f.rawType, f.payload)
		if err != nil || kerr != nil {
			t.Fatal(f.step, err, kerr)
		}
		if want, err := Stats(f.rawType, f.payload); err != nil || stat != want {
			t.Errorf("%s: counted %+v, want %+v", f.step, stat, want)
		}
		rows := map[string]map[int64]bool{}
		for _, b := range blocks {
			if rows[b.Table] == nil {
				rows[b.Table] = map[int64]bool{}
			}
			for i := range b.Rows {
				ts, _ := b.Time(i)
				rows[b.Table][ts] = true
			}
		}
		for len(keys) > 0 {
			table := KeyTable(f.rawType, f.payload, keys[0])
			for _, ts := range keys[2:][:keys[1]] {
				if seen++; !rows[table][ts] {
					t.Errorf("%s: %q has no row at %d", f.step, table, ts)
				}
			}
			keys = keys[2+keys[1]:]
		}
	}
	if seen < 10 {
		t.Errorf("only %d rows were recorded", seen)
	}
}

// TestWalksCostNoMemory: a message is walked through several times, of each of them.
func TestWalksCostNoMemory(t *testing.T) {
	payload := manyRows(3)
	keys, _, err := AppendKeys(nil, core.RawData, payload)
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	each := func(TableRef) { tables++ }
	n := testing.AllocsPerRun(100, func() {
		var failed [3]error
		_, failed[0] = Stats(core.RawData, payload)
		keys, _, failed[1] = AppendKeys(keys[:0], core.RawData, payload)
		failed[2] = Tables(core.RawData, payload, each)
		if failed != [3]error{} {
			t.Fatal(failed)
		}
	})
	if n != 0 || tables == 0 {
		t.Errorf("%v allocations for three walks, %d tables", n, tables)
	}
}

func BenchmarkKeys(b *testing.B) {
	payload := manyRows(1)
	var keys []int64
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if keys, _, err = AppendKeys(keys[:0], core.RawData, payload); err != nil || len(keys) != 2+4096 {
			b.Fatal(err)
		}
	}
}
