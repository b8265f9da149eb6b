package engine

import (
	"context"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
)

// holding starts a replica that asks its source to keep the WAL, for so many
// seconds without a commit.
func holding(t *testing.T, w *world, seconds int64) (*instance, string) {
	t.Helper()
	w.server(east, "power").keeps = true
	w.server(west, "power")
	w.holdPace = 5 * time.Millisecond
	i := running(t, w, quick())
	req, yes := request("power"), true
	req.Options = core.Options{HoldWAL: &yes, HoldWALLimitS: &seconds}
	id := i.start(t, req).ID
	i.awaitState(t, id, "power", core.Running)
	return i, id
}

func (w *world) called(op string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[op]
}

func TestAHoldOnTheWALHasALimit(t *testing.T) {
	w := newWorld(t)
	i, id := holding(t, w, 2)
	w.produce(east, "power", 2, "a")
	await(t, "nothing is left to commit", func() bool { return i.task(t, id, "power").WALHeldMS == 0 })
	w.setFault(func(op string) error {
		if op == "write" || op == "sink" {
			return refuse(core.ClassReconnect, "connection refused")
		}
		return nil
	})
	w.produce(east, "power", 2, "b")
	await(t, "the WAL is let go of", func() bool { return w.called("release") == 1 && i.task(t, id, "power").WALHeldMS == core.Unknown })
	events, err := i.Events(context.Background(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var warned, told bool
	for _, ev := range events {
		warned = warned || !told && ev.Level == core.LevelWarn && strings.Contains(ev.Text, "it is let go of after 2s")
		told = told || ev.Level == core.LevelError && strings.Contains(ev.Text, "keeps its WAL no longer")
	}
	if !warned || !told {
		t.Errorf("warned %v, told %v: %+v", warned, told, events)
	}
	w.setFault(nil)
	await(t, "it is held again", func() bool { return i.task(t, id, "power").WALHeldMS == 0 })
}

func TestAHoldThatCannotEndIsTriedAgainAndToldOnce(t *testing.T) {
	w := newWorld(t)
	i, id := holding(t, w, 1)
	w.setFault(func(op string) error {
		switch op {
		case "write", "sink":
			return refuse(core.ClassReconnect, "connection refused")
		case "release":
			return refuse(core.ClassOperator, "no rights")
		}
		return nil
	})
	w.produce(east, "power", 2, "a")
	await(t, "it is tried again", func() bool { return w.called("release") > 2 })
	told := 0
	events, err := i.Events(context.Background(), 0, 0)
	for _, ev := range events {
		if strings.Contains(ev.Text, "cannot be told to let go of it") {
			told++
		}
	}
	if err != nil || told != 1 {
		t.Errorf("told %d times, %v", told, err)
	}
	if held := i.task(t, id, "power").WALHeldMS; held < 1000 {
		t.Errorf("held for %d ms", held)
	}
}

func TestRemoveLetsGoOfTheWAL(t *testing.T) {
	w := newWorld(t)
	i, id := holding(t, w, 3600)
	const hold = "the hold on the WAL of database `power` at " + east
	dry, err := i.Remove(context.Background(), core.RemoveRequest{ID: id, DryRun: true})
	if err != nil || !strings.Contains(strings.Join(dry.Deleted, "\n"), hold) || w.called("release") != 0 {
		t.Errorf("a dry run said %+v, %v", dry, err)
	}
	w.setFault(func(op string) error {
		if op == "release" {
			return refuse(core.ClassOperator, "no rights")
		}
		return nil
	})
	res, err := i.Remove(context.Background(), core.RemoveRequest{ID: id, Force: true})
	if err != nil || !strings.Contains(strings.Join(res.Warnings, "\n"), "`trim database power wal`") {
		t.Errorf("a hold that stays is not told: %+v, %v", res, err)
	}
}

func TestHoldThatIsNotWantedAnyMoreEnds(t *testing.T) {
	w := newWorld(t)
	i, id := holding(t, w, 3600)
	no := false
	if _, err := i.Update(context.Background(), core.UpdateRequest{ID: id, Options: core.Options{HoldWAL: &no}}); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Restart(context.Background(), core.TargetRequest{ID: id}); err != nil {
		t.Fatal(err)
	}
	await(t, "the WAL is let go of", func() bool { return w.called("release") == 1 && i.task(t, id, "power").WALHeldMS == core.Unknown })
}

func TestASourceThatCannotHoldItsWALIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	i := running(t, w, quick())
	req, yes := request("power"), true
	req.Options.HoldWAL = &yes
	id := i.start(t, req).ID
	task := i.awaitState(t, id, "power", core.Running)
	if !strings.Contains(strings.Join(task.Warnings, "\n"), "hold_wal does nothing") || task.WALHeldMS != core.Unknown {
		t.Errorf("warnings %q, held %d ms", task.Warnings, task.WALHeldMS)
	}
}
