package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tdreplica/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCopiesCommitsAndRests(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	i := running(t, w, quick())
	var want []string
	for n := range 50 {
		name := fmt.Sprint("m", n)
		want = append(want, name)
		w.produce(east, "power", 2+int32(n%2), name)
	}
	id := i.start(t, request()).ID
	await(t, "all is applied", func() bool { return len(w.appliedAt(west, "power")) >= len(want) })
	got := w.appliedAt(west, "power")
	for vg := range 2 {
		mine := slices.DeleteFunc(slices.Clone(got), func(s string) bool { var n int; fmt.Sscanf(s, "m%d", &n); return n%2 != vg })
		if !slices.IsSortedFunc(mine, func(a, b string) int {
			if len(a) != len(b) {
				return len(a) - len(b)
			}
			return strings.Compare(a, b)
		}) {
			t.Errorf("vgroup %d came out of order: %v", vg+2, mine)
		}
	}
	await(t, "diff rests at 0, and all of it is committed", func() bool {
		task := i.task(t, id, "power")
		behind := func(v core.Vgroup) bool { return v.Committed < v.Latest }
		return len(task.Vgroups) == 2 && task.Diff == 0 && task.Phase == core.CaughtUp && !slices.ContainsFunc(task.Vgroups, behind)
	})
	commits := i.task(t, id, "power").Totals.Commits
	time.Sleep(400 * time.Millisecond) // nothing may happen: there is no condition to wait for
	if task := i.task(t, id, "power"); task.Totals.Commits != commits || task.Diff != 0 {
		t.Errorf("an idle task went from %d to %d commits, diff %d", commits, task.Totals.Commits, task.Diff)
	}
}

func TestResumesAtTheCommit(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	dir := t.TempDir()
	i := run(t, w, dir, quick())
	w.produce(east, "power", 2, "a", "b", "c")
	id := i.start(t, request("power")).ID
	await(t, "the first three", func() bool { return len(w.appliedAt(west, "power")) == 3 })
	i.stop()
	w.produce(east, "power", 2, "d")
	i = run(t, w, dir, quick())
	defer i.stop()
	await(t, "the fourth", func() bool { return len(w.appliedAt(west, "power")) >= 4 })
	if got := strings.Join(w.appliedAt(west, "power"), ""); got != "abcd" {
		t.Errorf("applied %q, want each once: a graceful stop commits what is applied", got)
	}
	await(t, "diff 0: there may be a commit behind the fourth", func() bool { return i.task(t, id, "power").Diff == 0 })
	if _, err := i.Stop(context.Background(), core.TargetRequest{ID: id}); err != nil {
		t.Fatal(err)
	}
	i.awaitState(t, id, "power", core.Stopped)
	i.stop()
	i = run(t, w, dir, quick())
	defer i.stop()
	if task := i.task(t, id, "power"); task.Desired != core.WantStopped || task.State != core.Stopped || task.Diff != 0 || task.MeasuredAt.IsZero() {
		t.Errorf("a stop was not remembered with its numbers: %+v", task)
	}
}

