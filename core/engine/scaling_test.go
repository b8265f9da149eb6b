package engine

import (
	"testing"
	"time"

	"tdreplica/core"
)

// TestScalingRule walks through loads second by second.
func TestScalingRule(t *testing.T) {
	const grow = 30 * time.Second
	slow := load{vgroups: 8, busy: true, behind: 900, eta: core.Unknown, bytes: 100}
	soon, paused, limited, begun := slow, slow, slow, slow
	begun.bytes = 0
	soon.eta = 20_000
	paused.busy = false
	limited.vgroups = 1
	heavy, easy := load{vgroups: 8, level: true, bytes: 51}, load{vgroups: 8, level: true, bytes: 50}
	type phase struct {
		load    load
		seconds int
		want    int // the number of workers at its end
	}
	for name, phases := range map[string][]phase{
		"too slow":               {{slow, 29, 1}, {slow, 2, 4}},
		"soon done":              {{soon, 300, 1}},
		"pauses":                 {{slow, 25, 1}, {paused, 1, 1}, {slow, 25, 1}},
		"nothing to share":       {{limited, 300, 1}},
		"four are needed":        {{slow, 31, 4}, {heavy, 3000, 4}},
		"one is enough again":    {{slow, 31, 4}, {easy, 595, 4}, {easy, 10, 1}},
		"for long, not at times": {{slow, 31, 4}, {easy, 500, 4}, {heavy, 1, 4}, {easy, 500, 4}},
		"nothing is done yet":    {{begun, 300, 1}, {slow, 31, 4}, {easy, 605, 1}},
		"not at once again":      {{slow, 31, 4}, {easy, 601, 1}, {slow, 290, 1}, {slow, 15, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			now, workers := time.Unix(0, 0), 1
			var s scaling
			for i, p := range phases {
				for range p.seconds {
					now = now.Add(time.Second)
					p.load.workers = workers
					if n, why := s.decide(now, p.load, grow, 8); n != 0 {
						if workers = n; why == "" {
							t.Error("changed without a reason")
						}
					}
				}
				if workers != p.want {
					t.Fatalf("after phase %d there are %d workers; want %d", i+1, workers, p.want)
				}
			}
		})
	}
	if n, _ := (&scaling{busy: time.Unix(1, 0)}).decide(time.Unix(100, 0), load{workers: 1, vgroups: 8, busy: true, behind: 1, eta: core.Unknown, bytes: 1}, grow, 1); n != 2 {
		t.Errorf("one processor was given %d workers", n)
	}
}
