package contract

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/embedded"
)

const noRefusals = "a real server refuses nothing on demand"

// refusing makes a node refuse every write that holds a text.
func refusing(s *side, text string) (remove func()) {
	return s.node.Faults().Add(embedded.Fault{
		Code: 0x060B, Text: "Timestamp data out of range",
		Match: func(r embedded.Request) bool { return bytes.Contains(r.Raw, []byte(text)) },
	})
}

// quarantined waits until so many messages are in quarantine.
func (in *instance) quarantined(want int) []core.Quarantined {
	in.Helper()
	var list []core.Quarantined
	in.waitUntil(fmt.Sprintf("%d messages are in quarantine", want), func() (bool, string) {
		var err error
		if list, err = in.Quarantined(in.Context()); err != nil {
			return false, err.Error()
		}
		return len(list) == want, fmt.Sprintf("%+v", list)
	})
	return list
}

// TestQuarantine: the instance is killed as soon as a refused message is in
// quarantine, mostly before the commit behind it. The message is there once,
// what is behind it arrives, and after a replay both sides are equal.
func TestQuarantine(t *testing.T) {
	scenario(t, options{poison: config.PoisonQuarantine, embedded: noRefusals}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		e.exec(e.a, fmt.Sprintf("create table %s.st(ts timestamp, v int, note varchar(20)) tags(g int)", db))
		in := e.runProcess()
		id := in.replicate(e.a, e.b, db)
		insert := func(table string, at int, note string) {
			e.exec(e.a, fmt.Sprintf("insert into %s.%s using %s.st tags(1) values(%d,%d,'%s')", db, table, db, loadEpoch+at, at, note))
		}
		insert("c1", 1, "fine")
		in.caughtUp(id)
		accept := refusing(e.b, "poison")
		insert("c2", 2, "poison")
		kept := in.quarantined(1)[0]
		in.kill()
		insert("c1", 3, "fine")
		in.launch()
		in.caughtUp(id)         // the message is read again, and alone
		insert("c2", 4, "fine") // its table is missing at the sink
		in.caughtUp(id)
		again := in.quarantined(1)[0]
		if again.ID != kept.ID || again.Rows != 1 || len(again.Tables) != 1 || again.Tables[0] != "c2" ||
			again.From.UnixMilli() != loadEpoch+2 || !strings.Contains(again.Error, "out of range") {
			e.Errorf("in quarantine: %+v, after the kill: %+v", kept, again)
		}
		if got := e.query(e.b, "select count(*) from "+db+".st")[0][0]; got != "3" {
			e.Errorf("%s rows are at the sink of 3", got)
		}
		task := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Running)
		if task.Quarantined != 1 {
			e.Errorf("the task counts %d", task.Quarantined)
		}
		req := core.QuarantineRequest{ID: kept.ID, Actor: testActor}
		if _, err := in.Replay(e.Context(), req); err == nil || !strings.Contains(err.Error(), "stays in quarantine") {
			e.Errorf("replayed to a sink that refuses: %v", err)
		}
		in.quarantined(1)
		accept()
		if _, err := in.Replay(e.Context(), req); err != nil {
			e.Fatalf("replay: %v (%s)", err, core.HintOf(err))
		}
		in.quarantined(0)
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}

// TestReplayIsNotSentBack: what is replayed carries the mark of replication.
func TestReplayIsNotSentBack(t *testing.T) {
	scenario(t, options{poison: config.PoisonQuarantine, embedded: noRefusals}, func(e *env) {
		db := e.create(database{}, e.a, e.b)
		in := e.runInstance()
		there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
		e.exec(e.a, fmt.Sprintf("create table %s.n(ts timestamp, note varchar(20))", db))
		in.caughtUp(there, back)
		accept := refusing(e.b, "poison")
		e.exec(e.a, fmt.Sprintf("insert into %s.n values(%d,'poison')", db, loadEpoch))
		kept := in.quarantined(1)[0]
		accept()
		e.exec(e.a, fmt.Sprintf("insert into %s.n values(%d,'newer')", db, loadEpoch))
		in.caughtUp(there, back)
		if _, err := in.Replay(e.Context(), core.QuarantineRequest{ID: kept.ID, Actor: testActor}); err != nil {
			e.Fatal(err)
		}
		in.caughtUp(there, back)
		// The old value is back at the sink, which is why replay warns, and
		// stays there.
		for s, want := range map[*side]string{e.a: "newer", e.b: "poison"} {
			if got := e.query(s, "select note from "+db+".n")[0][0]; got != want {
				e.Errorf("at %s: %q, want %q", s.name, got, want)
			}
		}
	})
}

