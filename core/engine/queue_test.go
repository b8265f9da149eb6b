package engine

import (
	"context"
	"testing"
	"time"

	"tdreplica/core"
)

// A message that was released has no size any more; its place in the queue must
// be given back all the same, or the reader would wait for room for ever.
func TestQueueGivesBackWhatReleasedMessagesHeld(t *testing.T) {
	q := newQueue(1000)
	reused := 0
	var taken []item
	for n := range 3 * compactAfter {
		q.put(item{m: &core.Message{Frame: make([]byte, 100), Reuse: func([]byte) { reused++ }}, seq: uint64(n + 1)})
		if n%3 == 2 { // some are always left behind
			for range 2 {
				it, ok, over := q.take()
				if !ok || over || it.seq != uint64(len(taken)+1) {
					t.Fatalf("item %d: got %d, %v, %v", len(taken)+1, it.seq, ok, over)
				}
				taken = append(taken, it)
			}
		}
	}
	q.close()
	for it, ok, over := q.take(); !over; it, ok, over = q.take() {
		if !ok || it.seq != uint64(len(taken)+1) {
			t.Fatalf("item %d: got %d, %v", len(taken)+1, it.seq, ok)
		}
		taken = append(taken, it)
	}
	if q.room() || q.size() != 300*compactAfter {
		t.Errorf("%d bytes are held, want %d", q.size(), 300*compactAfter)
	}
	for _, it := range taken {
		it.m.Release()
		q.written(it)
	}
	if q.size() != 0 || reused != 3*compactAfter {
		t.Errorf("%d bytes are held by nothing; %d of %d messages were reused", q.size(), reused, 3*compactAfter)
	}
}

func TestALeaseIsNeverShorterThanAsked(t *testing.T) {
	var l lease
	parent, cancel := context.WithCancel(t.Context())
	first := l.take(parent, time.Hour)
	if again := l.take(parent, time.Hour); again != first && time.Until(deadline(t, again)) < time.Hour {
		t.Error("the second context ends too early")
	}
	if longer := l.take(parent, 3*time.Hour); time.Until(deadline(t, longer)) < 3*time.Hour-time.Minute || first.Err() == nil {
		t.Error("a longer time does not make a new context, or leaves the old one")
	}
	if shorter := l.take(parent, time.Minute); time.Until(deadline(t, shorter)) > 2*time.Minute {
		t.Error("a shorter time is not kept")
	}
	cancel()
	if l.take(parent, time.Minute).Err() == nil {
		t.Error("the context outlives its parent")
	}
	other := l.take(t.Context(), time.Minute)
	if other.Err() != nil {
		t.Error("the end of one parent ends another's context")
	}
	l.end()
	if other.Err() == nil {
		t.Error("a context outlives its lease")
	}
}

func deadline(t *testing.T, ctx context.Context) time.Time {
	t.Helper()
	at, ok := ctx.Deadline()
	if !ok {
		t.Fatal("no deadline")
	}
	return at
}

// While the sink takes its time over one message, the next ones are read.
func TestReadingGoesOnWhileAWriteIsUnderWay(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	write, release := make(chan struct{}, 1), make(chan struct{})
	w.setFault(func(op string) error {
		if op == "write" {
			signal(write)
			<-release
		}
		return nil
	})
	w.produce(east, "power", 2, "a", "b", "c")
	i := running(t, w, quick())
	i.start(t, request("power"))
	<-write
	await(t, "the other messages are read", func() bool {
		s, err := i.Snapshot(t.Context())
		return err == nil && s.Tasks[0].QueueBytes >= 3
	})
	if done := w.appliedAt(west, "power"); len(done) > 0 {
		t.Errorf("%v were applied before the sink took them", done)
	}
	close(release)
	await(t, "all are applied", func() bool { return len(w.appliedAt(west, "power")) == 3 })
}
