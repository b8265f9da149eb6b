package contract

import (
	"fmt"
	"os"
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
	sharing(t, func(e *env) {
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

// TestSharedGroupIsRefused: servers that do not tell the ids of super tables are
// no good for it, and the task says so.
func TestSharedGroupIsRefused(t *testing.T) {
	scenario(t, options{version: "3.3.3.0", embedded: otherVersion}, refusesToShare)
}

func refusesToShare(e *env) {
	e.Helper()
	db := e.create(database{}, e.a, e.b)
	in := e.runInstance()
	id := in.shared(db, "grid", e.a, e.b)
	failed := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Failed)
	if !strings.Contains(failed.Note, "share the consumer group") || !strings.Contains(failed.Note, "both must be 3.3.7.0 or later") {
		e.Errorf("the note does not say why the group is not shared: %s", failed.Note)
	}
	if topics := e.topics(e.a, db); len(topics) > 0 {
		e.Errorf("the source was given the topics %v before", topics)
	}
}

// sharing runs a scenario of shared groups where the servers are fit for them.
func sharing(t *testing.T, f func(e *env)) {
	scenario(t, options{}, func(e *env) {
		if e.atLeast(e.a, 7) && e.atLeast(e.b, 7) {
			f(e)
			return
		}
		refusesToShare(e)
		e.Skip("these servers are too old to share a group, which was refused as it should be")
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

// TestSharedGroupChanges has two instances read a backlog of changes that
// destroy, each its own vgroups' copies of them, while rows of super tables that
// were dropped and made anew come late in one vgroup and early in another.
func TestSharedGroupChanges(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 4, 8} {
		t.Run(fmt.Sprintf("%d vgroups", n), func(t *testing.T) {
			sharing(t, func(e *env) { sharedChanges(e, n) })
		})
	}
}

func sharedChanges(e *env, vgroups int) {
	db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
	ins := []*instance{e.runInstance(), e.runInstance()}
	ids := []string{ins[0].shared(db, "grid", e.a, e.b), ins[1].shared(db, "grid", e.a, e.b)}
	e.ownedBy(db, ins, ids)
	each := func(f func(in *instance, id string)) {
		for i, in := range ins {
			f(in, ids[i])
		}
	}
	for _, live := range []bool{false, true} {
		if !live {
			each(func(in *instance, id string) { in.stopped(id, db) })
		}
		e.exec(e.a, "create table "+db+".st(ts timestamp, v int, w int) tags(g int, h int)")
		e.reshape(db, false)
		if !live {
			each(func(in *instance, id string) { in.begin(core.StartRequest{ID: id}) })
		}
		each(func(in *instance, id string) { in.caughtUp(id) })
		each(func(in *instance, id string) { in.caughtUp(id) })
		e.equal(e.a, e.b, db)
		if rows := e.rowsOf(e.b, db); rows != 12 {
			e.Errorf("%d rows at the sink of 12", rows)
		}
		e.exec(e.a, "drop table "+db+".st")
		each(func(in *instance, id string) { in.caughtUp(id) })
		each(func(in *instance, id string) { in.caughtUp(id) })
		e.equal(e.a, e.b, db)
	}
	e.staysAtRest(db)
}

// TestSharedGroupEchoes drops tables and makes them anew while both directions
// are shared by two instances, of which one is killed between the announcement
// of a drop and the drop itself, as often as that happens.
func TestSharedGroupEchoes(t *testing.T) {
	sharing(t, func(e *env) {
		db := e.create(database{vgroups: map[string]int{"a": 3, "b": 2}}, e.a, e.b)
		ins := []*instance{e.runProcess(), e.runProcess()}
		var there, back []string
		for _, in := range ins {
			there = append(there, in.shared(db, "grid", e.a, e.b))
			back = append(back, in.shared(db, "grid", e.b, e.a))
		}
		e.ownedBy(db, ins, there)
		e.ownedBy(db, ins, back)
		e.exec(e.a, "create table "+db+".st(ts timestamp, v int) tags(g int)")
		const rounds = 12
		for round := range rounds {
			if round%4 == 2 {
				ins[round/4%2].kill()
			}
			e.makeAnew(db, round, round < rounds-1)
			if round%4 == 2 {
				ins[round/4%2].launch()
			}
		}
		e.ownedBy(db, ins, there)
		e.ownedBy(db, ins, back)
		for range 2 {
			for i, in := range ins {
				in.caughtUp(there[i], back[i])
			}
		}
		e.equal(e.a, e.b, db)
		if n := e.rowsOf(e.a, db); n != 6 {
			e.Errorf("%d rows are left at a of 6", n)
		}
		e.staysAtRest(db)
	})
}

// TestSharedGroupTags sets tags of child tables, which takes a new consumer
// group. The member that comes to it says that it must be alone, loses nothing
// until it is, and then makes the group anew.
func TestSharedGroupTags(t *testing.T) {
	sharing(t, func(e *env) {
		db := e.create(database{vgroups: map[string]int{"a": 4}}, e.a, e.b)
		e.exec(e.a, fmt.Sprintf("create table %s.st(ts timestamp, v int) tags(g int)", db))
		ins := []*instance{e.runInstance(), e.runInstance()}
		ids := []string{ins[0].shared(db, "grid", e.a, e.b), ins[1].shared(db, "grid", e.a, e.b)}
		e.ownedBy(db, ins, ids)
		rows := 0
		write := func() {
			rows++
			for c := range 8 {
				e.exec(e.a, fmt.Sprintf("insert into %s.c%d using %s.st tags(%d) values(%d,%d)", db, c, db, c, loadEpoch+rows, rows))
			}
		}
		write()
		for c := range 8 {
			e.exec(e.a, fmt.Sprintf("alter table %s.c%d set tag g = %d", db, c, 10+c))
		}
		write()
		for i, in := range ins {
			key := core.TaskKey{Replica: ids[i], Database: db}
			e.waitUntil("the members say that they must be alone", func() (bool, string) {
				snap, err := in.Snapshot(e.Context())
				if err != nil {
					return false, err.Error()
				}
				said := strings.Join(snap.Task(key).Warnings, "; ")
				return strings.Contains(said, "that takes its only member"), said
			})
		}
		if _, err := ins[1].Stop(e.Context(), core.TargetRequest{ID: ids[1], Actor: testActor}); err != nil {
			e.Fatal(err)
		}
		e.waitUntil("everything has arrived", func() (bool, string) {
			n, err := e.b.sql.run(e.Context(), "select count(*) from "+db+".st")
			return err == nil && n[0][0] == fmt.Sprint(8*rows), fmt.Sprint(n, err)
		})
		ins[0].caughtUp(ids[0])
		e.equal(e.a, e.b, db)
		ins[1].begin(core.StartRequest{ID: ids[1]})
		e.ownedBy(db, ins, ids)
		write()
		for range 2 {
			ins[0].caughtUp(ids[0])
			ins[1].caughtUp(ids[1])
		}
		e.equal(e.a, e.b, db)
		e.staysAtRest(db)
	})
}

// TestCopiedStateDirectory starts a second process on a copy of a state
// directory. It stays out of the first one's groups, says why, and goes on when
// the first one has gone.
func TestCopiedStateDirectory(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{vgroups: map[string]int{"a": 4}}, e.a, e.b)
		e.exec(e.a, loadSchema(db))
		one := e.runInstance()
		id := one.replicate(e.a, e.b, db)
		one.caughtUp(id)
		one.shutdown()
		two := &instance{env: e, dir: stateDir(e)}
		if err := os.CopyFS(two.dir, os.DirFS(one.dir)); err != nil {
			e.Fatal(err)
		}
		one.launch()
		one.waitState(core.TaskKey{Replica: id, Database: db}, core.Running)
		l := e.startLoad(e.a, db, "t", 8)
		two.launch()
		e.Cleanup(func() {
			if two.halt != nil {
				two.shutdown()
			}
		})
		refused := two.waitState(core.TaskKey{Replica: id, Database: db}, core.Interrupted)
		if !strings.Contains(refused.Note, "runs on a copy of the state directory") {
			e.Errorf("the second process says: %s", refused.Note)
		}
		l.stop()
		one.caughtUp(id)
		l.arrived(e.b)
		one.shutdown()
		two.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}
