package engine

import (
	"slices"
	"sort"
	"sync"
	"time"

	"tdreplica/core"
)

const (
	rateWindow   = 5.0  // seconds that a rate looks back
	drainWindow  = 20.0 // seconds that the trend of a backlog looks back
	maxSamples   = 120
	chartPoints  = 60
	minutePoints = 90  // of 10 s
	dayPoints    = 288 // of 5 min
	maxDDL       = 200
	recentDDL    = 64 // among which copies from other vgroups are looked for

	// levelLag is how long something may wait while a task that was caught up
	// still counts as such. Under constant load there is always a message on its
	// way, and a state that says so twice a second tells nothing.
	levelLag = 2 * time.Second
)

// meter holds a task's numbers. It is safe for concurrent use.
type meter struct {
	mu     sync.Mutex
	totals core.Totals
	vg     map[int32]*vgroupMeter

	lastApplied, lastCommit, measuredAt time.Time // measuredAt: when the ends of WALs were last looked at
	ddl                                 []core.DDLRecord
	changed                             bool // since the last record
	uncounted                           bool // some rows came in messages that nobody looks into
	level                               bool // caught up, and not behind by more than levelLag since

	tickedAt        time.Time
	ticked          core.Totals
	messages, bytes float64 // per second
	rows            float64
	drain           trend
	history         []int64 // replaced, never changed: snapshots share it
	chartedAt       time.Time
	minutes, day    series
}

type vgroupMeter struct {
	owner                      string // in a shared group
	foreign                    bool   // another instance owns it, or nobody does
	read                       int64  // where that one was seen reading; Unknown if it was not
	current, committed, latest int64
	end                        int64     // of the WAL when it was last measured, at endAt
	endAt                      time.Time // zero: never
	rewind                     int64     // from where it is to be read again; Unknown: it is not
	doubted                    int64     // an end that was not counted yet
	lastAt                     time.Time
	samples                    []sample // where the WAL ended, while it is not reached
	tickedCurrent              int64
	rate                       float64
	drain                      trend
	history                    []int64
}

// sample says that the WAL ended here at this time.
type sample struct {
	at     time.Time
	latest int64
}

// place is up to where a vgroup is applied or, where another instance reads it,
// read.
func (v *vgroupMeter) place() int64 {
	if v.foreign {
		return v.read
	}
	return v.current
}

func (v *vgroupMeter) diff() int64 {
	at := v.place()
	if at == core.Unknown || v.latest == core.Unknown {
		return core.Unknown
	}
	if v.rewind != core.Unknown {
		at = min(at, v.rewind)
	}
	return max(0, v.latest-at)
}

// lag is the age of the oldest sighting of an end that is not reached yet.
func (v *vgroupMeter) lag(now time.Time) int64 {
	if len(v.samples) == 0 || v.diff() <= 0 {
		return 0
	}
	return max(0, now.Sub(v.samples[0].at).Milliseconds())
}

// reach says that everything below a version is applied, and reports whether
// that is news. The WAL is at least that long.
func (v *vgroupMeter) reach(at int64) bool {
	if at <= v.current {
		return false
	}
	v.current = at
	if v.latest != core.Unknown {
		v.latest = max(v.latest, at)
	}
	v.forget()
	return true
}

// forget drops the samples that are reached.
func (v *vgroupMeter) forget() {
	n := 0
	for n < len(v.samples) && v.samples[n].latest <= v.current {
		n++
	}
	v.samples = v.samples[n:]
}

// sighted adds a sample and drops those that are reached. When there are too
// many every other one goes: the oldest, which tells the lag, stays.
func (v *vgroupMeter) sighted(now time.Time) {
	if v.latest > v.current && (len(v.samples) == 0 || v.samples[len(v.samples)-1].latest < v.latest) {
		v.samples = append(v.samples, sample{now, v.latest})
	}
	v.forget()
	if len(v.samples) > maxSamples {
		kept := v.samples[:0]
		for i := 0; i < len(v.samples); i += 2 {
			kept = append(kept, v.samples[i])
		}
		v.samples = kept
	}
}

