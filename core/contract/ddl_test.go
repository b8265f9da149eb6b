package contract

import (
	"fmt"
	"strings"
	"testing"

	"tdreplica/core"
)

// ddlSteps is one statement of every kind that a topic carries, each with the
// rows that show whether it took effect. DB stands for the database.
var ddlSteps = []struct{ name, sql string }{
	{"create super table", "create table DB.st(ts timestamp, v int, f float, s varchar(16), n nchar(8)) tags(g int, l varchar(16))"},
	{"create child table", "create table DB.c1 using DB.st tags(1,'one')"},
	{"insert rows", "insert into DB.c1 values('2025-01-01 00:00:00',1,1.5,'x','nch')('2025-01-01 00:00:01',2,2.5,null,null)"},
	{"insert with auto-create", "insert into DB.c2 using DB.st tags(2,'two') values('2025-01-01 00:00:00',1,1.5,'x','nch') DB.c3 using DB.st tags(3,'three') values('2025-01-01 00:00:00',1,1.5,'x','nch')"},
	{"update a row", "insert into DB.c1 values('2025-01-01 00:00:00',100,1.5,'x','nch')"},
	{"insert some columns only", "insert into DB.c1(ts,v) values('2025-01-01 00:00:05',5)"},
	{"update some columns only", "insert into DB.c1(ts,v) values('2025-01-01 00:00:01',22)"},
	{"add column", "alter table DB.st add column w bigint"},
	{"insert new column", "insert into DB.c1 values('2025-01-01 00:00:02',3,1.5,'x','nch',99)"},
	{"widen column", "alter table DB.st modify column s varchar(64)"},
	{"insert wide value", "insert into DB.c1 values('2025-01-01 00:00:03',4,1.5,'longer than sixteen characters','nch',100)"},
	{"drop column", "alter table DB.st drop column f"},
	{"insert without dropped column", "insert into DB.c1 values('2025-01-01 00:00:04',5,'y','nch',101)"},
	{"add tag", "alter table DB.st add tag z int"},
	{"rename tag", "alter table DB.st rename tag l label"},
	{"widen tag", "alter table DB.st modify tag label varchar(32)"},
	{"drop tag", "alter table DB.st drop tag z"},
	{"set tag", "alter table DB.c1 set tag g=7"},
	{"delete a range of a child table", "delete from DB.c1 where ts <= '2025-01-01 00:00:00'"},
	{"delete a range of a super table", "delete from DB.st where ts <= '2025-01-01 00:00:00'"},
	{"delete on a super table with a tag filter", "delete from DB.st where g=7 and ts <= '2025-01-01 00:00:01'"},
	{"create normal table", "create table DB.n1(ts timestamp, a int)"},
	{"insert into normal table", "insert into DB.n1 values('2025-01-01 00:00:00',1)"},
	{"normal table: add column", "alter table DB.n1 add column b int"},
	{"normal table: rename column", "alter table DB.n1 rename column b bb"},
	{"normal table: insert renamed column", "insert into DB.n1 values('2025-01-01 00:00:01',1,2)"},
	{"normal table: widen column", "alter table DB.n1 add column s varchar(8)"},
	{"normal table: insert", "insert into DB.n1 values('2025-01-01 00:00:02',1,2,'eight')"},
	{"normal table: drop column", "alter table DB.n1 drop column a"},
	{"normal table: insert after drop", "insert into DB.n1 values('2025-01-01 00:00:03',3,'nine')"},
	{"create normal table to drop", "create table DB.n2(ts timestamp, a int)"},
	{"drop normal table", "drop table DB.n2"},
	{"drop child table", "drop table DB.c3"},
	{"json tag", "create table DB.j(ts timestamp, v int) tags(t json)"},
	{"json tag child", `insert into DB.j1 using DB.j tags('{"k":1}') values('2025-01-01 00:00:00',1)`},
	{"drop super table", "drop table DB.j"},
}

// TestEveryDDL compares both sides after each statement.
func TestEveryDDL(t *testing.T) {
	scenario(t, options{}, func(e *env) { everyDDL(e, true) })
}

// TestEveryDDLFromBacklog lets the replica find all statements in the WAL.
func TestEveryDDLFromBacklog(t *testing.T) {
	scenario(t, options{}, func(e *env) { everyDDL(e, false) })
}

