package contract

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"tdreplica/core"
	"tdreplica/core/embedded"
	"tdreplica/core/raw"
)

// silent is a version whose sinks acknowledge rows of missing tables and skip
// them; those before refuse. A real server does what its own version does.
const silent = "3.4.1.0"

// missing runs a scenario of missing tables against sinks that refuse and such
// that skip.
func missing(t *testing.T, f func(e *env)) {
	for _, version := range []string{"", silent} {
		t.Run(map[string]string{"": "refused", silent: "skipped"}[version], func(t *testing.T) {
			o := options{version: version}
			if version == silent {
				o.embedded = otherVersion
			}
			scenario(t, o, f)
		})
	}
}

// TestHazardMissingTable writes rows of tables that somebody dropped at the
// sink. What the source still has is made anew; what it has dropped stays away,
// and that is said.
func TestHazardMissingTable(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 4, 8} {
		t.Run(fmt.Sprintf("%d vgroups", n), func(t *testing.T) {
			missing(t, func(e *env) { missingTable(e, n) })
		})
	}
}

func missingTable(e *env, vgroups int) {
	db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
	in := e.runInstance()
	e.exec(e.a, fmt.Sprintf("create table %s.st(ts timestamp, v int) tags(g int, l varchar(16))", db))
	const children = 8
	for c := range children {
		e.exec(e.a, fmt.Sprintf("create table %s.c%d using %s.st tags(%d,'it''s %d')", db, c, db, c, c),
			fmt.Sprintf("create table %s.n%d(ts timestamp, v int)", db, c))
	}
	id := in.replicate(e.a, e.b, db)
	in.caughtUp(id)
	for c := range children / 2 {
		e.exec(e.b, fmt.Sprintf("drop table %s.c%d", db, c), fmt.Sprintf("drop table %s.n%d", db, c))
	}
	for c := range children {
		for _, kind := range "cn" {
			e.exec(e.a, fmt.Sprintf("insert into %s.%c%d values(%d,1)", db, kind, c, loadEpoch))
		}
	}
	in.caughtUp(id)
	e.equal(e.a, e.b, db)

	// Tables that the source has dropped too, before their rows were read.
	key := core.TaskKey{Replica: id, Database: db}
	res, err := in.Stop(e.Context(), core.TargetRequest{ID: id, Actor: testActor})
	in.outcome(res, err, core.OutcomeStopped)
	in.waitState(key, core.Stopped)
	e.exec(e.b, "drop table "+db+".st")
	for c := range children / 2 {
		e.exec(e.a,
			fmt.Sprintf("insert into %s.c%d values(%d,2)", db, c, loadEpoch+1),
			fmt.Sprintf("drop table %s.c%d", db, c))
	}
	in.begin(core.StartRequest{ID: id})
	in.caughtUp(id)
	if !e.real { // 3.3.7.5 hands out no rows of tables that it has dropped
		in.said("the source has dropped it since")
	}
	for c := children / 2; c < children; c++ {
		e.exec(e.a, fmt.Sprintf("insert into %s.c%d values(%d,2)", db, c, loadEpoch+1))
	}
	in.caughtUp(id)
	if rows := e.query(e.b, "select count(*) from "+db+".st"); rows[0][0] != fmt.Sprint(children/2) {
		e.Errorf("%s rows are at the sink, which lost all before, of %d", rows[0][0], children/2)
	}
}

// TestHazardTableGoesMeanwhile drops a table at the sink in the moment between
// the look for it and the write.
func TestHazardTableGoesMeanwhile(t *testing.T) {
	t.Parallel()
	missing(t, tableGoes)
}

func tableGoes(e *env) {
	db := e.create(database{}, e.a, e.b)
	in := e.runInstance()
	e.exec(e.a, "create table "+db+".st(ts timestamp, v int) tags(g int)", // without one, rows go by another road
		"create table "+db+".n(ts timestamp, v int)", fmt.Sprintf("insert into %s.n values(%d,1)", db, loadEpoch))
	id := in.replicate(e.a, e.b, db)
	in.caughtUp(id)
	dropAtWrite(e, db+".n")
	e.exec(e.a, fmt.Sprintf("insert into %s.n values(%d,2)", db, loadEpoch+1))
	in.caughtUp(id)
	if rows := e.query(e.b, "select v from "+db+".n"); fmt.Sprint(rows) != "[[2]]" {
		e.Errorf("the sink has %v of the rows since its table was dropped", rows)
	}
	e.exec(e.a, fmt.Sprintf("insert into %s.n values(%d,3)", db, loadEpoch+2))
	in.caughtUp(id)
	if rows := e.query(e.b, "select v from "+db+".n order by ts"); fmt.Sprint(rows) != "[[2] [3]]" {
		e.Errorf("then it has %v", rows)
	}
}