// newMeter goes on from what a task last knew.
func newMeter(last core.Task) *meter {
	m := &meter{vg: map[int32]*vgroupMeter{}, measuredAt: last.MeasuredAt, lastCommit: last.LastCommit,
		minutes: series{step: 10 * time.Second, keep: minutePoints}, day: series{step: 5 * time.Minute, keep: dayPoints}}
	for _, v := range last.Vgroups {
		m.vg[v.ID] = &vgroupMeter{endAt: last.MeasuredAt, current: v.Current, committed: v.Committed, latest: v.Latest, rewind: core.Unknown, read: core.Unknown, lastAt: v.LastAt, tickedCurrent: v.Current}
	}
	return m
}

func (m *meter) vgroup(id int32) *vgroupMeter {
	v := m.vg[id]
	if v == nil {
		v = &vgroupMeter{current: core.Unknown, committed: core.Unknown, latest: core.Unknown, rewind: core.Unknown, read: core.Unknown, tickedCurrent: core.Unknown}
		m.vg[id] = v
	}
	return v
}

// position is the next version to apply, if it is known.
func (m *meter) position(vgroup int32) (int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.vg[vgroup]
	if v == nil || v.current == core.Unknown {
		return 0, false
	}
	return v.current, true
}

// hasRead reports whether there is any position.
func (m *meter) hasRead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.vg {
		if v.current != core.Unknown {
			return true
		}
	}
	return false
}

// lastAt is when a message of a vgroup was last applied; zero if never.
func (m *meter) lastAt(vgroup int32) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.vg[vgroup]; v != nil {
		return v.lastAt
	}
	return time.Time{}
}

// start takes note of a subscription, and from where it reads: what is known to
// be applied is in front of that, unless it was in another group.
func (m *meter) start(a core.Assignment, stored int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.vgroup(a.Vgroup)
	v.current, v.latest, v.committed = a.Offset, a.End, stored
	v.owner, v.foreign = "", false // as it may have been in a shared group
	m.changed, m.level = true, false
}

func (m *meter) applied(msg *core.Message, rows int64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.totals.Messages++
	m.totals.Bytes += int64(len(msg.Payload()))
	m.totals.Rows += rows
	m.uncounted = m.uncounted || msg.Kind == core.KindRaw
	m.lastApplied = now
	v := m.vgroup(msg.Vgroup)
	v.lastAt = now
	// A vgroup's messages come in order: what is below this one is applied. The
	// next sample tells where the message itself ends; waiting for it would
	// show a lag of up to a second where there is none.
	v.reach(msg.Offset)
	m.changed = true
}

// passed takes note of a message that is in quarantine: nothing waits for it,
// and nothing of it is at the sink.
func (m *meter) passed(msg *core.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vgroup(msg.Vgroup).reach(msg.Offset)
	m.changed = true
}

// schemaChanged keeps a change of schema and reports whether it is new, and not
// another vgroup's copy of one that was told already.
func (m *meter) schemaChanged(d core.DDLRecord) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	copied := slices.ContainsFunc(m.ddl[max(0, len(m.ddl)-recentDDL):], func(o core.DDLRecord) bool {
		return o.Text == d.Text && o.Vgroup != d.Vgroup
	})
	m.totals.DDL++
	if len(m.ddl) == maxDDL {
		m.ddl = append(m.ddl[:0], m.ddl[1:]...)
	}
	m.ddl = append(m.ddl, d)
	return !copied
}

// reached says that everything below these positions is applied.
func (m *meter) reached(at map[int32]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for vg, pos := range at {
		if m.vgroup(vg).reach(pos) {
			m.changed = true
		}
	}
}

func (m *meter) committed(vg int32, at int64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vgroup(vg).committed = at
	m.totals.Commits++
	m.lastCommit, m.changed = now, true
}

