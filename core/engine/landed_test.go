package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// BenchmarkLookBefore is what rows cost more at a sink that skips missing tables,
// once their tables are known: 64 tables with 16 rows each in a message.
func BenchmarkLookBefore(b *testing.B) {
	l := newLanding(trusting)
	w := &worker{landing: l, p: &pump{e: &Engine{clock: &stoppedClock{time.Unix(1000, 0)}}}}
	l.begin(w.p.e.clock.Now(), 0)
	var blocks []raw.Block
	for t := range 64 {
		name := fmt.Sprintf("meter_%04d", t)
		l.known[l.key([]byte(name))] = landed{uid: int64(t) + 1, owner: l.owner("meters")}
		ts := raw.ColumnData{Column: raw.Column{Name: "ts", ID: 1, Type: raw.Timestamp, Bytes: 8}, Index: make([]byte, 2)}
		for r := range 16 {
			ts.Data = binary.LittleEndian.AppendUint64(ts.Data, uint64(r))
		}
		blocks = append(blocks, raw.Block{Table: name, Rows: 16, Precision: "ms", Columns: []raw.ColumnData{ts}})
	}
	rawType, payload := raw.EncodeRows(blocks, nil)
	m := raw.Item{RawType: rawType, Payload: payload}.Message(&core.Message{})
	_ = raw.Tables(rawType, payload, func(ref raw.TableRef) {
		l.good[fit{l.owner("meters"), maphash.Bytes(l.seed, ref.Schema)}] = true
	})
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.lookBefore(b.Context(), m); err != nil || len(l.next) != len(blocks) {
			b.Fatal(len(l.next), err)
		}
		for _, n := range l.next {
			l.wrote(n)
		}
	}
}

// tablesThere is a sink with some tables, which counts how it is asked for them.
type tablesThere struct {
	anotherTable
	uids          map[string]int64
	asked, listed int
	fail          int // how many listings end half-way
}

func (c *tablesThere) TableIDs(_ context.Context, _ string, names []string) (map[string]core.TableID, error) {
	c.asked++
	ids := map[string]core.TableID{}
	for _, name := range names {
		if uid, ok := c.uids[name]; ok {
			ids[name] = core.TableID{UID: uid}
		}
	}
	return ids, nil
}

func (c *tablesThere) EachTable(_ context.Context, _ string, each func([]byte, []byte, int64)) error {
	c.listed++
	n := 0
	for name, uid := range c.uids {
		if each([]byte(name), nil, uid); n == len(c.uids)/2 && c.fail > 0 {
			c.fail--
			return &core.Error{Class: core.ClassRetry, Op: "list", Text: "the line was cut"}
		}
		n++
	}
	return nil
}

func landingAt(t *testing.T, uids map[string]int64) (*worker, *tablesThere) {
	w, _, world := movedWorker(t)
	sink := &tablesThere{anotherTable: anotherTable{&fakeCatalog{world, world.servers[west]}, 1, 1}, uids: uids}
	w.p.plan.sinkCatalog, w.p.plan.sinkVersion = sink, trusting
	w.landing = newLanding(trusting)
	return w, sink
}

// TestTheLookFindsWhatIsGone writes to few tables, which it asks for, and to many, for
// which it lists all. Of a hundred each one is dropped, and one made anew; a table
// that nobody wrote to is, too.
func TestTheLookFindsWhatIsGone(t *testing.T) {
	for _, n := range []int{1, 7, namesAtOnce, namesAtOnce + 1, 5 * namesAtOnce} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			uids := map[string]int64{"other": 7}
			w, sink := landingAt(t, uids)
			sink.fail = 1
			l := w.landing
			w.found("other", "", 6)
			var want []string
			for i := range n {
				name := fmt.Sprint("d", i)
				uids[name] = int64(i + 1)
				w.found(name, "", int64(i+1)*int64(i%3&1)) // of some the id is not known yet
				l.wrote(l.naming(l.key([]byte(name)), l.known[l.key([]byte(name))], []byte(name)))
				w.wrote(&job{it: item{m: oneRow(name), seq: uint64(i + 1)}})
				switch {
				case i%100 == 3:
					delete(uids, name)
					want = append(want, name)
				case i%100 == 4 && i%3 == 1:
					uids[name] = -1
					want = append(want, name)
				}
			}
			gone, err := w.goneTables(t.Context())
			slices.Sort(gone)
			slices.Sort(want)
			if err != nil || !slices.Equal(gone, want) {
				t.Errorf("gone are %v, want %v: %v", gone, want, err)
			}
			if many := n > namesAtOnce; (sink.listed > 0) != many || (sink.asked > 0) == many {
				t.Errorf("asked %d times, listed %d times", sink.asked, sink.listed)
			}
			if gone, err := w.goneTables(t.Context()); err != nil || len(gone) > 0 {
				t.Errorf("a look at nothing finds %v, %v", gone, err)
			}
		})
	}
}

