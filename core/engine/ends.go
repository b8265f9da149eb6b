package engine

import (
	"context"
	"sync"
	"time"
)

// sourceEnds is where the WALs of a replica's source ended when one of its tasks
// last asked by SQL. They are asked for all together: each of a hundred idle
// tasks would ask once a minute otherwise. It is safe for concurrent use.
type sourceEnds struct {
	mu   sync.Mutex // held by who asks
	at   time.Time
	last map[int32]int64 // by vgroup; replaced, never changed
}

// ask returns ends that are not older than that. They are empty if the server
// does not tell them, cannot be asked, or is being asked by another task.
func (s *sourceEnds) ask(ctx context.Context, c Catalog, now time.Time, old time.Duration) map[int32]int64 {
	if !s.mu.TryLock() {
		return nil
	}
	defer s.mu.Unlock()
	if s.at.IsZero() || now.Sub(s.at) > old {
		s.at, s.last = now, nil
		if ends, known, err := c.WALEnds(ctx, ""); err == nil && known {
			s.last = ends
		}
	}
	return s.last
}
