package engine

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tdreplica/config"
	"tdreplica/core"
)

func (w *world) refusal(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.poison[name]
}

func (w *world) setPoison(p map[string]error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.poison = p
}

// poisoned is a world in which "bad" is refused, and a configuration that puts
// it in quarantine.
func poisoned(t *testing.T) (*world, *config.Config) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	w.poison = map[string]error{"bad": refuse(core.ClassData, "timestamp out of range")}
	cfg := quick()
	cfg.Engine.OnPoison = config.PoisonQuarantine
	return w, cfg
}

// inQuarantine waits until so many messages are there.
func (i *instance) inQuarantine(t *testing.T, want int) []core.Quarantined {
	t.Helper()
	var list []core.Quarantined
	await(t, "the quarantine fills", func() bool {
		var err error
		if list, err = i.Quarantined(context.Background()); err != nil {
			t.Fatal(err)
		}
		return len(list) == want
	})
	return list
}

func TestQuarantineLetsTheTaskGoOn(t *testing.T) {
	w, cfg := poisoned(t)
	i := running(t, w, cfg)
	ctx := context.Background()
	w.produce(east, "power", 2, "a", "bad", "c")
	id := i.start(t, request("power")).ID
	await(t, "what is behind is applied", func() bool { return strings.Join(w.appliedAt(west, "power"), "") == "ac" })
	kept := i.inQuarantine(t, 1)[0]
	task := i.awaitState(t, id, "power", core.Running)
	if kept.Replica != id || kept.Database != "power" || kept.Vgroup != 2 || kept.Offset != 1 || kept.Bytes != 3 || kept.Code != 0x0118 ||
		!strings.Contains(kept.Error, "out of range") || !strings.HasPrefix(kept.ID, id+"-2-") || task.Quarantined != 1 {
		t.Errorf("kept %+v of task %+v", kept, task)
	}
	file := filepath.Join(i.store.Dir(), "quarantine", kept.ID+".msg")
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("its file: %v, %v", st, err)
	}
	req := core.QuarantineRequest{ID: kept.ID}
	if _, err := i.Replay(ctx, req); err == nil || !strings.Contains(err.Error(), "it stays in quarantine") || !strings.Contains(err.Error(), "out of range") {
		t.Errorf("replayed to a sink that still refuses: %v", err)
	}
	i.inQuarantine(t, 1)
	w.setPoison(nil)
	if _, err := i.Replay(ctx, req); err != nil {
		t.Fatal(err)
	}
	i.inQuarantine(t, 0)
	if got := w.appliedAt(west, "power"); got[len(got)-1] != "bad" {
		t.Errorf("applied %v", got)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of a replayed message: %v", err)
	}
	var refused *core.RefusedError
	if _, err := i.Replay(ctx, req); !errors.As(err, &refused) {
		t.Errorf("replayed twice: %v", err)
	}
}

// TestAnOddRefusalIsTriedAgain: one refusal is not yet for good.
func TestAnOddRefusalIsTriedAgain(t *testing.T) {
	w, cfg := poisoned(t)
	i := running(t, w, cfg)
	first := true
	w.setPoison(nil)
	w.setFault(func(op string) error {
		if op == "write" && first {
			first = false
			return refuse(core.ClassData, "once")
		}
		return nil
	})
	w.produce(east, "power", 2, "a", "b")
	i.start(t, request("power"))
	await(t, "both are applied", func() bool { return strings.Join(w.appliedAt(west, "power"), "") == "ab" })
	i.inQuarantine(t, 0)
}

