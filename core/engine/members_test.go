package engine

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/store"
)

// council is a server that tells who owns the one vgroup of a shared group. Each
// answer takes its time, before and after the server looks.
type council struct {
	fakeCatalog
	clock  *stoppedClock
	owner  string // the client that owns it; empty: nobody
	moved  time.Time
	delays func() time.Duration
	fail   error
}

func (c *council) Subscriptions(context.Context, string) ([]core.Subscription, error) {
	c.clock.now = c.clock.now.Add(c.delays())
	s := core.Subscription{Group: "grid", Vgroup: 2, Consumer: c.owner, Position: 5, End: 9}
	c.clock.now = c.clock.now.Add(c.delays())
	return []core.Subscription{s}, c.fail
}

func (c *council) Consumers(context.Context, string, string) (map[string]core.Consumer, error) {
	c.clock.now = c.clock.now.Add(c.delays())
	return map[string]core.Consumer{c.owner: {Client: c.owner, Rebalanced: c.moved}}, c.fail
}

// member is a pump of an instance of its own that asks the council.
func (c *council) member(t *testing.T) *members {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	e, err := New(Options{Config: config.Default(), Store: s, Clock: c.clock})
	if err != nil {
		t.Fatal(err)
	}
	tk := newTask(e, newReplica(store.Replica{}), store.Task{Replica: "maple", Database: "power"})
	p := newPump(tk)
	p.plan = &plan{catalog: c, topic: "tdr_power", group: "grid", shared: true}
	return newMembers(p)
}

// TestOneMemberWrites moves a vgroup between two members that look when they
// please, and slowly, and sometimes in vain: never may both write.
func TestOneMemberWrites(t *testing.T) {
	c := &council{clock: &stoppedClock{time.Unix(1000, 0)}}
	one, two := c.member(t), c.member(t)
	wrote := 0
	rapid.Check(t, func(rt *rapid.T) {
		c.delays = func() time.Duration {
			return time.Duration(rapid.IntRange(0, 900).Draw(rt, "delay")) * time.Millisecond
		}
		last := map[*members]*tenure{}
		c.fail = nil
		for range 60 {
			// Rare enough moves and failures that a member comes to write at all.
			switch rapid.IntRange(0, 11).Draw(rt, "step") {
			case 0:
				c.owner = rapid.SampledFrom([]string{"", one.p.client + "/0", two.p.client + "/0", two.p.client + "/1"}).Draw(rt, "owner")
				c.moved = c.moved.Add(time.Second)
			case 1:
				c.fail = rapid.SampledFrom([]error{nil, nil, errHalted}).Draw(rt, "answer")
			case 2, 3, 4:
				c.clock.now = c.clock.now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(rt, "pause")) * time.Millisecond)
			case 5, 6, 7, 8:
				_ = one.see(t.Context())
			default:
				_ = two.see(t.Context())
			}
			writers := 0
			for _, m := range []*members{one, two} {
				for worker := range 2 {
					if tn := m.vgroups(worker)[2]; tn != nil {
						last[m] = tn
					}
				}
				// What is queued keeps the tenure that it was read in.
				if tn := last[m]; tn != nil && m.mayWrite(tn) {
					writers++
				}
			}
			if wrote += writers; writers > 1 {
				rt.Fatal("both members may write")
			}
		}
	})
	if wrote == 0 {
		t.Error("nobody ever could write")
	}
}

// TestAGroupMadeAnewGoesOnWhereItStood has the pump that made a shared group anew
// end before it took the vgroups up, and the instance with it: the group has no
// offset then, and a new one would begin at the end of the WAL.
func TestAGroupMadeAnewGoesOnWhereItStood(t *testing.T) {
	at := core.Assignment{Vgroup: 2, Begin: 10, End: 100}
	for name, c := range map[string]struct {
		renewed      bool
		stored, want int64
	}{
		"never made anew": {stored: core.Unknown, want: 100},
		"made anew":       {stored: core.Unknown, renewed: true, want: 40},
		"taken up since":  {stored: 70, renewed: true, want: 70},
	} {
		t.Run(name, func(t *testing.T) {
			m := (&council{clock: &stoppedClock{time.Unix(1000, 0)}}).member(t)
			m.p.plan.latest = true
			m.p.t.rec.Renewed = c.renewed
			m.p.t.meter.start(core.Assignment{Vgroup: 2, Offset: 40, End: 100}, 40)
			m.p.t = newTask(m.p.e, m.p.t.replica, m.p.t.keep(time.Unix(1000, 0))) // the next run
			if got, err := m.p.startOf(at, c.stored); got != c.want || err != nil {
				t.Errorf("it begins at %d, not %d: %v", got, c.want, err)
			}
		})
	}
}

// TestWhatOthersReadIsNotAppliedHere has another member read a vgroup, and the
// instance end: the record must say how far this one has applied it.
func TestWhatOthersReadIsNotAppliedHere(t *testing.T) {
	m := (&council{clock: &stoppedClock{time.Unix(1000, 0)}}).member(t)
	tk := m.p.t
	tk.meter.takenUp(core.Assignment{Vgroup: 2, Offset: 40, End: 100}, 40)
	for _, vg := range []int32{2, 3} {
		tk.meter.owner(core.Subscription{Vgroup: vg, Position: 90, End: 100}, "other", false, time.Unix(1000, 0))
	}
	again := newTask(tk.e, tk.replica, tk.keep(time.Unix(1000, 0)))
	if at, known := again.meter.position(2); !known || at != 40 {
		t.Errorf("what was applied up to 40 counts as applied up to %d", at)
	}
	if at, known := again.meter.position(3); known {
		t.Errorf("what was never read here counts as applied up to %d", at)
	}
}

