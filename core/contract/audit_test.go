package contract

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
)

// audited waits until the audit of a replica is over.
func (in *instance) audited(id string) *core.Audit {
	in.Helper()
	var a *core.Audit
	in.waitUntil("the audit is over", func() (bool, string) {
		var err error
		if a, err = in.Audit(in.Context(), id); err != nil {
			in.Fatal(err)
		}
		return a.State.Over(), fmt.Sprintf("%+v", a)
	})
	return a
}

func (in *instance) verify(id string, exact bool) core.DatabaseAudit {
	in.Helper()
	if _, err := in.Verify(in.Context(), core.VerifyRequest{ID: id, Exact: exact, Actor: testActor}); err != nil {
		in.Fatalf("verify: %v (%s)", err, core.HintOf(err))
	}
	return in.audited(id).Databases[0]
}

func (in *instance) repair(req core.RepairRequest) core.DatabaseAudit {
	in.Helper()
	req.Actor = testActor
	if _, err := in.Repair(in.Context(), req); err != nil {
		in.Fatalf("repair: %v (%s)", err, core.HintOf(err))
	}
	return in.audited(req.ID).Databases[0]
}

// expect fails unless an audit ended so, with exactly these differences.
func (in *instance) expect(d core.DatabaseAudit, state core.AuditState, differences map[core.DifferenceKind]int64) {
	in.Helper()
	same := d.State == state && len(d.Differences) == len(differences) && d.Undecided == 0
	for kind, n := range differences {
		same = same && d.Differences[kind] == n
	}
	if !same {
		in.Fatalf("want %s with %v: %+v", state, differences, d)
	}
}

// TestVerifyUnderLoad compares the sides while both are written to: nothing of
// what is on its way counts as a difference.
func TestVerifyUnderLoad(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		e.exec(e.a, loadSchema(db))
		e.exec(e.b, loadSchema(db))
		in := e.runInstance()
		there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
		la, lb := e.startLoad(e.a, db, "a", 4), e.startLoad(e.b, db, "b", 4)
		la.waitRows(90)
		lb.waitRows(90)
		for _, s := range []*side{e.a, e.b} {
			e.waitUntil("both directions are under way", func() (bool, string) {
				n := len(e.query(s, "select table_name from information_schema.ins_tables where db_name='"+db+"'"))
				return n == 10, fmt.Sprintf("%d tables at %s", n, s.name)
			})
		}
		for _, exact := range []bool{false, true} {
			d := in.verify(there, exact)
			// The row that is updated all the time may have to stay undecided.
			if len(d.Differences) > 0 || d.Undecided > 2 || d.State != core.AuditEqual && d.Undecided == 0 {
				e.Errorf("exact %v: %+v", exact, d)
			}
			if d.Tables != 10 || d.Rows < 8*90 {
				e.Errorf("exact %v: compared %d tables and %d rows", exact, d.Tables, d.Rows)
			}
		}
		la.stop()
		lb.stop()
		in.caughtUp(there, back)
		in.expect(in.verify(back, false), core.AuditEqual, nil)
	})
}

// planted makes every kind of difference between two sides that are equal, by
// writes that replication does not see: its tasks are stopped and go on behind.
type planted struct {
	sql  string // at the sink
	kind core.DifferenceKind
	n    int64
	left bool // a repair that deletes nothing does not mend it
}

func plants(db string) []planted {
	ts := func(n int) int64 { return loadEpoch + int64(n) }
	return []planted{
		{sql: fmt.Sprintf("delete from %s.t0 where ts = %d", db, ts(3)), kind: core.MissingRow, n: 1},
		{sql: fmt.Sprintf("delete from %s.t1 where ts >= %d and ts < %d", db, ts(100), ts(140)), kind: core.MissingRow, n: 40},
		{sql: fmt.Sprintf("insert into %s.t1 values(%d,7,'only here')", db, ts(5000)), kind: core.ExtraRow, n: 1, left: true},
		{sql: fmt.Sprintf("insert into %s.t2 values(%d,null,'第3行')", db, ts(3)), kind: core.OtherValues, n: 1},
		{sql: fmt.Sprintf("insert into %s.t2 values(%d,4,'第x行')", db, ts(4)), kind: core.OtherValues, n: 1},
		{sql: fmt.Sprintf("drop table %s.t3", db), kind: core.MissingTable, n: 1},
		{sql: fmt.Sprintf("create table %s.own using %s.meters tags(5)", db, db), kind: core.ExtraTable, n: 1, left: true},
		{sql: fmt.Sprintf("alter table %s.t0 set tag site = 77", db), kind: core.OtherTag, n: 1},
		{sql: fmt.Sprintf("alter table %s.n modify column s varchar(40)", db), kind: core.OtherSchema, n: 1, left: true},
	}
}