func TestFullQuarantineStopsTheTask(t *testing.T) {
	w, cfg := poisoned(t)
	cfg.Engine.Quarantine = 4
	w.poison["worse"] = w.poison["bad"]
	i := running(t, w, cfg)
	w.produce(east, "power", 2, "bad", "worse", "c")
	id := i.start(t, request("power")).ID
	var task core.Task
	await(t, "the task fails", func() bool { task = i.task(t, id, "power"); return task.State == core.Failed })
	if !strings.Contains(task.Note, "the quarantine is full") || !strings.Contains(task.Note, "quarantine_bytes") || !strings.Contains(task.Note, "out of range") {
		t.Errorf("the note: %q", task.Note)
	}
	if got := w.appliedAt(west, "power"); len(got) != 0 {
		t.Errorf("applied behind it: %v", got)
	}
	kept := i.inQuarantine(t, 1)[0]
	var refused *core.RefusedError
	if _, err := i.Replay(context.Background(), core.QuarantineRequest{ID: kept.ID}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "not running") {
		t.Errorf("replayed through a task that failed: %v", err)
	}
	if _, err := i.Discard(context.Background(), core.QuarantineRequest{ID: kept.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Restart(context.Background(), core.TargetRequest{ID: id}); err != nil {
		t.Fatal(err)
	}
	await(t, "it fails again at the message that does not fit", func() bool {
		task = i.task(t, id, "power")
		return task.State == core.Failed && task.Quarantined == 0
	})
}

// TestUnwritableQuarantineStopsTheTask: what cannot be kept is not skipped.
func TestUnwritableQuarantineStopsTheTask(t *testing.T) {
	w, cfg := poisoned(t)
	i := running(t, w, cfg)
	if err := os.WriteFile(filepath.Join(i.store.Dir(), "quarantine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.produce(east, "power", 2, "a", "bad", "c")
	id := i.start(t, request("power")).ID
	await(t, "the task fails", func() bool { return i.task(t, id, "power").State == core.Failed })
	if note := i.task(t, id, "power").Note; !strings.Contains(note, "put a refused message in quarantine") || !strings.Contains(note, "not skipped") {
		t.Errorf("the note: %q", note)
	}
	if got := strings.Join(w.appliedAt(west, "power"), ""); got != "a" {
		t.Errorf("applied %q", got)
	}
}

// TestCrashAfterQuarantine goes back to the state file and the offsets as they
// were before a message was put in quarantine, as a crash before the commit
// leaves them: the message is read again, and is in quarantine once.
func TestCrashAfterQuarantine(t *testing.T) {
	w, cfg := poisoned(t)
	dir := t.TempDir()
	i := run(t, w, dir, cfg)
	w.produce(east, "power", 2, "a")
	id := i.start(t, request("power")).ID
	await(t, "the first is applied", func() bool { return len(w.appliedAt(west, "power")) == 1 })
	i.stop()
	state := filepath.Join(dir, "state.db")
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	offsets := map[string]map[int32]int64{}
	for group, at := range w.servers[east].offsets {
		offsets[group] = maps.Clone(at)
	}

	i = run(t, w, dir, cfg)
	w.produce(east, "power", 2, "bad", "c")
	await(t, "the last is applied", func() bool { return slices.Contains(w.appliedAt(west, "power"), "c") })
	first := i.inQuarantine(t, 1)[0]
	i.stop()
	if err := os.WriteFile(state, before, 0o600); err != nil {
		t.Fatal(err)
	}
	w.servers[east].offsets = offsets

	i = run(t, w, dir, cfg)
	defer i.stop()
	await(t, "the last is applied again", func() bool { return strings.Join(w.appliedAt(west, "power"), "") == "acc" })
	if again := i.inQuarantine(t, 1)[0]; again.ID != first.ID || !again.At.Equal(first.At) {
		t.Errorf("put in quarantine as %+v, then as %+v", first, again)
	}
	if n := i.task(t, id, "power").Quarantined; n != 1 {
		t.Errorf("the task counts %d", n)
	}
}

func TestRemoveSaysWhatIsInQuarantine(t *testing.T) {
	w, cfg := poisoned(t)
	i := running(t, w, cfg)
	ctx := context.Background()
	w.produce(east, "power", 2, "bad")
	id := i.start(t, request("power")).ID
	i.inQuarantine(t, 1)
	var refused *core.RefusedError
	if _, err := i.Remove(ctx, core.RemoveRequest{ID: id}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "in quarantine: 1") {
		t.Errorf("remove: %v", err)
	}
	res, err := i.Remove(ctx, core.RemoveRequest{ID: id, Force: true})
	if err != nil || !strings.Contains(strings.Join(res.Deleted, "\n"), "messages in quarantine, which never reached "+west+": 1") {
		t.Errorf("remove --force: %+v, %v", res, err)
	}
	i.inQuarantine(t, 0)
}

func TestReadOnlyDecidesNothingInQuarantine(t *testing.T) {
	w, cfg := poisoned(t)
	cfg.Instance.ReadOnly = true
	i := running(t, w, cfg)
	_, err1 := i.Replay(context.Background(), core.QuarantineRequest{ID: "x"})
	_, err2 := i.Discard(context.Background(), core.QuarantineRequest{ID: "x"})
	if !errors.Is(err1, core.ErrReadOnly) || !errors.Is(err2, core.ErrReadOnly) {
		t.Errorf("replay: %v; discard: %v", err1, err2)
	}
}
