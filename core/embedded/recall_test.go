package embedded

import (
	"fmt"
	"strings"
	"testing"
)

// keptColumns are changes of a sink's table (ts timestamp, v int, w int, s
// varchar(8)) after a first row, with what a connection that has written that row
// makes of another one [M: 3.3.7.5 and 3.3.3.0].
var keptColumns = []struct {
	changes []string
	there   bool   // at the sink only
	row     string // columns and values
	right   string // as the table is
	kept    string // by a connection that keeps columns
}{
	{[]string{"drop column v", "add column v int"}, false, "(ts,v,w,s) values(%d,2,3,'x')", `3,"x",2`, `3,"x",null`},
	{[]string{"drop column s", "add column s varchar(4)"}, false, "(ts,v,w,s) values(%d,2,3,'x')", `2,3,"x"`, `2,3,null`},
	{[]string{"drop column s", "add column s varchar(16)"}, false, "(ts,v,w,s) values(%d,2,3,'x')", `2,3,"x"`, `2,3,"x"`},
	{[]string{"drop column s", "add column s int"}, false, "(ts,v,w,s) values(%d,2,3,4)", `2,3,4`, `2,3,4`},
	{[]string{"drop column v", "add column v int"}, false, "(ts,v) values(%d,2)", `null,null,2`, `null,null,2`},
	{[]string{"drop column v"}, false, "(ts,w,s) values(%d,3,'x')", `3,"x"`, `3,"x"`},
	{[]string{"add column x int"}, false, "(ts,v,w,s,x) values(%d,2,3,'x',4)", `2,3,"x",4`, `2,3,"x",4`},
	{[]string{"drop column v", "add column v int"}, true, "(ts,v,w,s) values(%d,2,3,'x')", `3,"x",2`, `3,"x",null`},
	{[]string{"rename column v x", "rename column w v", "rename column x w"}, false, "(ts,v,w,s) values(%d,2,3,'x')", `3,2,"x"`, `2,3,"x"`},
}

// TestColumnsThatAConnectionKeeps writes through an old connection, and through a
// new one.
func TestColumnsThatAConnectionKeeps(t *testing.T) {
	for _, v := range []string{"3.3.7.5", "3.3.3.0"} {
		t.Run(v, func(t *testing.T) { columnsKept(t, start(t, Options{Version: v}).URL(), v) })
	}
	t.Run("real", func(t *testing.T) {
		url := realURL(t)
		columnsKept(t, url, strings.Trim(realSQL(t, url, "select server_version()"), `[]"`))
	})
}

func columnsKept(t *testing.T, sink, text string) {
	v, err := parseVersion(strings.Join(strings.Split(text, ".")[:4], "."))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range keptColumns {
		for _, kind := range []string{"normal", "child", "made"} {
			if kind != "normal" && strings.HasPrefix(c.changes[0], "rename") {
				continue // only tags of super tables can be renamed
			}
			k := newKeeper(t, sink, kind, fmt.Sprintf("kept%d%s", i, kind))
			k.insert("t", "(ts,v,w,s) values(%d,1,1,'o')")
			for _, change := range c.changes {
				k.run("alter table d."+k.owner+" "+change, !c.there)
			}
			kept := c.right
			if v.keepsTables() && kind != "made" { // a table that rows make is not kept by them
				kept = c.kept
			}
			k.wants(c.row, kept)
			if kind == "normal" {
				k.to = writer(t, sink, k.db)
			} else {
				k.insert("u", c.row) // another child's first row brings all the present columns
			}
			k.wants(c.row, c.right)
		}
	}
}

// keeper is a table t at a source and a sink, whose columns are its owner's, and a
// connection that writes to it.
type keeper struct {
	*testing.T
	source          *Node
	sink, db, owner string
	from, to        *client
	rows            int
}

func newKeeper(t *testing.T, sink, kind, db string) *keeper {
	k := &keeper{T: t, source: start(t, Options{}), sink: sink, db: db, owner: "st"}
	must(t, k.source, "create database d vgroups 1", "create topic tp with meta as database d")
	realSQL(t, sink, "drop database if exists "+db)
	realSQL(t, sink, "create database "+db+" vgroups 1")
	t.Cleanup(func() { realSQL(t, sink, "drop database "+db) })
	columns := "(ts timestamp, v int, w int, s varchar(8))"
	if kind == "normal" {
		k.owner = "t"
		k.run("create table d.t"+columns, true)
	} else {
		k.run("create table d.st"+columns+" tags(g int)", true)
		k.run("create table d.u using d.st tags(1)", true)
	}
	if kind == "child" {
		k.run("create table d.t using d.st tags(1)", true)
	}
	k.from, k.to = consume(t, k.source.URL(), "tp", "g", nil), writer(t, sink, db)
	return k
}

// run runs a statement at the sink, and at the source.
func (k *keeper) run(sql string, source bool) {
	k.Helper()
	if source {
		must(k.T, k.source, sql)
	}
	realSQL(k.T, k.sink, inDatabase(sql, k.db))
}

// insert writes a row at the source and copies it to the sink.
func (k *keeper) insert(table, row string) {
	k.Helper()
	k.rows++
	into := "insert into d." + table
	if k.owner == "st" {
		into += " using d.st tags(1)"
	}
	must(k.T, k.source, into+fmt.Sprintf(row, 1735689600000+k.rows))
	for k.from.poll(20) != nil {
		if kind, payload := k.from.fetch(); kind == kindSubmit || kind == kindMetadata {
			if a := k.to.write(kind, payload); a.code() != 0 {
				k.Errorf("%s %s: %v", k.db, row, a)
			}
		}
	}
}

// wants inserts a row and looks for its values at the sink.
func (k *keeper) wants(row, want string) {
	k.Helper()
	k.insert("t", row)
	got := realSQL(k.T, k.sink, fmt.Sprintf("select * from %s.t where ts = %d", k.db, 1735689600000+k.rows))
	if !strings.HasSuffix(got, "Z\","+want+"]]") {
		k.Errorf("%s, row %d: %s, want %s", k.db, k.rows, got, want)
	}
}
