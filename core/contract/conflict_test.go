package contract

import (
	"fmt"
	"strings"
	"testing"

	"tdreplica/core"
)

// TestConflictsAreCounted writes the same rows on both sides while replication
// is stopped. When it goes on each is counted once, and an event names the table.
func TestConflictsAreCounted(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		in := e.runInstance()
		there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
		e.exec(e.a, "create table "+db+".twice (ts timestamp, v int)", "insert into "+db+".twice values (1735689500000, 0)")
		in.caughtUp(there, back)
		in.unwatched(db, there, back)
		for _, id := range []string{there, back} {
			res, err := in.Stop(e.Context(), core.TargetRequest{ID: id})
			in.outcome(res, err, core.OutcomeStopped)
			in.waitState(core.TaskKey{Replica: id, Database: db}, core.Stopped)
		}
		const rows, common = 20, 7
		write := func(s *side, from int) {
			values := ""
			for i := range rows {
				values += fmt.Sprintf(" (%d, %d)", 1735689600000+int64(from+i), from)
			}
			e.exec(s, "insert into "+db+".twice values"+values)
		}
		write(e.a, 0)
		write(e.b, rows-common)
		for _, id := range []string{there, back} {
			res, err := in.Controller.Start(e.Context(), core.StartRequest{ID: id, Actor: testActor})
			in.outcome(res, err, core.OutcomeStarted)
		}
		in.caughtUp(there, back)
		if got := in.conflicts(db, there, back); got.Rows != common || got.Unchecked != 0 {
			e.Errorf("counted %+v, want %d rows", got, common)
		}
		events, err := in.Events(e.Context(), 0, 0)
		if err != nil {
			e.Fatal(err)
		}
		told := false
		for _, ev := range events {
			told = told || ev.Kind == core.EventConflict && strings.Contains(ev.Text, fmt.Sprintf("%d", common)) && strings.Contains(ev.Text, "`twice`")
		}
		if !told {
			e.Errorf("no event tells of them: %+v", events)
		}
	})
}

// TestHandOverIsNoConflict writes the same rows at one side and then, after they
// have arrived and are no longer watched, at the other, and back again.
func TestHandOverIsNoConflict(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		in := e.runInstance()
		there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
		e.exec(e.a, "create table "+db+".t (ts timestamp, v int)")
		in.caughtUp(there, back)
		for turn, s := range []*side{e.a, e.b, e.a} {
			e.exec(s, fmt.Sprintf("insert into %s.t values (1735689600000, %d) (1735689601000, %d)", db, turn, turn))
			for _, other := range []*side{e.a, e.b} {
				e.waitUntil("the rows are at "+other.name, func() (bool, string) {
					got := fmt.Sprint(e.query(other, "select v from "+db+".t"))
					return got == fmt.Sprintf("[[%d] [%d]]", turn, turn), got
				})
			}
			in.unwatched(db, there, back)
		}
		if got := in.conflicts(db, there, back); got != (core.Conflicts{}) {
			e.Errorf("counted %+v", got)
		}
		e.equal(e.a, e.b, db)
	})
}

// conflicts adds up what tasks have counted.
func (in *instance) conflicts(db string, ids ...string) (sum core.Conflicts) {
	in.Helper()
	for _, id := range ids {
		// A snapshot may be older than what the caller has just seen.
		d, err := in.Detail(in.Context(), core.TaskKey{Replica: id, Database: db})
		if err != nil {
			in.Fatal(err)
		}
		t := &d.Task
		sum.Rows += t.Conflicts.Rows
		sum.Unchecked += t.Conflicts.Unchecked
		sum.Watched += t.Conflicts.Watched
	}
	return sum
}

// unwatched waits until what was written would not be a conflict any more if the
// other side wrote it too.
func (in *instance) unwatched(db string, ids ...string) {
	in.Helper()
	in.waitUntil("no row is watched for conflicts", func() (bool, string) {
		got := in.conflicts(db, ids...)
		return got.Watched == 0, fmt.Sprintf("%+v", got)
	})
}
