package taos

import (
	"fmt"
	"testing"
	"time"

	"tdreplica/core/raw"
)

// TestRealAddressesComeBack writes to two databases of one shape by turns, each
// time through a connection of its own. Without prepare some of every hundred
// write to the other database.
func TestRealAddressesComeBack(t *testing.T) {
	_, ep := realEndpoints(t)
	db, err := openDB(ep, Options{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	conn, stamp := New(Options{}), time.Now().UnixNano()
	names := [2]string{fmt.Sprintf("x_%d", stamp), fmt.Sprintf("y_%d", stamp)}
	for _, n := range names {
		mustExec(t, db, "create database "+n+" vgroups 2",
			"create table "+n+".st (ts timestamp, v int) tags (g int)", "create table "+n+".c using "+n+".st tags (1)",
			"create table "+n+".n (ts timestamp, v int)")
		t.Cleanup(func() { mustExec(t, db, "drop database "+n) })
	}
	const each = 80
	for i := range 2 * each {
		opened, err := conn.Sink(t.Context(), ep, names[i%2])
		if err != nil {
			t.Fatal(err)
		}
		k := opened.(*sink)
		b, err := k.s.queryRows(t.Context(), "make a row", fmt.Sprintf("select cast(%d as timestamp) as ts, cast(%d as int) as v", 1735689600000+i, i))
		if err != nil {
			t.Fatal(err)
		}
		c, n := *b, *b
		c.Table, n.Table = "c", "n"
		rawType, payload := raw.EncodeRows([]raw.Block{c, n}, nil)
		if err := k.Write(t.Context(), raw.Item{RawType: rawType, Payload: payload}.Message(nil)); err != nil {
			t.Fatal(err)
		}
		k.Close()
	}
	for i, name := range names {
		for _, table := range []string{"c", "n"} {
			var here, strayed int
			if err := db.QueryRow(fmt.Sprintf("select count(*), sum(case when v %% 2 = %d then 0 else 1 end) from %s.%s", i, name, table)).Scan(&here, &strayed); err != nil {
				t.Fatal(err)
			}
			if here != each || strayed != 0 {
				t.Errorf("%s.%s has %d rows of %d, of which %d belong to the other database", name, table, here, each, strayed)
			}
		}
	}
}
