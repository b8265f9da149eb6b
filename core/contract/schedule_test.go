package contract

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// schedule is what happens to two sides, step by step. A step is "a: SQL" or
// "b: SQL", with DB for the database, or one of the faults that runner.disturb
// knows, or "settle", which waits until both sides have come to rest.
type schedule struct {
	vgroups [2]int
	apart   bool // each direction has an instance of its own
	steps   []string
}

// String is the schedule as a regression test wants it.
func (s schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "schedule{[2]int{%d, %d}, %v, []string{\n", s.vgroups[0], s.vgroups[1], s.apart)
	for _, step := range s.steps {
		fmt.Fprintf(&b, "\t%q,\n", step)
	}
	return b.String() + "}}"
}

// author draws schedules. A family, which is a super table with its children or
// a normal table, is written by one side at a time; it changes hands only after
// everything has come to rest.
type author struct {
	rt    *rapid.T
	owner map[string]string // side by family
	count int
}

func drawSchedule(rt *rapid.T) schedule {
	a := &author{rt: rt, owner: map[string]string{"s0": "a", "s1": "b", "n0": "a", "n1": "b"}}
	sizes := rapid.SampledFrom([]int{1, 2, 3, 4, 8})
	s := schedule{
		vgroups: [2]int{sizes.Draw(rt, "vgroups of a"), sizes.Draw(rt, "vgroups of b")},
		apart:   rapid.Bool().Draw(rt, "apart"),
	}
	for _, family := range []string{"s0", "s1"} {
		s.steps = append(s.steps, a.creation(family))
	}
	for range rapid.IntRange(3, 40).Draw(rt, "steps") {
		s.steps = append(s.steps, a.step())
	}
	return s
}

func (a *author) write(family, sql string) string { return a.owner[family] + ": " + sql }

// creation makes a super table, some of them with a composite key.
func (a *author) creation(family string) string {
	key := a.pick("key", "", "", "k int primary key, ")
	return a.write(family, "create table DB."+family+"(ts timestamp, "+key+"v int, s varchar(8)) tags(g int, h varchar(8))")
}

func (a *author) pick(what string, of ...string) string {
	return rapid.SampledFrom(of).Draw(a.rt, what)
}

func (a *author) number(what string, low, high int) int {
	return rapid.IntRange(low, high).Draw(a.rt, what)
}

func (a *author) step() string {
	a.count++
	switch kind := a.number("kind", 0, 19); {
	case kind < 8:
		return a.rows()
	case kind < 11:
		return a.removal()
	case kind < 14:
		return a.alteration()
	case kind < 15:
		family := a.pick("family", "s0", "s1")
		if a.number("drop", 0, 1) == 0 {
			return a.write(family, "drop table DB."+family)
		}
		return a.creation(family)
	case kind < 16:
		return a.normal()
	case kind < 17:
		family := a.pick("family", "s0", "s1", "n0", "n1")
		a.owner[family] = map[string]string{"a": "b", "b": "a"}[a.owner[family]]
		return "settle"
	}
	side := a.pick("side", "a", "b")
	switch a.pick("fault", "cut", "lose reply", "refuse poll", "adapter", "server", "restart", "crash") {
	case "cut":
		return "cut " + side
	case "lose reply":
		return "lose reply " + side
	case "refuse poll":
		return "refuse poll " + side
	case "adapter":
		return "adapter " + side
	case "server":
		return "server " + side
	case "restart":
		return "restart"
	}
	return "crash"
}

// child names one of a few tables, so that they are dropped and made anew.
func (a *author) child(family string) string {
	return fmt.Sprintf("DB.%sc%d", family, a.number("child", 0, 5))
}

func (a *author) instant() int { return loadEpoch + a.number("instant", 0, 15) }

// text fits a column or tag as it was made, or only one that was made longer.
func (a *author) text() string {
	return fmt.Sprintf(a.pick("text", "'r%d'", "'a longer r%d'"), a.count)
}

