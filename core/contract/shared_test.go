package contract

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
)

// TestSharedGroup has three instances share the vgroups of a database under
// load. One of them is killed: the others take its vgroups over, it comes back,
// and no row is missing or older than it should be.
func TestSharedGroup(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{vgroups: map[string]int{"a": 6}}, e.a, e.b)
		e.exec(e.a, loadSchema(db))
		ins := []*instance{e.runProcess(), e.runProcess(), e.runProcess()}
		ids := make([]string, len(ins))
		for i, in := range ins {
			ids[i] = in.shared(db, "grid", e.a, e.b)
		}
		e.ownedBy(db, ins, ids)
		l := e.startLoad(e.a, db, "t", 24)
		end := l.watchOrder(e.b)
		l.catchesUp(e.b)

		ins[1].kill()
		began, others := time.Now(), []*instance{ins[0], ins[2]}
		e.ownedBy(db, others, []string{ids[0], ids[2]})
		e.Logf("the others own all vgroups %v after the kill", time.Since(began).Round(100*time.Millisecond))
		l.catchesUp(e.b)
		e.Logf("everything flows again %v after the kill", time.Since(began).Round(100*time.Millisecond))
		l.waitRows(100)

		ins[1].launch()
		e.ownedBy(db, ins, ids)
		l.waitRows(200)
		if _, err := ins[0].Stop(e.Context(), core.TargetRequest{ID: ids[0], Actor: testActor}); err != nil {
			e.Fatal(err)
		}
		e.ownedBy(db, ins[1:], ids[1:])
		l.waitRows(100)
		l.stop()
		end()
		ins[1].caughtUp(ids[1])
		ins[2].caughtUp(ids[2])
		l.arrived(e.b)
		e.equal(e.a, e.b, db)
	})
}

// shared starts a replica of a database in a group that other instances are in.
func (in *instance) shared(db, group string, from, to *side) string {
	in.Helper()
	group += db
	return in.begin(core.StartRequest{Source: from.ep, Sink: to.ep, Databases: []string{db}, Options: core.Options{GroupName: &group}})
}

// ownedBy waits until each of these instances runs and owns some vgroups, nobody
// else owns any, and all of them say the same.
func (e *env) ownedBy(db string, ins []*instance, ids []string) {
	e.Helper()
	e.waitUntil("the vgroups are shared among the instances", func() (bool, string) {
		var told []string
		owners := map[string]bool{}
		for i, in := range ins {
			snap, err := in.Snapshot(e.Context())
			if err != nil {
				return false, err.Error()
			}
			t := snap.Task(core.TaskKey{Replica: ids[i], Database: db})
			if t.State == core.Failed {
				e.Fatalf("task %s failed: %s (%s)", t.Key(), t.Note, t.LastError)
			}
			if t.State != core.Running {
				return false, describeTask(t)
			}
			var all []string
			for _, v := range t.Vgroups {
				all = append(all, fmt.Sprintf("%d: %s", v.ID, v.Owner))
				owners[v.Owner] = true
			}
			told = append(told, strings.Join(all, ", "))
			owners["."+snap.Instance.ID] = true
		}
		agreed := len(slices.Compact(slices.Clone(told))) == 1 && told[0] != ""
		for _, in := range ins {
			snap, err := in.Snapshot(e.Context())
			if err != nil {
				return false, err.Error()
			}
			agreed = agreed && owners[snap.Instance.Name+"/"+snap.Instance.ID]
		}
		// One entry for each instance's own id, and one for each owner.
		return agreed && len(owners) == 2*len(ins), strings.Join(told, "\n")
	})
}

// catchesUp waits until every table has at a side what was written up to now.
func (l *load) catchesUp(s *side) {
	l.e.Helper()
	now := l.written()
	l.e.waitUntil("what was written meanwhile has arrived", func() (bool, string) {
		for i := range l.tables {
			rows, err := s.sql.run(l.e.Context(), fmt.Sprintf("select count(*) from %s.%s", l.db, l.table(i)))
			if err != nil {
				return false, err.Error()
			}
			if n, err := strconv.ParseInt(rows[0][0], 10, 64); err != nil || n < now {
				return false, fmt.Sprintf("%s has %s rows of %d", l.table(i), rows[0][0], now)
			}
		}
		return true, ""
	})
}
