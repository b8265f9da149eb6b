package contract

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tdreplica/core"
)

// TestHazardDeleteByTag deletes on a super table under conditions on tags. The
// conditions are not in the log: each vgroup names its own children that
// matched, or none.
func TestHazardDeleteByTag(t *testing.T) {
	t.Parallel()
	onVgroups(t, deleteByTag)
}

func deleteByTag(e *env, vgroups int) {
	db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
	in := e.runInstance()
	there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	e.exec(e.a, fmt.Sprintf("create table %s.st(ts timestamp, v int) tags(g int, n int)", db))
	const children = 9
	fill := func(from int) {
		for c := range children {
			e.exec(e.a, fmt.Sprintf("insert into %s.c%d using %s.st tags(%d,%d) values(%d,1)(%d,2)(%d,3)",
				db, c, db, c%3, c, loadEpoch+from, loadEpoch+from+1, loadEpoch+from+2))
		}
	}
	fill(0)
	e.exec(e.a, fmt.Sprintf("delete from %s.st where g = 1 and ts <= %d", db, loadEpoch+1))
	in.caughtUp(there)
	if left := e.query(e.b, "select count(*) from "+db+".st")[0][0]; left != "21" {
		e.Fatalf("%s rows are left at the sink of 21", left)
	}
	fill(10)
	// Only one vgroup has a child that matches, and then none has.
	e.exec(e.a, fmt.Sprintf("delete from %s.st where n = 5 and ts >= %d", db, loadEpoch+11))
	e.exec(e.a, fmt.Sprintf("delete from %s.st where g = 77 and ts <= %d", db, loadEpoch+20))
	fill(20)
	e.exec(e.a, fmt.Sprintf("delete from %s.st where ts = %d", db, loadEpoch+21))
	in.caughtUp(there, back)
	e.equal(e.a, e.b, db)
	e.staysAtRest(db)
}

// TestHazardDropEcho drops and re-creates tables faster than the drops come
// back from the other side. What replication dropped there must not be dropped
// here again.
func TestHazardDropEcho(t *testing.T) {
	t.Parallel()
	t.Run("one instance", func(t *testing.T) {
		scenario(t, options{}, func(e *env) {
			in := e.runInstance()
			dropEcho(e, in, in)
		})
	})
	t.Run("two instances", func(t *testing.T) {
		scenario(t, options{}, func(e *env) { dropEcho(e, e.runInstance(), e.runInstance()) })
	})
}

func dropEcho(e *env, one, two *instance) {
	db := e.create(database{vgroups: map[string]int{"a": 4, "b": 2}}, e.a, e.b)
	there, back := one.replicate(e.a, e.b, db), two.replicate(e.b, e.a, db)
	e.exec(e.a, fmt.Sprintf("create table %s.st(ts timestamp, v int) tags(g int)", db))
	one.caughtUp(there)
	const rounds = 4
	for round := range rounds {
		e.makeAnew(db, round, round < rounds-1)
	}
	one.caughtUp(there)
	two.caughtUp(back)
	one.caughtUp(there)
	for _, s := range []*side{e.a, e.b} {
		for _, table := range []string{"c0", "c1", "c2", "n0", "n1", "n2"} {
			rows := e.query(s, fmt.Sprintf("select v from %s.%s", db, table))
			if len(rows) != 1 || rows[0][0] != fmt.Sprint(rounds-1) {
				e.Errorf("table %s at %s holds %v", table, s.name, rows)
			}
		}
	}
	e.equal(e.a, e.b, db)
	e.staysAtRest(db)
	e.dropsFromBoth(db, one, two, there, back)
}

