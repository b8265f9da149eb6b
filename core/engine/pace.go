package engine

import "time"

// After longSilence polls may block for longTimes as long as before, which is that
// much fewer requests, but not longer than longWait. The first row comes within a
// second all the same: while a poll blocks, the adapter's client library asks every
// vgroup again once a second (docs/protocol.md). After less silence it is to come
// sooner than that.
const (
	longSilence = 2 * time.Minute
	longTimes   = 7
	longWait    = 6 * time.Second
)

// pace decides how long polls may block. A server may answer an idle poll only
// at the end of that time, even if a row came in between: what a poll may block,
// up to a second, is what the next row may have to wait. So it is a quarter of the
// silence so far, between two bounds.
type pace struct {
	least, most time.Duration
	since       time.Time // when the last message came, or reading began
	wanted      time.Time // when somebody last waited for an answer of the vgroups
}

// wait is how long a poll that begins now may block: at most a little more
// than most, or than longWait. The longest waits end at multiples of themselves, at
// the same moment in all tasks: an instance with many idle ones then wakes once for
// all of them, and not once for each, which is most of what an idle poll costs.
func (p *pace) wait(now time.Time) time.Duration {
	silence, most := now.Sub(p.since), p.most
	if silence >= longSilence && now.Sub(p.wanted) >= longSilence {
		most = max(most, min(longTimes*most, longWait))
	}
	if quarter := silence / 4; quarter < most {
		return max(p.least, quarter)
	}
	left := untilNext(now, most)
	if left < most/32 {
		left += most // the poll before came back a little early
	}
	return left
}

// deadline is how long to wait for the end of any poll whose answer may take that
// long itself: for the connector, which knows how long this one blocks, to give up
// first.
func (p *pace) deadline(answer time.Duration) time.Duration {
	return 2*max(p.most, longWait) + 2*answer
}

// untilNext is the time until the next multiple of d, at which all tasks wake that
// wait for one.
func untilNext(now time.Time, d time.Duration) time.Duration {
	return now.Truncate(d).Add(d).Sub(now)
}