// TestVerifyFindsAndRepairMends plants differences of each kind at the sink. A
// verify finds exactly those; a dry run changes nothing; a repair mends them,
// rows that only the sink has only when it is told to.
func TestVerifyFindsAndRepairMends(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		in, id, db := filled(e)
		all, left := map[core.DifferenceKind]int64{}, map[core.DifferenceKind]int64{}
		for _, p := range plants(db) {
			e.exec(e.b, p.sql)
			all[p.kind] += p.n
			if p.left {
				left[p.kind] += p.n
			}
		}
		found := in.verify(id, false)
		in.expect(found, core.AuditDifferent, all)
		if text := fmt.Sprint(found.Examples); !strings.Contains(text, "'第x行'") || !strings.Contains(text, "n is 3 at the source and NULL at the sink") {
			e.Errorf("the examples do not tell the values: %s", text)
		}
		in.expect(in.verify(id, true), core.AuditDifferent, all)
		dry := in.repair(core.RepairRequest{VerifyRequest: core.VerifyRequest{ID: id}, DryRun: true})
		in.expect(dry, core.AuditDifferent, all)
		if dry.Written != 43 || dry.Deleted != 0 || len(dry.Changes) != 2 {
			e.Errorf("the dry run tells of %d and %d rows and %q", dry.Written, dry.Deleted, dry.Changes)
		}
		in.said("repair, dry run: started")
		in.said("rows to write: 43; rows to delete: 0; other changes: 2")
		in.expect(in.verify(id, false), core.AuditDifferent, all)
		in.expect(in.repair(core.RepairRequest{VerifyRequest: core.VerifyRequest{ID: id}}), core.AuditDifferent, left)
		in.expect(in.verify(id, true), core.AuditDifferent, left)
		delete(left, core.ExtraRow)
		in.expect(in.repair(core.RepairRequest{VerifyRequest: core.VerifyRequest{ID: id}, DeleteExtra: true}), core.AuditDifferent, left)
		e.exec(e.b, "drop table "+db+".own")
		e.exec(e.a, fmt.Sprintf("alter table %s.n modify column s varchar(40)", db))
		in.caughtUp(id)
		in.expect(in.verify(id, true), core.AuditEqual, nil)
		e.equal(e.a, e.b, db)
	})
}

// TestVerifyFindsValuesThatChangedPlaces exchanges the values of two rows, as
// conflicts may: count, sum, least and greatest value stay what they are.
func TestVerifyFindsValuesThatChangedPlaces(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		in, id, db := filled(e)
		e.exec(e.b, fmt.Sprintf("insert into %s.t2(ts,n) values(%d,11)(%d,10)", db, loadEpoch+10, loadEpoch+11))
		in.expect(in.verify(id, false), core.AuditDifferent, map[core.DifferenceKind]int64{core.OtherValues: 2})
		in.expect(in.repair(core.RepairRequest{VerifyRequest: core.VerifyRequest{ID: id}}), core.AuditEqual, nil)
		e.equal(e.a, e.b, db)
	})
}

// filled replicates a database with four child tables and a normal one.
func filled(e *env) (in *instance, id, db string) {
	e.Helper()
	db = e.create(database{}, e.a, e.b)
	e.exec(e.a, loadSchema(db), fmt.Sprintf("create table %s.n(ts timestamp, f double, b bool, s varchar(20), t timestamp)", db))
	in = e.runInstance()
	id = in.replicate(e.a, e.b, db)
	for i := range 4 {
		var b strings.Builder
		fmt.Fprintf(&b, "insert into %s.t%d using %s.meters tags(%d) values", db, i, db, i)
		for k := 1; k <= 300; k++ {
			fmt.Fprintf(&b, "(%d,%d,'第%d行')", loadEpoch+k, k, k)
		}
		e.exec(e.a, b.String())
	}
	e.exec(e.a, fmt.Sprintf("insert into %s.n values(%d,0.1,true,'x',%d)(%d,1e300,null,null,null)", db, int64(loadEpoch), int64(loadEpoch), int64(loadEpoch+1)))
	in.caughtUp(id)
	in.expect(in.verify(id, false), core.AuditEqual, nil)
	return in, id, db
}