// makeAnew makes three children of st and three normal tables at a, each with one
// row that tells the round, and drops them.
func (e *env) makeAnew(db string, round int, drop bool) {
	e.Helper()
	for c := range 3 {
		child, plain := fmt.Sprintf("%s.c%d", db, c), fmt.Sprintf("%s.n%d", db, c)
		e.exec(e.a,
			fmt.Sprintf("create table %s using %s.st tags(%d)", child, db, round),
			fmt.Sprintf("create table %s(ts timestamp, v int)", plain))
		for _, table := range []string{child, plain} {
			e.exec(e.a, fmt.Sprintf("insert into %s values(%d,%d)", table, loadEpoch+round, round))
			if drop {
				e.exec(e.a, "drop table "+table)
			}
		}
	}
}

// dropsFromBoth drops tables for good, each at one side. A user's drop is none
// of replication's and must arrive.
func (e *env) dropsFromBoth(db string, one, two *instance, there, back string) {
	e.Helper()
	e.exec(e.a, "drop table "+db+".c0", "drop table "+db+".n0")
	e.exec(e.b, "drop table "+db+".c1", "drop table "+db+".n1")
	one.caughtUp(there)
	two.caughtUp(back)
	for _, s := range []*side{e.a, e.b} {
		left := e.query(s, "select count(*) from information_schema.ins_tables where db_name='"+db+"'")
		if left[0][0] != "2" {
			e.Errorf("%s tables are left at %s of 2", left[0][0], s.name)
		}
	}
	e.equal(e.a, e.b, db)
}

// TestHazardForeignSuperTable changes a super table that replication did not
// create: the sink acknowledges the change and does nothing.
func TestHazardForeignSuperTable(t *testing.T) {
	t.Parallel()
	onVgroups(t, func(e *env, vgroups int) {
		db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
		for _, s := range []*side{e.a, e.b} {
			e.exec(s, "create table "+db+".st(ts timestamp, v int, s varchar(8)) tags(g int)")
		}
		in := e.runInstance()
		there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
		e.exec(e.a, fmt.Sprintf("insert into %s.c1 using %s.st tags(1) values(%d,1,'one')", db, db, loadEpoch))
		in.caughtUp(there)
		e.exec(e.a,
			fmt.Sprintf("alter table %s.st add column x int", db),
			fmt.Sprintf("insert into %s.c1 values(%d,2,'two',22)", db, loadEpoch+1),
			fmt.Sprintf("alter table %s.st modify column s varchar(40)", db),
			fmt.Sprintf("insert into %s.c1 values(%d,3,'wider than eight bytes',33)", db, loadEpoch+2),
			fmt.Sprintf("alter table %s.st add tag z int", db),
			fmt.Sprintf("insert into %s.c2 using %s.st tags(2,7) values(%d,4,'four',44)", db, db, loadEpoch))
		in.caughtUp(there, back)
		if rows := e.query(e.b, "select count(x) from "+db+".st"); rows[0][0] != "3" {
			e.Errorf("%s values of the new column arrived, of 3", rows[0][0])
		}
		e.equal(e.a, e.b, db)
		e.staysAtRest(db)
	})
}

// TestHazardBothSidesAlter adds a different column on each side at once.
func TestHazardBothSidesAlter(t *testing.T) {
	t.Parallel()
	onVgroups(t, func(e *env, vgroups int) {
		db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
		in, there, back := e.bothAdd(db, "column")
		e.exec(e.a, fmt.Sprintf("insert into %s.ca(ts,v,x) using %s.st tags(1) values(%d,1,11)", db, db, loadEpoch))
		e.exec(e.b, fmt.Sprintf("insert into %s.cb(ts,v,y) using %s.st tags(2) values(%d,2,22)", db, db, loadEpoch))
		in.caughtUp(there, back)
		in.caughtUp(there, back)
		// Columns have other places on each side from here on.
		e.exec(e.a, "alter table "+db+".st add column z int",
			fmt.Sprintf("insert into %s.ca(ts,v,x,y,z) values(%d,1,11,111,1111)", db, loadEpoch+1))
		in.caughtUp(there, back)
		in.caughtUp(there, back)
		for _, s := range []*side{e.a, e.b} {
			rows := e.query(s, "select v,x,y,z from "+db+".st where tbname='ca' order by ts")
			if got := fmt.Sprint(rows); got != "[[1 11 null null] [1 11 111 1111]]" {
				e.Errorf("at %s: %s", s.name, got)
			}
			rows = e.query(s, "select v,x,y from "+db+".cb")
			if got := fmt.Sprint(rows); got != "[[2 null 22]]" {
				e.Errorf("at %s: %s", s.name, got)
			}
		}
		e.staysAtRest(db)
	})
}

