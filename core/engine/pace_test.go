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
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct{ silence, longest time.Duration }{
		{time.Minute, 900 * time.Millisecond}, {time.Hour, longWait},
	} {
		p := pace{least: time.Millisecond, most: 900 * time.Millisecond, since: start.Add(-c.silence)}
		for shift := range 5000 {
			begin := start.Add(time.Duration(shift) * 1_000_003)
			wait := p.wait(begin)
			if end := begin.Add(wait); !end.Equal(end.Truncate(c.longest)) {
				t.Fatalf("a poll that began at %v ends at %v", begin, end)
			}
			if wait+time.Second >= p.deadline(time.Second) {
				t.Fatalf("a poll of %v is given up before its answer", wait)
			}
			if wait < c.longest/32 || wait > c.longest+c.longest/16 || wait >= readGrace {
				t.Fatalf("a poll that began at %v waits for %v", begin, wait)
			}
			early := begin.Add(wait - 3*time.Millisecond)
			if again := p.wait(early); again < c.longest {
				t.Fatalf("a poll that came back early is followed by one of %v", again)
			}
		}
	}
	p := pace{least: time.Millisecond, most: 900 * time.Millisecond, since: start.Add(-time.Hour), wanted: start.Add(-time.Minute)}
	if wait := p.wait(start); wait > p.most+p.most/32 {
		t.Errorf("a poll whose answer somebody waits for blocks for %v", wait)
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
