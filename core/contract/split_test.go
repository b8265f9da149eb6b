package contract

import (
	"fmt"
	"slices"
	"testing"

	"tdreplica/core"
)

// splitFirst splits one vgroup of a database at a and returns its id. Servers of
// the community edition acknowledge the statement and do nothing (3.3.7.5): there
// the scenario is skipped, with that as its reason.
func (e *env) splitFirst(db string) int32 {
	e.Helper()
	before := e.vgroupsOf(db)
	e.exec(e.a, fmt.Sprintf("split vgroup %d", before[0]))
	e.waitUntil("the vgroup is split", func() (bool, string) {
		now := e.vgroupsOf(db)
		if e.real && slices.Equal(now, before) {
			e.Skipf("the server took `split vgroup %d` and did nothing: the vgroups are %v", before[0], now)
		}
		return len(now) == len(before)+1 && !slices.Contains(now, before[0]), fmt.Sprint(now)
	})
	return before[0]
}

func (e *env) vgroupsOf(db string) (ids []int32) {
	e.Helper()
	for _, row := range e.query(e.a, "select vgroup_id from information_schema.ins_vgroups where db_name='"+db+"'") {
		var id int32
		if _, err := fmt.Sscan(row[0], &id); err != nil {
			e.Fatal(err)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// knows fails unless the task's vgroups are those that there are.
func (in *instance) knows(id, db string) {
	in.Helper()
	in.waitUntil("the task knows the vgroups", func() (bool, string) {
		t := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Running)
		var ids []int32
		for _, v := range t.Vgroups {
			ids = append(ids, v.ID)
		}
		slices.Sort(ids)
		return slices.Equal(ids, in.vgroupsOf(db)), fmt.Sprint(ids)
	})
}

// TestVgroupSplitUnderLoad splits vgroups while rows flow.
func TestVgroupSplitUnderLoad(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"", "3.3.3.0"} {
		for _, n := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s %d vgroups", version, n), func(t *testing.T) {
				o := options{version: version}
				if version != "" {
					o.embedded = otherVersion
				}
				scenario(t, o, func(e *env) {
					db := e.create(database{vgroups: map[string]int{"a": n}}, e.a, e.b)
					e.exec(e.a, loadSchema(db))
					in := e.runInstance()
					there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
					l := e.startLoad(e.a, db, "t", 12)
					l.waitRows(60)
					in.waitApplied(there, db)
					e.splitFirst(db)
					l.waitRows(60)
					in.knows(there, db)
					e.splitFirst(db)
					l.waitRows(60)
					l.stop()
					in.caughtUp(there, back)
					in.knows(there, db)
					l.arrived(e.b)
					e.equal(e.a, e.b, db)
					e.staysAtRest(db)
				})
			})
		}
	}
}

// TestVgroupSplitWithBacklog splits a vgroup of which rows, deletions, drops and
// changes are still to be read. Both new vgroups have all of them in their logs,
// and each table's are to be applied once, in their order. The instance is
// killed on the way.
func TestVgroupSplitWithBacklog(t *testing.T) {
	t.Parallel()
	onVgroups(t, splitWithBacklog)
}

func splitWithBacklog(e *env, vgroups int) {
	db := e.create(database{vgroups: map[string]int{"a": vgroups}}, e.a, e.b)
	in := e.runProcess()
	there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	e.exec(e.a, fmt.Sprintf("create table %s.st(ts timestamp, v int) tags(g int)", db))
	const children = 16
	each := func(format string, args ...any) {
		for c := range children {
			e.exec(e.a, fmt.Sprintf(format, append([]any{db, c}, args...)...))
		}
	}
	each("create table %[1]s.n%[2]d(ts timestamp, v int)")
	each("insert into %[1]s.c%[2]d using %[1]s.st tags(%[2]d) values(%[3]d,1)(%[4]d,2)", loadEpoch, loadEpoch+1)
	in.caughtUp(there, back)
	in.stopped(there, db)

	each("delete from %[1]s.c%[2]d where ts = %[3]d", loadEpoch+1)
	each("insert into %[1]s.c%[2]d values(%[3]d,3)", loadEpoch+1) // what was just deleted
	e.exec(e.a, fmt.Sprintf("delete from %s.st where g < %d and ts = %d", db, children/2, loadEpoch))
	each("insert into %[1]s.c%[2]d values(%[3]d,4)", loadEpoch)
	each("drop table %[1]s.n%[2]d")
	each("create table %[1]s.n%[2]d(ts timestamp, w float)")
	each("insert into %[1]s.n%[2]d values(%[3]d,1.5)", loadEpoch)
	each("alter table %[1]s.n%[2]d add column x int")
	for c := range children / 4 {
		e.exec(e.a, fmt.Sprintf("drop table %s.c%d", db, c),
			fmt.Sprintf("insert into %s.c%d using %s.st tags(%d) values(%d,5)", db, c, db, 100+c, loadEpoch+2),
			fmt.Sprintf("drop table %s.c%d", db, children-1-c))
	}
	e.exec(e.a, fmt.Sprintf("alter table %s.st add column y int", db))
	e.splitFirst(db)
	each("insert into %[1]s.n%[2]d values(%[3]d,2.5,7)", loadEpoch+1)
	in.begin(core.StartRequest{ID: there})
	in.waitState(core.TaskKey{Replica: there, Database: db}, core.Running)
	in.kill()
	each("insert into %[1]s.n%[2]d values(%[3]d,3.5,8)", loadEpoch+2)
	in.launch()
	in.caughtUp(there, back)
	in.knows(there, db)
	e.equal(e.a, e.b, db)
	e.staysAtRest(db)
}