// TestAnAuditWaitsForOthersNotForEver has another member read one of two vgroups: a
// comparison waits until both have passed an end that is newer than its look, by
// what the source tells, which may be late.
func TestAnAuditWaitsForOthersNotForEver(t *testing.T) {
	asked := time.Unix(1000, 0)
	m := newMeter(core.Task{})
	tell := func(consumer string, position int64, at time.Time) {
		m.owner(core.Subscription{Vgroup: 3, Consumer: consumer, Position: position, End: 90}, "other", false, at)
	}
	m.start(core.Assignment{Vgroup: 2, Offset: 10, End: 10}, 10)
	m.measured([]core.Assignment{{Vgroup: 2, End: 10}}, asked.Add(time.Second), asked.Add(time.Second), true)
	tell("0x1", 80, asked.Add(toldLate))
	if ends := m.endsSince(asked); ends != nil {
		t.Errorf("what may be older than the look counts: %v", ends)
	}
	tell("", 90, asked.Add(2*toldLate))
	if ends := m.endsSince(asked); ends != nil {
		t.Errorf("a vgroup that nobody reads counts: %v", ends)
	}
	tell("0x1", 80, asked.Add(2*toldLate))
	ends := m.endsSince(asked)
	if ends[2] != 10 || ends[3] != 90 || m.hasPassed(ends) {
		t.Errorf("the ends are %v, passed: %v", ends, m.hasPassed(ends))
	}
	if tell("0x1", 90, asked.Add(3*toldLate)); !m.hasPassed(ends) {
		t.Error("the other one's vgroup is never passed")
	}
}

// TestAnotherGroupBeginsWhereItBegins has a task read in another group, from an
// earlier position, and be interrupted: it goes on where it stood in that one.
func TestAnotherGroupBeginsWhereItBegins(t *testing.T) {
	tk := (&council{clock: &stoppedClock{time.Unix(1000, 0)}}).member(t).p.t
	pl := &plan{group: "own", db: core.Database{CreatedAt: time.Unix(500, 0)}}
	tk.meter.start(core.Assignment{Vgroup: 2, Offset: 90, End: 100}, 90)
	tk.rec.Group, tk.rec.SourceCreatedAt = "shared", pl.db.CreatedAt
	if at, known := tk.remembered(pl, 2); known {
		t.Fatalf("a position of another group, %d, counts", at)
	}
	tk.meter.owner(core.Subscription{Vgroup: 2, Position: 95, End: 100}, "other", false, time.Unix(1000, 0))
	tk.meter.start(core.Assignment{Vgroup: 2, Offset: 10, End: 100}, core.Unknown)
	tk.began(pl)
	tk.meter.reached(map[int32]int64{2: 20})
	if v := shown(tk.meter, time.Unix(1000, 0)).Vgroups[0]; v.Current != 20 || v.Owner != "" {
		t.Errorf("shown at %d, owned by %q", v.Current, v.Owner)
	}
	if at, known := tk.remembered(pl, 2); !known || at != 20 {
		t.Errorf("it goes on at %d, and not where it stood", at)
	}
}

// TestHeldCommits says up to where a vgroup may be committed for its notes' sake.
func TestHeldCommits(t *testing.T) {
	now := time.Unix(10_000, 0)
	for name, c := range map[string]struct {
		rec  store.Task
		want int64
	}{
		"no notes":           {store.Task{}, 50},
		"of another vgroup":  {store.Task{Echoes: []store.Echo{{Vgroup: 3, Announced: 20, Before: 19, At: now}}, Rewinds: map[int32]int64{3: 7}}, 50},
		"a drop to come":     {store.Task{Echoes: []store.Echo{{Vgroup: 2, Announced: 20, Before: 19, At: now}}}, 19},
		"a drop behind":      {store.Task{Echoes: []store.Echo{{Vgroup: 2, Announced: 20, Before: 19, Swallowed: 51, At: now}}}, 19},
		"a drop that passed": {store.Task{Echoes: []store.Echo{{Vgroup: 2, Announced: 20, Before: 19, Swallowed: 50, At: now}}}, 50},
		"never dropped":      {store.Task{Echoes: []store.Echo{{Vgroup: 2, Announced: 20, Before: 19, At: now.Add(-holdFor)}}}, 50},
		"tags announced":     {store.Task{Announced: map[int32]int64{2: 31}}, 31},
		"to be read again":   {store.Task{Rewinds: map[int32]int64{2: 12}, Announced: map[int32]int64{2: 31}}, 12},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (&task{rec: c.rec}).held(2, 50, now); got != c.want {
				t.Errorf("held at %d, not %d", got, c.want)
			}
		})
	}
}

func TestClientsAreKnownByTheirNames(t *testing.T) {
	mine := newClients("site a/1.example", "abc234")
	c, ok := parseClient(mine.next() + "/3")
	if !ok || c.instance != "site-a-1.example/abc234" || c.run != mine.run || c.worker != 3 {
		t.Errorf("parsed %+v, %v", c, ok)
	}
	if again, _ := parseClient(mine.next() + "/3"); again.pump == c.pump {
		t.Error("two pumps have one name")
	}
	for _, other := range []string{"", "tdreplica.abc234.1", "tdreplica/a/b/c/d", "tdreplica/a/b/c/1/x", "other/a/b/c/1/2"} {
		if c, ok := parseClient(other); ok {
			t.Errorf("%q was taken for %+v", other, c)
		}
	}
}
