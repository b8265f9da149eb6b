package engine

import (
	"testing"
	"time"
)

func TestPollsBlockForAQuarterOfTheSilence(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
	p := pace{least: 10 * time.Millisecond, most: 800 * time.Millisecond, since: start}
	for _, c := range []struct{ silence, want time.Duration }{
		{0, 10 * time.Millisecond},
		{40 * time.Millisecond, 10 * time.Millisecond},
		{100 * time.Millisecond, 25 * time.Millisecond},
		{2 * time.Second, 500 * time.Millisecond},
	} {
		if got := p.wait(start.Add(c.silence)); got != c.want {
			t.Errorf("after %v: %v, want %v", c.silence, got, c.want)
		}
	}
}

// However two readers began, their longest polls end together, and none of them
// is followed by a short one because the server was a moment early.
func TestIdlePollsEndTogether(t *testing.T) {
	p := pace{least: time.Millisecond, most: 900 * time.Millisecond}
	for shift := range 2000 {
		begin := time.Date(2026, 1, 2, 3, 4, 5, shift*1_000_003, time.UTC)
		wait := p.wait(begin)
		if end := begin.Add(wait); !end.Equal(end.Truncate(p.most)) {
			t.Fatalf("a poll that began at %v ends at %v", begin, end)
		}
		if wait < p.most/32 || wait > p.most+p.most/16 {
			t.Fatalf("a poll that began at %v waits for %v", begin, wait)
		}
		early := begin.Add(wait - 3*time.Millisecond)
		if again := p.wait(early); again < p.most {
			t.Fatalf("a poll that came back early is followed by one of %v", again)
		}
	}
}

func TestOneTaskAsksTheSinkForAll(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	var p presence
	if !p.claim(start, time.Second) {
		t.Error("a sink that never answered is not asked")
	}
	if p.claim(start, time.Second) || p.claim(start.Add(900*time.Millisecond), time.Second) {
		t.Error("a sink that is being asked is asked again")
	}
	p.answered(start.Add(time.Second))
	if p.claim(start.Add(1900*time.Millisecond), time.Second) {
		t.Error("a sink that has just answered is asked")
	}
	if !p.claim(start.Add(2*time.Second), time.Second) {
		t.Error("a sink that was silent is not asked")
	}
	p.lost()
	if !p.claim(start.Add(2001*time.Millisecond), time.Second) {
		t.Error("a sink that one task lost is not asked by the next")
	}
}