// bothAdd replicates both ways and gives the super table st x at one side and y at the
// other, at once.
func (e *env) bothAdd(db, what string) (in *instance, there, back string) {
	e.Helper()
	in = e.runInstance()
	there, back = in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	e.exec(e.a, "create table "+db+".st(ts timestamp, v int) tags(g int)")
	in.caughtUp(there)
	e.exec(e.a, "alter table "+db+".st add "+what+" x int")
	e.exec(e.b, "alter table "+db+".st add "+what+" y int")
	return in, there, back
}

// onVgroups runs a scenario at sources of 1, 2, 4 and 8 vgroups.
func onVgroups(t *testing.T, f func(e *env, vgroups int)) {
	for _, n := range []int{1, 2, 4, 8} {
		t.Run(fmt.Sprintf("%d vgroups", n), func(t *testing.T) {
			scenario(t, options{}, func(e *env) { f(e, n) })
		})
	}
}

// TestHazardDropColumn drops columns while rows of every vgroup are on their
// way: some that have the column come after the drop did.
func TestHazardDropColumn(t *testing.T) {
	t.Parallel()
	onVgroups(t, func(e *env, vgroups int) {
		db := e.create(database{vgroups: map[string]int{"a": vgroups, "b": 2}}, e.a, e.b)
		in := e.runInstance()
		e.exec(e.a, "create table "+db+".st(ts timestamp, f float, s varchar(8), v int) tags(g int)")
		fill := func(round int, values string) {
			for c := range 8 {
				e.exec(e.a, fmt.Sprintf("insert into %s.c%d using %s.st tags(%d) values(%d,%s)", db, c, db, c, loadEpoch+round, values))
			}
		}
		fill(0, "1.5,'x',1")
		e.exec(e.a, "alter table "+db+".st drop column f")
		fill(1, "'y',2")
		id := in.replicate(e.a, e.b, db)
		fill(2, "'y',3")
		e.exec(e.a, "alter table "+db+".st drop column s")
		fill(3, "4")
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}

// TestHazardRenamedBefore renames a column to a name that the sink has already,
// as it has when the log is read again from before. Written as it is, the change
// makes two columns of that name, or one too many.
func TestHazardRenamedBefore(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		e.exec(e.b, "create table "+db+".n(ts timestamp, a int, bb int)", fmt.Sprintf("insert into %s.n values(%d,1,2)", db, loadEpoch))
		in := e.runInstance()
		e.exec(e.a, "create table "+db+".n(ts timestamp, a int)",
			"alter table "+db+".n add column b int",
			fmt.Sprintf("insert into %s.n values(%d,1,2)", db, loadEpoch),
			"alter table "+db+".n rename column b bb",
			fmt.Sprintf("insert into %s.n values(%d,3,4)", db, loadEpoch+1))
		id := in.replicate(e.a, e.b, db)
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}

// TestHazardTypeClash has a column of one name and two types. No row is
// guessed at: the task fails and shows both tables, at the change of the super
// table or at the first row.
func TestHazardTypeClash(t *testing.T) {
	t.Parallel()
	for name, tags := range map[string]string{"super table": " tags(g int)", "normal table": ""} {
		t.Run(name, func(t *testing.T) {
			scenario(t, options{}, func(e *env) { typeClash(e, tags) })
		})
	}
}

func typeClash(e *env, tags string) {
	db := e.create(database{}, e.a, e.b)
	e.exec(e.a, "create table "+db+".t(ts timestamp, x int)"+tags)
	e.exec(e.b, "create table "+db+".t(ts timestamp, x varchar(9))"+tags)
	if tags == "" {
		e.exec(e.a, fmt.Sprintf("insert into %s.t values(%d,1)", db, loadEpoch))
	}
	in := e.runInstance()
	id := in.replicate(e.a, e.b, db)
	failed := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Failed)
	for _, part := range []string{"x INT", "x VARCHAR(9)"} {
		if !strings.Contains(failed.Note, part) {
			e.Errorf("the note %q lacks %q", failed.Note, part)
		}
	}
}

// TestHazardTablesRideAlong drops a table while the other direction is behind
// its creation there. A subscription leaves out the rows that replication wrote,
// but not the tables that they created: none of them may be made again where it
// came from.
func TestHazardTablesRideAlong(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{vgroups: map[string]int{"a": 1, "b": 1}}, e.a, e.b)
		e.exec(e.a, loadSchema(db))
		in := e.runInstance()
		there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
		in.caughtUp(there, back)
		in.stopped(back, db)
		row := func(at *side, table string) {
			e.exec(at, fmt.Sprintf("insert into %s.%s using %s.meters tags(1) values(%d,1,'x')", db, table, db, int64(loadEpoch)))
		}
		row(e.b, "of_b")
		row(e.a, "short_lived")
		in.caughtUp(there)
		row(e.b, "more_of_b")
		e.exec(e.a, "drop table "+db+".short_lived")
		in.caughtUp(there)
		in.begin(core.StartRequest{ID: back})
		in.caughtUp(there, back)
		e.equal(e.a, e.b, db)
	})
}

