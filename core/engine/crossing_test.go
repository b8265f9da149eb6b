package engine

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// keysOf is a message of one table.
func keysOf(table int64, times ...int64) []int64 {
	return append([]int64{table, int64(len(times))}, times...)
}

func newCrossing(limit int64) *crossing {
	all := crossings{limit: limit}
	all.join(east, west, "power")
	c, _ := all.join(west, east, "power")
	return c
}

func seconds(n float64) time.Time { return time.Unix(1700000000, 0).Add(time.Duration(n * 1e9)) }

func TestRowsOfBothSidesCross(t *testing.T) {
	c := newCrossing(1 << 20)
	b, x := c.read(0, seconds(0), keysOf(7, 10, 20, 30))
	if x != (crossed{}) {
		t.Errorf("the first message crossed %+v", x)
	}
	c.written(b, seconds(1))
	_, x = c.read(1, seconds(2), append(keysOf(8, 20), keysOf(7, 5, 20, 30, 40)...))
	if x.rows != 2 || x.table != 7 || x.at != 30 {
		t.Errorf("crossed %+v, want the two rows in common and the last of them", x)
	}
	if _, x = c.read(0, seconds(3), keysOf(7, 5)); x.rows != 1 {
		t.Errorf("the other direction's row was not found: %+v", x)
	}
}

func TestARowWrittenAfterTheCopyCameDoesNotCross(t *testing.T) {
	c := newCrossing(1 << 20)
	b, _ := c.read(0, seconds(0), keysOf(7, 10))
	c.level(1, 0, 1, seconds(5)) // not acknowledged yet: the other side may still write first
	c.written(b, seconds(6))
	c.level(1, 0, 1, seconds(6.5)) // too near: the end of a WAL may be told late
	if n := c.watched(0); n != 1 {
		t.Fatalf("%d rows are watched, want 1", n)
	}
	c.level(1, 0, 2, seconds(8)) // one worker of two
	c.level(1, 1, 2, seconds(6))
	if n := c.watched(0); n != 1 {
		t.Fatalf("%d rows are watched although a worker may still read what was written before", n)
	}
	c.level(1, 1, 2, seconds(9))
	if n := c.watched(0); n != 0 {
		t.Fatalf("%d rows are still watched", n)
	}
	if _, x := c.read(1, seconds(10), keysOf(7, 10)); x != (crossed{}) {
		t.Errorf("a later write crossed %+v", x)
	}
}

func TestWhatIsForgottenTooEarlyIsSaid(t *testing.T) {
	c := newCrossing(3 * (8*3 + tableCost))
	for n := range int64(5) {
		b, _ := c.read(0, seconds(float64(n)), keysOf(7, n))
		c.written(b, seconds(float64(n)))
	}
	if _, x := c.read(1, seconds(5), keysOf(7, 0, 4)); x.rows != 1 || x.unchecked != 1 {
		t.Errorf("crossed %+v, want one row found and one that cannot be known", x)
	}
	c.level(1, 0, 1, seconds(3))
	if _, x := c.read(1, seconds(6), keysOf(7, 0)); x != (crossed{}) {
		t.Errorf("crossed %+v although all that was forgotten need not be known any more", x)
	}
}

func TestAPumpThatEndsLeavesNothingOpen(t *testing.T) {
	c := newCrossing(1 << 20)
	c.read(0, seconds(0), keysOf(7, 10))
	c.ended(0, seconds(1))
	c.level(1, 0, 1, seconds(3))
	if n := c.watched(0); n != 0 {
		t.Errorf("%d rows are watched for ever", n)
	}
}

func TestTablesThatAlternateAreGathered(t *testing.T) {
	b := batch{keys: slices.Concat(keysOf(1, 5), keysOf(2, 5), keysOf(1, 3, 4), keysOf(2, 5), keysOf(1, 4, 9))}
	b.gather()
	if want := append(keysOf(1, 3, 4, 5, 9), keysOf(2, 5)...); !slices.Equal(b.keys, want) {
		t.Errorf("got %v, want %v", b.keys, want)
	}
}

