package engine

import (
	"math"
	"time"

	"tdreplica/core"
)

// trend is the smoothed change of a backlog, per second; negative shrinks.
type trend struct {
	last  int64
	speed float64
	known bool
}

func (t *trend) add(diff int64, dt float64) {
	if t.known {
		t.speed = ewma(t.speed, float64(diff-t.last)/dt, dt, drainWindow)
	}
	t.last, t.known = diff, true
}

func (t *trend) eta(diff int64) int64 {
	switch {
	case diff == 0:
		return 0
	case diff < 0 || t.speed > -0.01:
		return core.Unknown
	}
	ms := float64(diff) / -t.speed * 1000
	if ms > math.MaxInt32*1000 {
		return core.Unknown
	}
	return int64(ms)
}

// sign ignores what is less than a hundredth of the backlog per second.
func (t *trend) sign(diff int64) int {
	noise := math.Max(0.5, float64(diff)/1000)
	switch {
	case diff == 0 || math.Abs(t.speed) < noise:
		return 0
	case t.speed < 0:
		return -1
	}
	return 1
}

// ewma is the exponentially weighted mean over about window seconds.
func ewma(old, now, dt, window float64) float64 {
	keep := math.Exp(-dt / window)
	mean := old*keep + now*(1-keep)
	if math.Abs(mean) < 1e-3 {
		return 0
	}
	return mean
}

// chart appends to a copy, so that snapshots can share the old one.
func chart(points []int64, v int64) []int64 {
	if len(points) >= chartPoints {
		points = points[len(points)-chartPoints+1:]
	}
	return append(append(make([]int64, 0, len(points)+1), points...), v)
}

// series is a chart of fixed intervals.
type series struct {
	step   time.Duration
	keep   int
	points []core.Throughput
}

func (s *series) add(p core.Throughput) {
	p.At = p.At.Truncate(s.step)
	if n := len(s.points); n > 0 && s.points[n-1].At.Equal(p.At) {
		last := &s.points[n-1]
		last.Messages += p.Messages
		last.Bytes += p.Bytes
		last.Diff, last.LagMS = max(last.Diff, p.Diff), max(last.LagMS, p.LagMS)
		return
	}
	if len(s.points) >= s.keep {
		s.points = append(s.points[:0], s.points[len(s.points)-s.keep+1:]...)
	}
	s.points = append(s.points, p)
}
