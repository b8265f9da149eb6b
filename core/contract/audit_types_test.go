package contract

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/embedded"
)

// TestRepairEveryColumnType loses rows of every type in each precision, and
// tables with tags of every type. A repair brings them back as they were.
func TestRepairEveryColumnType(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		for _, precision := range []string{"ms", "us", "ns"} {
			repairTypes(e, precision)
		}
	})
}

func repairTypes(e *env, precision string) {
	db := e.create(database{precision: precision}, e.a, e.b)
	e.exec(e.a, wideTable(e, db)...)
	e.exec(e.a, wideRows(e, db, precision, 0)...)
	// Tags that the servers print with too few digits, or not as they read them.
	e.exec(e.a, fmt.Sprintf(`alter table %s.w1 set tag tstr = 'it''s \\a "b"'`, db), fmt.Sprintf("alter table %s.w1 set tag td = 1.23456789012e-10", db))
	at := loadEpoch * map[string]int64{"ms": 1, "us": 1e3, "ns": 1e6}[precision]
	e.exec(e.a, fmt.Sprintf("create table %s.pairs(ts timestamp, id int primary key, v int)", db),
		fmt.Sprintf("create table %s.pairs2(ts timestamp, `a COMPOSITE KEY` varchar(8) primary key, v int)", db),
		fmt.Sprintf("insert into %s.pairs2 values(%d, 'x', 1)(%d, 'y', 2)", db, at, at))
	for id := -3; id < 4; id++ {
		e.exec(e.a, fmt.Sprintf("insert into %s.pairs values(%d, %d, 1)(%d, %d, 2)", db, at+1, id, at+2, id))
	}
	in := e.runInstance()
	id := in.replicate(e.a, e.b, db)
	in.caughtUp(id)
	for _, exact := range []bool{false, true} {
		in.expect(in.verify(id, exact), core.AuditEqual, nil)
	}
	in.stopped(id, db)
	lost := map[core.DifferenceKind]int64{core.MissingTable: 4}
	for _, table := range []string{"plain", "j2", "money", "bin", "pairs"} {
		n, err := e.a.sql.run(e.Context(), fmt.Sprintf("select count(*) from %s.%s", db, table))
		if err != nil {
			continue // this version has no such table
		}
		sql := "delete from " + db + "." + table
		if table == "pairs" {
			sql += fmt.Sprintf(" where ts = %d", at+1)
			n[0][0] = "7"
		}
		e.exec(e.b, sql)
		var rows int64
		fmt.Sscan(n[0][0], &rows)
		lost[core.MissingRow] += rows
	}
	for _, table := range []string{"w1", "w2", "j1", "pairs2"} {
		e.exec(e.b, fmt.Sprintf("drop table %s.%s", db, table))
	}
	e.exec(e.b, fmt.Sprintf("insert into %s.pairs values(%d, 9, 9)(%d, 0, 77)", db, at+2, at+2))
	lost[core.ExtraRow], lost[core.OtherValues] = 1, 1
	in.expect(in.verify(id, true), core.AuditDifferent, lost)
	d := in.repair(core.RepairRequest{VerifyRequest: core.VerifyRequest{ID: id}, DeleteExtra: true})
	in.expect(d, core.AuditEqual, nil)
	if len(d.Changes) != 4 || !strings.Contains(d.Changes[2], "w1") {
		e.Errorf("changes: %q", d.Changes)
	}
	in.expect(in.verify(id, true), core.AuditEqual, nil)
	for _, pairs := range []string{"pairs", "pairs2"} { // versions differ in what they call such a key
		e.exec(e.a, "drop table "+db+"."+pairs)
		e.exec(e.b, "drop table "+db+"."+pairs)
	}
	e.equal(e.a, e.b, db)
}