// measured takes the ends of the WALs and returns by how much they are ahead. A
// commit, ours or another group's, and what the server logs for itself put a few
// entries behind the position until the next poll steps over them. So where the
// last poll found nothing (quiet), that little counts only if it is still there
// when the next sample is taken.
//
// A backlog is one now. That there is none was true at asked, when the vgroups
// are known to have been asked in vain: the server tells the end of a vgroup's WAL
// as it was when that vgroup was last polled. A zero asked is not known.
func (m *meter) measured(assigned []core.Assignment, now, asked time.Time, quiet bool) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var behind int64
	for _, a := range assigned {
		v := m.vgroup(a.Vgroup)
		end := max(a.End, v.current)
		v.end = end
		if !asked.IsZero() {
			v.endAt = asked
		}
		behind += end - v.current
		if ahead := end - v.current; quiet && ahead > 0 && ahead <= ownEntries && v.doubted <= v.current {
			v.doubted, end = end, v.current
		}
		if end != v.latest {
			v.latest, m.changed = end, true
		}
		v.sighted(now)
	}
	m.measuredAt = now
	m.judge(now)
	return behind
}

// trueAt is when the diff was true. That something is left is, when it was last
// looked at; that nothing is left, when the vgroup was asked that was not for the
// longest time, also if what was left has been applied since. The caller holds
// the lock.
func (m *meter) trueAt() time.Time {
	at := m.measuredAt
	if m.diff() > 0 {
		return at
	}
	for _, v := range m.vg {
		if !v.foreign && v.endAt.Before(at) {
			at = v.endAt
		}
	}
	return at
}

// endsSince returns the ends of all WALs, measured after asked; nil if one was
// not measured since.
func (m *meter) endsSince(asked time.Time) map[int32]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	ends := make(map[int32]int64, len(m.vg))
	for id, v := range m.vg {
		if !v.endAt.After(asked) {
			return nil
		}
		ends[id] = v.end
	}
	if len(ends) == 0 {
		return nil
	}
	return ends
}

// hasPassed reports whether everything below these versions is applied, and
// nothing of it is to be read again.
func (m *meter) hasPassed(ends map[int32]int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, end := range ends {
		v := m.vgroup(id)
		if v.place() < end || v.rewind != core.Unknown && v.rewind < end {
			return false
		}
	}
	return true
}

// settled reports whether nothing is left to apply, and when the last commit was.
func (m *meter) settled() (level bool, committed time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.diff() == 0, m.lastCommit
}

// judge decides whether the task counts as caught up: from the moment its diff
// is 0 until something waits for too long. The caller holds the lock.
func (m *meter) judge(now time.Time) {
	if m.diff() == 0 {
		m.level = true
		return
	}
	for _, v := range m.vg {
		if v.lag(now) >= levelLag.Milliseconds() {
			m.level = false
		}
	}
}

func (m *meter) retried() {
	m.mu.Lock()
	m.totals.Retries++
	m.mu.Unlock()
}

// tick computes rates and fills charts; it is called about once a second.
func (m *meter) tick(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dt := now.Sub(m.tickedAt).Seconds()
	first := m.tickedAt.IsZero()
	if !first && dt < 0.2 {
		return
	}
	m.tickedAt = now
	m.judge(now)
	diff, lag := m.diff(), int64(0)
	for _, v := range m.vg {
		lag = max(lag, v.lag(now))
	}
	if !first {
		messages, bytes := m.totals.Messages-m.ticked.Messages, m.totals.Bytes-m.ticked.Bytes
		m.messages = ewma(m.messages, float64(messages)/dt, dt, rateWindow)
		m.bytes = ewma(m.bytes, float64(bytes)/dt, dt, rateWindow)
		m.rows = ewma(m.rows, float64(m.totals.Rows-m.ticked.Rows)/dt, dt, rateWindow)
		m.drain.add(diff, dt)
		for _, v := range m.vg {
			if v.tickedCurrent != core.Unknown {
				v.rate = ewma(v.rate, float64(v.current-v.tickedCurrent)/dt, dt, rateWindow)
			}
			v.drain.add(v.diff(), dt)
		}
		point := core.Throughput{At: now, Messages: messages, Bytes: bytes, Diff: max(0, diff), LagMS: lag}
		m.minutes.add(point)
		m.day.add(point)
	}
	m.ticked = m.totals
	for _, v := range m.vg {
		v.tickedCurrent = v.current
	}
	if now.Sub(m.chartedAt) >= 10*time.Second {
		m.chartedAt = now
		m.history = chart(m.history, diff)
		for _, v := range m.vg {
			v.history = chart(v.history, v.diff())
		}
	}
}

