package contract

import (
	"fmt"
	"testing"

	"tdreplica/core"
)

// TestHazardTagsSet sets tags of child tables. Servers take such tables out of
// every subscription that exists, on the side where it was done and, when the
// change was replicated, on the other one too.
func TestHazardTagsSet(t *testing.T) {
	t.Parallel()
	onVgroups(t, tagsSet)
}

func tagsSet(e *env, vgroups int) {
	db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
	e.exec(e.a, fmt.Sprintf("create table %s.st(ts timestamp, v int) tags(g int, h varchar(8))", db))
	in := e.runProcess()
	there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	rows := 0
	write := func(s *side) {
		rows++
		for c := range 6 {
			e.exec(s, fmt.Sprintf("insert into %s.c%d using %s.st tags(%d,'x') values(%d,%d)", db, c, db, c, loadEpoch+rows, rows))
		}
	}
	set := func(s *side, c, g int) {
		e.exec(s, fmt.Sprintf("alter table %s.c%d set tag g = %d", db, c, g))
	}
	settled := func() {
		e.Helper()
		in.caughtUp(there, back)
		in.caughtUp(there, back)
		e.equal(e.a, e.b, db) // first, because it names the rows
		if n := e.rowsOf(e.a, db); n != 6*rows {
			e.Fatalf("%d rows are at both sides of %d", n, 6*rows)
		}
	}
	write(e.a)
	set(e.a, 1, 7) // what was just written may not have been read yet
	set(e.a, 2, 8)
	write(e.a)
	set(e.a, 1, 9)
	settled()
	write(e.b) // who reads there never saw the change
	settled()
	// A task that is down meanwhile.
	in.stopped(there, db)
	write(e.a)
	set(e.a, 3, 1)
	write(e.a)
	in.begin(core.StartRequest{ID: there})
	settled()
	// Changes of both sides and a crash in between.
	set(e.a, 4, 1)
	set(e.b, 5, 1)
	in.kill()
	write(e.a)
	in.launch()
	settled()
	write(e.b)
	settled()
	e.staysAtRest(db)
}

// TestHazardTagsSetOverAColumn has rows and changes read again from before a column
// was dropped and another one added under its name, which must not get their values
// nor their length.
func TestHazardTagsSetOverAColumn(t *testing.T) {
	t.Parallel()
	onVgroups(t, tagsSetOverAColumn)
}

func tagsSetOverAColumn(e *env, vgroups int) {
	db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
	e.exec(e.a, fmt.Sprintf("create table %s.st(ts timestamp, v int, s varchar(8)) tags(g int)", db))
	in := e.runInstance()
	id := in.replicate(e.a, e.b, db)
	write := func(row int, columns, values string) {
		for c := range 6 {
			e.exec(e.a, fmt.Sprintf("insert into %s.c%d using %s.st tags(%d) (ts,v%s) values(%d,%d%s)", db, c, db, c, columns, loadEpoch+row, row, values))
		}
	}
	write(1, "", "")
	in.caughtUp(id)
	in.stopped(id, db)
	write(2, ",s", ",'old'")
	e.exec(e.a,
		fmt.Sprintf("alter table %s.c1 set tag g = 7", db),
		fmt.Sprintf("alter table %s.st modify column s varchar(16)", db),
		fmt.Sprintf("alter table %s.st drop column s", db),
		fmt.Sprintf("alter table %s.st add column s varchar(8)", db))
	write(3, ",s", ",'new'")
	in.begin(core.StartRequest{ID: id})
	in.caughtUp(id)
	in.caughtUp(id)
	e.equal(e.a, e.b, db)
}

// TestHazardTagsSetAndRenamed sets tags that are renamed, or dropped and added again,
// before the change is read again: the table is not there before.
func TestHazardTagsSetAndRenamed(t *testing.T) {
	t.Parallel()
	onVgroups(t, func(e *env, vgroups int) {
		db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
		e.exec(e.a, "create table "+db+".st(ts timestamp, v int) tags(g int, h varchar(8), k int)")
		in := e.runInstance()
		id := in.replicate(e.a, e.b, db)
		in.caughtUp(id)
		in.stopped(id, db)
		for c := range 4 {
			e.exec(e.a, fmt.Sprintf("insert into %s.c%d using %s.st tags(%d,'made',1) (ts,v) values(%d,1)", db, c, db, c, loadEpoch))
		}
		e.exec(e.a,
			"alter table "+db+".c1 set tag h = 'set'", "alter table "+db+".c2 set tag k = 2", "alter table "+db+".c3 set tag g = 7",
			"alter table "+db+".st rename tag h hh", "alter table "+db+".st drop tag k", "alter table "+db+".st add tag k int",
			"alter table "+db+".st add tag h varchar(8)")
		in.begin(core.StartRequest{ID: id})
		in.caughtUp(id)
		in.caughtUp(id)
		e.sameTags(db, "g, h, hh, k", "st")
		e.equal(e.a, e.b, db)
	})
}
