package engine

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tdreplica/core"
)

// TestNobodyWaitsForTheDiskToSaySomething has events come while earlier ones are
// being written, in vain at first: all are written once, in their order.
func TestNobodyWaitsForTheDiskToSaySomething(t *testing.T) {
	var l eventLog
	var written []string
	say := func(text string) {
		said := make(chan struct{})
		go func() {
			l.add(core.Event{Text: text})
			close(said)
		}()
		select {
		case <-said:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s waits for the disk", text)
		}
	}
	say("one")
	full := errors.New("the disk is full")
	for _, result := range []error{full, nil, nil} {
		err := l.flush(func(events ...core.Event) error {
			say(fmt.Sprint("while ", len(events), " are written"))
			for _, ev := range events {
				if result == nil {
					written = append(written, ev.Text)
				}
			}
			return result
		})
		if !errors.Is(err, result) {
			t.Errorf("%v, not %v", err, result)
		}
	}
	if want := []string{"one", "while 1 are written", "while 2 are written"}; !slices.Equal(written, want) {
		t.Errorf("written: %q", written)
	}
}
