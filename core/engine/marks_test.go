package engine

import (
	"strings"
	"testing"
	"time"

	"tdreplica/config"
	"tdreplica/core"
)

func TestMarksCommitOnlyWhatIsAcknowledged(t *testing.T) {
	c := config.Default().Engine
	now := time.Unix(1000, 0)
	m := newMarks()
	m.base(2, 0)
	m.handed(2)
	m.take(5, map[int32]int64{2: 40})
	if m.resolve(4) || m.due(now, &c) {
		t.Fatal("a mark counted before its message was acknowledged")
	}
	m.handed(2)
	m.take(9, map[int32]int64{2: 90})
	if !m.resolve(5) || m.applied.at[2] != 40 {
		t.Fatalf("the first mark gave way to a later one: %+v", m.applied)
	}
	if !m.due(now.Add(c.CommitInterval.Duration), &c) {
		t.Error("an applied message is not due for a commit")
	}
}

func TestMarksLeaveIdleVgroupsAlone(t *testing.T) {
	c := config.Default().Engine
	now := time.Unix(1000, 0)
	m := newMarks()
	m.base(2, 10)
	m.take(0, map[int32]int64{2: 10 + ownEntries})
	m.resolve(0)
	if m.due(now, &c) || m.due(now.Add(time.Hour), &c) {
		t.Error("a commit for nothing but our own WAL entries")
	}
	m.take(0, map[int32]int64{2: 5000})
	m.resolve(0)
	if m.due(now.Add(time.Minute), &c) {
		t.Error("a filtered vgroup is committed too often")
	}
	if !m.due(now.Add(filteredPace), &c) {
		t.Error("a filtered vgroup is never committed")
	}
}

// Under load, whatever the sink does at whatever moment, no vgroup is due for
// more than one commit a second.
func TestMarksCommitOnceASecondUnderLoad(t *testing.T) {
	c := config.Default().Engine
	start := time.Unix(1000, 0)
	m := newMarks()
	m.base(2, 0)
	var commits int
	var handed, acked uint64
	for ms := range 60_000 {
		now := start.Add(time.Duration(ms) * time.Millisecond)
		handed += 40
		m.handed(2)
		acked = max(acked, handed-min(handed, uint64(ms%700*40)))
		m.resolve(acked)
		if ms%100 == 0 {
			m.take(handed, map[int32]int64{2: int64(handed)})
		}
		if m.due(now, &c) {
			commits++
			clear(m.dirty)
			m.committedAt, m.committedSeq = now, m.applied.seq
		}
	}
	if commits > 60 || commits < 30 {
		t.Errorf("%d commits in a minute", commits)
	}
}

func TestBackoffGrowsVariesAndIsCapped(t *testing.T) {
	shortest, longest := 100*time.Millisecond, 2*time.Second
	for retry, want := range map[int]time.Duration{1: shortest, 2: 200 * time.Millisecond, 4: 800 * time.Millisecond, 60: longest} {
		seen := map[time.Duration]bool{}
		for range 50 {
			d := backoff(shortest, longest, retry)
			seen[d] = true
			if d < want*8/10 || d > want*12/10 {
				t.Fatalf("retry %d waits %v, want about %v", retry, d, want)
			}
		}
		if len(seen) < 2 {
			t.Errorf("retry %d always waits the same", retry)
		}
	}
}

func TestGroupNames(t *testing.T) {
	for db, hashed := range map[string]bool{"power": false, "数据": true, "a:b": true, strings.Repeat("x", 180): true} {
		name := groupName("abcdefgh", core.TaskKey{Replica: "maple", Database: db})
		if len(name) > 192 || strings.Contains(name, ":") {
			t.Errorf("group %q cannot be one", name)
		}
		if hashed == strings.HasSuffix(name, "."+db) {
			t.Errorf("group of %q is %q", db, name)
		}
	}
}

func TestLagIsTheAgeOfTheOldestUnreachedEnd(t *testing.T) {
	v := &vgroupMeter{current: 10, latest: 10}
	at := time.Unix(0, 0)
	for s := range 300 { // the end grows, nothing is applied
		v.latest = 11 + int64(s)
		v.sighted(at.Add(time.Duration(s) * time.Second))
	}
	now := at.Add(300 * time.Second)
	if lag := v.lag(now); lag != 300_000 {
		t.Errorf("lag %d ms, want 300 s", lag)
	}
	if len(v.samples) > maxSamples+1 {
		t.Errorf("%d samples are kept", len(v.samples))
	}
	v.current = v.latest
	v.sighted(now)
	if lag := v.lag(now); lag != 0 {
		t.Errorf("lag %d ms when caught up", lag)
	}
}

