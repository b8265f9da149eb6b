package taos

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/engine"
)

// realEndpoints are two servers to try everything against; without them the
// test is skipped.
func realEndpoints(t *testing.T) (a, b core.Endpoint) {
	t.Helper()
	a.URL, b.URL = os.Getenv("TDREPLICA_TEST_A"), os.Getenv("TDREPLICA_TEST_B")
	if a.URL == "" || b.URL == "" {
		t.Skip("TDREPLICA_TEST_A and TDREPLICA_TEST_B name no servers")
	}
	return a, b
}

func mustExec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestRealServers copies a small database of an awkward name message by message
// and looks at every answer on the way.
func TestRealServers(t *testing.T) {
	a, b := realEndpoints(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	name := fmt.Sprintf("taos test %d 中文'x", time.Now().Unix())
	topic, group := "tdr "+name, "g "+name
	conn := New(Options{})
	dbA, err := openDB(a, Options{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer dbA.Close()
	dbB, err := openDB(b, Options{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer dbB.Close()

	from, err := conn.Catalog(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := conn.Catalog(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	t.Logf("versions %+v, %+v", from.Versions(), to.Versions())

	mustExec(t, dbA, "create database "+QuoteIdent(name)+" vgroups 2 precision 'us' wal_retention_period 3600")
	defer dbA.Exec("drop database " + QuoteIdent(name))
	like, err := from.Database(ctx, name)
	if err != nil || like == nil || like.Precision != "us" || like.Vgroups != 2 || like.WALPeriodS != 3600 || like.CreatedAt.IsZero() {
		t.Fatalf("database: %+v, %v", like, err)
	}
	if err := to.CreateDatabaseLike(ctx, *like); err != nil {
		t.Fatal(err)
	}
	defer dbB.Exec("drop database " + QuoteIdent(name))
	if err := from.EnsureTopic(ctx, topic, name); err != nil {
		t.Fatal(err)
	}
	defer from.DropTopic(context.WithoutCancel(ctx), topic)
	if err := from.CanSubscribe(ctx, name); err != nil {
		t.Fatal(err)
	}

	st := qualified(name, "st x")
	mustExec(t, dbA,
		"create table "+st+" (ts timestamp, v int, s nchar(10)) tags (g int)",
		"insert into "+qualified(name, "c1")+" using "+st+" tags (1) values (now, 1, '中文') (now+1s, 2, null)",
		"insert into "+qualified(name, "c2")+" using "+st+" tags (2) values (now, 3, 'x')")

	start := time.Now()
	src, err := conn.Source(ctx, a, engine.Subscription{Topic: topic, Group: group, ClientID: "test", MaxPollInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("subscribed in %s", time.Since(start))
	assignment, err := src.Assignment(ctx)
	if err != nil || len(assignment) != 2 {
		t.Fatalf("assignment %+v, %v", assignment, err)
	}
	var vgroups []int32
	for _, as := range assignment {
		vgroups = append(vgroups, as.Vgroup)
		if as.Offset != 0 || as.Begin != 0 || as.End < 1 {
			t.Errorf("assignment %+v", as)
		}
	}
	if stored, err := src.Committed(ctx, vgroups); err != nil || stored[0].Offset != core.Unknown {
		t.Errorf("committed %+v, %v", stored, err)
	}

	k, err := conn.Sink(ctx, b, name)
	if err != nil {
		t.Fatal(err)
	}
	messages := 0
	for quiet := 0; quiet < 3; {
		m, err := src.Poll(ctx, 300*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if m == nil {
			quiet++
			continue
		}
		messages++
		if err := k.Write(ctx, m); err != nil {
			t.Fatalf("write of %d: %v", m.RawType, err)
		}
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	at, err := src.Position(ctx, vgroups)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range at {
		if err := src.Commit(ctx, p); err != nil {
			t.Fatal(err)
		}
		if err := src.Commit(ctx, p); err != nil {
			t.Fatalf("commit of the same: %v", err)
		}
	}
	stored, err := src.Committed(ctx, vgroups)
	if err != nil || stored[0] != at[0] || stored[1] != at[1] {
		t.Errorf("committed %+v after committing %+v, %v", stored, at, err)
	}
	subs, err := from.Subscriptions(ctx, topic)
	if err != nil || len(subs) != 2 {
		t.Errorf("subscriptions %+v, %v", subs, err)
	}
	ends, told, err := from.WALEnds(ctx, name)
	t.Logf("%d messages; positions %+v; subscriptions %+v; ends %v %v %v", messages, at, subs, ends, told, err)
	if err := from.EnsureTopic(ctx, topic, "nosuch"); err == nil || core.ClassOf(err) != core.ClassOperator {
		t.Errorf("topic of another database: %v", err)
	}

	start = time.Now()
	if err := src.Close(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("left in %s", time.Since(start))
	tables, err := to.SuperTables(ctx, name)
	if err != nil || len(tables) != 1 || tables[0] != "st x" {
		t.Errorf("super tables %q, %v", tables, err)
	}
	described, err := to.Describe(ctx, name, "st x")
	if err != nil || len(described.Columns) != 3 || len(described.Tags) != 1 || described.Columns[2].Length != 10 {
		t.Errorf("describe %+v, %v", described, err)
	}
	var n int
	if err := dbB.QueryRow("select count(*) from " + st).Scan(&n); err != nil || n != 3 {
		t.Errorf("%d rows at the sink, %v", n, err)
	}
	if err := from.DropGroup(ctx, topic, group); err != nil {
		t.Error(err)
	}
	if err := from.DropGroup(ctx, topic, group); err != nil {
		t.Errorf("second drop of the group: %v", err)
	}
	if err := from.DropTopic(ctx, topic); err != nil {
		t.Error(err)
	}
	if err := from.DropGroup(ctx, topic, group); err != nil {
		t.Errorf("drop of a group without its topic: %v", err)
	}
	if err := from.DropTopic(ctx, topic); err != nil {
		t.Errorf("second drop of the topic: %v", err)
	}
}