// TestRepairTwoWay needs to be told which side is right, and nothing that it
// writes goes back.
func TestRepairTwoWay(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		e.exec(e.a, loadSchema(db))
		in := e.runInstance()
		there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
		for i := range 40 {
			e.exec(e.a, fmt.Sprintf("insert into %s.t%d using %s.meters tags(%d) values(%d,1,'x')", db, i%4, db, i%4, loadEpoch+i))
		}
		in.caughtUp(there, back)
		// A conflict: each side keeps what arrived last.
		for _, id := range []string{there, back} {
			in.stopped(id, db)
		}
		e.exec(e.a, fmt.Sprintf("insert into %s.t0 values(%d,100,'of a')", db, int64(loadEpoch)))
		e.exec(e.b, fmt.Sprintf("insert into %s.t0 values(%d,200,'of b')", db, int64(loadEpoch)))
		for _, id := range []string{there, back} {
			in.begin(core.StartRequest{ID: id})
		}
		in.caughtUp(there, back)
		in.expect(in.verify(there, false), core.AuditDifferent, map[core.DifferenceKind]int64{core.OtherValues: 1})

		request := core.RepairRequest{VerifyRequest: core.VerifyRequest{ID: there}}
		for _, gap := range []bool{true, false} {
			request.Gap = gap // refused before anybody goes on behind one
			if d := in.repair(request); d.State != core.AuditFailed || !strings.Contains(d.Note, "--winner source") {
				e.Errorf("gap %v: a repair of a two-way pair was not refused: %+v", gap, d)
			}
		}
		request.Winner = "source"
		d := in.repair(request)
		in.expect(d, core.AuditEqual, nil)
		if d.Written != 1 {
			e.Errorf("%d rows were written: %+v", d.Written, d)
		}
		in.caughtUp(there, back)
		e.equal(e.a, e.b, db)
		if note := e.query(e.a, fmt.Sprintf("select note from %s.t0 where ts = %d", db, int64(loadEpoch)))[0][0]; note != "of b" && note != "of a" {
			e.Errorf("the source has %q", note)
		}
		e.staysAtRest(db)
	})
}

// TestGapIsRepaired takes WAL away that nobody has read. The task fails and
// says what to do; when that is done it runs, and the sides hold the same, but
// for the rows whose deletion was in the gap.
func TestGapIsRepaired(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		in, id, db := filled(e)
		key := core.TaskKey{Replica: id, Database: db}
		in.stopped(id, db)
		// Old rows, new ones, a new table, a new column, values of it in rows that are
		// there, and a deletion.
		e.exec(e.a,
			fmt.Sprintf("insert into %s.t0 values(%d,-1,'old')(%d,9,'new')", db, int64(loadEpoch-86_400_000), int64(loadEpoch+9000)),
			fmt.Sprintf("alter table %s.meters add column extra double", db),
			fmt.Sprintf("insert into %s.t3(ts,extra) values(%d,0.7)", db, int64(loadEpoch+5)),
			fmt.Sprintf("insert into %s.late using %s.meters tags(12) values(%d,1,'x',0.5)", db, db, int64(loadEpoch)),
			fmt.Sprintf("delete from %s.t2 where ts = %d", db, int64(loadEpoch+7)))
		e.loseWAL(e.a, db)
		in.begin(core.StartRequest{ID: id})
		failed := in.waitState(key, core.Failed)
		if command := fmt.Sprintf("repair %s %s --gap", id, db); !strings.Contains(failed.Note, command) {
			e.Errorf("the note does not name %q: %s", command, failed.Note)
		}
		e.exec(e.a, fmt.Sprintf("insert into %s.t1 values(%d,10,'behind',1)", db, int64(loadEpoch+9000)))
		request := core.RepairRequest{VerifyRequest: core.VerifyRequest{ID: id}, Gap: true}
		in.expect(in.repair(request), core.AuditDifferent, map[core.DifferenceKind]int64{core.ExtraRow: 1})
		in.caughtUp(id)
		if w := in.waitState(key, core.Running).Warnings; len(w) > 0 && strings.Contains(w[0], "gap") {
			e.Errorf("the repair is done, and a warning stayed: %q", w)
		}
		d, err := in.Detail(e.Context(), key)
		if err != nil || len(d.Gaps) == 0 {
			e.Fatalf("%v: %+v", err, d)
		}
		for _, g := range d.Gaps {
			if !g.Passed || g.Repaired.IsZero() {
				e.Errorf("the gap is not on record as passed and repaired: %+v", g)
			}
		}
		in.expect(in.repair(core.RepairRequest{VerifyRequest: request.VerifyRequest, DeleteExtra: true}), core.AuditEqual, nil)
		e.equal(e.a, e.b, db)
		// The decision was for one start.
		if d := in.repair(request); d.State != core.AuditFailed || !strings.Contains(d.Note, "has not failed at a gap") {
			e.Errorf("a gap that is not there was repaired: %+v", d)
		}
	})
}

// loseWAL takes all WAL of a database away. A real server closes a file of it with
// one flush, and drops it with the next if it is older than it need be.
func (e *env) loseWAL(s *side, db string) {
	e.Helper()
	if s.node != nil {
		for vgroup, end := range s.node.WALEnds(db) {
			if err := s.node.TruncateWAL(db, vgroup, end); err != nil {
				e.Fatal(err)
			}
		}
		return
	}
	e.exec(s, "alter database "+db+" wal_retention_period 1", "flush database "+db)
	time.Sleep(2 * time.Second)
	e.exec(s, "flush database "+db)
}
