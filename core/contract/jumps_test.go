package contract

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"tdreplica/core"
)

// wallJumps is a clock that is set while it runs: the wall time jumps, the
// monotonic time goes on. That is what time.Now returns after somebody has set a
// machine's clock, and nothing else can be had of it without setting one.
type wallJumps struct{ by atomic.Int64 } // in s

func (c *wallJumps) Now() time.Time {
	now := time.Now()
	// As package time has it since Go 1.9, where there is a monotonic reading: one
	// bit that says so, the seconds since 1885 in 33 bits, 30 bits of nanoseconds.
	(*struct{ wall uint64 })(unsafe.Pointer(&now)).wall += uint64(c.by.Load()) << 30
	return now
}

func (c *wallJumps) After(d time.Duration) <-chan time.Time { return time.After(d) }

func TestWallJumpsIsAClockThatWasSet(t *testing.T) {
	c := &wallJumps{}
	for _, by := range []time.Duration{30 * 24 * time.Hour, -30 * 24 * time.Hour} {
		before := c.Now()
		c.by.Add(int64(by / time.Second))
		after := c.Now()
		if d := after.Sub(before); d < 0 || d > time.Minute {
			t.Errorf("a jump of %v was measured as %v", by, d)
		}
		if d := after.Round(0).Sub(before.Round(0)) - by; d < 0 || d > time.Minute {
			t.Errorf("after a jump of %v the wall time was off by %v", by, d)
		}
	}
}

// TestInstanceClockJumps sets the clock of the instance's machine forward and
// back under load, also between two runs, so that what the state file tells is
// from the future, or from long ago.
func TestInstanceClockJumps(t *testing.T) {
	t.Parallel()
	const month = 30 * 24 * 3600
	for name, jumps := range map[string][2]int64{"forward": {month, 12 * month}, "back": {-month, -12 * month}, "to and fro": {month, -2 * month}} {
		t.Run(name, func(t *testing.T) {
			// A clock for each target, since both run at once.
			scenario(t, options{}, func(e *env) { instanceClock(e, jumps) })
		})
	}
}

