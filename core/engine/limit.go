package engine

import (
	"sync"
	"time"
)

// limitPause is how long a reader waits before it looks again whether it may
// read: the limit may have been changed meanwhile, and commits are due.
const limitPause = 200 * time.Millisecond

// limit holds the readers of a replica to a number of bytes per second, all of
// them together. It is a bucket that may be overdrawn: what was read is paid
// afterwards, for nobody knows the size of a message before. While there is
// debt no task of the replica reads, and then each of them one message: a task
// with a backlog takes no more turns than one without. It is safe for
// concurrent use.
type limit struct {
	mu    sync.Mutex
	rate  float64 // bytes per second; 0 is no limit
	have  float64 // negative is debt
	since time.Time
}

// set changes the rate. A debt is forgotten, so that a limit of next to nothing
// can be lifted at once.
func (l *limit) set(rate int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate != float64(rate) {
		l.rate, l.have = float64(rate), 0
	}
}

// spend takes note of what was read.
func (l *limit) spend(bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate > 0 {
		l.have -= float64(bytes)
	}
}

// owed is how long nobody may read. What was not used for a tenth of a second
// is lost: a pause is not made up for by a burst.
func (l *limit) owed(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate <= 0 {
		return 0
	}
	l.have = min(l.rate/10, l.have+l.rate*max(0, now.Sub(l.since).Seconds()))
	l.since = now
	return time.Duration(max(0, -l.have) / l.rate * float64(time.Second))
}
