package contract

import (
	"fmt"
	"testing"
)

// TestTwoWayComesToRest writes on both sides at once and replicates both ways:
// both sides end equal, and no WAL grows any more.
func TestTwoWayComesToRest(t *testing.T) {
	scenario(t, options{}, twoWay)
}

func twoWay(e *env) {
	db := e.create(database{}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	e.exec(e.b, loadSchema(db))
	in := e.runInstance()
	there := in.replicate(e.a, e.b, db)
	back := in.replicate(e.b, e.a, db)
	if there == back {
		e.Fatalf("both directions are replica %s", there)
	}
	la, lb := e.startLoad(e.a, db, "a", 4), e.startLoad(e.b, db, "b", 4)
	la.watchOrder(e.b)
	lb.watchOrder(e.a)
	la.waitRows(150)
	lb.waitRows(150)
	la.stop()
	lb.stop()
	in.caughtUp(there, back)
	for _, s := range []*side{e.a, e.b} {
		la.arrived(s)
		lb.arrived(s)
	}
	e.equal(e.a, e.b, db)
	e.staysAtRest(db)
	in.caughtUp(there, back)
	e.waitUntil("no conflicts are counted or watched for", func() (bool, string) {
		got := in.conflicts(db, there, back)
		if got.Rows+got.Unchecked > 0 {
			e.Fatalf("each side wrote tables of its own, and conflicts were counted: %+v", got)
		}
		return got.Watched == 0, fmt.Sprintf("%+v", got)
	})
}
