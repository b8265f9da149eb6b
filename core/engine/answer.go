package engine

import (
	"context"
	"time"
)

// answer is what a server said when a task of a replica last asked it something
// that all tasks of the replica want to know: each of a hundred idle ones would ask
// once a minute otherwise. Make it with newAnswer; it is safe for concurrent use.
type answer[T any] struct {
	turn chan struct{} // one slot: held by who asks or looks
	at   time.Time
	last T // replaced, never changed
	err  error
}

func newAnswer[T any]() answer[T] { return answer[T]{turn: make(chan struct{}, 1)} }

// ask returns what f returns now, or returned less than that ago.
func (a *answer[T]) ask(ctx context.Context, now time.Time, old time.Duration, f func(context.Context) (T, error)) (T, error) {
	var none T
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	defer func() { <-a.turn }()
	if !a.at.IsZero() && now.Sub(a.at) < old {
		return a.last, a.err
	}
	last, err := f(ctx)
	if err != nil && ctx.Err() != nil {
		return none, err // of this task alone
	}
	a.at, a.last, a.err = now, last, err
	return last, err
}