// TestOffsetsOfALibraryThatCommits has offsets stored, before the task has read
// anything, that nobody but the source's client library can have stored.
func TestOffsetsOfALibraryThatCommits(t *testing.T) {
	w := newWorld(t)
	source := w.server(east, "power")
	w.server(west, "power")
	source.versions = core.Versions{Server: "3.3.3.0", Adapter: "3.3.3.0"}
	w.produce(east, "power", 2, "a", "b", "c")
	var once atomic.Bool
	w.setFault(func(op string) error {
		if op != "committed" || once.Swap(true) {
			return nil
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, offsets := range source.offsets {
			offsets[2] = 3
		}
		return &core.Error{Class: core.ClassReconnect, Op: "ask for offsets", Text: "connection reset"}
	})
	i := running(t, w, quick())
	i.start(t, request("power"))
	await(t, "all that is in the WAL", func() bool { return strings.Join(w.appliedAt(west, "power"), "") == "abc" })
}

func TestSinkOutage(t *testing.T) {
	w, i, id := replicating(t)
	w.setFault(func(op string) error {
		if op == "write" || op == "sink" {
			return &core.Error{Class: core.ClassReconnect, Op: "connect to " + west, Text: "connection refused"}
		}
		return nil
	})
	w.produce(east, "power", 2, "a", "b", "c")
	task := i.awaitState(t, id, "power", core.Interrupted)
	if !strings.Contains(task.Note, "connection refused") || task.Retry.Tries == 0 {
		t.Errorf("the note does not say why: %q, %+v", task.Note, task.Retry)
	}
	w.setFault(nil)
	i.awaitState(t, id, "power", core.Running)
	await(t, "the rest", func() bool { return strings.Join(w.appliedAt(west, "power"), "") == "abc" })
}

func TestBusySinkIsRetriedInOrder(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	i := running(t, w, quick())
	var tries atomic.Int32
	w.setFault(func(op string) error {
		if op == "write" && tries.Add(1) <= 3 {
			return &core.Error{Class: core.ClassRetry, Code: 0x03D3, Op: "write", Text: "conflict"}
		}
		return nil
	})
	w.produce(east, "power", 2, "a", "b")
	i.start(t, request("power"))
	await(t, "both, in order", func() bool { return strings.Join(w.appliedAt(west, "power"), "") == "ab" })
}

func TestRefusedMessageIsNeverSkipped(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	i := running(t, w, quick())
	w.setFault(func(op string) error {
		if op == "write" {
			return refuse(core.ClassData, "column type differs")
		}
		return nil
	})
	w.produce(east, "power", 2, "a", "b")
	id := i.start(t, request("power")).ID
	var task core.Task
	await(t, "the task fails", func() bool { task = i.task(t, id, "power"); return task.State == core.Failed })
	for _, part := range []string{"vgroup 2", "offset 0", "column type differs", "restart"} {
		if !strings.Contains(task.Note, part) {
			t.Errorf("the note %q lacks %q", task.Note, part)
		}
	}
	w.setFault(nil)
	if _, err := i.Restart(context.Background(), core.TargetRequest{ID: id}); err != nil {
		t.Fatal(err)
	}
	await(t, "both, after the restart", func() bool { return strings.Join(w.appliedAt(west, "power"), "") == "ab" })
}

func TestGapFailsTheTask(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*database)
		want []string
	}{
		{"retention", func(db *database) {
			for range 20 {
				db.wal[2].entries = append(db.wal[2].entries, "x")
			}
			db.wal[2].begin = 18
		}, []string{"vgroup 2", "to 17", "deleted before", "when the last message before them was applied", "`repair {} power --gap`"}},
		{"recreated", func(db *database) { db.CreatedAt = db.CreatedAt.Add(time.Hour) }, []string{"dropped and created again", "remove {}"}},
		{"wal anew", func(db *database) { db.wal[2] = &wal{} }, []string{"vgroup 2", "made anew", "remove {}"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.server(east, "power")
			w.server(west, "power")
			i := running(t, w, quick())
			w.produce(east, "power", 2, "a", "b", "c")
			id := i.start(t, request("power")).ID
			await(t, "caught up", func() bool { return i.task(t, id, "power").Totals.Commits > 0 })
			i.Stop(context.Background(), core.TargetRequest{ID: id})
			i.awaitState(t, id, "power", core.Stopped)
			w.mu.Lock()
			c.do(w.servers[east].dbs["power"])
			w.mu.Unlock()
			i.start(t, core.StartRequest{ID: id})
			var task core.Task
			await(t, "the task fails", func() bool { task = i.task(t, id, "power"); return task.State == core.Failed })
			for _, part := range c.want {
				part = strings.ReplaceAll(part, "{}", id)
				if !strings.Contains(task.Note, part) {
					t.Errorf("the note %q lacks %q", task.Note, part)
				}
			}
		})
	}
}

