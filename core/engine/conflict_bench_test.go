package engine

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// rowsOf is a message of rows of three columns, as a busy application's: so many
// tables with so many rows each, from a time on.
func rowsOf(prefix string, tables, rows int, from int64) []byte {
	times := make([]byte, 0, 8*rows)
	for i := range rows {
		times = binary.LittleEndian.AppendUint64(times, uint64(from+int64(i)))
	}
	column := func(name string, t raw.Type, width int) raw.ColumnData {
		return raw.ColumnData{
			Column: raw.Column{Name: name, Type: t, Bytes: int32(width)},
			Index:  make([]byte, (rows+7)/8), Data: make([]byte, width*rows),
		}
	}
	b := raw.Block{Rows: rows, Precision: "ms", Columns: []raw.ColumnData{
		column("ts", raw.Timestamp, 8), column("current", raw.Float, 4), column("voltage", raw.Int, 4),
	}}
	b.Columns[0].Data = times
	blocks := make([]raw.Block, tables)
	for i := range blocks {
		b.Table = fmt.Sprint(prefix, i)
		blocks[i] = b
	}
	_, payload := raw.EncodeRows(blocks, nil)
	return payload
}

// BenchmarkCross is what looking for conflicts costs a message: while the other
// direction rests, while it reads other tables as busily, and while it reads
// other rows of the same tables.
func BenchmarkCross(b *testing.B) {
	shapes := []struct{ tables, rows int }{{1, 4096}, {100, 40}, {1000, 1}}
	for _, other := range []string{"rests", "other tables", "same tables"} {
		for _, shape := range shapes {
			b.Run(fmt.Sprintf("%s/%dx%d", other, shape.tables, shape.rows), func(b *testing.B) {
				benchmarkCross(b, other, shape.tables, shape.rows)
			})
		}
	}
}

func benchmarkCross(b *testing.B, other string, tables, rows int) {
	c := newCrossing(16 << 20)
	payloads := [2][]byte{rowsOf("a", tables, rows, 0), rowsOf("a", tables, rows, 1<<40)}
	if other == "other tables" {
		payloads[1] = rowsOf("b", tables, rows, 0)
	}
	now := seconds(0)
	var keys []int64
	cross := func(side int) {
		var err error
		if keys, _, err = raw.AppendKeys(keys[:0], core.RawData, payloads[side]); err != nil {
			b.Fatal(err)
		}
		batch, x := c.read(side, now, slices.Clone(keys))
		if x.rows > 0 {
			b.Fatalf("%+v", x)
		}
		c.written(batch, now)
	}
	b.SetBytes(int64(len(payloads[0])))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		cross(0)
		if other != "rests" {
			cross(1)
		}
		// About two seconds of both are remembered, at 100 messages a second.
		now = now.Add(10 * time.Millisecond)
		if n%100 == 0 {
			c.level(0, 0, 1, now)
			c.level(1, 0, 1, now)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(tables*rows), "ns/row")
}