// TestAuditBelongsToTheInstance: one at a time, it goes on without who asked,
// and ends when it is told to, and with the instance.
func TestAuditBelongsToTheInstance(t *testing.T) {
	scenario(t, options{embedded: "a real server is not slow on demand"}, func(e *env) {
		in, id, _ := filled(e)
		slow := e.b.node.Faults().Add(slowSums)
		request := core.VerifyRequest{ID: id, Actor: testActor}
		if _, err := in.Verify(e.Context(), request); err != nil {
			e.Fatal(err)
		}
		if _, err := in.Verify(e.Context(), request); err == nil || !strings.Contains(err.Error(), "is running already") {
			e.Errorf("a second one began: %v", err)
		}
		task := in.waitState(core.TaskKey{Replica: id, Database: in.only().Database}, core.Running)
		if task.Audit == nil || task.Audit.State.Over() || !strings.HasPrefix(task.Audit.Text, "verify: ") {
			e.Errorf("the task does not tell of it: %+v", task.Audit)
		}
		if _, err := in.CancelAudit(e.Context(), core.TargetRequest{ID: id, Actor: testActor}); err != nil {
			e.Fatal(err)
		}
		if a := in.audited(id); a.State != core.AuditCancelled || a.Until.IsZero() {
			e.Errorf("cancelled, and it is %+v", a)
		}
		if _, err := in.Verify(e.Context(), request); err != nil {
			e.Errorf("after the first was cancelled: %v", err)
		}
		in.shutdown() // fails if the engine does not end
		slow()
		in.launch()
		if _, err := in.Audit(e.Context(), id); err == nil || !strings.Contains(err.Error(), "since the instance started") {
			e.Errorf("after a new start: %v", err)
		}
		in.caughtUp(id)
		in.expect(in.verify(id, false), core.AuditEqual, nil)
	})
}

// only is the task of an instance that has one.
func (in *instance) only() *core.Task {
	in.Helper()
	snap, err := in.Snapshot(in.Context())
	if err != nil || len(snap.Tasks) != 1 {
		in.Fatalf("%v: %+v", err, snap)
	}
	return &snap.Tasks[0]
}

// TestVerifySurvivesAnOutage takes the sink's adapter away in the middle.
func TestVerifySurvivesAnOutage(t *testing.T) {
	scenario(t, options{restarts: true}, func(e *env) {
		in, id, _ := filled(e)
		if e.b.node != nil {
			defer e.b.node.Faults().Add(slowSums)()
		}
		if _, err := in.Verify(e.Context(), core.VerifyRequest{ID: id, Actor: testActor}); err != nil {
			e.Fatal(err)
		}
		e.waitUntil("it has begun", func() (bool, string) {
			run, err := in.Audit(e.Context(), id)
			return err == nil && (run.Databases[0].Step != "" || run.State.Over()), fmt.Sprint(err)
		})
		e.stop(e.b, adapter)
		e.start(e.b, adapter)
		in.expect(in.audited(id).Databases[0], core.AuditEqual, nil)
	})
}

// slowSums makes a node take its time for sums of rows.
var slowSums = embedded.Fault{
	Action: "sql", Delay: 400 * time.Millisecond,
	Match: func(r embedded.Request) bool { return strings.Contains(r.SQL, "count(*)") },
}

// TestALateWriteIsFoundAndMended: a message arrives at the sink when it has been
// given up, written again and followed by a newer one. Nothing can keep it
// from bringing the old value back; a verify finds it, and a repair mends it.
func TestALateWriteIsFoundAndMended(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		e.patient = 2 * time.Second
		line := e.startProxy(e.b)
		in, id, db := filled(e)
		at := int64(loadEpoch + 5)
		value := func() any {
			return e.query(e.b, fmt.Sprintf("select note from %s.t0 where ts = %d", db, at))[0][0]
		}
		var row [8]byte // its time; other writes may come in front of it
		for i := range row {
			row[i] = byte(at >> (8 * i))
		}
		release := make(chan struct{})
		line.arm(strike{at: func(f frame) bool { return bytes.Contains(f.body, row[:]) }, until: release})
		for _, v := range []string{"late", "newer"} {
			e.exec(e.a, fmt.Sprintf("insert into %s.t0 values(%d,5,'%s')", db, at, v))
			in.caughtUp(id)
			if got := value(); got != v {
				e.Fatalf("the sink has %v after %q was replicated", got, v)
			}
		}
		close(release)
		e.waitUntil("the late write is there", func() (bool, string) { return value() == "late", fmt.Sprint(value()) })
		in.expect(in.verify(id, true), core.AuditDifferent, map[core.DifferenceKind]int64{core.OtherValues: 1})
		in.expect(in.repair(core.RepairRequest{VerifyRequest: core.VerifyRequest{ID: id}}), core.AuditEqual, nil)
		e.equal(e.a, e.b, db)
	})
}
