package embedded

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestRowSet compares a rowSet with a map, over any order of writes and
// deletes, whether rows come one by one or in blocks.
func TestRowSet(t *testing.T) {
	cols := []column{newColumn("ts", typeTimestamp, 0), newColumn("v", typeInt, 0), newColumn("s", typeVarchar, 9)}
	for i := range cols {
		cols[i].id = int16(i + 1)
	}
	type value struct{ v, s string }
	rapid.Check(t, func(t *rapid.T) {
		set, model := rowSet{}, map[int64]value{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if rapid.IntRange(0, 5).Draw(t, "kind") == 0 {
				from := rapid.Int64Range(0, 60).Draw(t, "from")
				to := from + rapid.Int64Range(0, 20).Draw(t, "span")
				lo, hi := set.span(from, to)
				set.cut(lo, hi)
				for ts := from; ts <= to; ts++ {
					delete(model, ts)
				}
				continue
			}
			bound := cols[:rapid.IntRange(2, 3).Draw(t, "columns")]
			stamps := rapid.SliceOfNDistinct(rapid.Int64Range(0, 60), 1, 9, rapid.ID).Draw(t, "stamps")
			slices.Sort(stamps)
			var rows [][][]byte
			for _, ts := range stamps {
				row := [][]byte{binary.LittleEndian.AppendUint64(nil, uint64(ts)), nil, nil}[:len(bound)]
				had := model[ts]
				had.v = ""
				if rapid.Bool().Draw(t, "set") {
					row[1] = binary.LittleEndian.AppendUint32(nil, uint32(ts*7))
					had.v = string(row[1])
				}
				if len(bound) == 3 {
					row[2] = []byte(rapid.StringN(1, 3, 9).Draw(t, "text"))
					had.s = string(row[2])
				}
				model[ts] = had
				rows = append(rows, row)
			}
			if n := len(set.ts); n == 0 || stamps[0] > set.ts[n-1] {
				b, err := decodeBlock(appendBlock(nil, 2, bound, rows))
				if err != nil {
					t.Fatal(err)
				}
				set.appendBlock(bound, b.cells, b.rows)
			} else {
				set.upsert(bound, rows)
			}
		}
		if len(set.ts) != len(model) || !slices.IsSorted(set.ts) {
			t.Fatalf("times %v, want %d of them", set.ts, len(model))
		}
		for i, ts := range set.ts {
			if got := (value{string(set.cell(i, 2)), string(set.cell(i, 3))}); got != model[ts] {
				t.Fatalf("row %d: %q, want %q", ts, got, model[ts])
			}
		}
	})
}
