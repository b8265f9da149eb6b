package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// movedWorker is a worker of a member that owns vgroup 2 and may write.
func movedWorker(t *testing.T) (*worker, *tenure, *world) {
	c := &council{clock: &stoppedClock{time.Unix(1000, 0)}, delays: func() time.Duration { return 0 }}
	m := c.member(t)
	m.p.members = m
	c.owner = m.p.client + "/0"
	for range 12 {
		if err := m.see(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.clock.now = c.clock.now.Add(time.Second)
	}
	owned := m.vgroups(0)[2]
	if owned == nil || !m.mayWrite(owned) {
		t.Fatal("the vgroup may not be written, which proves nothing")
	}
	world := newWorld(t)
	db := world.server(west, "power").dbs["power"]
	m.p.e.connector, m.p.plan.sink.URL = world, west
	w := newWorker(m.p, 0, 1<<20, 1)
	w.sink = &fakeSink{w: world, db: db}
	return w, owned, world
}

// TestAMessageEndsWhereItsVgroupMovesAway moves a vgroup between two writes of one
// message: its new owner may write behind the first.
func TestAMessageEndsWhereItsVgroupMovesAway(t *testing.T) {
	w, owned, world := movedWorker(t)
	w.tenure = owned
	if err := w.insist(t.Context(), &core.Message{Frame: []byte("first")}); err != nil {
		t.Fatal(err)
	}
	owned.over.Store(true)
	if err := w.insist(t.Context(), &core.Message{Frame: []byte("second")}); !errors.Is(err, errMovedAway) {
		t.Errorf("the second write: %v", err)
	}
	if got := world.appliedAt(west, "power"); len(got) != 1 {
		t.Errorf("written: %v", got)
	}
}

// TestAVgroupThatMovedAwayStopsNobody lets go of a message, and then asks the sink
// something that succeeds at the second try, as the look at other rows may.
func TestAVgroupThatMovedAwayStopsNobody(t *testing.T) {
	w, owned, world := movedWorker(t)
	owned.over.Store(true)
	j := &job{it: item{m: &core.Message{Vgroup: 2, Kind: core.KindData, RawType: core.RawData, Frame: []byte("late")}, tenure: owned}}
	if done, err := w.apply(t.Context(), j); err != nil || !done || !j.gone {
		t.Fatalf("done: %v, gone: %v, %v", done, j.gone, err)
	}
	tries := 0
	err := w.ask(t.Context(), func(context.Context) error {
		if tries++; tries == 1 {
			return errAfterWrite
		}
		return nil
	})
	if err != nil || len(world.appliedAt(west, "power")) > 0 {
		t.Errorf("after %d tries: %v", tries, err)
	}
}

// anotherTable is a sink at which a table is another one each time but the last.
type anotherTable struct {
	*fakeCatalog
	uid, last int64
}

func (c *anotherTable) TableIDs(_ context.Context, _ string, names []string) (map[string]core.TableID, error) {
	ids := map[string]core.TableID{}
	for _, name := range names {
		ids[name] = core.TableID{UID: c.uid}
	}
	c.uid = min(c.uid+1, c.last)
	return ids, nil
}

func (c *anotherTable) Describe(context.Context, string, string) (*core.Table, error) {
	return &core.Table{Name: "d1", Columns: []core.Column{{Name: "ts", Type: "TIMESTAMP", Length: 8}}}, nil
}

// oneRow is a message with a row of a table, which has nothing but its time.
func oneRow(table string) *core.Message {
	ts := raw.ColumnData{Column: raw.Column{Name: "ts", ID: 1, Type: raw.Timestamp, Bytes: 8}, Index: make([]byte, 1), Data: binary.LittleEndian.AppendUint64(nil, 1)}
	rawType, payload := raw.EncodeRows([]raw.Block{{Table: table, Rows: 1, Precision: "ms", Columns: []raw.ColumnData{ts}}}, nil)
	return raw.Item{RawType: rawType, Payload: payload}.Message(&core.Message{Vgroup: 2, Kind: core.KindData})
}

// TestRowsWrittenAgainLeaveTheChangeItsVgroup has rows written again because a
// change of schema comes whose vgroup moves away meanwhile: the change is not
// carried out.
func TestRowsWrittenAgainLeaveTheChangeItsVgroup(t *testing.T) {
	w, owned, world := movedWorker(t)
	w.p.plan.sinkVersion = wholeRows
	w.p.plan.sinkCatalog = &anotherTable{&fakeCatalog{world, world.servers[west]}, 2, 2}
	w.landing = newLanding(trusting)
	rows := oneRow("d1")
	w.found("d1", "", 1)
	w.landing.wrote(named{w.landing.key([]byte("d1")), "d1"})
	w.wrote(&job{it: item{m: rows, seq: 1, tenure: owned}})

	again := 0
	world.setFault(func(op string) error {
		if op == "write" {
			again++
			owned.over.Store(again == 1) // after the rows
		}
		return nil
	})
	change := &core.Message{Vgroup: 2, Kind: core.KindMeta, RawType: core.RawDeleteRows, Frame: raw.EncodeDelete(raw.Delete{Table: "d2", TSColumn: "ts", From: 1, To: 2})}
	j := &job{it: item{m: change, seq: 2, tenure: owned}}
	w.p.plan.catalog = w.p.plan.sinkCatalog
	done, err := w.apply(t.Context(), j)
	if err != nil || !done || !j.gone || again != 1 {
		t.Errorf("done: %v, gone: %v, writes: %d, %v", done, j.gone, again, err)
	}
}