// TestHazardRowsOfTablesToBeCreated has rows of a new table come twice, in front of
// those of other tables, and all of it in one message.
func TestHazardRowsOfTablesToBeCreated(t *testing.T) {
	scenario(t, options{version: "3.3.3.0"}, func(e *env) {
		db := e.create(database{vgroups: map[string]int{"a": 1}}, e.a, e.b)
		e.exec(e.a, loadSchema(db), "create table "+db+".st(ts timestamp, v int, w int, s varchar(8)) tags(g int)", "create table "+db+".plain(ts timestamp, n bigint)")
		in := e.runInstance()
		id := in.replicate(e.a, e.b, db)
		write(e, e.a, db, 0)
		in.caughtUp(id)
		in.stopped(id, db)
		for round := range 3 {
			at := int64(loadEpoch + 1000 + round)
			e.exec(e.a,
				fmt.Sprintf("insert into %s.new using %s.st tags(1) values(%d,1,1,'x')", db, db, at),
				fmt.Sprintf("insert into %s.new values(%d,2,2,'y')", db, at+100),
				fmt.Sprintf("insert into %s.a0 values(%d,3,'x')", db, at),
				fmt.Sprintf("insert into %s.plain values(%d,4)", db, at),
				fmt.Sprintf("insert into %s.newer using %s.st tags(2) values(%d,5,5,'z')", db, db, at))
		}
		in.begin(core.StartRequest{ID: id})
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}

// TestHazardRenamedMeanwhile has a tag renamed at the source while the task is
// stopped. At the start the source's super table is ahead of its WAL: a tag that the
// sink is given then is in the way of the change that is still to come.
func TestHazardRenamedMeanwhile(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		e.exec(e.a, "create table "+db+".st(ts timestamp, v int) tags(g int, h varchar(8))",
			fmt.Sprintf("insert into %s.t1 using %s.st tags(1,'one') values(%d,1)", db, db, loadEpoch))
		in := e.runInstance()
		id := in.replicate(e.a, e.b, db)
		in.caughtUp(id)
		in.stopped(id, db)
		e.exec(e.a, fmt.Sprintf("insert into %s.t2 using %s.st tags(2,'two') values(%d,2)", db, db, loadEpoch),
			"alter table "+db+".st rename tag h hh",
			fmt.Sprintf("insert into %s.t3 using %s.st tags(3,'three') values(%d,3)", db, db, loadEpoch))
		in.begin(core.StartRequest{ID: id})
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
		if w := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Running).Warnings; slices.ContainsFunc(w, func(w string) bool { return strings.Contains(w, "at the sink only") }) {
			e.Errorf("it still warns: %q", w)
		}
	})
}