func TestTrendTellsWhenABacklogIsGone(t *testing.T) {
	var d trend
	for n := int64(1000); n >= 500; n -= 10 {
		d.add(n, 1)
	}
	if eta := d.eta(500); eta < 45_000 || eta > 60_000 {
		t.Errorf("eta %d ms, want about 50 s", eta)
	}
	if d.sign(500) != -1 || d.eta(0) != 0 {
		t.Errorf("sign %d, eta at 0 %d", d.sign(500), d.eta(0))
	}
	for n := int64(500); n < 5000; n += 50 {
		d.add(n, 1)
	}
	if d.eta(5000) != core.Unknown || d.sign(5000) != 1 {
		t.Errorf("a growing backlog has eta %d, sign %d", d.eta(5000), d.sign(5000))
	}
}

func TestStrayWALEntriesCountOnlyIfTheyStay(t *testing.T) {
	m := newMeter(core.Task{})
	now := time.Unix(0, 0)
	m.start(core.Assignment{Vgroup: 2, Offset: 10, End: 10}, 10)
	sample := func(end int64, quiet bool) int64 {
		m.measured([]core.Assignment{{Vgroup: 2, End: end}}, now, now, quiet)
		return m.vg[2].diff()
	}
	if d := sample(11, true); d != 0 {
		t.Errorf("a commit's own entry shows as a diff of %d", d)
	}
	if d := sample(11, true); d != 1 {
		t.Errorf("an entry that stays shows as a diff of %d", d)
	}
	m.reached(map[int32]int64{2: 11})
	if d := sample(12, false); d != 1 {
		t.Errorf("a new entry under traffic shows as a diff of %d", d)
	}
	m.reached(map[int32]int64{2: 12})
	if d := sample(40, true); d != 28 {
		t.Errorf("a backlog shows as a diff of %d", d)
	}
}

