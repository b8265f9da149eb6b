package contract

import (
	"fmt"
	"strings"
	"testing"

	"tdreplica/core"
)

// restedTwoWay replicates a database both ways, deletes at b what a wrote, and
// stops a's direction: whoever read a's WAL from its beginning again would
// bring the deleted rows back to b alone.
func restedTwoWay(e *env) (in *instance, id, db string) {
	db = e.create(database{}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	in = e.runInstance()
	there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	for i := range 20 {
		e.exec(e.a, fmt.Sprintf("insert into %s.t%d using %s.meters tags(%d) values(%d,1,'x')", db, i%4, db, i%4, loadEpoch+i))
	}
	in.caughtUp(there, back)
	e.exec(e.b, fmt.Sprintf("delete from %s.t1 where ts >= %d", db, int64(loadEpoch)))
	in.caughtUp(there, back)
	in.stopped(there, db)
	e.exec(e.a, fmt.Sprintf("insert into %s.late using %s.meters tags(9) values(%d,1,'x')", db, db, int64(loadEpoch)))
	return in, there, db
}

// TestGroupDropped takes the consumer group, and with it its offsets, away from
// a task that is stopped. It goes on where it was.
func TestGroupDropped(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		in, id, db := restedTwoWay(e)
		topic := "tdr_" + db
		groups := e.groups(e.a, topic)
		if len(groups) != 1 {
			e.Fatalf("topic %s has the groups %v", topic, groups)
		}
		e.exec(e.a, fmt.Sprintf("drop consumer group `%s` on %s", groups[0], topic))
		in.begin(core.StartRequest{ID: id})
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}

// TestTopicDropped takes the topic away, too.
func TestTopicDropped(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		in, id, db := restedTwoWay(e)
		e.exec(e.a, "drop topic tdr_"+db)
		in.begin(core.StartRequest{ID: id})
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}

// TestTopicRedefined finds a topic of the right name that leaves out meta.
func TestTopicRedefined(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		in, id, db := restedTwoWay(e)
		e.exec(e.a, "drop topic tdr_"+db, fmt.Sprintf("create topic tdr_%s as database %s", db, db))
		in.begin(core.StartRequest{ID: id})
		failed := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Failed)
		if !strings.Contains(failed.Note, "tdr_"+db) {
			e.Errorf("the note does not name the topic: %s", failed.Note)
		}
		e.exec(e.a, "drop topic tdr_"+db)
		in.begin(core.StartRequest{ID: id})
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}

// TestDatabaseMadeAnew drops the source's database and creates another one of
// its name: its WAL means something else, and the sink still has the old rows.
func TestDatabaseMadeAnew(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		in, id, db := begun(e)
		in.stopped(id, db)
		key := core.TaskKey{Replica: id, Database: db}
		e.exec(e.a, "drop topic tdr_"+db, "drop database "+db)
		e.create(database{name: db}, e.a)
		in.begin(core.StartRequest{ID: id})
		failed := in.waitState(key, core.Failed)
		if !strings.Contains(failed.Note, "dropped and created again") || !strings.Contains(failed.Note+failed.LastError, "remove "+id) {
			e.Errorf("the note does not say what happened and what to do: %s; %s", failed.Note, failed.LastError)
		}
		if n := e.rowsOf(e.b, db); n != 20 {
			e.Errorf("the sink has %d rows of 20", n)
		}
	})
}