// TestEveryDDLTwoWay replicates both ways meanwhile: the drops come back, and
// nothing else does.
func TestEveryDDLTwoWay(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		in := e.runInstance()
		there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
		for _, step := range ddlSteps {
			e.exec(e.a, strings.ReplaceAll(step.sql, "DB", db))
			in.caughtUp(there)
		}
		in.caughtUp(there, back)
		e.equal(e.a, e.b, db)
		e.staysAtRest(db)
	})
}

func everyDDL(e *env, live bool) {
	// With one vgroup the backlog is in the order of the statements; how
	// several are brought in step is another scenario's business.
	vgroups := 2
	if !live {
		vgroups = 1
	}
	db := e.create(database{vgroups: map[string]int{"a": vgroups, "b": 2}}, e.a, e.b)
	in := e.runInstance()
	id := ""
	if live {
		id = in.replicate(e.a, e.b, db)
	}
	for _, step := range ddlSteps {
		e.exec(e.a, strings.ReplaceAll(step.sql, "DB", db))
		if live {
			in.caughtUp(id)
			e.equalAfter(step.name, db)
		}
	}
	if !live {
		id = in.replicate(e.a, e.b, db)
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	}
}

func (e *env) equalAfter(step, db string) {
	e.Helper()
	ok := e.T
	defer func() {
		if ok.Failed() {
			ok.Logf("that was after: %s", step)
		}
	}()
	e.equal(e.a, e.b, db)
}

// TestAdditiveDDLAcrossVgroups creates and widens super tables while rows flow
// through every vgroup: each DDL comes once per vgroup, and no copy of it may
// cost a row.
func TestAdditiveDDLAcrossVgroups(t *testing.T) {
	scenario(t, options{}, func(e *env) { additiveDDL(e, 4, 2) })
}

func additiveDDL(e *env, from, to int) {
	db := e.create(database{vgroups: map[string]int{"a": from, "b": to}}, e.a, e.b)
	in := e.runInstance()
	id := in.replicate(e.a, e.b, db)
	for st := range 3 {
		e.exec(e.a, fmt.Sprintf("create table %s.s%d(ts timestamp, v int) tags(g int)", db, st))
		for round := range 3 {
			for c := range 8 {
				values := fmt.Sprintf("%d,%d%s", loadEpoch+round, round, strings.Repeat(",1", round))
				e.exec(e.a, fmt.Sprintf("insert into %s.s%dc%d using %s.s%d tags(%d) values(%s)", db, st, c, db, st, c, values))
			}
			e.exec(e.a, fmt.Sprintf("alter table %s.s%d add column x%d int", db, st, round))
		}
	}
	in.caughtUp(id)
	e.equal(e.a, e.b, db)
}

// TestSuperTableMadeAnew drops a super table and creates another one of its
// name while the task does not read. The vgroups are then read one after the
// other: the later copies of the drop must not drop the new table.
func TestSuperTableMadeAnew(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 4, 8} {
		t.Run(fmt.Sprintf("%d vgroups", n), func(t *testing.T) {
			scenario(t, options{}, func(e *env) {
				db := e.create(database{vgroups: map[string]int{"a": n}}, e.a, e.b)
				in := e.runInstance()
				id := in.replicate(e.a, e.b, db)
				in.caughtUp(id)
				target := core.TargetRequest{ID: id, Actor: testActor}
				if _, err := in.Stop(e.Context(), target); err != nil {
					e.Fatal(err)
				}
				in.waitState(core.TaskKey{Replica: id, Database: db}, core.Stopped)
				e.exec(e.a, "create table "+db+".st(ts timestamp, v int) tags(g int)")
				// One vgroup is far behind the others when they come to the drop.
				for i := range 30 {
					e.exec(e.a, fmt.Sprintf("insert into %s.busy using %s.st tags(0) values(%d,1)", db, db, loadEpoch+i),
						fmt.Sprintf("create table %s.n%d(ts timestamp, v int)", db, i))
				}
				for round, values := range []string{"1", "2,3"} {
					for c := range 12 {
						e.exec(e.a, fmt.Sprintf("insert into %s.r%d_%d using %s.st tags(%d) values(%d,%s)", db, round, c, db, c, loadEpoch, values))
					}
					if round == 0 {
						e.exec(e.a, "drop table "+db+".st", "create table "+db+".st(ts timestamp, w int, x int) tags(g int)")
					}
				}
				in.begin(core.StartRequest{ID: id})
				in.caughtUp(id)
				e.equal(e.a, e.b, db)
				if rows := e.rowsOf(e.b, db); rows != 12 {
					e.Errorf("%d rows at the sink of 12", rows)
				}
			})
		})
	}
}