// TestNothingLeftIsNotSaidTooEarly: what decides about a switch of the sides is
// a diff of 0 and when that was true. A poll that found something has not asked
// every vgroup, nor has a short one, and what came later may be a row.
func TestNothingLeftIsNotSaidTooEarly(t *testing.T) {
	now := time.Unix(1000, 0)
	ago := func(ms int) time.Time { return now.Add(-time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct {
		message, polled int // ms ago
		quiet           bool
		end             int64
		want            int
	}{
		{message: 900, polled: 200, quiet: true, end: 10, want: 200},
		{message: 900, polled: 200, quiet: true, end: 11, want: 200}, // what is there now was not there then
		{message: 900, polled: 200, quiet: true, end: 40, want: 0},   // a backlog is one at once
		{message: 300, polled: 200, quiet: true, end: 10, want: 2000},
		{message: 100, polled: 200, end: 10, want: 2000},
	} {
		m := newMeter(core.Task{})
		m.start(core.Assignment{Vgroup: 2, Offset: 10, End: 10}, 10)
		w := &worker{q: newQueue(1), quiet: c.quiet, polledAt: []time.Time{ago(c.polled)}, pace: pace{since: ago(c.message)}}
		asked, _ := w.askedAll(now)
		m.measured([]core.Assignment{{Vgroup: 2, End: c.end}}, now, asked, c.quiet)
		if at := shown(m, now).MeasuredAt; !at.Equal(ago(c.want)) {
			t.Errorf("%+v: true %v ago", c, now.Sub(at))
		}
	}
}

// TestAnAppliedBacklogIsNotNothingLeft has one vgroup's backlog looked at and
// applied, while another vgroup was not asked for a while.
func TestAnAppliedBacklogIsNotNothingLeft(t *testing.T) {
	m := newMeter(core.Task{})
	now := time.Unix(1000, 0)
	long := now.Add(-3 * time.Second)
	for vg := int32(2); vg < 4; vg++ {
		m.start(core.Assignment{Vgroup: vg, Offset: 10, End: 10}, 10)
	}
	m.measured([]core.Assignment{{Vgroup: 2, End: 12}, {Vgroup: 3, End: 10}}, now, long, false)
	if task := shown(m, now); task.Diff != 2 || !task.MeasuredAt.Equal(now) {
		t.Errorf("a backlog: diff %d, true %v ago", task.Diff, now.Sub(task.MeasuredAt))
	}
	m.reached(map[int32]int64{2: 12})
	if task := shown(m, now); task.Diff != 0 || !task.MeasuredAt.Equal(long) {
		t.Errorf("applied: diff %d, true %v ago", task.Diff, now.Sub(task.MeasuredAt))
	}
	m.measured([]core.Assignment{{Vgroup: 2, End: 12}, {Vgroup: 3, End: 10}}, now, time.Time{}, false)
	if task := shown(m, now); !task.MeasuredAt.Equal(long) {
		t.Errorf("not asked again: true %v ago", now.Sub(task.MeasuredAt))
	}
}

// TestEveryVgroupHasItsTurn has polls that each found something: after as many
// as there are vgroups all were asked, however long that took.
func TestEveryVgroupHasItsTurn(t *testing.T) {
	now := time.Unix(1000, 0)
	w := &worker{q: newQueue(1), vgroups: []int32{2, 3, 4}, pace: pace{since: now}}
	for i, want := range []time.Duration{0, 0, 9, 8, 7} {
		w.answered(now.Add(time.Duration(i-9) * time.Second))
		at, sure := w.askedAll(now)
		if sure || at.IsZero() != (want == 0) || want > 0 && now.Sub(at) != want*time.Second {
			t.Errorf("after %d polls: %v ago, sure: %v", i+1, now.Sub(at), sure)
		}
	}
}

// TestLagEndsWithTheMessage has a row arrive just before a sample: it waits for
// as long as it is not applied, and not until the next sample.
func TestLagEndsWithTheMessage(t *testing.T) {
	m := newMeter(core.Task{})
	now := time.Unix(1000, 0)
	m.start(core.Assignment{Vgroup: 2, Offset: 10, End: 10}, 10)
	see := func(end int64) core.Task {
		m.measured([]core.Assignment{{Vgroup: 2, End: end}}, now, now, false)
		return shown(m, now)
	}
	if task := see(10); task.Phase != core.CaughtUp || task.LagMS != 0 {
		t.Errorf("at the end of the WAL: %s, lag %d ms", task.Phase, task.LagMS)
	}
	see(12)
	now = now.Add(900 * time.Millisecond)
	if task := shown(m, now); task.LagMS != 900 || task.Phase != core.CaughtUp || task.Vgroups[0].State != "caught up" {
		t.Errorf("on its way: %s (%s), lag %d ms", task.Phase, task.Vgroups[0].State, task.LagMS)
	}
	// A message of rows names where it starts, and that is behind the one before.
	m.applied(&core.Message{Vgroup: 2, Kind: core.KindMeta, Offset: 12}, 0, now)
	task := shown(m, now)
	if task.LagMS != 0 || task.Diff != 0 {
		t.Errorf("applied: lag %d ms, diff %d", task.LagMS, task.Diff)
	}
	m.applied(&core.Message{Vgroup: 2, Kind: core.KindMeta, Offset: 14}, 0, now)
	if v := shown(m, now).Vgroups[0]; v.Current != 14 || v.Latest != 14 {
		t.Errorf("current %d is beyond latest %d", v.Current, v.Latest)
	}
	see(20)
	now = now.Add(3 * time.Second)
	if task := see(21); task.Phase != core.CatchingUp || task.LagMS != 3000 {
		t.Errorf("3 s behind: %s, lag %d ms", task.Phase, task.LagMS)
	}
	now = now.Add(-2 * time.Second) // still a backlog: it is over at 0 only
	if task := shown(m, now); task.Phase != core.CatchingUp {
		t.Errorf("1 s behind after 3 s: %s", task.Phase)
	}
}

// TestLagIsUnknownWhereNobodyLooks has a source go away, before the first sample and
// after the last: a lag of 0 would keep an alarm quiet for as long as it is gone.
func TestLagIsUnknownWhereNobodyLooks(t *testing.T) {
	m := newMeter(core.Task{})
	now := time.Unix(1000, 0)
	interrupted := func() core.Task {
		task := core.Task{State: core.Interrupted}
		m.fill(&task, now)
		return task
	}
	if task := interrupted(); task.LagMS != core.Unknown {
		t.Errorf("never connected: lag %d ms", task.LagMS)
	}
	m.start(core.Assignment{Vgroup: 2, Offset: 10, End: 10}, 10)
	m.measured([]core.Assignment{{Vgroup: 2, End: 10}}, now, now, false)
	if task := interrupted(); task.LagMS != core.Unknown || task.Vgroups[0].LagMS != core.Unknown {
		t.Errorf("was caught up: lag %d ms, vgroup %d ms", task.LagMS, task.Vgroups[0].LagMS)
	}
	m.measured([]core.Assignment{{Vgroup: 2, End: 12}}, now, now, false)
	now = now.Add(time.Minute)
	if task := interrupted(); task.LagMS != 60_000 || task.Vgroups[0].LagMS != 60_000 {
		t.Errorf("known to be behind: lag %d ms, vgroup %d ms", task.LagMS, task.Vgroups[0].LagMS)
	}
}

func shown(m *meter, now time.Time) core.Task {
	task := core.Task{State: core.Running}
	m.fill(&task, now)
	return task
}
