package contract

import (
	"fmt"
	"strings"
	"testing"

	"tdreplica/core"
)

// keyTypes are the types that the second column of a composite key can have, and three
// values of each in their order.
var keyTypes = map[string][3]string{
	"int":             {"-2147483648", "0", "2147483647"},
	"int unsigned":    {"0", "7", "4294967295"},
	"bigint":          {"-9223372036854775808", "0", "9223372036854775807"},
	"bigint unsigned": {"0", "7", "18446744073709551615"},
	"varchar(8)":      {"''", "'A'", "'a b c'"},
}

// TestCompositeKeys replicates both ways, live and from a backlog, rows that share
// their time and differ in the second column of their keys.
func TestCompositeKeys(t *testing.T) {
	scenario(t, options{}, func(e *env) { compositeKeys(e, false) })
}

// TestCompositeKeysRaw asks for raw rows, which do not tell such keys: the task turns
// to others.
func TestCompositeKeysRaw(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		if !e.rawVersions() {
			e.Skip("these servers are too old for raw rows")
		}
		compositeKeys(e, true)
	})
}

// TestCompositeKeyOfANewerSource repairs a table at a sink that does not know how its
// source tells such a key.
func TestCompositeKeyOfANewerSource(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		e.become(e.b, "3.3.3.0")
		db := e.create(database{}, e.a, e.b)
		e.exec(e.a, "create table "+db+".pairs(ts timestamp, `a COMPOSITE KEY` varchar(8) primary key, v int)",
			fmt.Sprintf("insert into %s.pairs values(%d,'x',1)(%d,'y',2)", db, loadEpoch, loadEpoch))
		in := e.runInstance()
		id := in.replicate(e.a, e.b, db)
		in.caughtUp(id)
		in.stopped(id, db)
		e.exec(e.b, "drop table "+db+".pairs")
		in.expect(in.verify(id, false), core.AuditDifferent, map[core.DifferenceKind]int64{core.MissingTable: 1})
		in.expect(in.repair(core.RepairRequest{VerifyRequest: core.VerifyRequest{ID: id}}), core.AuditEqual, nil)
		if n := e.query(e.b, "select count(*) from "+db+".pairs where ts = "+fmt.Sprint(int64(loadEpoch)))[0][0]; n != "2" {
			e.Errorf("%s rows of one time are there, want 2", n)
		}
		in.expect(in.verify(id, true), core.AuditEqual, nil)
	})
}

// TestOtherKeyAtTheSink gives the sink a table with another key than the source's: rows
// would replace others there, or would not. The task stops, and says so; once the
// sink's table is like the source's, all of the rows are there.
func TestOtherKeyAtTheSink(t *testing.T) {
	t.Parallel()
	const keyed, plain = "(ts timestamp, k int primary key, v int)", "(ts timestamp, k int, v int)"
	for name, c := range map[string]struct{ there, here, child string }{
		"normal table, sink without": {keyed, plain, ""},
		"normal table, sink with":    {plain, keyed, ""},
		"super table, sink without":  {keyed, plain, " tags(g int)"},
		"super table, sink with":     {plain, keyed, " tags(g int)"},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, options{}, func(e *env) { otherKey(e, c.there, c.here, c.child) })
		})
	}
}

func otherKey(e *env, there, here, tags string) {
	db := e.create(database{}, e.a, e.b)
	table, using := db+".t", ""
	if tags != "" {
		table, using = db+".c", " using "+db+".t tags(1)"
	}
	create := "create table " + db + ".t"
	e.exec(e.b, create+here+tags)
	e.exec(e.a, create+there+tags, fmt.Sprintf("insert into %s%s values(%d,1,1)(%d,2,2)(%d,3,3)", table, using, loadEpoch, loadEpoch, loadEpoch+1))
	in := e.runInstance()
	id := in.replicate(e.a, e.b, db)
	task := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Failed)
	if !strings.Contains(task.Note, "keys are not of the same columns") || !strings.Contains(task.Note, "k INT PRIMARY KEY") {
		e.Errorf("the note is: %s", task.Note)
	}
	if warned := strings.Join(task.Warnings, "; "); tags != "" && !strings.Contains(warned, "keys are not of the same columns") {
		e.Errorf("it was not told before the first row: %s", warned)
	}
	e.exec(e.b, "drop table "+db+".t", create+there+tags)
	res, err := in.Restart(e.Context(), core.TargetRequest{ID: id, Actor: testActor})
	in.outcome(res, err, core.OutcomeRestarted)
	in.caughtUp(id)
	e.equal(e.a, e.b, db)
	if want := map[bool]int{true: 3, false: 2}[strings.Contains(there, "key")]; e.rowsOf(e.b, db) != want {
		e.Errorf("%d rows are there, want %d", e.rowsOf(e.b, db), want)
	}
}

