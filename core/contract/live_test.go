package contract

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
)

// The scenarios of this file take away, from under a running task, what it
// stands on. Servers before 3.3.6 say nothing to a consumer whose subscription
// is gone: their polls find nothing, for ever.

// underIt runs a scenario at the default version and at one that keeps silent.
func underIt(t *testing.T, f func(e *env)) {
	for _, version := range []string{"", "3.3.3.0"} {
		t.Run("at "+version, func(t *testing.T) {
			o := options{version: version, stall: 5 * time.Second}
			if version != "" {
				o.embedded = otherVersion
			}
			scenario(t, o, f)
		})
	}
}

// flowing replicates a database both ways, with rows of both sides in it, until
// both are equal.
func flowing(e *env) (in *instance, there, back, db string) {
	e.Helper()
	db = e.create(database{}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	in = e.runInstance()
	there, back = in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	write(e, e.a, db, 0)
	in.caughtUp(there, back)
	write(e, e.b, db, 100)
	in.caughtUp(there, back)
	return in, there, back, db
}

// begun replicates a database one way, with 20 rows in it, until both are equal.
func begun(e *env) (in *instance, id, db string) {
	e.Helper()
	db = e.create(database{}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	in = e.runInstance()
	id = in.replicate(e.a, e.b, db)
	write(e, e.a, db, 0)
	in.caughtUp(id)
	return in, id, db
}

// byForce drops a topic, or a consumer group of it, that is in use. Servers before
// 3.3.6 do not know how: there a node forgets the consumers first, and a real one
// cannot come to this.
func (e *env) byForce(at *side, topic, kind, name string) {
	e.Helper()
	force := " force "
	if !e.atLeast(at, 6) {
		if at.node == nil {
			e.Skip("this server cannot drop what is in use: `drop … force` is a syntax error before 3.3.6")
		}
		force = " "
		at.node.ForgetConsumers(topic)
	}
	e.exec(at, "drop "+kind+force+name)
}

func write(e *env, at *side, db string, from int) {
	e.Helper()
	for i := range 20 {
		e.exec(at, fmt.Sprintf("insert into %s.%s%d using %s.meters tags(%d) values(%d,1,'x')", db, at.name, i%4, db, i%4, loadEpoch+from+i))
	}
}

// goesOn fails unless rows that are written now arrive, and nothing that was
// deleted comes back.
func (in *instance) goesOn(there, back, db string) {
	in.Helper()
	write(in.env, in.a, db, 1000)
	in.arrives(in.b, db, "a0", 1000)
	in.caughtUp(there, back)
	in.equal(in.a, in.b, db)
}

// arrives waits for a row: a task that does not know yet that it was cut off
// takes itself for one that is caught up.
func (e *env) arrives(at *side, db, table string, row int) {
	e.Helper()
	e.waitUntil("the row arrives", func() (bool, string) {
		rows, err := at.sql.run(e.Context(), fmt.Sprintf("select n from %s.%s where ts = %d", db, table, loadEpoch+row))
		return err == nil && len(rows) == 1, fmt.Sprint(rows, err)
	})
}

// TestGroupDroppedUnderIt drops the consumer group of a running task by force,
// and with it the offsets. What b has deleted meanwhile must not come back.
func TestGroupDroppedUnderIt(t *testing.T) {
	t.Parallel()
	underIt(t, func(e *env) {
		in, there, back, db := flowing(e)
		e.exec(e.b, fmt.Sprintf("delete from %s.a1 where ts >= %d", db, loadEpoch))
		in.caughtUp(there, back)
		topic := "tdr_" + db
		e.byForce(e.a, topic, "consumer group", fmt.Sprintf("`%s` on %s", e.groups(e.a, topic)[0], topic))
		in.goesOn(there, back, db)
	})
}

// TestTopicDroppedUnderIt drops the topic by force.
func TestTopicDroppedUnderIt(t *testing.T) {
	t.Parallel()
	underIt(t, func(e *env) {
		in, there, back, db := flowing(e)
		e.exec(e.b, fmt.Sprintf("delete from %s.a1 where ts >= %d", db, loadEpoch))
		in.caughtUp(there, back)
		e.byForce(e.a, "tdr_"+db, "topic", "tdr_"+db)
		in.goesOn(there, back, db)
	})
}

// TestTopicRedefinedUnderIt replaces the topic by one of the same name that is
// of another database, or leaves out the changes of schema.
func TestTopicRedefinedUnderIt(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]string{"without meta": "", "of another database": "_other"} {
		t.Run(name, func(t *testing.T) {
			underIt(t, func(e *env) {
				in, there, back, db := flowing(e)
				if as != "" {
					e.create(database{name: db + as}, e.a)
				}
				e.byForce(e.a, "tdr_"+db, "topic", "tdr_"+db)
				e.exec(e.a, fmt.Sprintf("create topic tdr_%s as database %s%s", db, db, as))
				failed := in.waitState(core.TaskKey{Replica: there, Database: db}, core.Failed)
				if !strings.Contains(failed.Note, "tdr_"+db) || !strings.Contains(failed.Note, "exists already") {
					e.Errorf("the note does not say that the topic is another one: %s", failed.Note)
				}
				e.exec(e.a, "drop topic tdr_"+db)
				in.begin(core.StartRequest{ID: there})
				in.goesOn(there, back, db)
			})
		})
	}
}

// TestDatabaseMadeAnewUnderIt drops the source's database with its topic and
// creates another one of its name.
func TestDatabaseMadeAnewUnderIt(t *testing.T) {
	t.Parallel()
	underIt(t, func(e *env) {
		in, id, db := begun(e)
		e.byForce(e.a, "tdr_"+db, "topic", "tdr_"+db)
		e.exec(e.a, "drop database "+db)
		e.create(database{name: db}, e.a)
		e.exec(e.a, loadSchema(db))
		write(e, e.a, db, 1000)
		in.failsAnew(core.TaskKey{Replica: id, Database: db}, e.a)
		if n := e.rowsOf(e.b, db); n != 20 {
			e.Errorf("the sink has %d rows of 20", n)
		}
	})
}

// failsAnew waits until a task has failed because a side's database is another
// one.
func (in *instance) failsAnew(key core.TaskKey, at *side) {
	in.Helper()
	failed := in.waitState(key, core.Failed)
	if !strings.Contains(failed.Note, "dropped and created again") || !strings.Contains(failed.Note, at.ep.URL) ||
		!strings.Contains(failed.Note, "remove "+key.Replica) {
		in.Errorf("the note does not say what happened, where, and what to do: %s", failed.Note)
	}
}

// TestSinkMadeAnew drops the sink's database and creates another one of its
// name: all that was replicated is missing in it. The task is stopped meanwhile,
// or it runs and nothing is written, or rows or a change of schema come.
func TestSinkMadeAnew(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"stopped", "idle", "rows", "new tables", "change"} {
		t.Run(when, func(t *testing.T) {
			scenario(t, options{stall: 5 * time.Second}, func(e *env) { sinkMadeAnew(e, when) })
		})
	}
}

