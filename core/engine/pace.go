package engine

import "time"

// pace decides how long polls may block. A server may answer an idle poll only
// at the end of that time, even if a row came in between: what a poll may block
// is what the next row may have to wait. So it is a quarter of the silence so
// far, between two bounds.
type pace struct {
	least, most time.Duration
	since       time.Time // when the last message came, or reading began
}

// wait is how long a poll that begins now may block: at most a little more
// than most. The longest waits end at multiples of most, at the same moment in
// all tasks: an instance with many idle ones then wakes once for all of them,
// and not once for each, which is most of what an idle poll costs.
func (p *pace) wait(now time.Time) time.Duration {
	if quarter := now.Sub(p.since) / 4; quarter < p.most {
		return max(p.least, quarter)
	}
	left := now.Truncate(p.most).Add(p.most).Sub(now)
	if left < p.most/32 {
		left += p.most // the poll before came back a little early
	}
	return left
}
