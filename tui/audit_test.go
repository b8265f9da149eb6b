package tui

import (
	"testing"

	"tdreplica/core"
	"tdreplica/tui/internal/scene"
)

func TestVerifyAndRepairAreAskedFor(t *testing.T) {
	a, c := newScene(scene.TwoWay(), &english, 120, 40)
	press(a, "V")
	shows(t, a, "Both sides are compared while")
	press(a, "right", "enter")
	v, ok := c.Requests()[0].(core.VerifyRequest)
	if !ok || v.ID == "" || len(v.Databases) != 1 || v.Actor.Via != "console" {
		t.Fatalf("asked for %+v", c.Requests())
	}
	press(a, "R")
	shows(t, a, "copies the other way")
	press(a, "esc")
	if len(c.Requests()) != 1 {
		t.Fatal("escape repairs")
	}
	press(a, "R", "right", "enter")
	r, ok := c.Requests()[1].(core.RepairRequest)
	if !ok || r.ID != v.ID || r.Winner != "source" || r.Gap || r.DeleteExtra {
		t.Errorf("asked for %+v", c.Requests()[1])
	}
}

func TestRepairGoesOnBehindAGap(t *testing.T) {
	a, c := newScene(scene.Failed(), &english, 120, 40)
	for range a.feed.snap.Tasks {
		if a.selected().State == core.Failed {
			break
		}
		press(a, "down")
	}
	press(a, "R")
	shows(t, a, "A task that failed at a gap in the WAL")
	press(a, "right", "enter")
	if r, ok := c.Requests()[0].(core.RepairRequest); !ok || !r.Gap {
		t.Errorf("asked for %+v", c.Requests())
	}
}

func TestAnAuditIsShownWhileItRuns(t *testing.T) {
	snap := scene.TwoWay()
	for i := range snap.Tasks {
		snap.Tasks[i].Audit = &core.TaskAudit{State: core.AuditRunning, Text: "verify: compare the rows of meters"}
	}
	a, _ := newScene(snap, &english, 200, 60)
	shows(t, a, "verify: compare the rows of meters")
	zh, _ := newScene(snap, &chinese, 200, 60)
	shows(t, zh, "核对: 比较 meters 的行")
}
