package engine

import (
	"context"
	"slices"
	"testing"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/raw"
	"tdreplica/core/store"
)

// walEnds is a source that tells where WALs end and forgets groups.
type walEnds struct {
	fakeCatalog
	ends     map[int32]int64
	inUse    int    // how often the group cannot be dropped yet
	dropping func() // called before it is dropped
}

func (c *walEnds) WALEnds(context.Context, string) (map[int32]int64, bool, error) {
	return c.ends, true, nil
}

func (c *walEnds) DropGroup(context.Context, string, string) error {
	if c.inUse--; c.inUse >= 0 {
		return &core.Error{Class: core.ClassOperator, Code: codeGroupInUse, Op: "drop", Text: "a consumer still reads it"}
	}
	c.dropping()
	return nil
}

// lonelyTask is a task that nobody runs, with a state file.
func lonelyTask(t *testing.T) *task {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	e, err := New(Options{Config: config.Default(), Store: s})
	if err != nil {
		t.Fatal(err)
	}
	return newTask(e, newReplica(store.Replica{}), store.Task{Replica: "maple", Database: "power"})
}

// TestRenewalGoesBackInEveryVgroup has the group made anew for a change of tags
// in vgroup 2 while one in vgroup 3, at version 900, is made and not read yet. Of
// what vgroup 3 was read to, 800, only what lies below 500 was read before it:
// the rest may lack rows, and the new group would not know of it. At first a
// consumer lingers in the group, which changes nothing.
func TestRenewalGoesBackInEveryVgroup(t *testing.T) {
	tk := lonelyTask(t)
	p := newPump(tk)
	p.plan = &plan{
		catalog: &walEnds{ends: map[int32]int64{2: 1000, 3: 950}}, topic: "tdr_power", group: "g",
		sourceVersion: core.Version{3, 3, 7, 5},
	}
	for vg, at := range map[int32]int64{2: 700, 3: 800, 4: 300} {
		tk.meter.start(core.Assignment{Vgroup: vg, Offset: at, End: 1000}, core.Unknown)
	}
	tk.rec.Rewinds = map[int32]int64{2: 600}
	tk.rec.Samples = map[int32][]store.Sample{
		2: {{Position: 600, End: 600}, {Position: 700, End: 990}},
		3: {{Position: 500, End: 520}, {Position: 800, End: 940}},
		4: {{Position: 300, End: 300}},
	}
	tk.renewal = true
	source := p.plan.catalog.(*walEnds)
	source.inUse = 1
	source.dropping = func() {
		if recs, err := tk.e.store.Tasks("maple"); err != nil || len(recs) != 1 || !recs[0].Renewed {
			t.Errorf("the group is dropped before the state file says so: %v, %v", recs, err)
		}
	}
	if err := p.renew(t.Context(), true); !core.ClassOf(err).Retryable() || !tk.renewal {
		t.Fatalf("a consumer that lingers ends the task: %v", err)
	}
	if err := p.renew(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	for vg, want := range map[int32]int64{2: 600, 3: 500, 4: 300} {
		if at, _ := tk.meter.position(vg); at != want {
			t.Errorf("vgroup %d goes on at %d, want %d", vg, at, want)
		}
	}
	if tk.reread[3] != 800 || tk.reread[2] != 700 {
		t.Errorf("read again: %v", tk.reread)
	}

	// The vgroups come late, so the pump ends and another one finds the group
	// there. A change at 960 that meets a reader at 550 must lead back to 500.
	q := newPump(tk)
	q.plan = p.plan
	if err := q.renew(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	q.base(core.Assignment{Vgroup: 3, Offset: 500, End: 950})
	if from := tk.unspoiled(3, 960); from != 500 {
		t.Errorf("a change while vgroup 3 is read again leads back to %d, want 500", from)
	}
}

// TestATaskThatIsBehindKeepsItsGroup: made anew while a backlog is read, it would
// begin at the same place each time, for as long as tags are set.
func TestATaskThatIsBehindKeepsItsGroup(t *testing.T) {
	tk := lonelyTask(t)
	p := newPump(tk)
	now := time.Unix(1000, 0)
	see := func(end int64) {
		tk.meter.measured([]core.Assignment{{Vgroup: 2, End: end}, {Vgroup: 3, End: 10}}, now, now, false)
	}
	for vg := int32(2); vg < 4; vg++ {
		tk.meter.start(core.Assignment{Vgroup: vg, Offset: 10, End: 10}, 10)
	}
	see(5000)
	p.renewAsked = now
	for _, step := range []struct {
		after   time.Duration
		reached int64
		may     bool
		warned  bool
	}{
		{time.Second, 10, true, false},        // what is on its way may take so long
		{2 * time.Second, 4000, false, false}, // it is behind
		{28 * time.Second, 4999, false, true},
		{time.Second, 5000, true, true},
	} {
		now = now.Add(step.after)
		tk.meter.reached(map[int32]int64{2: step.reached})
		if may := p.mayRenew(now); may != step.may {
			t.Errorf("at %d, %v after it fell behind: %v", step.reached, now.Sub(p.renewAsked), may)
		}
		if !step.may && p.renewAt.Before(now.Add(renewAfter)) {
			t.Error("it is asked again with every poll")
		}
		if warned := slices.Contains(tk.facts.warnings, mustCatchUp); warned != step.warned {
			t.Errorf("at %d: warned %v", step.reached, warned)
		}
	}
}

// TestSamplesEndWhereReadingBeginsAgain reads up to 90 while the WAL ends at 100,
// applies up to 60, and begins there anew. A change that is made then keeps back what
// is read a second time.
func TestSamplesEndWhereReadingBeginsAgain(t *testing.T) {
	tk := lonelyTask(t)
	p := newPump(tk)
	p.plan = &plan{sourceVersion: core.Version{3, 3, 7, 5}}
	p.base(core.Assignment{Vgroup: 2, Offset: 50, End: 55})
	tk.sampled(2, 90, 100)
	p.base(core.Assignment{Vgroup: 2, Offset: 60, End: 120})
	for version, want := range map[int64]int64{70: 50, 110: 60, 130: 60} {
		if from := tk.unspoiled(2, version); from != want {
			t.Errorf("a change at %d leads back to %d, want %d", version, from, want)
		}
	}
}

// TestAMissedChangeFollowsAfterARestart meets a change of a table whose rows were kept
// back, ends, and reads them again in another run: then the table is made, and the
// change is not one that was applied before.
func TestAMissedChangeFollowsAfterARestart(t *testing.T) {
	tk := lonelyTask(t)
	meta, m := &raw.Meta{Item: raw.Item{Payload: []byte("set tag g = 1")}}, &core.Message{Vgroup: 2, Offset: 40}
	if met, _ := tk.metBefore(meta, m); met {
		t.Error("a new change is no news")
	}
	tk.noteMissed(meta, 2)
	tk.noteMissed(meta, 2)
	if met, applied := tk.metBefore(meta, m); !met || applied || len(tk.rec.Missed) != 1 {
		t.Errorf("the same is news twice, or applied: %v, %v, %v", met, applied, tk.rec.Missed)
	}
	if err := tk.e.persist([]*task{tk}); err != nil {
		t.Fatal(err)
	}
	recs, err := tk.e.store.Tasks("maple")
	if err != nil || len(recs) != 1 {
		t.Fatal(recs, err)
	}
	next := newTask(tk.e, newReplica(store.Replica{}), recs[0])
	next.reread = map[int32]int64{2: 50}
	if _, applied := next.metBefore(meta, m); applied {
		t.Error("the change is left out")
	}
	next.noteTagged(meta, 2)
	if _, applied := next.metBefore(meta, m); !applied || len(next.rec.Missed) > 0 {
		t.Errorf("applied, it is still to follow: %v", next.rec.Missed)
	}
}

// nothingThere is a sink without tables.
type nothingThere struct{ *fakeCatalog }

func (nothingThere) Describe(context.Context, string, string) (*core.Table, error) {
	return nil, &core.Error{Class: core.ClassData, Code: codeTableMissing, Op: "describe"}
}

// TestAMissedChangeOutlivesAVgroupThatGoes has vgroups come and go in a shared group
// while changes of tags wait for their tables. What was missed in one that stays is
// still to follow, and one that comes back is read without what was known of it.
func TestAMissedChangeOutlivesAVgroupThatGoes(t *testing.T) {
	w, _, _ := movedWorker(t)
	tk := w.p.t
	w.p.plan.sinkCatalog, w.p.plan.sourceVersion = nothingThere{}, core.Version{3, 3, 7, 5}
	missed := &raw.Meta{Item: raw.Item{Payload: []byte("set tag g = 1")}, Alter: &raw.Alter{Table: "c1"}}
	at := func(vgroup int32) *core.Message { return &core.Message{Vgroup: vgroup, Offset: 40} }
	for round := range 2 {
		for vg := int32(2); vg < 4; vg++ {
			if err := w.setTags(t.Context(), missed, at(vg)); err != nil {
				t.Fatal(err)
			}
			if _, planned := tk.rec.Rewinds[vg]; !planned {
				t.Errorf("round %d: nobody goes back for the rows that make the table in vgroup %d", round, vg)
			}
		}
		tk.reread = map[int32]int64{2: 50, 3: 50}
		tk.forgetNotes(2, core.Unknown)
		applied := &raw.Meta{Item: raw.Item{Payload: []byte("set tag g = 2")}}
		is := func(meta *raw.Meta, vgroup int32) bool {
			_, applied := tk.metBefore(meta, at(vgroup))
			return applied
		}
		if is(applied, 2) {
			t.Error("what another member may have undone counts as applied")
		}
		if is(missed, 3) || !is(applied, 3) {
			t.Error("in a vgroup that stays, what was missed counts as applied, or what was applied does not")
		}
	}
}

// TestAChangeFollowsATableDroppedOnceMore reads a vgroup again from before the drop of
// a table that was made anew, and had a tag set then. The next table is to have it,
// too, also if the task goes back once more before it comes to the change; and nobody
// goes back for a change that was met before.
func TestAChangeFollowsATableDroppedOnceMore(t *testing.T) {
	tk := lonelyTask(t)
	set := &raw.Meta{Item: raw.Item{Payload: []byte("set tag g = 1")}, Alter: &raw.Alter{Table: "c1"}}
	other := &raw.Meta{Item: raw.Item{Payload: []byte("set tag g = 2")}, Alter: &raw.Alter{Table: "c2"}}
	at := func(offset int64) *core.Message { return &core.Message{Vgroup: 2, Offset: offset} }
	look := func(when string, meta *raw.Meta, offset int64, want bool) {
		t.Helper()
		if met, applied := tk.metBefore(meta, at(offset)); !met || applied != want {
			t.Errorf("%s: met %v, applied %v", when, met, applied)
		}
	}
	tk.meter.reached(map[int32]int64{2: 50})
	tk.noteTagged(set, 2)
	tk.goBack(map[int32]int64{2: 10})
	look("read again", set, 40, true)
	tk.dropsAgain(at(30), "c1", 20)
	look("behind the drop", set, 40, false)
	look("in front of it", set, 20, true)
	look("of another table", other, 40, true)
	tk.meter.reached(map[int32]int64{2: 35})
	tk.goBack(map[int32]int64{2: 10})
	look("gone back before it was come to", set, 40, false)
	tk.meter.reached(map[int32]int64{2: 60})
	tk.goBack(map[int32]int64{2: 30})
	look("gone back after it", set, 40, true)
	tk.dropsAgain(at(65), "c1", 60)
	look("a drop that is read for the first time", set, 40, true)
}
