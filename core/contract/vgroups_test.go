package contract

import (
	"fmt"
	"testing"
)

// TestVgroupCountsMayDiffer replicates between databases that are cut into
// different numbers of vgroups.
func TestVgroupCountsMayDiffer(t *testing.T) {
	t.Parallel()
	for _, n := range [][2]int{{4, 2}, {8, 2}, {2, 8}} {
		t.Run(fmt.Sprintf("%d to %d", n[0], n[1]), func(t *testing.T) {
			scenario(t, options{}, func(e *env) { vgroups(e, n[0], n[1]) })
		})
	}
}

func vgroups(e *env, from, to int) {
	db := e.create(database{vgroups: map[string]int{"a": from, "b": to}}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	in := e.runInstance()
	l := e.startLoad(e.a, db, "t", 3*from)
	l.waitRows(30)
	id := in.replicate(e.a, e.b, db)
	l.watchOrder(e.b)
	in.waitApplied(id, db)
	l.waitRows(60)
	l.stop()
	in.caughtUp(id)
	l.arrived(e.b)
	e.equal(e.a, e.b, db)
}

// TestVgroupCountsMayDifferBothWays does the same in both directions at once.
func TestVgroupCountsMayDifferBothWays(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{vgroups: map[string]int{"a": 4, "b": 2}}, e.a, e.b)
		e.exec(e.a, loadSchema(db))
		e.exec(e.b, loadSchema(db))
		in := e.runInstance()
		there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
		la, lb := e.startLoad(e.a, db, "a", 8), e.startLoad(e.b, db, "b", 8)
		la.waitRows(60)
		lb.waitRows(60)
		la.stop()
		lb.stop()
		in.caughtUp(there, back)
		la.arrived(e.b)
		lb.arrived(e.a)
		e.equal(e.a, e.b, db)
		e.staysAtRest(db)
	})
}