// dropAtWrite drops a table at the sink when the next rows come to it. A real
// server cannot be told to: there the drop comes before.
func dropAtWrite(e *env, table string) {
	e.Helper()
	if e.b.node == nil {
		e.exec(e.b, "drop table "+table)
		return
	}
	var done atomic.Bool
	e.b.node.Faults().Add(embedded.Fault{Match: func(r embedded.Request) bool {
		rows := (r.RawType == uint16(core.RawData) || r.RawType == uint16(core.RawMetadata)) && !namesSuper(r)
		if rows && !done.Swap(true) {
			if err := e.b.node.Exec("drop table " + table); err != nil {
				e.Errorf("drop %s at the sink: %v", table, err)
			}
		}
		return false
	}})
}

// namesSuper reports whether rows are of the super table st, as only those are that
// make an adapter look tables up.
func namesSuper(r embedded.Request) (yes bool) {
	_ = raw.Tables(core.RawType(r.RawType), r.Raw, func(ref raw.TableRef) { yes = yes || string(ref.Name) == "st" })
	return yes
}

// TestHazardSuperTableGoesMeanwhile does the same to a super table whose child
// comes with its first rows.
func TestHazardSuperTableGoesMeanwhile(t *testing.T) {
	t.Parallel()
	missing(t, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		in := e.runInstance()
		e.exec(e.a, "create table "+db+".st(ts timestamp, v int) tags(g int)")
		id := in.replicate(e.a, e.b, db)
		in.caughtUp(id)
		dropAtWrite(e, db+".st")
		e.exec(e.a, fmt.Sprintf("insert into %s.c1 using %s.st tags(1) values(%d,1)", db, db, loadEpoch))
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}

// said fails unless an event has the text.
func (in *instance) said(text string) {
	in.Helper()
	for _, ev := range in.events() {
		if strings.Contains(ev.Text, text) {
			return
		}
	}
	in.Errorf("no event says %q", text)
}

func (in *instance) events() []core.Event {
	in.Helper()
	list, err := in.Events(in.Context(), 0, 1000)
	if err != nil {
		in.Fatal(err)
	}
	return list
}

// TestHazardConnectionsReused makes tables anew while the sink's new connections
// believe what closed ones knew of the old ones: rows are acknowledged and lost.
func TestHazardConnectionsReused(t *testing.T) {
	t.Parallel()
	onVgroups(t, connectionsReused)
}

func connectionsReused(e *env, vgroups int) {
	db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
	in := e.runInstance()
	there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	e.exec(e.a, fmt.Sprintf("create table %s.st(ts timestamp, v int) tags(g int)", db))
	const rounds, tables = 4, 6
	for round := range rounds {
		if e.b.node != nil {
			e.b.node.ReuseConnections(2)
		}
		for c := range tables {
			e.exec(e.a,
				fmt.Sprintf("insert into %s.c%d using %s.st tags(%d) values(%d,%d)", db, c, db, c, loadEpoch+round, round),
				fmt.Sprintf("create table %s.n%d(ts timestamp, v int)", db, c),
				fmt.Sprintf("insert into %s.n%d values(%d,%d)", db, c, loadEpoch+round, round))
		}
		in.caughtUp(there, back)
		e.equal(e.a, e.b, db)
		if round == rounds-1 {
			break
		}
		for c := range tables {
			e.exec(e.a, fmt.Sprintf("drop table %s.n%d", db, c))
			if round != 1 {
				e.exec(e.a, fmt.Sprintf("drop table %s.c%d", db, c))
			}
		}
		if round == 1 {
			e.exec(e.a, fmt.Sprintf("drop table %s.st", db), fmt.Sprintf("create table %s.st(ts timestamp, v int) tags(g int)", db))
		}
	}
	e.staysAtRest(db)
}

// TestHazardManyTablesGo drops a few of so many tables at the sink that these are
// listed, and not asked for, after rows of all of them were written. What a task that
// has just started does not know yet, it lists, too.
func TestHazardManyTablesGo(t *testing.T) {
	t.Parallel()
	missing(t, func(e *env) {
		const tables = 2500
		db := e.create(database{vgroups: map[string]int{"a": 2, "b": 3}}, e.a, e.b)
		e.exec(e.a, "create table "+db+".st(ts timestamp, v int) tags(g int)")
		insert := func(round int, using string) {
			var sql strings.Builder
			sql.WriteString("insert into")
			for c := range tables {
				fmt.Fprintf(&sql, " %s.c%d %s values(%d,%d)", db, c, using, loadEpoch+round, round)
			}
			e.exec(e.a, sql.String())
		}
		in := e.runInstance()
		id := in.replicate(e.a, e.b, db)
		insert(0, "using "+db+".st tags(1)")
		in.caughtUp(id)
		for round := 1; round < 4; round++ {
			if round == 2 {
				in.stopped(id, db)
				in.begin(core.StartRequest{ID: id})
				in.waitState(core.TaskKey{Replica: id, Database: db}, core.Running)
			}
			for c := round; c < tables; c += 700 {
				e.exec(e.b, fmt.Sprintf("drop table %s.c%d", db, c))
			}
			insert(round, "")
			in.caughtUp(id)
			if rows := e.query(e.b, fmt.Sprintf("select count(*) from %s.st where v=%d", db, round)); rows[0][0] != fmt.Sprint(tables) {
				e.Errorf("of round %d %s rows are at the sink, not %d", round, rows[0][0], tables)
			}
		}
	})
}
