package contract

import (
	"fmt"
	"strings"
	"testing"
)

// hostileNames are names that a server takes between backticks. A dot or a
// backtick is in none: servers refuse both.
var hostileNames = []string{
	"it's", `say "so"`, "two  words", "Ünïcode", "CASE", "select", "1st", "a-b/c\\d", "%s%d%",
	"x; drop database power; --", "') or 1=1 --", "电表",
}

// TestHostileNames replicates tables, columns and tags with such names through
// everything that makes SQL of them: deletes, drops, renamed tags, and columns
// that are added to a table the sink had already.
func TestHostileNames(t *testing.T) { scenario(t, options{}, copyHostileNames) }

func copyHostileNames(e *env) {
	db := e.create(database{}, e.a, e.b)
	for _, s := range []*side{e.a, e.b} {
		e.exec(s, fmt.Sprintf("create table %s.`the 'super' table`(ts timestamp, v int) tags(`g \"1\"` int, `n's` nchar(80))", db))
	}
	in := e.runInstance()
	there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	quoted := func(s string) string { return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) }
	insert := func(from int) {
		for i, name := range append(hostileNames, strings.Repeat("电", 64)) {
			e.exec(e.a,
				fmt.Sprintf("insert into %s.`%s` using %s.`the 'super' table` tags(%d,'%s') values(%d,%d)(%d,%d)",
					db, name, db, i%2, quoted(name), loadEpoch+from, i, loadEpoch+from+1, i),
			)
		}
	}
	insert(0)
	in.caughtUp(there)
	e.equal(e.a, e.b, db)

	for i, name := range hostileNames {
		e.exec(e.a, fmt.Sprintf("alter table %s.`the 'super' table` add column `%s` int", db, name))
		e.exec(e.a, fmt.Sprintf("insert into %s.`%s`(ts, `%s`) values(%d,%d)", db, name, name, loadEpoch+10, i))
		e.exec(e.a, fmt.Sprintf("delete from %s.`%s` where ts = %d", db, name, loadEpoch))
		e.exec(e.a, fmt.Sprintf("create table %s.`plain %s`(ts timestamp, `%s` int)", db, name, name))
	}
	e.exec(e.a, fmt.Sprintf("delete from %s.`the 'super' table` where `g \"1\"` = 1 and `n's` <> '%s' and ts <= %d",
		db, strings.Repeat("电", 64), loadEpoch+1))
	e.exec(e.a, fmt.Sprintf("alter table %s.`the 'super' table` rename tag `n's` `it's; --`", db))
	for _, name := range hostileNames[:6] {
		e.exec(e.a, fmt.Sprintf("drop table %s.`%s`", db, name), fmt.Sprintf("drop table %s.`plain %s`", db, name))
	}
	in.caughtUp(there, back)
	e.equal(e.a, e.b, db)
	left := e.query(e.b, "select count(*) from information_schema.ins_tables where db_name='"+db+"'")
	if want := fmt.Sprint(2*len(hostileNames) + 1 - 12); left[0][0] != want {
		e.Errorf("%s tables are left at the sink of %s", left[0][0], want)
	}
	e.staysAtRest(db)
}