// TestManyTablesAreLearnedAtOnce meets tables that it does not know: few are asked
// for, and many, or few again and again for long, have all of them listed.
func TestManyTablesAreLearnedAtOnce(t *testing.T) {
	uids := map[string]int64{}
	for i := range 2 * namesAtOnce {
		uids[fmt.Sprint("d", i)] = int64(i + 1)
	}
	w, sink := landingAt(t, uids)
	l := w.landing
	w.found("d5", "", 99) // another one by now, which is for the next look to find
	w.found("d6", "", 99) // the same,
	l.doubt("d6")         // and it was dropped since
	few := []string{"d0", "d1", "gone"}
	if err := w.learn(t.Context(), few); err != nil || sink.asked != 1 || sink.listed != 0 || len(l.known) != 4 {
		t.Errorf("few: asked %d, listed %d, %d known, %v", sink.asked, sink.listed, len(l.known), err)
	}
	l.asking = patientAsking
	if err := w.learn(t.Context(), few); err != nil || sink.listed != 1 || len(l.known) != len(uids) || l.asking != 0 {
		t.Errorf("after a while: listed %d, %d known, %v", sink.listed, len(l.known), err)
	}
	for name, want := range map[string]int64{"d5": 99, "d6": 7, "d1999": 2000} {
		if at := l.known[l.key([]byte(name))]; at.uid != want || at.stale {
			t.Errorf("%s is %+v, want uid %d", name, at, want)
		}
	}
	if err := w.learn(t.Context(), make([]string, namesAtOnce)); err != nil || sink.listed != 2 || sink.asked != 1 {
		t.Errorf("many: asked %d, listed %d, %v", sink.asked, sink.listed, err)
	}
}

// TestChangesThatConcernRowsWaitForALook has rows of one table that were not looked
// after, and another table without.
func TestChangesThatConcernRowsWaitForALook(t *testing.T) {
	w, _ := landingAt(t, nil)
	l := w.landing
	w.found("clean", "", 1)
	w.found("dirty", "", 2)
	l.wrote(named{l.key([]byte("dirty")), "dirty"})
	of := func(kind raw.Kind, table string) raw.Meta {
		return raw.Meta{Kind: kind, Delete: &raw.Delete{Table: table}, Alter: &raw.Alter{Table: table}, Dropped: []raw.Dropped{{Name: "other"}, {Name: table}}}
	}
	for kind, want := range map[raw.Kind][3]bool{ // of the dirty table, the clean one, and a name that is not known
		raw.CreateTables:    {},
		raw.DeleteRows:      {true, false, true},
		raw.AlterOneTable:   {true, false, false},
		raw.DropTables:      {true, false, false},
		raw.DropSuperTable:  {true, true, true},
		raw.AlterSuperTable: {true, true, true},
		raw.Unknown:         {true, true, true},
	} {
		for i, table := range []string{"dirty", "clean", "meters"} {
			if got := l.concerns(of(kind, table)); got != want[i] {
				t.Errorf("%s of %s waits: %v", kind, table, got)
			}
		}
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

// tablesMade is a sink that has tables made that are missing; so is its source.
type tablesMade struct{ tablesThere }

func (c *tablesMade) Describe(ctx context.Context, _, name string) (*core.Table, error) {
	if _, ok := c.uids[name]; !ok {
		return nil, &core.Error{Class: core.ClassData, Code: codeTableMissing, Op: "describe"}
	}
	return c.anotherTable.Describe(ctx, "", name)
}

func (c *tablesMade) CreateStatement(_ context.Context, _, name string) (core.CreateStatement, error) {
	return core.CreateStatement{Table: name}, nil
}

func (c *tablesMade) CreateTable(_ context.Context, _ string, s core.CreateStatement) error {
	c.uids[s.Table] = 9
	return nil
}

// TestATableMadeAnewIsNotTakenForGone has a sink refuse rows of a table that somebody
// dropped there. It is made anew, and its rows have arrived then; those that were
// written to the old one before have not.
func TestATableMadeAnewIsNotTakenForGone(t *testing.T) {
	for name, before := range map[string]int{"nothing written before": 0, "rows written before": 1} {
		t.Run(name, func(t *testing.T) {
			w, there := landingAt(t, map[string]int64{})
			sink := &tablesMade{*there}
			w.p.plan.sinkCatalog, w.p.plan.catalog = sink, sink
			world := sink.fakeCatalog.w
			w.found("d1", "", 5)
			for range before {
				if err := w.tryRows(t.Context(), oneRow("d1")); err != nil {
					t.Fatal(err)
				}
				w.wrote(&job{it: item{m: oneRow("d1"), seq: 1}})
			}
			refused := false
			world.setFault(func(op string) error {
				if op != "write" || refused {
					return nil
				}
				refused = true
				return &core.Error{Class: core.ClassData, Code: codeTableMissing, Op: "write"}
			})
			if err := w.writeRows(t.Context(), oneRow("d1")); err != nil {
				t.Fatal(err)
			}
			w.wrote(&job{it: item{m: oneRow("d1"), seq: 2}})
			if err := w.lookAfter(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := len(world.appliedAt(west, "power")), 1+3*before; got != want {
				t.Errorf("%d writes, want %d", got, want)
			}
		})
	}
}
