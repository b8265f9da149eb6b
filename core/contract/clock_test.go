package contract

import "time"

// quickClock runs faster than the wall. An engine with it waits less in all the
// places where it waits for time to pass: before retries, between looks at what
// moves slowly, for vgroups that are missing. What bounds a request is not
// scaled: a node takes as long as it takes.
type quickClock struct {
	begun time.Time
	times int
}

func newQuickClock(times int) *quickClock { return &quickClock{time.Now(), times} }

func (c *quickClock) Now() time.Time {
	return c.begun.Add(time.Since(c.begun) * time.Duration(c.times))
}

func (c *quickClock) After(d time.Duration) <-chan time.Time {
	return time.After(d / time.Duration(c.times))
}

// now is the time as the engines of a scenario have it.
func (e *env) now() time.Time {
	if e.clock != nil {
		return e.clock.Now()
	}
	return time.Now()
}
