package contract

import (
	"fmt"
	"strings"
	"testing"

	"tdreplica/core"
	"tdreplica/core/embedded"
)

// raw starts a replica that is to read raw rows.
func (in *instance) raw(db string, from, to *side) string {
	in.Helper()
	yes := true
	return in.begin(core.StartRequest{Source: from.ep, Sink: to.ep, Databases: []string{db}, Options: core.Options{RawRows: &yes}})
}

// readsRaw fails unless a task reads raw rows, or does not and says why.
func (in *instance) readsRaw(id, db string, want bool, why string) {
	in.Helper()
	snap, err := in.Snapshot(in.Context())
	if err != nil {
		in.Fatal(err)
	}
	t := snap.Task(core.TaskKey{Replica: id, Database: db})
	said := strings.Join(t.Warnings, "; ")
	if t.RawRows != want || !strings.Contains(said, why) || !want && !strings.Contains(said, "raw rows are not read") {
		in.Errorf("the task reads raw rows: %v; it warns: %s", t.RawRows, said)
	}
	if !want {
		return
	}
	in.waitUntil("it says that nobody counts its rows", func() (bool, string) { // those of the first message are looked after first
		snap, err := in.Snapshot(in.Context())
		if err != nil {
			return false, err.Error()
		}
		rows := snap.Task(core.TaskKey{Replica: id, Database: db}).Totals.Rows
		return rows == core.Unknown, fmt.Sprintf("%d are counted", rows)
	})
}

// turnsPlain waits until a task runs that has read raw rows, and reads none any more.
func (in *instance) turnsPlain(id, db string) {
	in.Helper()
	in.waitUntil("the task reads raw rows no more", func() (bool, string) {
		snap, err := in.Snapshot(in.Context())
		if err != nil {
			return false, err.Error()
		}
		t := snap.Task(core.TaskKey{Replica: id, Database: db})
		return t.State == core.Running && !t.RawRows, describeTask(t)
	})
}

// TestRawRows reads raw rows into an empty database, through changes of columns
// in several vgroups, restarts and lost replies.
func TestRawRows(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d vgroups", n), func(t *testing.T) {
			scenario(t, options{}, func(e *env) { rawRows(e, n) })
		})
	}
}

func rawRows(e *env, vgroups int) {
	db := e.create(database{vgroups: map[string]int{"a": vgroups, "b": 2}}, e.a, e.b)
	e.exec(e.a, loadSchema(db), "create table "+db+".st(ts timestamp, v int, s varchar(8)) tags(g int)",
		"create table "+db+".n(ts timestamp, a int)")
	in := e.runInstance()
	l := e.startLoad(e.a, db, "t", 3*vgroups)
	l.waitRows(30)
	id := in.raw(db, e.a, e.b)
	l.catchesUp(e.b)
	end := l.watchOrder(e.b)
	fit := e.rawVersions()
	asked := func() {
		in.Helper()
		in.readsRaw(id, db, fit, map[bool]string{false: "both must be from 3.3.7.0 on"}[fit])
	}
	asked()
	rows := func(round int, columns, values string) {
		for c := range 8 {
			e.exec(e.a, fmt.Sprintf("insert into %s.c%d using %s.st tags(%d)(ts,%s) values(%d,%s)", db, c, db, c, columns, loadEpoch+round, values))
			e.exec(e.a, fmt.Sprintf("insert into %s.c%d(ts,%s) values(%d,%s)", db, c, columns, loadEpoch+100+round, values))
		}
	}
	rows(0, "v,s", "1,'one'")
	e.exec(e.a, "alter table "+db+".st add column w double")
	rows(1, "v,w", "2,2.5")
	e.exec(e.a, "alter table "+db+".st drop column v", "alter table "+db+".n add column b int", "insert into "+db+".n values(1735689600000,1,2)")
	rows(2, "w,s", "3.5,'three'")
	if e.a.node != nil {
		e.a.node.Faults().Add(embedded.Fault{Action: "fetch_raw_data", Count: 3, DropAfter: true, Database: db})
	}
	e.exec(e.a, "delete from "+db+".st where ts = "+fmt.Sprint(int64(loadEpoch)))
	l.waitRows(60)
	res, err := in.Restart(e.Context(), core.TargetRequest{ID: id, Actor: testActor})
	in.outcome(res, err, core.OutcomeRestarted)
	l.waitRows(60)
	l.stop()
	in.caughtUp(id)
	end()
	if !e.real || !fit {
		// 3.3.7.5 refuses some raw rows after such changes; then they are read
		// again in the other form.
		asked()
	}
	l.arrived(e.b)
	e.equal(e.a, e.b, db)
	e.staysAtRest(db)
}

