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
