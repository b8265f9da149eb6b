package engine

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/store"
)

// TestEchoNotesSurviveCrashes reads a random log of announcements, echoed
// drops and drops that users made with "if exists", commits at random, and
// dies at random: every drop must be told for what it is each time it is read.
func TestEchoNotesSurviveCrashes(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	cfg := config.Default()
	e := &Engine{cfg: cfg, store: st, clock: wallClock{}}
	kept := store.Task{Replica: "maple", Database: "power"}
	r := newReplica(store.Replica{Replica: core.Replica{ID: kept.Replica}})

	rapid.Check(t, func(rt *rapid.T) {
		const announcement, echo, users = "announcement", "echo", "users"
		var log []string
		for open := false; len(log) < 24; {
			kind := rapid.SampledFrom([]string{announcement, users}).Draw(rt, "entry")
			switch {
			case open: // the drop follows its announcement
				kind, open = echo, false
			case kind == announcement:
				open = true
			}
			log = append(log, kind)
		}
		if err := st.PutTasks(kept); err != nil {
			rt.Fatal(err)
		}
		task := newTask(e, r, kept)
		committed, at := 0, 0
		for steps := 0; at < len(log) && steps < 400; steps++ {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0: // the instance dies
				task = newTask(e, r, onDisk(rt, st))
				task.rereadEchoes(2, int64(committed))
				at = committed
			case 1:
				task.rereadEchoes(2, int64(committed))
				at = committed
			case 2:
				if err := task.saveNotes(); err != nil {
					rt.Fatal(err)
				}
				committed = rapid.IntRange(committed, at).Draw(rt, "committed")
				if rapid.Bool().Draw(rt, "commit is noticed") {
					task.passedEchoes(2, int64(committed))
				}
			default:
				m := &core.Message{Vgroup: 2, Offset: int64(at + 1)}
				if log[at] == announcement {
					task.expectEcho(m, "d1", int64(at))
				} else if took := task.takeEcho(m, "d1"); took != (log[at] == echo) {
					rt.Fatalf("the drop at %d of %v was made by %s, taken for an echo: %v; notes %v", at, log, log[at], took, task.rec.Echoes)
				}
				at++
			}
		}
	})
}

func onDisk(t *rapid.T, st *store.Store) store.Task {
	recs, err := st.Tasks("maple")
	if err != nil || len(recs) != 1 {
		t.Fatal(fmt.Errorf("the task's record: %d, %w", len(recs), err))
	}
	return recs[0]
}

// TestEchoesAreKeptForWhatIsReadAgain commits beyond an echoed drop, while a tag that
// is set may lead back to between its announcement and the drop itself: read again
// without its note it would be taken for a user's, and drop the origin's table.
func TestEchoesAreKeptForWhatIsReadAgain(t *testing.T) {
	for what, spoiled := range map[string]func(*task){
		"a sample":        func(tk *task) { tk.sampled(2, 15, 16); tk.sampled(2, 40, 50) },
		"a planned place": func(tk *task) { tk.rec.Rewinds = map[int32]int64{2: 15} },
		"a place that was announced": func(tk *task) {
			tk.sampled(2, 35, 36)
			tk.tagsAnnounced(2, 15)
		},
	} {
		tk := lonelyTask(t)
		tk.expectEcho(&core.Message{Vgroup: 2, Offset: 10}, "d1", 9)
		spoiled(tk)
		if !tk.takeEcho(&core.Message{Vgroup: 2, Offset: 20}, "d1") {
			t.Fatal("the announced drop is not taken for an echo")
		}
		tk.passedEchoes(2, 30)
		tk.rereadEchoes(2, 15)
		if !tk.takeEcho(&core.Message{Vgroup: 2, Offset: 20}, "d1") {
			t.Errorf("%s leads back to 15, and the drop that is read again counts as a user's", what)
		}
	}
	tk := lonelyTask(t)
	tk.expectEcho(&core.Message{Vgroup: 2, Offset: 10}, "d1", 9)
	tk.sampled(2, 25, 26)
	tk.takeEcho(&core.Message{Vgroup: 2, Offset: 20}, "d1")
	if tk.passedEchoes(2, 30); len(tk.rec.Echoes) > 0 {
		t.Errorf("nothing leads back to before the drop, and its note is kept: %v", tk.rec.Echoes)
	}
}
