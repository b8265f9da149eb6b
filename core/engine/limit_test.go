package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
)

func TestLimitIsTheSumOfAllReaders(t *testing.T) {
	var l limit
	now := time.Unix(1700000000, 0)
	if l.spend(1 << 40); l.owed(now) != 0 {
		t.Error("there is a debt without a limit")
	}
	l.set(1000)
	read, began := int64(0), now
	for now.Sub(began) < time.Minute {
		for range 3 { // three readers find the bucket free and read one message each
			if l.owed(now) == 0 {
				l.spend(700)
				read += 700
			}
		}
		now = now.Add(max(time.Millisecond, l.owed(now)))
	}
	if most := int64(60*1000 + 100 + 700); read > most || read < 55_000 {
		t.Errorf("%d bytes were read in a minute, want 60,000", read)
	}
	l.spend(1_000_000)
	l.set(2000)
	if owed := l.owed(now); owed != 0 {
		t.Errorf("a new limit begins with a debt of %v", owed)
	}
}

// A limit is in force at once, holds while the replica runs, and can be lifted.
func TestLimitChangesWhileTheReplicaRuns(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	payload := strings.Repeat(" ", minLimit)
	i := running(t, w, quick())
	none, little := int64(0), int64(minLimit)
	req := request()
	req.Options.MaxBytesPerS = &little
	id := i.start(t, req).ID
	for n := range 40 {
		w.produce(east, "power", 2+int32(n%2), fmt.Sprint(n, payload))
	}
	await(t, "the first are applied", func() bool { return len(w.appliedAt(west, "power")) >= 2 })
	if n := len(w.appliedAt(west, "power")); n > 20 {
		t.Fatalf("%d messages of a second's worth each went through at once", n)
	}
	if _, err := i.Update(t.Context(), core.UpdateRequest{ID: id, Options: core.Options{MaxBytesPerS: &none}}); err != nil {
		t.Fatal(err)
	}
	await(t, "all is applied", func() bool { return len(w.appliedAt(west, "power")) >= 40 })
	if got := i.task(t, id, "power"); got.QueueBytes > 40*minLimit {
		t.Errorf("the queue has grown to %d bytes", got.QueueBytes)
	}
	tooLow := int64(minLimit - 1)
	if _, err := i.Update(t.Context(), core.UpdateRequest{ID: id}); err == nil || !strings.Contains(err.Error(), "nothing to update") {
		t.Errorf("an update of nothing: %v", err)
	}
	if _, err := i.Update(t.Context(), core.UpdateRequest{ID: id, Options: core.Options{MaxBytesPerS: &tooLow}}); err == nil {
		t.Error("a limit below the least is taken")
	}
}