// TestRowsOfAFormerKey reads a log again in which a table had another key than the one
// that was made anew under its name.
func TestRowsOfAFormerKey(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{vgroups: map[string]int{"a": 1, "b": 1}}, e.a, e.b)
		rows := fmt.Sprintf("insert into %s.c using %s.t tags(1) values(%d,1,1)(%d,2,2)", db, db, loadEpoch, loadEpoch)
		e.exec(e.a, "create table "+db+".t(ts timestamp, k int primary key, v int) tags(g int)", rows,
			"drop table "+db+".t", "create table "+db+".t(ts timestamp, k int, v int) tags(g int)", rows)
		in := e.runInstance()
		id := in.replicate(e.a, e.b, db)
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
		res, err := in.Remove(e.Context(), core.RemoveRequest{ID: id, Force: true, Actor: testActor})
		in.outcome(res, err, core.OutcomeRemoved)
		id = in.replicate(e.a, e.b, db)
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}

func compositeKeys(e *env, raw bool) {
	db := e.create(database{vgroups: map[string]int{"a": 2, "b": 2}}, e.a, e.b)
	in := e.runInstance()
	var ids []string
	if raw {
		ids = []string{in.raw(db, e.a, e.b)}
	} else {
		ids = []string{in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)}
	}
	write := func(s *side, round int, columns, values string) {
		for typ, keys := range keyTypes {
			super := keyTable(db, typ)
			for c := range 4 {
				var b strings.Builder
				fmt.Fprintf(&b, "insert into %s_%d using %s tags(%d)(ts,k,%s) values", super, c, super, c, columns)
				for _, k := range []int{2, 0, 1} {
					fmt.Fprintf(&b, "(%d,%s,%s)", loadEpoch+round, keys[k], values)
				}
				e.exec(s, b.String())
			}
		}
	}
	for typ := range keyTypes {
		e.exec(e.a, fmt.Sprintf("create table %s(ts timestamp, k %s primary key, v int, s varchar(8)) tags(g int)", keyTable(db, typ), typ))
	}
	check := func(rows int) {
		e.Helper()
		in.caughtUp(ids...)
		e.equal(e.a, e.b, db)
		if got := e.rowsOf(e.b, db); got != rows {
			e.Fatalf("%d rows are there, want %d", got, rows)
		}
	}
	perRound := 3 * 4 * len(keyTypes)
	write(e.a, 0, "v,s", "1,'one'")
	write(e.a, 1, "v", "2")
	write(e.a, 0, "v", "3") // keeps s
	check(2 * perRound)
	in.stopped(ids[0], db)
	write(e.a, 2, "v,s", "4,'four'")
	for typ := range keyTypes {
		e.exec(e.a, "alter table "+keyTable(db, typ)+" drop column v", "alter table "+keyTable(db, typ)+" add column w double")
	}
	write(e.a, 3, "w,s", "5.5,'five'")
	for typ, keys := range keyTypes {
		e.exec(e.a, fmt.Sprintf("insert into %s_0(ts,k,w) values(%d,%s,6.5)", keyTable(db, typ), loadEpoch, keys[1]))
		e.exec(e.a, fmt.Sprintf("delete from %s where ts = %d", keyTable(db, typ), loadEpoch+1))
	}
	res, err := in.Start(e.Context(), core.StartRequest{ID: ids[0], Actor: testActor})
	in.outcome(res, err, core.OutcomeStarted)
	check(3 * perRound)
	if raw {
		in.turnsPlain(ids[0], db)
		return
	}
	write(e.b, 4, "w,s", "7.5,'back'")
	check(4 * perRound)
	e.staysAtRest(db)
}

// keyTable is the super table of a type of keys.
func keyTable(db, typ string) string {
	return db + ".k_" + strings.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return '_'
		}
		return r
	}, typ)
}
