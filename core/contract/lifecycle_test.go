package contract

import (
	"fmt"
	"strings"
	"testing"

	"tdreplica/core"
)

// TestTwoInstancesFeedTwoSinks lets two instances read the same source. Each
// sink gets everything; neither takes anything away from the other.
func TestTwoInstancesFeedTwoSinks(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		c := e.third()
		db := e.create(database{}, e.a, e.b, c)
		e.exec(e.a, loadSchema(db))
		one, two := e.runInstance(), e.runInstance()
		toB, toC := one.replicate(e.a, e.b, db), two.replicate(e.a, c, db)
		l := e.startLoad(e.a, db, "t", 4)
		l.waitRows(60)
		if _, err := two.Stop(e.Context(), core.TargetRequest{ID: toC, Actor: testActor}); err != nil {
			e.Fatal(err)
		}
		l.waitRows(60)
		if _, err := two.Start(e.Context(), core.StartRequest{ID: toC, Actor: testActor}); err != nil {
			e.Fatal(err)
		}
		l.waitRows(30)
		l.stop()
		one.caughtUp(toB)
		two.caughtUp(toC)
		for _, s := range []*side{e.b, c} {
			l.arrived(s)
			e.equal(e.a, s, db)
		}
	})
}

// TestNewDatabaseIsPickedUp creates a database after the replica was started,
// first on one side only.
func TestNewDatabaseIsPickedUp(t *testing.T) {
	t.Parallel()
	t.Run("by pattern", func(t *testing.T) {
		scenario(t, options{}, func(e *env) { newDatabase(e, true) })
	})
	t.Run("of all", func(t *testing.T) {
		o := options{embedded: "a replica of all databases would copy those of other users of these servers"}
		scenario(t, o, func(e *env) { newDatabase(e, false) })
	})
}

func newDatabase(e *env, pattern bool) {
	prefix := uniqueName()
	first := e.create(database{name: prefix + "_1"}, e.a, e.b)
	e.exec(e.a, loadSchema(first))
	var databases []string
	if pattern {
		databases = []string{prefix + "_*"}
	}
	in := e.runInstance()
	second := int64(1)
	id := in.begin(core.StartRequest{
		Source: e.a.ep, Sink: e.b.ep, Databases: databases,
		Options: core.Options{CheckIntervalS: &second},
	})
	in.caughtUp(id)

	later := e.create(database{name: prefix + "_2"}, e.a)
	e.exec(e.a, loadSchema(later), fmt.Sprintf("insert into %s.t using %s.meters tags(1) values(%d,1,'x')", later, later, int64(loadEpoch)))
	e.create(database{name: later}, e.b)
	in.waitState(core.TaskKey{Replica: id, Database: later}, core.Running)
	in.caughtUp(id)
	e.equal(e.a, e.b, later)
	if n := e.rowsOf(e.b, later); n != 1 {
		e.Errorf("the database created later has %d rows at the sink", n)
	}
	snap, err := in.Snapshot(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	for _, t := range snap.Tasks {
		if !strings.HasPrefix(t.Database, prefix) {
			e.Errorf("%s is replicated too", t.Database)
		}
	}
}

// TestRemoveCleansUp removes a replica: group and topic go, rows stay.
func TestRemoveCleansUp(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		in, id, db := begun(e)
		if n := len(e.topics(e.a, db)); n != 1 {
			e.Fatalf("the source has %d topics on %s", n, db)
		}
		if _, err := in.Remove(e.Context(), core.RemoveRequest{ID: id, Actor: testActor}); err == nil {
			e.Fatal("a running replica was removed without force")
		}
		res, err := in.Remove(e.Context(), core.RemoveRequest{ID: id, Force: true, Actor: testActor})
		if err != nil {
			e.Fatal(err)
		}
		if len(res.Deleted) < 2 {
			e.Errorf("remove lists %q as deleted; expected the group and the topic", res.Deleted)
		}
		if t := e.topics(e.a, db); len(t) != 0 {
			e.Errorf("the source still has the topics %v", t)
		}
		if n := e.rowsOf(e.b, db); n != 20 {
			e.Errorf("the sink has %d rows of 20 after remove", n)
		}
		snap, err := in.Snapshot(e.Context())
		if err != nil {
			e.Fatal(err)
		}
		if snap.Replica(id) != nil || len(snap.Tasks) != 0 {
			e.Errorf("the snapshot still has %v and %d tasks", snap.Replica(id), len(snap.Tasks))
		}
	})
}

// TestRemoveKeepsWhatOthersRead removes one of two replicas that read the same
// topic: its group goes, the topic stays, and the other one is undisturbed.
func TestRemoveKeepsWhatOthersRead(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		e.exec(e.a, loadSchema(db))
		one, two := e.runInstance(), e.runInstance()
		goes, stays := one.replicate(e.a, e.b, db), two.replicate(e.a, e.b, db)
		l := e.startLoad(e.a, db, "t", 2)
		l.waitRows(30)
		one.waitApplied(goes, db)
		two.waitApplied(stays, db)
		topics := e.topics(e.a, db)
		if len(topics) != 1 {
			e.Fatalf("the source has the topics %v", topics)
		}
		if n := len(e.groups(e.a, topics[0])); n != 2 {
			e.Fatalf("%d groups read %s", n, topics[0])
		}
		res, err := one.Remove(e.Context(), core.RemoveRequest{ID: goes, Force: true, Actor: testActor})
		if err != nil {
			e.Fatal(err)
		}
		if len(res.Kept) == 0 {
			e.Errorf("remove does not say that the topic stays: %+v", res)
		}
		if t := e.topics(e.a, db); len(t) != 1 {
			e.Fatalf("the other replica's topic is gone: %v", t)
		}
		if n := len(e.groups(e.a, topics[0])); n != 1 {
			e.Errorf("%d groups read %s after remove", n, topics[0])
		}
		l.waitRows(30)
		l.stop()
		two.caughtUp(stays)
		l.arrived(e.b)
		if _, err := two.Remove(e.Context(), core.RemoveRequest{ID: stays, Force: true, Actor: testActor}); err != nil {
			e.Fatal(err)
		}
		if t := e.topics(e.a, db); len(t) != 0 {
			e.Errorf("after the last replica was removed the source still has the topics %v", t)
		}
	})
}