// rawVersions reports whether both servers' versions are fit for raw rows.
func (e *env) rawVersions() bool { return e.atLeast(e.a, 7) && e.atLeast(e.b, 7) }

// TestRawRowsOfOldServers asks for raw rows of servers that hand out none that
// could be written: the task reads others and says why.
func TestRawRowsOfOldServers(t *testing.T) {
	scenario(t, options{version: "3.3.3.0", embedded: otherVersion}, func(e *env) { rawRows(e, 2) })
}

// TestRawRowsOfTwoDatabases reads raw rows of two databases with tables of the same
// names. Each connection may come to where one of the other database was.
func TestRawRowsOfTwoDatabases(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		if !e.rawVersions() {
			e.Skip("these servers are too old for raw rows")
		}
		dbs := []string{e.create(database{}, e.a, e.b), e.create(database{}, e.a, e.b)}
		in := e.runInstance()
		id := in.raw(dbs[0], e.a, e.b)
		in.begin(core.StartRequest{ID: id, Databases: dbs[1:]})
		var loads []*load
		for _, db := range dbs {
			e.exec(e.a, loadSchema(db))
			loads = append(loads, e.startLoad(e.a, db, "t", 3))
		}
		for range 4 {
			loads[0].waitRows(30)
			res, err := in.Restart(e.Context(), core.TargetRequest{ID: id, Actor: testActor})
			in.outcome(res, err, core.OutcomeRestarted)
		}
		for i, l := range loads {
			l.stop()
			in.caughtUp(id)
			in.readsRaw(id, dbs[i], true, "")
			l.arrived(e.b)
			e.equal(e.a, e.b, dbs[i])
		}
	})
}

// TestRawRowsRefused asks for raw rows where they would be wrong.
func TestRawRowsRefused(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(*env){"two ways": rawTwoWays, "not empty": rawNotEmpty, "by the sink": rawBySink} {
		t.Run(name, func(t *testing.T) {
			scenario(t, options{}, func(e *env) {
				if !e.rawVersions() {
					e.Skip("these servers are too old for raw rows whatever else speaks against them: see TestRawRows")
				}
				f(e)
			})
		})
	}
}

func rawTwoWays(e *env) {
	one, two := e.create(database{}, e.a, e.b), e.create(database{}, e.a, e.b)
	in, yes := e.runInstance(), true
	id := in.raw(one, e.a, e.b)
	in.caughtUp(id)
	refusal := func(want string, _ *core.Result, err error) {
		e.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			e.Errorf("expected a refusal with %q: %v", want, err)
		}
	}
	res, err := in.Start(e.Context(), core.StartRequest{Source: e.b.ep, Sink: e.a.ep, Databases: []string{two}, Actor: testActor})
	refusal("reads raw rows", res, err)
	other := e.runInstance()
	back := other.replicate(e.b, e.a, one)
	res, err = other.Start(e.Context(), core.StartRequest{
		Source: e.a.ep, Sink: e.b.ep, Databases: []string{two}, Options: core.Options{RawRows: &yes}, Actor: testActor,
	})
	refusal("raw_rows is not possible: replica "+back+" copies the other way", res, err)
	// The first instance is not asked, and finds out.
	in.turnsPlain(id, one)
	in.readsRaw(id, one, false, "reads the database at the sink")
}

func rawNotEmpty(e *env) {
	db := e.create(database{}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	e.exec(e.b, "create table "+db+".meters(ts timestamp, note nchar(24), n bigint) tags(site int)")
	in := e.runInstance()
	id := in.raw(db, e.a, e.b)
	l := e.startLoad(e.a, db, "t", 2)
	l.waitRows(30)
	l.stop()
	in.caughtUp(id)
	in.readsRaw(id, db, false, "not empty")
	l.arrived(e.b)
}

// rawBySink drops a table at the sink, whose rows go on coming.
func rawBySink(e *env) {
	db := e.create(database{}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	in := e.runInstance()
	id := in.raw(db, e.a, e.b)
	l := e.startLoad(e.a, db, "t", 4)
	l.catchesUp(e.b)
	e.exec(e.b, "drop table "+db+".t1")
	in.turnsPlain(id, db)
	l.stop()
	in.caughtUp(id)
	in.readsRaw(id, db, false, "the sink refuses a message")
	in.told("raw rows are not read any more")
	for _, table := range []string{"t0", "t2", "t3"} {
		if n := l.contiguous(e.b, table); n != l.written() {
			e.Errorf("%s has %d rows of %d", table, n, l.written())
		}
	}
}
