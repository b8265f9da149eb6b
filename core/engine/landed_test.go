package engine

import (
	"encoding/binary"
	"fmt"
	"testing"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// BenchmarkLookBefore is what rows cost more at a sink that skips missing tables,
// once their tables are known: 64 tables with 16 rows each in a message.
func BenchmarkLookBefore(b *testing.B) {
	l := newLanding(trusting)
	w := &worker{landing: l}
	var blocks []raw.Block
	for t := range 64 {
		name := fmt.Sprintf("meter_%04d", t)
		l.known[name] = &landed{name: name, uid: int64(t) + 1}
		ts := raw.ColumnData{Column: raw.Column{Name: "ts", ID: 1, Type: raw.Timestamp, Bytes: 8}, Index: make([]byte, 2)}
		for r := range 16 {
			ts.Data = binary.LittleEndian.AppendUint64(ts.Data, uint64(r))
		}
		blocks = append(blocks, raw.Block{Table: name, Rows: 16, Precision: "ms", Columns: []raw.ColumnData{ts}})
	}
	rawType, payload := raw.EncodeRows(blocks, nil)
	m := raw.Item{RawType: rawType, Payload: payload}.Message(&core.Message{})
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.lookBefore(b.Context(), m); err != nil || len(l.next) != len(blocks) {
			b.Fatal(len(l.next), err)
		}
	}
}
