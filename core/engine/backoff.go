package engine

import (
	"math/rand/v2"
	"time"

	"tdreplica/core"
)

// backoff is the pause before the given retry (counted from 1): it doubles
// from shortest to longest and varies by a fifth, so that tasks which failed
// together do not come back together.
func backoff(shortest, longest time.Duration, retry int) time.Duration {
	d := shortest
	for i := 1; i < retry && d < longest; i++ {
		d *= 2
	}
	d = min(d, longest)
	return d - d/5 + time.Duration(rand.Int64N(int64(d)*2/5+1))
}

// pause is the back-off after an error: a resource that ran out is not
// replenished within seconds, so it is asked for slowly from the start.
func (e *Engine) pause(err error, retry int) time.Duration {
	shortest, longest := e.cfg.Engine.RetryMin.Duration, e.cfg.Engine.RetryMax.Duration
	if core.ClassOf(err) == core.ClassWait {
		shortest = min(longest, 10*shortest)
	}
	return backoff(shortest, longest, retry)
}