func TestFilteredDirectionCriesNoGap(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	i := running(t, w, quick())
	for range 30 {
		w.produce(east, "power", 2, "")
	}
	id := i.start(t, request("power")).ID
	await(t, "the position passes what is filtered", func() bool {
		task := i.task(t, id, "power")
		return task.State == core.Running && len(task.Vgroups) == 2 && task.Vgroups[0].Current >= 30
	})
	if n := i.task(t, id, "power").Totals.Commits; n != 0 {
		t.Errorf("%d commits although nothing was applied", n)
	}
	w.mu.Lock()
	delete(w.servers[east].offsets, i.task(t, id, "power").Group) // the commit got lost
	w.mu.Unlock()
	i.Stop(context.Background(), core.TargetRequest{ID: id})
	i.awaitState(t, id, "power", core.Stopped)
	w.mu.Lock()
	w.servers[east].dbs["power"].wal[2].begin = 29
	w.mu.Unlock()
	i.start(t, core.StartRequest{ID: id})
	i.awaitState(t, id, "power", core.Running)
}

func TestTwoWayWithOldAdapterIsRefused(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power").versions.Adapter = "3.3.2.0"
	w.server(west, "power")
	i := running(t, w, quick())
	one := i.start(t, request("power"))
	if len(one.Warnings) == 0 {
		t.Error("one way from an old adapter came without a warning")
	}
	i.start(t, core.StartRequest{Source: request().Sink, Sink: request().Source, Databases: []string{"power"}})
	i.Restart(context.Background(), core.TargetRequest{ID: one.ID})
	await(t, "the looping direction fails", func() bool { return i.task(t, one.ID, "power").State == core.Failed })
}

func TestSourceThatMayEndIsWarnedOf(t *testing.T) {
	for version, want := range map[string]bool{"3.3.5.9": false, "3.3.6.0": true, "3.3.6.13": true, "3.3.6.14": false, "3.3.7.0": false} {
		w := newWorld(t)
		w.server(east, "power").versions.Server = version
		w.server(west, "power")
		said := strings.Join(running(t, w, quick()).start(t, request("power")).Warnings, "; ")
		if strings.Contains(said, "it may end, again and again") != want {
			t.Errorf("%s: %q", version, said)
		}
	}
}

func TestPanicFailsOneTaskOnly(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power", "factory")
	w.server(west, "power", "factory")
	i := running(t, w, quick())
	id := i.start(t, request("power")).ID
	i.awaitState(t, id, "power", core.Running)
	w.setFault(func(op string) error {
		if op == "write" {
			panic("out of the blue")
		}
		return nil
	})
	w.produce(east, "power", 2, "a")
	await(t, "it fails", func() bool { return i.task(t, id, "power").State == core.Failed })
	if note := i.task(t, id, "power").Note; !strings.Contains(note, "out of the blue") {
		t.Errorf("note %q", note)
	}
	w.setFault(nil)
	i.start(t, request("factory"))
	i.awaitState(t, id, "factory", core.Running)
}

func TestQueueIsBounded(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	cfg := quick()
	cfg.Engine.QueueBytes = 8
	i := running(t, w, cfg)
	w.setFault(func(op string) error {
		if op == "write" {
			return &core.Error{Class: core.ClassReconnect, Op: "write", Text: "down"}
		}
		return nil
	})
	for n := range 40 {
		w.produce(east, "power", 2, fmt.Sprintf("%03d", n))
	}
	id := i.start(t, request("power")).ID
	i.awaitState(t, id, "power", core.Interrupted)
	await(t, "the queue is full", func() bool { return i.task(t, id, "power").QueueBytes >= 8 })
	if n := i.task(t, id, "power").QueueBytes; n > 8+3 {
		t.Errorf("%d bytes are queued, the bound is 8 and one message", n)
	}
	w.setFault(nil)
	await(t, "all are applied", func() bool { return len(w.appliedAt(west, "power")) == 40 })
}