func TestRemovedReplicasAreNotCompared(t *testing.T) {
	all := crossings{limit: 1 << 20}
	c, side := all.join(east, west, "power")
	if c.both.Load() {
		t.Error("one direction alone has nothing to be compared with")
	}
	all.join(west, east, "power")
	if !c.both.Load() {
		t.Error("both are there")
	}
	c.read(side, seconds(0), keysOf(7, 10))
	all.leave(west, east, "power")
	if c.both.Load() || c.watched(side) != 0 {
		t.Error("the other direction is gone, and is still waited for")
	}
	all.leave(east, west, "power")
	if len(all.all) != 0 {
		t.Error("nobody is left, but the crossing is")
	}
}

// twoSites is two servers and the two directions between them, on one key.
type twoSites struct {
	c     *crossing
	now   float64
	wal   [2][]logged // of the key's vgroup, by site
	value [2]int
	at    [2]int // where the direction that reads the site stands
	open  [2]*batch
	moved [2]int // the value that is being copied from a site
	seen  [2]coverageOf
	found map[int]bool // values that were counted as in conflict
}

type logged struct {
	value  int
	copied bool // written by replication
	at     float64
}

type coverageOf struct {
	end int
	at  float64
}

// TestNoDifferenceWithoutACountedConflict tries random schedules of writes,
// reads, copies, samples and restarts. Whenever everything has arrived and the
// sides differ, a conflict was counted.
func TestNoDifferenceWithoutACountedConflict(t *testing.T) {
	differed, counted := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := &twoSites{c: newCrossing(1 << 20), found: map[int]bool{}}
		steps := rapid.IntRange(2, 60).Draw(t, "steps")
		for range steps {
			s.now += rapid.SampledFrom([]float64{0, 0.1, 0.3, 1.2}).Draw(t, "pause")
			site := rapid.IntRange(0, 1).Draw(t, "site")
			switch rapid.SampledFrom([]string{"write", "read", "arrive", "sample", "sample", "restart"}).Draw(t, "step") {
			case "write":
				s.write(site, logged{value: len(s.wal[0]) + len(s.wal[1]) + 1})
			case "read":
				s.readFrom(site)
			case "arrive":
				s.arrive(site)
			case "sample":
				s.sample(site)
			case "restart":
				s.restart(site)
			}
		}
		for range 2 * steps {
			for site := range 2 {
				s.readFrom(site)
				s.arrive(site)
			}
		}
		if s.value[0] != s.value[1] {
			differed++
			if !s.found[s.value[0]] && !s.found[s.value[1]] {
				t.Fatalf("the sides hold %v, and neither was counted as in conflict", s.value)
			}
		}
		if slices.Contains(slices.Collect(maps.Values(s.found)), true) {
			counted++
		}
	})
	if differed == 0 || counted == 0 {
		t.Errorf("of all schedules %d ended with a difference and %d with a conflict: the test tries nothing", differed, counted)
	}
}

func (s *twoSites) write(site int, e logged) {
	e.at = s.now
	s.wal[site] = append(s.wal[site], e)
	s.value[site] = e.value
}

// readFrom reads the next entry that replication did not write.
func (s *twoSites) readFrom(site int) {
	if s.open[site] != nil {
		return
	}
	for ; s.at[site] < len(s.wal[site]); s.at[site]++ {
		if e := s.wal[site][s.at[site]]; !e.copied {
			s.at[site]++
			var x crossed
			s.open[site], x = s.c.read(site, seconds(s.now), keysOf(7, 10))
			s.moved[site] = e.value
			s.found[e.value] = s.found[e.value] || x.rows > 0
			return
		}
	}
}

// arrive is the sink's write and its acknowledgement.
func (s *twoSites) arrive(site int) {
	if s.open[site] == nil {
		return
	}
	s.write(1-site, logged{value: s.moved[site], copied: true})
	s.c.written(s.open[site], seconds(s.now))
	s.open[site] = nil
}

// restart loses what is under way: it is read again, whether the sink has it or
// not.
func (s *twoSites) restart(site int) {
	s.c.ended(site, seconds(s.now))
	if s.open[site] != nil {
		s.at[site]--
		s.open[site] = nil
	}
	s.seen[site] = coverageOf{}
}

// sample is what a reader does between two polls. The end that it is told is a
// second old.
func (s *twoSites) sample(site int) {
	seen := &s.seen[site]
	if s.at[site] >= seen.end && seen.at > 0 {
		s.c.level(site, 0, 1, seconds(seen.at))
	}
	end := 0
	for end < len(s.wal[site]) && s.wal[site][end].at <= s.now-endAge.Seconds() {
		end++
	}
	*seen = coverageOf{end: end, at: s.now}
}