func instanceClock(e *env, jumps [2]int64) {
	clock := &wallJumps{}
	e.opts.clock = clock
	db := e.create(database{vgroups: map[string]int{"a": 4}}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	in := e.runInstance()
	there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	write(e, e.a, db, 0)
	l := e.startLoad(e.a, db, "t", 4)
	l.waitRows(60)
	in.waitApplied(there, db)
	clock.by.Add(jumps[0])
	l.waitRows(60)
	e.exec(e.a, "alter table "+db+".meters add tag z int", "drop table "+db+".a1")
	in.shutdown()
	clock.by.Add(jumps[1])
	in.launch()
	l.waitRows(60)
	clock.by.Add(-jumps[0])
	l.waitRows(60)
	l.stop()
	in.caughtUp(there, back)
	e.equal(e.a, e.b, db)
	e.staysAtRest(db)
	for _, ev := range in.events() {
		if ev.Kind == core.EventGap {
			e.Errorf("the clock was taken for a gap: %s", ev.Text)
		}
	}
}

// TestServerClockJumps sets the clocks of the servers. What was read does not
// matter any more; what a source deletes from its WAL unread, because it looks
// old, is a gap; what a sink refuses as too old for its KEEP stops the task.
func TestServerClockJumps(t *testing.T) {
	t.Parallel()
	o := options{embedded: "the clock of a real server is the machine's"}
	t.Run("both, forward and back", func(t *testing.T) {
		scenario(t, o, func(e *env) {
			in, there, back, db := flowing(e)
			for i, by := range []time.Duration{48 * time.Hour, -96 * time.Hour, 48 * time.Hour} {
				e.a.node.ShiftClock(by)
				write(e, e.a, db, 200+100*i)
				in.caughtUp(there, back)
				e.b.node.ShiftClock(by)
				write(e, e.b, db, 600+100*i)
				in.caughtUp(there, back)
			}
			e.equal(e.a, e.b, db)
			e.staysAtRest(db)
		})
	})
	t.Run("source, with unread rows", func(t *testing.T) {
		scenario(t, o, func(e *env) {
			in, there, _, db := flowing(e)
			key := core.TaskKey{Replica: there, Database: db}
			in.stopped(there, db)
			write(e, e.a, db, 200)
			e.a.node.ShiftClock(48 * time.Hour)
			pause(e.Context(), 300*time.Millisecond) // the WAL's retention looks now and then
			in.begin(core.StartRequest{ID: there})
			failed := in.waitState(key, core.Failed)
			if !strings.Contains(failed.Note, "deleted before they were read") {
				e.Errorf("the note tells of no gap: %s", failed.Note)
			}
		})
	})
	t.Run("sink, beyond its KEEP", func(t *testing.T) {
		scenario(t, o, func(e *env) {
			in, there, _, db := flowing(e)
			e.b.node.ShiftClock(100 * 365 * 24 * time.Hour)
			write(e, e.a, db, 200)
			failed := in.waitState(core.TaskKey{Replica: there, Database: db}, core.Failed)
			if !strings.Contains(failed.Note, "out of range") {
				e.Errorf("the note does not say what the sink refuses: %s", failed.Note)
			}
			e.b.node.ShiftClock(-100 * 365 * 24 * time.Hour)
			if _, err := in.Restart(e.Context(), core.TargetRequest{ID: there, Actor: testActor}); err != nil {
				e.Fatal(err)
			}
			in.caughtUp(there)
			e.equal(e.a, e.b, db)
		})
	})
}

// TestUpgradeBetweenPolls makes a server another version while its adapter is
// restarted: what depends on the version is learned anew, whichever side it is.
func TestUpgradeBetweenPolls(t *testing.T) {
	t.Parallel()
	o := options{embedded: "the version of a real server cannot be changed in a scenario"}
	for _, step := range [][2]string{{"3.3.3.0", "3.3.7.5"}, {"3.3.7.5", silent}, {"3.3.7.5", "3.3.3.0"}} {
		for _, name := range []string{"source", "sink", "both"} {
			t.Run(fmt.Sprintf("%s to %s at %s", step[0], step[1], name), func(t *testing.T) {
				o := o
				o.version = step[0]
				scenario(t, o, func(e *env) { upgrade(e, name, step[1]) })
			})
		}
	}
}

func upgrade(e *env, which, version string) {
	in, there, back, db := flowing(e)
	l := e.startLoad(e.a, db, "t", 4)
	l.waitRows(30)
	for _, s := range map[string][]*side{"source": {e.a}, "sink": {e.b}, "both": {e.a, e.b}}[which] {
		e.become(s, version)
	}
	l.waitRows(30)
	l.stop()
	in.caughtUp(there, back)
	write(e, e.b, db, 500)
	in.caughtUp(there, back)
	snap, err := in.Snapshot(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	versions := map[string]string{}
	for _, s := range []*side{e.a, e.b} {
		versions[s.ep.URL] = e.query(s, "select server_version()")[0][0]
	}
	for _, id := range []string{there, back} {
		t := snap.Task(core.TaskKey{Replica: id, Database: db})
		r := snap.Replica(id)
		if t.SourceVersion != versions[r.Source] || t.SinkVersion != versions[r.Sink] {
			e.Errorf("%s believes %s at the source and %s at the sink, of %v", id, t.SourceVersion, t.SinkVersion, versions)
		}
	}
	// What the new versions do: skip missing tables, and end a table's rows when
	// its tags are set. One way only, or the drop would be replicated.
	in.stopped(back, db)
	e.exec(e.b, "drop table "+db+".a1")
	e.exec(e.a, fmt.Sprintf("alter table %s.a2 set tag site = 77", db))
	write(e, e.a, db, 1000)
	in.caughtUp(there)
	in.caughtUp(there)
	if n := e.query(e.b, "select count(*) from "+db+".a1")[0][0]; n != "5" {
		e.Errorf("%s rows are in the table that was dropped at the sink, of 5 since", n)
	}
	if n := e.query(e.b, fmt.Sprintf("select count(*) from %s.a2 where ts >= %d", db, loadEpoch+1000))[0][0]; n != "5" {
		e.Errorf("%s rows of 5 came of the table whose tag was set", n)
	}
}