// TestHazardColumnsOfOneType has a backlog with rows of columns that the source has
// dropped since and the sink never had, all of one type: a server gives the next
// columns their values, and does not complain.
func TestHazardColumnsOfOneType(t *testing.T) {
	t.Parallel()
	onVgroups(t, func(e *env, vgroups int) {
		db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
		e.exec(e.b, "create table "+db+".st(ts timestamp, b int, c int) tags(g int)", "create table "+db+".n(ts timestamp, bb int, s varchar(8))")
		e.exec(e.a, "create table "+db+".st(ts timestamp, a int, b int, c int) tags(g int)", "create table "+db+".n(ts timestamp, a int, b int)")
		for c := range 4 {
			e.exec(e.a, fmt.Sprintf("insert into %s.t%d using %s.st tags(%d) values(%d,1,2,3)", db, c, db, c, loadEpoch))
		}
		e.exec(e.a, "alter table "+db+".n rename column b bb", fmt.Sprintf("insert into %s.n values(%d,1,2)", db, loadEpoch+1),
			"alter table "+db+".n add column s varchar(8)",
			"alter table "+db+".n drop column a",
			"alter table "+db+".st drop column a")
		for c := range 4 {
			e.exec(e.a, fmt.Sprintf("insert into %s.t%d values(%d,4,5)", db, c, loadEpoch+1))
		}
		e.exec(e.a, fmt.Sprintf("insert into %s.n values(%d,6,'s')", db, loadEpoch+2))
		in := e.runInstance()
		id := in.replicate(e.a, e.b, db)
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}

// TestHazardWidenedAndRenamed makes a tag longer and renames it at the side that has
// not made the super table. The other side ignores the first change, and when it is
// looked at the source knows that tag by its new name only.
func TestHazardWidenedAndRenamed(t *testing.T) {
	whileBackRests(t, "create table DB.st(ts timestamp, v int) tags(g int, h varchar(8))",
		"alter table DB.st modify tag h varchar(16)", "alter table DB.st rename tag h hh",
		fmt.Sprintf("insert into DB.t1 using DB.st tags(1,'sixteen letters!') values(%d,1)", loadEpoch))
}

// TestHazardWidenedAndDropped makes a column longer, writes longer values, and drops
// the super table, at the side that has not made it. When the other side is to be made
// longer the source has nothing to compare with, and the rows go with their table.
func TestHazardWidenedAndDropped(t *testing.T) {
	whileBackRests(t, "create table DB.st(ts timestamp, s varchar(8)) tags(g int)",
		"alter table DB.st modify column s varchar(16)",
		fmt.Sprintf("insert into DB.c using DB.st tags(1) values(%d,'sixteen letters!')", loadEpoch),
		"drop table DB.st", "create table DB.n(ts timestamp, v int)")
}

// whileBackRests makes a table at a, and changes it at b before the other direction
// goes on.
func whileBackRests(t *testing.T, create string, changes ...string) {
	t.Helper()
	scenario(t, options{}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		e.exec(e.a, strings.ReplaceAll(create, "DB", db))
		in := e.runInstance()
		there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
		in.caughtUp(there, back)
		in.stopped(back, db)
		for _, change := range changes {
			e.exec(e.b, strings.ReplaceAll(change, "DB", db))
		}
		in.begin(core.StartRequest{ID: back})
		in.caughtUp(there, back)
		e.equal(e.a, e.b, db)
	})
}