// diff is the sum over the vgroups; the caller holds the lock.
func (m *meter) diff() int64 {
	sum := core.Unknown
	for _, v := range m.vg {
		if d := v.diff(); d != core.Unknown {
			sum = max(0, sum) + d
		}
	}
	return sum
}

// fill writes the numbers into a task.
func (m *meter) fill(t *core.Task, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	live := t.State.Live()
	if m.uncounted {
		defer func() { t.Totals.Rows, t.Rate.Rows = core.Unknown, float64(core.Unknown) }()
	}
	t.Diff, t.MeasuredAt, t.LastCommit, t.Totals = m.diff(), m.trueAt(), m.lastCommit, m.totals
	t.History = m.history
	t.EtaMS, t.LagMS, t.IdleMS = core.Unknown, core.Unknown, core.Unknown
	if t.State == core.Running {
		t.Phase = core.CatchingUp
		if t.Diff == 0 || m.level {
			t.Phase = core.CaughtUp
		}
	}
	if !m.lastApplied.IsZero() {
		t.IdleMS = max(0, now.Sub(m.lastApplied).Milliseconds())
	}
	if live {
		t.EtaMS, t.Trend = m.drain.eta(t.Diff), m.drain.sign(t.Diff)
		t.Rate.Messages, t.Rate.Bytes, t.Rate.Rows = m.messages, m.bytes, m.rows
	}
	if t.State == core.Running && t.Diff != core.Unknown {
		t.LagMS = 0
	}
	t.Vgroups = make([]core.Vgroup, 0, len(m.vg))
	for id, v := range m.vg {
		g := core.Vgroup{ID: id, Current: v.place(), Committed: v.committed, Latest: v.latest, Diff: v.diff(),
			LagMS: core.Unknown, EtaMS: core.Unknown, LastAt: v.lastAt, History: v.history, Owner: v.owner}
		if live && !v.foreign {
			g.Rate, g.EtaMS = v.rate, v.drain.eta(g.Diff)
			// While nobody looks at the source, "nothing is waiting" is a guess.
			if lag := v.lag(now); lag > 0 || t.State == core.Running && g.Diff != core.Unknown {
				g.LagMS = lag
			}
			g.State = "reading"
			if t.State == core.Interrupted {
				g.State = "waits"
			} else if g.Diff == 0 || m.level {
				g.State = "caught up"
			}
			t.LagMS = max(t.LagMS, g.LagMS)
			t.Rate.Versions += v.rate
		}
		t.Vgroups = append(t.Vgroups, g)
	}
	sort.Slice(t.Vgroups, func(i, j int) bool { return t.Vgroups[i].ID < t.Vgroups[j].ID })
}

// appliedHere puts what is applied here in the place of what others were seen reading.
func (m *meter) appliedHere(vgroups []core.Vgroup) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range vgroups {
		if v := m.vg[vgroups[i].ID]; v != nil && v.foreign {
			vgroups[i].Current = v.current
		}
	}
}

// takeChanged reports, once, whether a number moved that should survive.
func (m *meter) takeChanged() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.changed
	m.changed = false
	return was
}

// detail returns what only a task's own screen shows.
func (m *meter) detail(d *core.TaskDetail) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d.DDL = append([]core.DDLRecord{}, m.ddl...)
	d.Minutes = append([]core.Throughput{}, m.minutes.points...)
	d.Day = append([]core.Throughput{}, m.day.points...)
}