func (a *author) rows() string {
	family := a.pick("family", "s0", "s1")
	child := a.child(family)
	at, n := a.instant(), a.number("rows", 1, 3)
	// Without k those of a table whose key it belongs to are refused, with it the others.
	columns := a.pick("columns", "ts,v,s", "ts,v", "ts,s", "ts,v,x1", "ts,x2", "ts,k,v,s", "ts,k,s", "ts,k,x2")
	key := a.number("key", 0, 2)
	text := a.text()
	var values strings.Builder
	for i := range n {
		row := strings.NewReplacer("ts", fmt.Sprint(at+i/2), "k", fmt.Sprint(key+i), "v", fmt.Sprint(a.count*10+i), "s", text, "x1", "7", "x2", "8.5").Replace(columns)
		values.WriteString("(" + row + ")")
	}
	switch a.number("using", 0, 3) {
	case 0:
		return a.write(family, fmt.Sprintf("insert into %s(%s) values%s", child, columns, values.String()))
	case 1:
		return a.write(family, fmt.Sprintf("insert into %s using DB.%s(h,g) tags(%s,%d) (%s) values%s", child, family, a.text(), a.count%3, columns, values.String()))
	}
	return a.write(family, fmt.Sprintf("insert into %s using DB.%s(g) tags(%d) (%s) values%s", child, family, a.count%3, columns, values.String()))
}

func (a *author) removal() string {
	family := a.pick("family", "s0", "s1")
	child := a.child(family)
	from := a.instant()
	switch a.number("removal", 0, 3) {
	case 0:
		return a.write(family, fmt.Sprintf("delete from %s where ts >= %d and ts <= %d", child, from, from+3))
	case 1:
		return a.write(family, fmt.Sprintf("delete from DB.%s where ts >= %d and ts <= %d", family, from, from+3))
	case 2:
		return a.write(family, fmt.Sprintf("delete from DB.%s where g = %d and ts >= %d", family, a.count%3, from))
	}
	return a.write(family, "drop table "+child)
}

func (a *author) alteration() string {
	family := a.pick("family", "s0", "s1")
	change := a.pick("alteration",
		"add column x1 int", "add column x2 double", "drop column x1", "drop column x2", "drop column s", "add column s varchar(8)",
		"drop column v", "add column v int", "add column v bigint", "add column x1 varchar(8)",
		"modify column s varchar(16)", "modify column s varchar(24)", "add tag t1 int", "drop tag t1", "rename tag h hh", "rename tag hh h",
		"drop tag h", "add tag h varchar(8)", "modify tag h varchar(16)", "set g", "set h")
	switch change {
	case "set g":
		return a.write(family, fmt.Sprintf("alter table %s set tag g = %d", a.child(family), a.count%3))
	case "set h":
		return a.write(family, fmt.Sprintf("alter table %s set tag h = %s", a.child(family), a.text()))
	}
	return a.write(family, "alter table DB."+family+" "+change)
}

func (a *author) normal() string {
	family := a.pick("normal", "n0", "n1")
	table := "DB." + family
	return a.write(family, a.pick("change",
		"create table "+table+"(ts timestamp, v int)", "create table "+table+"(ts timestamp, k int primary key, v int)",
		fmt.Sprintf("insert into %s(ts,k,v) values(%d,%d,%d)", table, a.instant(), a.count%3, a.count),
		fmt.Sprintf("insert into %s(ts,v) values(%d,%d)", table, a.instant(), a.count),
		fmt.Sprintf("insert into %s(ts,w) values(%d,%d)", table, a.instant(), a.count),
		"alter table "+table+" add column w int", "alter table "+table+" drop column w",
		"alter table "+table+" rename column v w", "alter table "+table+" rename column w v",
		"alter table "+table+" add column s varchar(8)", "alter table "+table+" drop column s", "alter table "+table+" modify column s varchar(16)",
		fmt.Sprintf("insert into %s(ts,s) values(%d,%s)", table, a.instant(), a.text()),
		fmt.Sprintf("delete from %s where ts <= %d", table, a.instant()),
		"drop table "+table))
}