func sinkMadeAnew(e *env, when string) {
	in, id, db := begun(e)
	key := core.TaskKey{Replica: id, Database: db}
	if when == "stopped" {
		in.stopped(id, db)
	}
	e.exec(e.b, "drop database "+db)
	e.create(database{name: db}, e.b)
	switch when {
	case "stopped":
		in.begin(core.StartRequest{ID: id})
	case "rows":
		write(e, e.a, db, 1000)
	case "new tables":
		e.exec(e.a, fmt.Sprintf("insert into %s.new using %s.meters tags(9) values(%d,1,'x')", db, db, loadEpoch))
	case "change":
		e.exec(e.a, "alter table "+db+".meters add column y int")
	}
	in.failsAnew(key, e.b)
}

// TestSinkDropped drops the sink's database under a running task.
func TestSinkDropped(t *testing.T) {
	t.Parallel()
	for _, rows := range []bool{true, false} {
		t.Run(fmt.Sprint("rows come ", rows), func(t *testing.T) {
			scenario(t, options{stall: 5 * time.Second}, func(e *env) {
				in, id, db := begun(e)
				e.exec(e.b, "drop database "+db)
				if rows {
					write(e, e.a, db, 1000)
				}
				failed := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Failed)
				if !strings.Contains(strings.ToLower(failed.Note), "not exist") {
					e.Errorf("the note does not say that there is no database: %s", failed.Note)
				}
			})
		})
	}
}
