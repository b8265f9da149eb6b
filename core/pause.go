package core

import (
	"context"
	"time"
)

// Pause waits for d, or returns ctx's error when ctx ends before. A ctx that is
// over is an error also where there is nothing to wait for.
func Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
