package engine

import (
	"math"
	"slices"
	"sync"
	"time"

	"tdreplica/core"
)

const (
	historyEvery  = 10 * time.Second // a point of Task.History and of the 15-minute chart
	historyPoints = 60
	minutePoints  = 90
	dayEvery      = 5 * time.Minute
	dayPoints     = 288
	ddlRecords    = 200
	ddlTold       = 64  // texts that are compared to tell a new change from a copy
	lagSamples    = 512 // of the end of one vgroup's WAL
	smoothing     = 0.3 // weight of the last second in a rate
	oldRate       = 30 * time.Second
)

// meter keeps a task's numbers. It outlives pumps. All methods are safe for
// concurrent use.
type meter struct {
	mu      sync.Mutex
	changed bool // since the last record

	vgroups    map[int32]*vgroupMeter
	measuredAt time.Time
	totals     core.Totals
	lastTotals core.Totals
	rate       core.Rate
	drain      float64 // by how much diff shrinks in a second
	lastDiff   int64
	lastTick   time.Time
	appliedAt  time.Time
	commitAt   time.Time
	queued     int64

	history    []int64
	historyAt  time.Time
	minutes    series
	day        series
	ddlHistory []core.DDLRecord
	ddlTexts   []string
}

// vgroupMeter is one vgroup's part.
type vgroupMeter struct {
	v           core.Vgroup
	lastCurrent int64
	samples     []endSample // ends of the WAL that are not applied yet, by time
}

type endSample struct {
	at  time.Time
	end int64
}

// series collects points of a chart, one per interval.
type series struct {
	every  time.Duration
	limit  int
	points []core.Throughput
}

func (s *series) add(now time.Time, messages, bytes, diff, lag int64) {
	start := now.Truncate(s.every)
	n := len(s.points)
	if n == 0 || !s.points[n-1].At.Equal(start) {
		s.points = append(s.points, core.Throughput{At: start})
		if n++; n > s.limit {
			s.points = append(s.points[:0], s.points[n-s.limit:]...)
			n = s.limit
		}
	}
	p := &s.points[n-1]
	p.Messages += messages
	p.Bytes += bytes
	p.Diff, p.LagMS = max(p.Diff, diff), max(p.LagMS, lag)
}

// newMeter goes on from what a task last knew.
func newMeter(last core.Task) *meter {
	m := &meter{
		vgroups: map[int32]*vgroupMeter{}, measuredAt: last.MeasuredAt, commitAt: last.LastCommit,
		history: slices.Clone(last.History), lastDiff: core.Unknown,
		minutes: series{every: historyEvery, limit: minutePoints}, day: series{every: dayEvery, limit: dayPoints},
	}
	for _, v := range last.Vgroups {
		v.Rate, v.State = 0, ""
		m.vgroups[v.ID] = &vgroupMeter{v: v, lastCurrent: v.Current}
		if v.LastAt.After(m.appliedAt) {
			m.appliedAt = v.LastAt
		}
	}
	return m
}

// vgroup returns one's meter. The caller holds m.mu.
func (m *meter) vgroup(id int32) *vgroupMeter {
	v := m.vgroups[id]
	if v == nil {
		v = &vgroupMeter{lastCurrent: core.Unknown, v: core.Vgroup{
			ID: id, Current: core.Unknown, Committed: core.Unknown, Latest: core.Unknown, Diff: core.Unknown, EtaMS: core.Unknown,
		}}
		m.vgroups[id] = v
	}
	return v
}

func (m *meter) retried() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.totals.Retries++
}

// applied counts a message that the sink acknowledged.
func (m *meter) applied(msg *core.Message, rows int64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.totals.Messages++
	m.totals.Bytes += int64(len(msg.Payload()))
	if rows > 0 {
		m.totals.Rows += rows
	}
	m.vgroup(msg.Vgroup).v.LastAt = now
	m.appliedAt, m.changed = now, true
}

func (m *meter) lastApplied() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.appliedAt
}

// ddl keeps a change of schema and reports whether it is new, not another
// vgroup's copy.
func (m *meter) ddl(d core.DDLRecord) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.totals.DDL++
	m.ddlHistory = append(m.ddlHistory, d)
	if len(m.ddlHistory) > ddlRecords {
		m.ddlHistory = m.ddlHistory[1:]
	}
	if slices.Contains(m.ddlTexts, d.Text) {
		return false
	}
	m.ddlTexts = append(m.ddlTexts, d.Text)
	if len(m.ddlTexts) > ddlTold {
		m.ddlTexts = m.ddlTexts[1:]
	}
	return true
}

// committed notes a stored offset; a zero time means that it was only read.
func (m *meter) committed(vgroup int32, offset int64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vgroup(vgroup).v.Committed = offset
	if !now.IsZero() {
		m.totals.Commits++
		m.commitAt, m.changed = now, true
	}
}

// latest notes the end of a vgroup's WAL.
func (m *meter) latest(vgroup int32, end int64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.vgroup(vgroup)
	if end > v.v.Latest {
		if len(v.samples) == lagSamples {
			// The oldest tells the lag, the newest the end: thin out between.
			v.samples = slices.Delete(v.samples, lagSamples/2, lagSamples/2+1)
		}
		v.samples = append(v.samples, endSample{at: now, end: end})
	}
	v.v.Latest = end
	v.settle(now)
}

// current notes up to where everything of a vgroup is at the sink.
func (m *meter) current(vgroup int32, position int64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.vgroup(vgroup)
	if position != v.v.Current {
		m.changed = true
	}
	v.v.Current = position
	v.settle(now)
}

