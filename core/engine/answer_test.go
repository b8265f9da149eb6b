package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestOneTaskAsksTheServerForAll(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	a := newAnswer[int]()
	var asked atomic.Int64
	next := func(context.Context) (int, error) { return int(asked.Add(1)), nil }
	var tasks sync.WaitGroup
	for range 50 {
		tasks.Go(func() {
			if got, err := a.ask(t.Context(), start, time.Minute, next); got != 1 || err != nil {
				t.Errorf("%d, %v", got, err)
			}
		})
	}
	tasks.Wait()
	if got, err := a.ask(t.Context(), start.Add(time.Minute), time.Minute, next); got != 2 || err != nil {
		t.Errorf("a minute later: %d, %v", got, err)
	}
	if got, err := a.ask(t.Context(), start.Add(time.Minute), 0, next); got != 3 || err != nil {
		t.Errorf("what must be true now: %d, %v", got, err)
	}

	gone := errors.New("gone")
	fails := func(context.Context) (int, error) { asked.Add(1); return 0, gone }
	for range 2 {
		if _, err := a.ask(t.Context(), start.Add(time.Hour), time.Minute, fails); !errors.Is(err, gone) {
			t.Errorf("a server that is gone: %v", err)
		}
	}
	if asked.Load() != 4 {
		t.Errorf("asked %d times", asked.Load())
	}

	// A task that is stopped while it asks tells the others nothing.
	stopped, stop := context.WithCancel(t.Context())
	_, err := a.ask(stopped, start.Add(2*time.Hour), time.Minute, func(ctx context.Context) (int, error) { stop(); return 0, ctx.Err() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got, err := a.ask(t.Context(), start.Add(2*time.Hour), time.Minute, next); got != 5 || err != nil {
		t.Errorf("after that: %d, %v", got, err)
	}
}
