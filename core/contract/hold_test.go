package contract

import (
	"fmt"
	"strings"
	"testing"

	"tdreplica/core"
)

// TestHeldWALOutlastsItsRetention stops a task, writes, and has retention remove
// all of the source's WAL: a server that holds it has kept what was not
// committed. After the replica was removed nothing is kept any more.
func TestHeldWALOutlastsItsRetention(t *testing.T) {
	scenario(t, options{version: "3.4.0.0", embedded: "no server at hand can hold its WAL"}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		tables := []string{"t0", "t1", "t2", "t3"}
		insert := func(n int) {
			for _, t := range tables {
				e.exec(e.a, fmt.Sprintf("insert into %s.%s values(%d, %d)", db, t, int64(loadEpoch+n), n))
			}
		}
		for _, t := range tables {
			e.exec(e.a, fmt.Sprintf("create table %s.%s (ts timestamp, v int)", db, t))
		}
		in := e.runInstance()
		id := in.begin(holdRequest(e, db))
		key := core.TaskKey{Replica: id, Database: db}
		insert(1)
		in.caughtUp(id)
		e.waitUntil("what is held is committed", func() (bool, string) {
			d, err := in.Detail(e.Context(), key)
			if err != nil {
				return false, err.Error()
			}
			return d.Task.WALHeldMS == 0, describeTask(&d.Task)
		})
		res, err := in.Stop(e.Context(), core.TargetRequest{ID: id})
		in.outcome(res, err, core.OutcomeStopped)
		in.waitState(key, core.Stopped)
		insert(2)
		e.expire(db)
		in.begin(core.StartRequest{ID: id})
		in.caughtUp(id)
		e.equal(e.a, e.b, db)

		gone, err := in.Remove(e.Context(), core.RemoveRequest{ID: id, Force: true})
		if err != nil || !strings.Contains(strings.Join(gone.Deleted, "\n"), "the hold on the WAL of database `"+db+"`") {
			e.Fatalf("%+v, %v", gone, err)
		}
		insert(3)
		e.expire(db)
		id = in.begin(holdRequest(e, db))
		task := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Running)
		if !strings.Contains(strings.Join(task.Warnings, "\n"), "is not in the source's WAL") {
			e.Errorf("the WAL was kept after the replica was removed: %q", task.Warnings)
		}
	})
}

// TestHoldIsOnlyAWish replicates all the same where the source cannot hold its
// WAL, and says so.
func TestHoldIsOnlyAWish(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.3.3.0", "3.3.6.13", "3.3.8.0"} {
		t.Run(version, func(t *testing.T) {
			scenario(t, options{version: version}, func(e *env) {
				db := e.create(database{}, e.a, e.b)
				e.exec(e.a, "create table "+db+".t (ts timestamp, v int)", fmt.Sprintf("insert into %s.t values(%d, 1)", db, int64(loadEpoch)))
				in := e.runInstance()
				id := in.begin(holdRequest(e, db))
				in.caughtUp(id)
				e.equal(e.a, e.b, db)
				task := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Running)
				if !strings.Contains(strings.Join(task.Warnings, "\n"), "hold_wal does nothing") || task.WALHeldMS != core.Unknown {
					e.Errorf("held for %d ms, warnings %q", task.WALHeldMS, task.Warnings)
				}
			})
		})
	}
}

func holdRequest(e *env, db string) core.StartRequest {
	yes := true
	return core.StartRequest{Source: e.a.ep, Sink: e.b.ep, Databases: []string{db}, Options: core.Options{HoldWAL: &yes}}
}

// expire has the retention of a's WAL pass for everything in it.
func (e *env) expire(db string) {
	e.Helper()
	for vgroup, end := range e.a.node.WALEnds(db) {
		if err := e.a.node.TruncateWAL(db, vgroup, end); err != nil {
			e.Fatal(err)
		}
	}
}
