package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
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

// manyTables is a sink that lists no more tables than it can within a deadline.
type manyTables struct {
	anotherTable
	asked int
}

func (c *manyTables) TableIDs(ctx context.Context, db string, names []string) (map[string]core.TableID, error) {
	if len(names) > tablesAtOnce {
		return nil, refuse(core.ClassOperator, "no answer within the deadline") // of a class that is not tried again for ever
	}
	c.asked += len(names)
	return c.anotherTable.TableIDs(ctx, db, names)
}

// TestManyTablesAreLookedForInParts looks at more tables than a server lists within
// one deadline: asked for all of them it would never answer.
func TestManyTablesAreLookedForInParts(t *testing.T) {
	w, _, world := movedWorker(t)
	sink := &manyTables{anotherTable: anotherTable{&fakeCatalog{world, world.servers[west]}, 1, 1}}
	w.p.plan.sinkCatalog = sink
	w.landing = newLanding(trusting)
	for i := range 5*tablesAtOnce + 1 {
		w.landing.written = append(w.landing.written, &landed{name: fmt.Sprint("d", i), uid: 1, dirty: true})
	}
	gone, err := w.goneTables(t.Context())
	if err != nil || len(gone) > 0 || sink.asked != 5*tablesAtOnce+1 {
		t.Errorf("%d tables are gone, %d were asked for, %v", len(gone), sink.asked, err)
	}
}

// superTable is a sink where a table of the source is a super table.
type superTable struct{ anotherTable }

func (c *superTable) TableIDs(context.Context, string, []string) (map[string]core.TableID, error) {
	return nil, nil
}

func (c *superTable) SuperTables(context.Context, string) ([]string, error) {
	return []string{"d1"}, nil
}

// TestASuperTableInTheWayEndsTheTask writes rows of a table whose name a super table
// has at the sink: no time will mend that.
func TestASuperTableInTheWayEndsTheTask(t *testing.T) {
	w, _, world := movedWorker(t)
	sink := &superTable{anotherTable{&fakeCatalog{world, world.servers[west]}, 1, 1}}
	w.p.plan.sinkCatalog, w.p.plan.catalog, w.p.plan.sinkVersion = sink, sink, wholeRows
	w.landing = newLanding(trusting)
	err := w.writeRows(t.Context(), oneRow("d1"))
	if class := core.ClassOf(err); class != core.ClassData || !strings.Contains(fmt.Sprint(err), "super table") {
		t.Errorf("class %s: %v", class, err)
	}
}

// TestRowsThatCannotBeReadAreToldOnce has a source whose messages are of another
// make: one warning says all of it, however many there are.
func TestRowsThatCannotBeReadAreToldOnce(t *testing.T) {
	w, _, _ := movedWorker(t)
	w.landing = newLanding(trusting)
	for size := range 40 {
		garbage := bytes.Repeat([]byte{byte(size), 0xff}, size+1)
		if err := w.lookBefore(t.Context(), &core.Message{RawType: core.RawData, Frame: garbage}); err != nil {
			t.Fatal(err)
		}
	}
	if told := w.p.t.facts.warnings; len(told) != 1 {
		t.Errorf("%d warnings: %q", len(told), told)
	}
}
