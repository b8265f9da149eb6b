package engine

import (
	"slices"
	"testing"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/raw"
	"tdreplica/core/store"
)

type stoppedClock struct{ now time.Time }

func (c *stoppedClock) Now() time.Time                         { return c.now }
func (c *stoppedClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// desk is a task of two workers with two vgroups each, and its changes.
type desk struct {
	*testing.T
	*changes
	clock *stoppedClock
	task  *task
	ws    []*worker
}

func newDesk(t *testing.T) *desk {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	e, err := New(Options{Config: config.Default(), Store: s})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{T: t, clock: &stoppedClock{time.Unix(1000, 0)}, task: &task{e: e}}
	d.changes = newChanges(d.clock, func() {})
	for n := range 2 {
		d.ws = append(d.ws, &worker{n: n})
		d.sample(n, 100)
	}
	return d
}

// sample says that a worker's vgroups end at 100 and are read up to at.
func (d *desk) sample(n int, at int64) {
	d.sampleOf(n, at, d.clock.now)
}

// sampleOf says so of the time when the last of the vgroups was asked.
func (d *desk) sampleOf(n int, at int64, asked time.Time) {
	one, two := int32(2*n+1), int32(2*n+2)
	d.sampled(d.ws[n], []core.Assignment{{Vgroup: one, End: 100}, {Vgroup: two, End: 100}}, map[int32]int64{one: at, two: at}, asked)
}

func (d *desk) expect(vgroup int32, meta *raw.Meta, want verdict) {
	d.Helper()
	if got := d.arrive(d.task, vgroup, meta); got != want {
		d.Errorf("vgroup %d at %s: verdict %d, not %d", vgroup, raw.Describe(*meta), got, want)
	}
}

func dropColumn(suid int64, version int32) *raw.Meta {
	return &raw.Meta{Kind: raw.AlterSuperTable, Super: &raw.SuperTable{SUID: suid, ColumnVersion: version}}
}

func TestChangeThatDestroysWaitsForEveryVgroup(t *testing.T) {
	d := newDesk(t)
	drop := dropColumn(7, 2)
	for vg := range int32(3) {
		d.expect(vg+1, drop, mustWait)
	}
	d.expect(4, drop, applyNow)
	d.applied(drop)
	for vg := range int32(3) {
		d.expect(vg+1, drop, isCopy)
	}
	d.expect(1, dropColumn(7, 3), mustWait)
}

func TestChangeThatAddsIsAppliedOnce(t *testing.T) {
	d := newDesk(t)
	create := &raw.Meta{Kind: raw.CreateSuperTable, Super: &raw.SuperTable{SUID: 7, ColumnVersion: 1}}
	d.expect(1, create, applyNow)
	d.applied(create)
	d.expect(2, create, isCopy)
}

func TestVgroupWithNothingOlderIsNotWaitedFor(t *testing.T) {
	d := newDesk(t)
	drop := dropColumn(7, 2)
	d.expect(1, drop, mustWait)
	d.expect(2, drop, mustWait)
	d.ws[1].handed = 9
	d.sample(1, 100) // too early: a copy could still be logged
	d.ws[1].taken.Store(9)
	d.expect(1, drop, mustWait)
	d.clock.now = d.clock.now.Add(copiesSpread)
	d.sample(1, 99)
	d.expect(1, drop, mustWait)
	d.ws[1].handed = 10
	d.sample(1, 100)
	d.expect(1, drop, mustWait) // the message in front of the end is not applied
	d.ws[1].taken.Store(10)
	d.expect(1, drop, applyNow)
}

// TestAnOldEndOfAWALProvesNothing: while a reader does not poll, because the queue
// is full or its rate is limited, the server goes on telling the ends that it told
// before, and the copy of a change may have been logged since.
func TestAnOldEndOfAWALProvesNothing(t *testing.T) {
	d := newDesk(t)
	drop := dropColumn(7, 2)
	d.expect(1, drop, mustWait)
	d.expect(2, drop, mustWait)
	began := d.clock.now
	d.clock.now = began.Add(5 * time.Second)
	for _, asked := range []time.Time{{}, began.Add(-time.Second), began.Add(copiesSpread / 2)} {
		d.sampleOf(1, 100, asked)
		d.expect(1, drop, mustWait)
	}
	d.sampleOf(1, 100, began.Add(copiesSpread))
	d.expect(1, drop, applyNow)
}

func TestChangesInDifferentOrders(t *testing.T) {
	d := newDesk(t)
	one, two := dropColumn(7, 2), dropColumn(8, 2)
	d.expect(1, one, mustWait)
	d.expect(2, two, mustWait)
	d.expect(3, two, mustWait)
	d.expect(2, two, mustWait)
	d.expect(4, two, mustWait)
	d.expect(1, one, applyNow) // the older one; nobody else can move
	d.applied(one)
	d.expect(1, two, applyNow)
	d.applied(two)
	for vg := range int32(3) {
		d.expect(vg+2, two, isCopy)
		d.released(vg + 2)
		d.expect(vg+2, one, isCopy)
	}
}

func TestWaitIsBounded(t *testing.T) {
	d := newDesk(t)
	drop := dropColumn(7, 2)
	d.expect(1, drop, mustWait)
	if _, move := d.waitingFor(map[int32]bool{1: true}); move {
		t.Error("it may go on although vgroups are missing")
	}
	d.clock.now = d.clock.now.Add(changeWait)
	if _, move := d.waitingFor(map[int32]bool{1: true}); !move {
		t.Error("it waits for ever")
	}
	d.expect(1, drop, applyNow)
	d.applied(drop)
	d.released(1)

	more := dropColumn(7, 3)
	d.expect(1, more, mustWait)
	d.overflow(map[int32]bool{1: true})
	d.expect(1, more, applyNow)
	events, err := d.task.e.Events(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	early := slices.DeleteFunc(events, func(ev core.Event) bool { return ev.Kind != core.EventDDL })
	if len(early) != 2 {
		t.Errorf("told of %d changes that were applied early, not 2: %v", len(early), early)
	}
}

// TestHeldVgroupIsNotPassed: what is put aside behind a held vgroup is older
// than the end of its WAL, although its reader has reached that.
func TestHeldVgroupIsNotPassed(t *testing.T) {
	d := newDesk(t)
	one, two := dropColumn(7, 2), dropColumn(8, 2)
	d.expect(3, two, mustWait)
	d.expect(1, one, mustWait)
	d.clock.now = d.clock.now.Add(copiesSpread)
	d.sample(1, 100)
	d.sample(0, 100)
	d.expect(2, one, mustWait)
	d.expect(4, one, mustWait)
	d.expect(1, one, mustWait) // vgroup 3 may have a copy of it behind the other change
}
