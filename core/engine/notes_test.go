package engine

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"tdreplica/config"
	"tdreplica/core"
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