// settle derives diff and lag.
func (v *vgroupMeter) settle(now time.Time) {
	if v.v.Current == core.Unknown || v.v.Latest == core.Unknown {
		return
	}
	v.v.Diff = max(0, v.v.Latest-v.v.Current)
	for len(v.samples) > 0 && v.samples[0].end <= v.v.Current {
		v.samples = v.samples[1:]
	}
	v.v.LagMS = 0
	if len(v.samples) > 0 && v.v.Diff > 0 {
		v.v.LagMS = now.Sub(v.samples[0].at).Milliseconds()
	}
}

// measured says that the vgroups' numbers are true now.
func (m *meter) measured(queued int64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.measuredAt, m.queued = now, queued
}

// tick computes rates; it is called about once a second.
func (m *meter) tick(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dt := now.Sub(m.lastTick).Seconds()
	if m.lastTick.IsZero() || dt <= 0 || dt > oldRate.Seconds() {
		m.lastTick, m.lastTotals = now, m.totals
		return
	}
	diff, lag := m.sums()
	messages, bytes := m.totals.Messages-m.lastTotals.Messages, m.totals.Bytes-m.lastTotals.Bytes
	m.rate.Messages = smooth(m.rate.Messages, float64(messages)/dt)
	m.rate.Bytes = smooth(m.rate.Bytes, float64(bytes)/dt)
	m.rate.Rows = smooth(m.rate.Rows, float64(m.totals.Rows-m.lastTotals.Rows)/dt)
	versions := 0.0
	for _, v := range m.vgroups {
		moved := 0.0
		if v.lastCurrent != core.Unknown && v.v.Current > v.lastCurrent {
			moved = float64(v.v.Current-v.lastCurrent) / dt
		}
		v.lastCurrent = v.v.Current
		v.v.Rate = smooth(v.v.Rate, moved)
		versions += v.v.Rate
	}
	m.rate.Versions = versions
	if diff != core.Unknown && m.lastDiff != core.Unknown {
		m.drain = smooth(m.drain, float64(m.lastDiff-diff)/dt)
	}
	m.lastDiff, m.lastTick, m.lastTotals = diff, now, m.totals
	m.minutes.add(now, messages, bytes, max(diff, 0), lag)
	m.day.add(now, messages, bytes, max(diff, 0), lag)
	if now.Sub(m.historyAt) >= historyEvery {
		m.historyAt = now
		m.history = point(m.history, diff)
		for _, v := range m.vgroups {
			v.v.History = point(v.v.History, v.v.Diff)
		}
	}
}

func point(h []int64, diff int64) []int64 {
	h = append(h, max(diff, 0))
	return h[max(0, len(h)-historyPoints):]
}

// smooth moves a rate towards what was just measured; a rate that has faded
// becomes zero.
func smooth(rate, now float64) float64 {
	rate += smoothing * (now - rate)
	if math.Abs(rate) < 0.01 {
		return 0
	}
	return rate
}

// sums returns the diff of all vgroups and the worst lag. The caller holds m.mu.
func (m *meter) sums() (diff, lag int64) {
	diff = core.Unknown
	for _, v := range m.vgroups {
		if v.v.Diff != core.Unknown {
			diff = max(diff, 0) + v.v.Diff
		}
		lag = max(lag, v.v.LagMS)
	}
	return diff, lag
}

// fill writes the numbers into a task's report.
func (m *meter) fill(t *core.Task, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.Diff, t.LagMS = m.sums()
	t.EtaMS, t.IdleMS = core.Unknown, core.Unknown
	if t.Diff > 0 && m.drain > 0.5 {
		t.EtaMS = int64(float64(t.Diff) / m.drain * 1000)
	}
	switch slack := max(1, float64(t.Diff)/100); {
	case m.drain > slack:
		t.Trend = -1
	case m.drain < -slack:
		t.Trend = 1
	}
	if !m.appliedAt.IsZero() {
		t.IdleMS = now.Sub(m.appliedAt).Milliseconds()
	}
	t.Rate, t.Totals, t.History = m.rate, m.totals, slices.Clone(m.history)
	t.MeasuredAt, t.QueueBytes, t.LastCommit = m.measuredAt, m.queued, m.commitAt
	t.Vgroups = make([]core.Vgroup, 0, len(m.vgroups))
	for _, v := range m.vgroups {
		out := v.v
		out.History = slices.Clone(out.History)
		if out.EtaMS = core.Unknown; out.Diff > 0 && t.EtaMS != core.Unknown {
			out.EtaMS = t.EtaMS
		}
		if t.State == core.Running {
			out.State = "reading"
			if out.Diff == 0 {
				out.State = "caught up"
			}
		}
		t.Vgroups = append(t.Vgroups, out)
	}
	slices.SortFunc(t.Vgroups, func(a, b core.Vgroup) int { return int(a.ID) - int(b.ID) })
}

// detail returns the charts and the history of schema changes.
func (m *meter) detail(d *core.TaskDetail) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d.DDL = slices.Clone(m.ddlHistory)
	d.Minutes, d.Day = slices.Clone(m.minutes.points), slices.Clone(m.day.points)
}

// takeChanged reports whether numbers changed since it was last asked.
func (m *meter) takeChanged() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.changed
	m.changed = false
	return was
}

// forget drops the vgroups that are not in keep: those of a database that was
// created anew, or one that was split.
func (m *meter) forget(keep map[int32]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.vgroups {
		if !keep[id] {
			delete(m.vgroups, id)
		}
	}
}
