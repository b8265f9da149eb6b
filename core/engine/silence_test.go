package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
)

func TestIdleTaskNoticesADeadSink(t *testing.T) {
	w := newWorld(t)
	w.probing = 10 * time.Millisecond
	w.server(east, "power")
	w.server(west, "power")
	i := running(t, w, quick())
	id := i.start(t, request("power")).ID
	w.produce(east, "power", 2, "a")
	await(t, "the first row", func() bool { return len(w.appliedAt(west, "power")) == 1 })
	i.awaitState(t, id, "power", core.Running)
	w.setFault(func(op string) error {
		if op == "database" || op == "write" || op == "sink" {
			return &core.Error{Class: core.ClassReconnect, Op: "connect to " + west, Text: "connection refused"}
		}
		return nil
	})
	task := i.awaitState(t, id, "power", core.Interrupted)
	if !strings.Contains(task.Note, "connection refused") {
		t.Errorf("the note does not say why: %q", task.Note)
	}
	w.setFault(nil)
	i.awaitState(t, id, "power", core.Running)
	w.produce(east, "power", 2, "b")
	await(t, "the row after the outage", func() bool { return strings.Join(w.appliedAt(west, "power"), "") == "ab" })
}

// watched is an instance whose watchdog soon finds silence suspicious, and the id of
// its replica.
func watched(t *testing.T, version string) (*world, *instance, string) {
	w := newWorld(t)
	w.server(east, "power").versions.Server = version
	w.server(west, "power")
	cfg := quick()
	cfg.Engine.StallTimeout.Duration = 50 * time.Millisecond
	i := running(t, w, cfg)
	id := i.start(t, request("power")).ID
	i.awaitState(t, id, "power", core.Running)
	return w, i, id
}

func TestSilentSourceIsOpenedAnew(t *testing.T) {
	for version, what := range map[string]bool{"3.3.6.13": true, "3.3.7.5": false} {
		t.Run(version, func(t *testing.T) { silentSource(t, version, what) })
	}
}

// silentSource has a source say nothing for a while; a server that may never say
// anything again is one of which the reason is told.
func silentSource(t *testing.T, version string, told bool) {
	w, i, id := watched(t, version)
	w.mu.Lock()
	w.mute = true
	w.mu.Unlock()
	w.produce(east, "power", 2, "a", "b", "c", "d", "e")
	await(t, "the consumer is made anew", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.calls["subscribe"] > 1
	})
	task := i.task(t, id, "power")
	if !strings.Contains(task.LastError, "gave nothing") || strings.Contains(task.LastError, "prepared statement") != told {
		t.Errorf("the last error is %q", task.LastError)
	}
	w.mu.Lock()
	w.mute = false
	w.mu.Unlock()
	await(t, "all five", func() bool { return strings.Join(w.appliedAt(west, "power"), "") == "abcde" })
}

// TestAVgroupThatGivesNothing has a source that cannot read one vgroup's WAL any
// further. Making the subscription anew does not help; the other vgroup goes on, and
// the task says what it is, until that is over.
func TestAVgroupThatGivesNothing(t *testing.T) {
	w, i, id := watched(t, "3.3.7.5")
	broken := func(vgroup int32) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.broken = vgroup
	}
	broken(2)
	w.produce(east, "power", 2, "a", "b", "c", "d", "e")
	warned := func() bool {
		return slices.ContainsFunc(i.task(t, id, "power").Warnings, func(s string) bool { return strings.HasPrefix(s, givesNothing(2)) })
	}
	n := 0
	await(t, "it is told", func() bool {
		w.produce(east, "power", 3, "x")
		n++
		return warned()
	})
	if task := i.task(t, id, "power"); !strings.Contains(task.LastError, "vgroup 2 gave nothing") {
		t.Errorf("the subscription was not made anew: the last error is %q", task.LastError)
	}
	await(t, "the other vgroup goes on", func() bool { return len(w.appliedAt(west, "power")) == n })
	broken(0)
	await(t, "all of both, and no warning", func() bool { return len(w.appliedAt(west, "power")) == n+5 && !warned() })
}

func TestVgroupsOfADeadConsumerAreWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	w.dead = true
	for n := range 6 {
		w.produce(east, "power", 2+int32(n%2), fmt.Sprint(n))
	}
	i := running(t, w, quick())
	i.start(t, request("power"))
	await(t, "nothing of what was polled too early is lost", func() bool { return len(w.appliedAt(west, "power")) == 6 })
}
