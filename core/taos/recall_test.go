package taos

import (
	"fmt"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/embedded"
	"tdreplica/core/engine"
)

// TestRecall writes the same rows, with the request to create their table, to one
// database and then to another, through connections of which each believes what the
// one before knew.
func TestRecall(t *testing.T) {
	node, err := embedded.Start(embedded.Options{Rebalance: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	for _, db := range []string{"src", "x", "y"} {
		must(t, node.Exec("create database "+db+" vgroups 1"))
		must(t, node.Exec("create table "+db+".st(ts timestamp, v int) tags(g int)"))
	}
	must(t, node.Exec("create topic topic with meta as database src"))
	conn, ep := New(Options{}), core.Endpoint{URL: node.URL(), User: "root", Password: "taosdata"}
	src, err := conn.Source(t.Context(), ep, engine.Subscription{Topic: "topic", Group: "g", ClientID: "c"})
	must(t, err)
	defer src.Close(t.Context())
	next := func(v int, using string) *core.Message {
		must(t, node.Exec(fmt.Sprintf("insert into src.c%s values(%d,%d)", using, 1735689600000+v, v)))
		for {
			m, err := src.Poll(t.Context(), time.Second)
			must(t, err)
			if m != nil && m.Kind != core.KindMeta {
				return m
			}
		}
	}
	creates, plain := next(1, " using src.st tags(1)"), next(2, "")
	if creates.RawType != core.RawMetadata || plain.RawType != core.RawData {
		t.Fatalf("raw types %d and %d", creates.RawType, plain.RawType)
	}
	for i, step := range []struct {
		db   string
		rows []*core.Message
	}{
		{"x", []*core.Message{creates, plain}},
		{"y", []*core.Message{creates}}, // the table is to be made here, and known there
		{"y", []*core.Message{creates}}, // it is there, and known
		{"y", []*core.Message{creates, plain, creates}},
	} {
		node.ReuseConnections(1)
		k, err := conn.Sink(t.Context(), ep, step.db)
		must(t, err)
		for _, m := range step.rows {
			if err := k.Write(t.Context(), m); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
		k.Close()
		want := map[string]int{"x": 2, "y": []int{0, 1, 1, 2}[i]}
		for db, n := range want {
			rows, err := node.Query("select v from " + db + ".st")
			must(t, err)
			if len(rows) != n {
				t.Fatalf("step %d: %s has %v", i, db, rows)
			}
		}
	}
}

// TestRecallOfRawRows does so with rows as they are stored, which tell their tables'
// names alone. Where the library cannot be made to look them up they are refused.
func TestRecallOfRawRows(t *testing.T) {
	node, err := embedded.Start(embedded.Options{Rebalance: 5 * time.Millisecond})
	must(t, err)
	defer node.Close()
	for _, db := range []string{"src", "x", "y"} {
		must(t, node.Exec("create database "+db+" vgroups 1"))
		must(t, node.Exec("create table "+db+".st(ts timestamp, v int) tags(g int)"))
		must(t, node.Exec("create table "+db+".c using "+db+".st tags(1)"))
		must(t, node.Exec("create table "+db+".n(ts timestamp, v int)"))
	}
	must(t, node.Exec("create database bare vgroups 1"))
	must(t, node.Exec("create table bare.n(ts timestamp, v int)"))
	must(t, node.Exec("create topic topic with meta as database src"))
	conn, ep := New(Options{}), core.Endpoint{URL: node.URL(), User: "root", Password: "taosdata"}
	src, err := conn.Source(t.Context(), ep, engine.Subscription{Topic: "topic", Group: "g", ClientID: "c", RawRows: true})
	must(t, err)
	defer src.Close(t.Context())
	next := func() *core.Message {
		for {
			m, err := src.Poll(t.Context(), time.Second)
			must(t, err)
			if m != nil && m.Kind == core.KindRaw {
				return m
			}
		}
	}
	rows := func(db, table string) int {
		got, err := node.Query("select v from " + db + "." + table)
		must(t, err)
		return len(got)
	}
	for i := range 6 {
		db := []string{"x", "y"}[i%2]
		must(t, node.Exec(fmt.Sprintf("insert into src.c values(%d,%d) src.n values(%d,%d)", 1735689600000+i, i, 1735689600000+i, i)))
		m := next()
		node.ReuseConnections(1)
		k, err := conn.Sink(t.Context(), ep, db)
		must(t, err)
		must(t, k.Write(t.Context(), m))
		k.Close()
		for other, n := range map[string]int{"x": i/2 + 1, "y": (i + 1) / 2} {
			if c, own := rows(other, "c"), rows(other, "n"); c != n || own != n {
				t.Fatalf("after message %d to %s, %s has %d and %d rows, want %d", i, db, other, c, own, n)
			}
		}
	}
	must(t, node.Exec("insert into src.n values(1735689700000,7)"))
	m := next()
	node.ReuseConnections(1)
	k, err := conn.Sink(t.Context(), ep, "bare")
	must(t, err)
	defer k.Close()
	if err := k.Write(t.Context(), m); core.ClassOf(err) != core.ClassData {
		t.Errorf("without a super table: %v", err)
	}
	if n := rows("x", "n") + rows("y", "n") + rows("bare", "n"); n != 6 {
		t.Errorf("refused, and %d rows are there", n)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
