package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/raw"
	"tdreplica/core/store"
)

// TestNotesAreOnDiskBeforeACommit lets the readers of a task save its notes, and
// the instance's housekeeping write it, at the same time. What was noted before
// must be on disk when one of them may commit, and stay there: neither may one rely
// on what another has only begun, nor may a record that was taken down earlier
// replace the newer one.
func TestNotesAreOnDiskBeforeACommit(t *testing.T) {
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	e, err := New(Options{Config: config.Default(), Store: st})
	if err != nil {
		t.Fatal(err)
	}
	r := newReplica(store.Replica{Replica: core.Replica{ID: "maple"}})
	tk := newTask(e, r, store.Task{Replica: "maple", Database: "power"})
	r.tasks["power"], e.replicas["maple"] = tk, r
	for i := range 100 {
		table := fmt.Sprintf("d%d", i)
		written := func(when string) {
			recs, err := st.Tasks("maple")
			if err != nil || len(recs) != 1 || !slices.ContainsFunc(recs[0].Echoes, func(e store.Echo) bool { return e.Table == table }) {
				t.Errorf("the note about %s is not on disk %s (%v)", table, when, err)
			}
		}
		tk.markDirty()
		var all sync.WaitGroup
		all.Go(func() {
			if err := e.flush(false); err != nil {
				t.Error(err)
			}
		})
		tk.expectEcho(&core.Message{Vgroup: 2, Offset: int64(i + 1)}, table, int64(i))
		for n := range 3 {
			all.Go(func() {
				if err := tk.saveNotes(); err != nil {
					t.Error(err)
				}
				written(fmt.Sprintf("when worker %d may commit", n))
			})
		}
		all.Wait()
		if written("a little later"); t.Failed() {
			return
		}
	}
}

// TestAPositionToGoBackToIsAlwaysNoted takes the task down while the announcement
// of a change of tags becomes the plan to read its vgroup again: one of the two
// must be in every record, for a crash may leave any.
func TestAPositionToGoBackToIsAlwaysNoted(t *testing.T) {
	w, _, _ := movedWorker(t)
	tk := w.p.t
	w.p.plan.sourceVersion, w.p.plan.db.Precision = tagsEndRows, "ms"
	behind := tagsMark("ms", true)
	for i := range 3000 {
		tk.mu.Lock()
		tk.rec.Announced, tk.rec.Rewinds = map[int32]int64{2: 5}, nil
		tk.mu.Unlock()
		meta := &raw.Meta{Delete: &raw.Delete{From: behind, To: behind}, Item: raw.Item{Payload: []byte(fmt.Sprint(i))}}
		taken := make(chan struct{})
		go func() {
			defer close(taken)
			w.takeTagsMark(meta, &core.Message{Vgroup: 2, Offset: 9})
		}()
		for over := false; !over && !t.Failed(); {
			select {
			case <-taken:
				over = true
			default:
			}
			tk.mu.Lock() // as a record is taken down
			if len(tk.rec.Announced)+len(tk.rec.Rewinds) == 0 {
				t.Error("neither the announcement is noted nor where to go back to")
			}
			tk.mu.Unlock()
		}
		if <-taken; t.Failed() {
			return
		}
	}
}

// TestAReplicaIsNotedWhileItChanges notes why databases are not known while a
// command changes the replica; the race detector judges that.
func TestAReplicaIsNotedWhileItChanges(t *testing.T) {
	i := running(t, newWorld(t), quick())
	rec := i.draft(core.Endpoint{URL: east}, core.Endpoint{URL: west}, core.FromCommand)
	r := newReplica(rec)
	var changes sync.WaitGroup
	changes.Go(func() {
		for range 300 {
			if err := i.keepReplica(r, rec); err != nil {
				t.Error(err)
			}
		}
	})
	for n := range 10_000 {
		i.noteReplica(r, fmt.Sprintf("note %d", n))
	}
	changes.Wait()
	if r.note != "note 9999" {
		t.Errorf("the last note is %q", r.note)
	}
}

// TestARemovedTaskIsNotWrittenAgain has a command write the tasks that it was about
// after their replica was removed.
func TestARemovedTaskIsNotWrittenAgain(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	i := running(t, w, quick())
	id := i.start(t, request("power")).ID
	tasks, err := i.targets(core.TargetRequest{ID: id})
	if err != nil || len(tasks) != 1 {
		t.Fatal(tasks, err)
	}
	if _, err := i.Remove(t.Context(), core.RemoveRequest{ID: id, Force: true}); err != nil {
		t.Fatal(err)
	}
	if err := i.persist(tasks); err != nil {
		t.Fatal(err)
	}
	if left, err := i.store.Tasks(""); err != nil || len(left) > 0 {
		t.Errorf("the state file holds %d tasks of no replica, %v", len(left), err)
	}
}

// TestARemovalThatIsGivenUpLeavesTasksAlive ends the request while the tasks stop:
// they are there as before, and can be started.
func TestARemovalThatIsGivenUpLeavesTasksAlive(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	cfg := quick()
	cfg.Engine.CommitInterval.Duration, cfg.Engine.CommitMessages = time.Hour, 1000
	i := running(t, w, cfg)
	id := i.start(t, request("power")).ID
	i.awaitState(t, id, "power", core.Running)
	w.produce(east, "power", 2, "a")
	await(t, "a is applied", func() bool { return len(w.appliedAt(west, "power")) == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	w.setFault(func(op string) error {
		if op == "commit" {
			cancel()
			time.Sleep(20 * time.Millisecond) // the removal has heard of it
		}
		return nil
	})
	if _, err := i.Remove(ctx, core.RemoveRequest{ID: id, Force: true}); err == nil {
		t.Fatal("it was removed although nobody waited for it")
	}
	w.setFault(nil)
	i.awaitState(t, id, "power", core.Stopped)
	i.start(t, core.StartRequest{ID: id})
	i.awaitState(t, id, "power", core.Running)
}
