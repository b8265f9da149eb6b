package contract

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tdreplica/core"
)

// TestDestructiveDDLWaits reads a backlog in which one vgroup is far behind the
// others when they come to a change that destroys. Tables that were made anew
// under the same names must not be given rows of the old ones.
func TestDestructiveDDLWaits(t *testing.T) {
	t.Parallel()
	onVgroups(t, destructiveDDL)
}

func destructiveDDL(e *env, vgroups int) {
	db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
	in := e.runInstance()
	id := in.replicate(e.a, e.b, db)
	in.caughtUp(id)
	in.stopped(id, db)
	e.exec(e.a, "create table "+db+".st(ts timestamp, v int, w int) tags(g int, h int)")
	for i := range 30 {
		e.exec(e.a, fmt.Sprintf("insert into %s.busy using %s.st tags(0,0) values(%d,1,1)", db, db, loadEpoch+i),
			fmt.Sprintf("create table %s.n%d(ts timestamp, v int)", db, i))
	}
	e.reshape(db, true)
	in.begin(core.StartRequest{ID: id})
	in.caughtUp(id)
	e.equal(e.a, e.b, db)
	if rows := e.rowsOf(e.b, db); rows != 12 {
		e.Errorf("%d rows at the sink of 12", rows)
	}
	list, err := in.Events(e.Context(), 0, 1000)
	if err != nil {
		e.Fatal(err)
	}
	if i := slices.IndexFunc(list, func(ev core.Event) bool {
		return strings.Contains(ev.Text, "left out") || strings.Contains(ev.Text, "although")
	}); i >= 0 {
		e.Errorf("rows came late: %s", list[i].Text)
	}
}

// reshape writes to twelve children of st while its columns and tags go and come
// back as others, and it is made anew. In the end each has one row.
func (e *env) reshape(db string, rename bool) {
	e.Helper()
	rows := func(round int, values string, tags string) {
		for c := range 12 {
			e.exec(e.a, fmt.Sprintf("insert into %s.c%d using %s.st tags(%s) values(%d,%s)", db, c, db, tags, loadEpoch+round, values))
		}
	}
	rows(0, "1,2", "1,1")
	e.exec(e.a, "alter table "+db+".st drop column v")
	rows(1, "3", "1,1")
	e.exec(e.a, "alter table "+db+".st add column v double")
	rows(2, "4,4.5", "1,1")
	e.exec(e.a, "alter table "+db+".st drop tag h")
	if rename {
		e.exec(e.a, "alter table "+db+".st rename tag g gg")
	}
	rows(3, "5,5.5", "1")
	e.exec(e.a, "drop table "+db+".st", "create table "+db+".st(ts timestamp, w int, v double) tags(gg int)")
	rows(4, "6,6.5", "2")
}

// TestHazardColumnNames gives names of columns to other columns of their types, of
// tables that were written to. A connection that keeps what it knows of them would
// write to the columns that had the names before.
func TestHazardColumnNames(t *testing.T) {
	t.Parallel()
	onVgroups(t, columnNames)
}

func columnNames(e *env, vgroups int) {
	db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
	e.exec(e.a, "create table "+db+".st(ts timestamp, v int, w int) tags(g int)", "create table "+db+".n(ts timestamp, v int, w int)")
	in := e.runInstance()
	id := in.replicate(e.a, e.b, db)
	for round, changes := range [][]string{
		nil, nil, {"st drop column v", "st add column v int"}, {"n drop column v", "n add column v int"},
		{"n rename column v x", "n rename column w v", "n rename column x w"},
	} {
		for _, change := range changes {
			e.exec(e.a, "alter table "+db+"."+change)
		}
		for c := range 4 {
			e.exec(e.a, fmt.Sprintf("insert into %s.c%d using %s.st tags(0) (ts,v,w) values(%d,1,2)", db, c, db, loadEpoch+round))
		}
		e.exec(e.a, fmt.Sprintf("insert into %s.n(ts,v,w) values(%d,1,2)", db, loadEpoch+round))
		in.caughtUp(id)
	}
	e.equal(e.a, e.b, db)
}

// TestHazardColumnsOfTheOther has columns replaced at the sink of one direction, and
// by the other one at its source: it reads nothing of that. The rows that follow
// belong to the new columns.
func TestHazardColumnsOfTheOther(t *testing.T) {
	t.Parallel()
	for what, changes := range map[string][]string{
		"columns":         {"alter table DB.st drop column v", "alter table DB.st add column v int", "alter table DB.n drop column v", "alter table DB.n add column v int"},
		"the super table": {"drop table DB.st", "create table DB.st(ts timestamp, v int, w int) tags(g int)"},
	} {
		t.Run(what, func(t *testing.T) {
			scenario(t, options{}, func(e *env) { columnsOfTheOther(e, changes) })
		})
	}
}

func columnsOfTheOther(e *env, changes []string) {
	db := e.create(database{}, e.a, e.b)
	in := e.runInstance()
	there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	e.exec(e.a, "create table "+db+".st(ts timestamp, v int, w int) tags(g int)", "create table "+db+".n(ts timestamp, v int, w int)")
	write := func(round int) {
		e.exec(e.a, fmt.Sprintf("insert into %s.c using %s.st tags(0) (ts,v,w) values(%d,1,2)", db, db, loadEpoch+round),
			fmt.Sprintf("insert into %s.n(ts,v,w) values(%d,1,2)", db, loadEpoch+round))
	}
	write(0)
	e.exec(e.a, "alter table "+db+".st drop column w", "alter table "+db+".st add column w int")
	for round := 1; round < 3; round++ {
		write(round)
		in.caughtUp(there, back)
	}
	for _, sql := range changes {
		e.exec(e.b, strings.ReplaceAll(sql, "DB", db))
	}
	in.caughtUp(there, back)
	in.caughtUp(there, back)
	write(3)
	in.caughtUp(there, back)
	e.equal(e.a, e.b, db)
}
