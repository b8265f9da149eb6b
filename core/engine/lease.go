package engine

import (
	"context"
	"time"
)

// lease lends a context with a deadline to many requests in a row: to make one
// for each of them would be most of what they cost. The zero value is ready for
// use by one goroutine.
type lease struct {
	parent context.Context
	ctx    context.Context
	cancel context.CancelFunc
}

// take returns a context that ends with parent, and not before d nor after 2d
// from now.
func (l *lease) take(parent context.Context, d time.Duration) context.Context {
	if l.ctx != nil && l.parent == parent {
		if deadline, ok := l.ctx.Deadline(); ok {
			if left := time.Until(deadline); left >= d && left <= 2*d {
				return l.ctx
			}
		}
	}
	l.end()
	l.parent = parent
	l.ctx, l.cancel = context.WithTimeout(parent, 2*d)
	return l.ctx
}

// end frees what the context holds.
func (l *lease) end() {
	if l.ctx != nil {
		l.cancel()
		l.ctx, l.parent = nil, nil
	}
}