// TestRefusedChangesStopTheTask: rows that come later need a change of schema,
// and a deletion that comes late would delete too much.
func TestRefusedChangesStopTheTask(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"create": "create table %s.poison(ts timestamp, v int)",
		"delete": "delete from %s.n where ts >= 0",
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, options{poison: config.PoisonQuarantine, embedded: noRefusals}, func(e *env) {
				db := e.create(database{}, e.a, e.b)
				in := e.runInstance()
				id := in.replicate(e.a, e.b, db)
				e.exec(e.a, fmt.Sprintf("create table %s.n(ts timestamp, v int)", db), fmt.Sprintf("insert into %s.n values(%d,1)", db, loadEpoch))
				in.caughtUp(id)
				accept := refusing(e.b, "")
				e.exec(e.a, fmt.Sprintf(sql, db))
				in.waitState(core.TaskKey{Replica: id, Database: db}, core.Failed)
				in.quarantined(0)
				accept()
				if _, err := in.Restart(e.Context(), core.TargetRequest{ID: id, Actor: testActor}); err != nil {
					e.Fatal(err)
				}
				in.caughtUp(id)
				e.equal(e.a, e.b, db)
			})
		})
	}
}

// TestQuarantineOfExpiredRows has rows that are too old for the sink's KEEP,
// which every server refuses, and deals with them through the program's commands.
func TestQuarantineOfExpiredRows(t *testing.T) {
	scenario(t, options{poison: config.PoisonQuarantine}, func(e *env) {
		db := e.create(database{options: map[string]string{"b": "duration 10 keep 30"}}, e.a, e.b)
		in := e.runProcess()
		there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
		e.exec(e.a, fmt.Sprintf("create table %s.n(ts timestamp, v int)", db), fmt.Sprintf("insert into %s.n values(now,1)", db))
		in.caughtUp(there, back)
		e.exec(e.a, fmt.Sprintf("insert into %s.n values(%d,2)", db, loadEpoch))
		kept := in.quarantined(1)[0]
		e.exec(e.a, fmt.Sprintf("insert into %s.n values(now,3)", db))
		in.caughtUp(there, back)
		if got := e.query(e.b, "select count(*) from "+db+".n")[0][0]; got != "2" {
			e.Errorf("%s rows are at the sink of 2", got)
		}
		for _, args := range [][]string{{"list"}, {"show", kept.ID}} {
			out, err := in.command(append([]string{"quarantine"}, args...)...)
			if err != nil || !strings.Contains(out, kept.ID) || !strings.Contains(out, "2025-01-01") && !strings.Contains(out, "2024-12-31") {
				e.Errorf("quarantine %v: %v: %s", args, err, out)
			}
		}
		if out, err := in.command("quarantine", "replay", "--yes", kept.ID); err == nil || !strings.Contains(out, "stays in quarantine") {
			e.Errorf("replayed to a sink that refuses: %v: %s", err, out)
		}
		e.exec(e.b, "alter database "+db+" keep 36500")
		in.commanded("quarantine", "replay", "--yes", kept.ID)
		in.quarantined(0)
		in.caughtUp(there, back)
		e.equal(e.a, e.b, db)

		e.exec(e.b, "alter database "+db+" keep 30")
		e.exec(e.a, fmt.Sprintf("insert into %s.n values(%d,4)", db, loadEpoch+1))
		kept = in.quarantined(1)[0]
		if out, err := in.command("quarantine", "discard", kept.ID); err == nil {
			e.Errorf("discarded without being told to go on: %s", out)
		}
		in.commanded("quarantine", "discard", "--yes", kept.ID)
		in.quarantined(0)
		in.caughtUp(there, back)
		e.staysAtRest(db)
	})
}

// command runs a command of the program on the instance's state directory.
func (in *instance) command(args ...string) (string, error) {
	in.Helper()
	path, err := buildBinary()
	if err != nil {
		in.Fatal(err)
	}
	out, err := exec.CommandContext(in.Context(), path, append(args, "--state-dir", in.dir)...).CombinedOutput()
	return string(out), err
}

// commanded is a command that must succeed.
func (in *instance) commanded(args ...string) {
	in.Helper()
	if out, err := in.command(args...); err != nil {
		in.Fatalf("%v: %v: %s", args, err, out)
	}
}
