package engine

import (
	"fmt"
	"strings"
	"testing"
)

// Messages gather many rows until one takes too much of the queue. Then the
// subscription begins again, once, with what the server thinks right.
func TestWideRowsAreReadInSmallerMessages(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	c := quick()
	c.Engine.QueueBytes = 1 << 20
	i := running(t, w, c)
	i.start(t, request())
	rows := func() (asked []int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.subs {
			asked = append(asked, s.MinRows)
		}
		return asked
	}
	wide := strings.Repeat(" ", 300<<10)
	for n, payload := range []string{"", "", wide, "", wide, ""} {
		w.produce(east, "power", 2, fmt.Sprint(n, payload))
		await(t, "it is applied", func() bool { return len(w.appliedAt(west, "power")) > n })
	}
	await(t, "the subscription is another one", func() bool { return len(rows()) == 2 })
	if got := rows(); got[0] != gatherRows || got[1] != 0 {
		t.Errorf("subscriptions asked for %v rows a message", got)
	}
	if n := len(w.appliedAt(west, "power")); n != 6 || len(w.wrong) > 0 {
		t.Errorf("%d messages were written, want 6; %v", n, w.wrong)
	}
}
