package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
	"tdreplica/core/store"
)

// farBehind is a task whose group was made anew at 1000 s, when its two vgroups
// stood at 100 and ended at 5000 and 800; its pump was ready 2 s later.
func farBehind(t *testing.T) (*task, *pump) {
	tk := lonelyTask(t)
	p := newPump(tk)
	p.plan = &plan{sourceVersion: core.Version{3, 3, 7, 5}, db: core.Database{Precision: "ms"}}
	p.freshEnds = map[int32]int64{2: 5000, 3: 800}
	for vg, end := range p.freshEnds {
		a := core.Assignment{Vgroup: vg, Offset: 100, End: end}
		p.base(a)
		tk.meter.start(a, 100)
	}
	tk.renewed = time.Unix(1000, 0)
	p.readyAt = time.Unix(1002, 0)
	return tk, p
}

// TestWhenANewGroupIsWorthIt has a task read 1,000 versions of vgroup 2 in 10 s, and
// has a tag set that spoils what it read from a place on.
func TestWhenANewGroupIsWorthIt(t *testing.T) {
	for _, c := range []struct {
		what          string
		spoiled, end  int64
		scout, credit bool
		at            time.Duration // since the group was made
		want          bool
		spent         time.Duration // is counted as that
	}{
		{"most of it is kept", 1000, 5000, true, false, 12 * time.Second, true, 12 * time.Second},
		{"nobody knows what is ahead", 1000, 5000, false, false, 12 * time.Second, false, 0},
		{"a twentieth is kept", 150, 5000, true, false, 12 * time.Second, false, 0},
		{"a twentieth, but it is the first time", 150, 5000, true, true, 10 * time.Second, true, 10 * time.Second},
		{"the rest is read in less time than was won", 1000, 1500, true, false, 12 * time.Second, false, 0},
	} {
		tk, p := farBehind(t)
		now := tk.renewed.Add(c.at)
		tk.meter.measured([]core.Assignment{{Vgroup: 2, End: c.end}, {Vgroup: 3, End: 800}}, p.readyAt, p.readyAt, false)
		tk.meter.reached(map[int32]int64{2: 1100, 3: 800})
		tk.rec.Rewinds = map[int32]int64{2: c.spoiled, 3: 800}
		if c.scout {
			tk.scouted(map[int32]int64{2: c.end, 3: 800})
		}
		if !c.credit {
			tk.spent = scoutCredit
		}
		before := tk.spent
		// Of the 1,700 versions that were read, vgroup 3's 700 are kept in any case.
		if c.spoiled == 150 {
			tk.rec.Rewinds[3] = 100
		}
		p.renewAsked = now
		got := p.mayRenew(now)
		if got != c.want || tk.spent-before != c.spent {
			t.Errorf("%s: %v, spent %v more, won %v", c.what, got, tk.spent-before, tk.won)
		}
	}
}

// TestAScoutKnowsWhereNothingIsSpoiled: without one every vgroup goes back to where
// its WAL ended behind what is read, which a task that is behind never reaches.
func TestAScoutKnowsWhereNothingIsSpoiled(t *testing.T) {
	tk, _ := farBehind(t)
	tk.sampled(2, 400, 5200)
	tk.sampled(2, 700, 5400)
	tk.meter.reached(map[int32]int64{2: 710, 3: 800})
	if from := tk.rewindsOfAll()[2]; from != 100 {
		t.Errorf("without a scout vgroup 2 goes back to %d, want 100", from)
	}
	tk.scouted(map[int32]int64{2: 5300})
	if from := tk.rewindsOfAll()[2]; from != 400 {
		t.Errorf("changes are known up to 5300 and vgroup 2 goes back to %d, want 400", from)
	}
}

// TestAScoutFindsAnnouncements reads the deletes that announce a change made by
// the other direction: the task goes back to where it was at the first.
func TestAScoutFindsAnnouncements(t *testing.T) {
	tk, p := farBehind(t)
	s := &scout{t: tk, before: map[int32]int64{2: 5000}, fronts: map[int32]int64{}, comes: make(chan struct{}, 1)}
	look := func(at int64, behind bool) {
		mark := tagsMark("ms", behind)
		payload := raw.EncodeDelete(raw.Delete{Table: "t1", TSColumn: "ts", From: mark, To: mark})
		m := &core.Message{Vgroup: 2, Kind: core.KindMeta, RawType: core.RawDeleteRows, Offset: at, Frame: payload}
		if err := s.look(p, m); err != nil {
			t.Fatal(err)
		}
		s.before[2] = at
	}
	tk.sampled(2, 400, 5100)
	look(5150, false)
	tk.sampled(2, 700, 5300)
	if len(tk.rec.Rewinds) > 0 {
		t.Error("the task goes back before the change is made")
	}
	p.renewAt = time.Time{}
	look(5350, true)
	if from := tk.rec.Rewinds[2]; from != 100 {
		t.Errorf("the task goes back to %d, want 100: nothing tells when between 5000 and 5150 the change was made", from)
	}
	if p.renewAt.After(tk.e.clock.Now().Add(scoutGather)) {
		t.Error("the group is made anew as late as ever")
	}
	// What the scout has noted is not judged again by who knows less.
	tk.scouted(map[int32]int64{2: 5400})
	if !tk.knewBefore(&core.Message{Vgroup: 2, Offset: 5350}) || tk.knewBefore(&core.Message{Vgroup: 2, Offset: 5450}) {
		t.Error("the task does not know what the scout knew")
	}
}

// TestAScoutRestsBetweenPumps: what it finds while the group is made anew must be
// held against what the new group knows, so it waits.
func TestAScoutRestsBetweenPumps(t *testing.T) {
	tk, p := farBehind(t)
	s := &scout{t: tk, comes: make(chan struct{}, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.withPump(ctx, func(*pump) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("there is no pump, and it went on: %v", err)
	}
	tk.scout = s
	s.done = make(chan struct{})
	rest := p.scouting(t.Context())
	var served *pump
	if err := s.withPump(t.Context(), func(q *pump) error { served = q; return nil }); err != nil || served != p {
		t.Errorf("it serves %p of %p: %v", served, p, err)
	}
	rest()
	if s.p != nil {
		t.Error("the pump ended, and the scout does not know")
	}
	tk.scout = nil
}

// TestAScoutIsCalledBack sends one that cannot connect, which ends by itself, and
// one whose task ends.
func TestAScoutIsCalledBack(t *testing.T) {
	tk, p := farBehind(t)
	p.renewed = true
	rest := p.scouting(t.Context())
	if tk.scout == nil {
		t.Fatal("none was sent")
	}
	rest()
	tk.callBack()
	if tk.scout != nil {
		t.Error("it is still there")
	}
	tk.rec.Samples = map[int32][]store.Sample{}
	p.renewed = false
	if p.scouting(t.Context())(); tk.scout != nil {
		t.Error("one was sent for a group that was there before")
	}
}
