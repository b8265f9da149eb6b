package tui

import (
	"context"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"tdreplica/core"
)

// askVerify asks before the two sides of tasks are compared: that changes
// nothing, but it is work for both servers.
func (a *app) askVerify() tea.Cmd {
	tasks := a.targets()
	if len(tasks) == 0 {
		return nil
	}
	d := &confirm{head: a.f(a.text.VerifyTitle, len(tasks)), tasks: tasks, says: []string{a.text.VerifySays}}
	d.buttons = []button{a.cancel(), {label: a.text.VerifyDo, run: func() tea.Cmd {
		a.closeDialog()
		return a.request(tasks, a.text.Verifying, func(ctx context.Context, id string, dbs []string) (*core.Result, error) {
			_, err := a.ctrl.Verify(ctx, core.VerifyRequest{ID: id, Databases: dbs, Actor: a.actor()})
			return nil, err
		})
	}}}
	return a.open(d)
}

// askRepair asks before sinks are written to. Who answers has read which side
// wins where either may be right, and that a gap is passed over.
func (a *app) askRepair() tea.Cmd {
	tasks := a.targets()
	if len(tasks) == 0 {
		return nil
	}
	d := &confirm{head: a.f(a.text.RepairTitle, len(tasks)), tasks: tasks, says: []string{a.text.RepairSays}}
	gaps, wins := map[string]bool{}, map[string]bool{}
	for i := range tasks {
		t := &tasks[i]
		gaps[t.Replica] = gaps[t.Replica] || t.State == core.Failed && strings.Contains(t.Note, "--gap")
		if r := a.feed.snap.Replica(t.Replica); r != nil && r.TwoWay != "" && !wins[t.Replica] {
			wins[t.Replica] = true
			d.says = append(d.says, a.f(a.text.RepairWins, clean(t.Replica), clean(r.TwoWay), clean(t.Source)))
		}
	}
	for i := range tasks {
		if gaps[tasks[i].Replica] {
			d.says = append(d.says, a.text.RepairGap)
			break
		}
	}
	d.buttons = []button{a.cancel(), {label: a.text.RepairDo, danger: true, run: func() tea.Cmd {
		a.closeDialog()
		return a.request(tasks, a.text.Repairing, func(ctx context.Context, id string, dbs []string) (*core.Result, error) {
			req := core.RepairRequest{VerifyRequest: core.VerifyRequest{ID: id, Databases: dbs, Actor: a.actor()}, Gap: gaps[id]}
			if wins[id] {
				req.Winner = "source"
			}
			_, err := a.ctrl.Repair(ctx, req)
			return nil, err
		})
	}}}
	return a.open(d)
}
