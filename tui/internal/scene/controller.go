package scene

import (
	"context"
	"sync"

	"tdreplica/core"
)

// Controller plays a snapshot. It does what it is asked for at once, as the
// tests of the console need it. It is safe for concurrent use.
type Controller struct {
	mu      sync.Mutex
	Snap    *core.Snapshot
	Err     error // of every request while it is set
	Asked   []any // the requests that act
	changes chan struct{}
}

// New is a controller over a snapshot.
func New(s *core.Snapshot) *Controller {
	return &Controller{Snap: s, changes: make(chan struct{}, 1)}
}

// Set replaces the snapshot and signals a change.
func (c *Controller) Set(s *core.Snapshot, err error) {
	c.mu.Lock()
	c.Snap, c.Err = s, err
	c.mu.Unlock()
	select {
	case c.changes <- struct{}{}:
	default:
	}
}

// Requests are the requests so far that act.
func (c *Controller) Requests() []any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]any(nil), c.Asked...)
}

// Snapshot implements core.Controller.
func (c *Controller) Snapshot(context.Context) (*core.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Snap, c.Err
}

// Overview implements core.Controller.
func (c *Controller) Overview(ctx context.Context, of core.TaskKey) (*core.Snapshot, error) {
	s, err := c.Snapshot(ctx)
	if s == nil {
		return nil, err
	}
	return s.Overview(of), err
}

// Detail implements core.Controller.
func (c *Controller) Detail(_ context.Context, k core.TaskKey) (*core.TaskDetail, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Detail(c.Snap, k), c.Err
}

// Events implements core.Controller.
func (c *Controller) Events(_ context.Context, after uint64, _ int) ([]core.Event, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []core.Event
	if len(c.Snap.Tasks) > 0 {
		for _, e := range Events() {
			if e.Seq > after {
				out = append(out, e)
			}
		}
	}
	return out, c.Err
}

// Changes implements core.Controller.
func (c *Controller) Changes() <-chan struct{} { return c.changes }

// change copies the snapshot with other states for the tasks asked for.
func (c *Controller) change(req any, id string, dbs []string, to core.State, o core.Outcome) (*core.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Asked = append(c.Asked, req)
	if c.Err != nil {
		return nil, c.Err
	}
	s := *c.Snap
	s.Seq++
	s.Tasks = append([]core.Task(nil), s.Tasks...)
	res := &core.Result{ID: id}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		for _, db := range dbs {
			if t.Replica == id && t.Database == db {
				t.State, t.Phase, t.Note = to, "", ""
				res.Tasks = append(res.Tasks, core.TaskResult{Replica: id, Database: db, Outcome: o})
			}
		}
	}
	c.Snap = &s
	return res, nil
}

// Start implements core.Controller.
func (c *Controller) Start(_ context.Context, r core.StartRequest) (*core.Result, error) {
	return c.change(r, r.ID, r.Databases, core.Running, core.OutcomeStarted)
}

// Stop implements core.Controller.
func (c *Controller) Stop(_ context.Context, r core.TargetRequest) (*core.Result, error) {
	return c.change(r, r.ID, r.Databases, core.Stopped, core.OutcomeStopped)
}

// Restart implements core.Controller.
func (c *Controller) Restart(_ context.Context, r core.TargetRequest) (*core.Result, error) {
	return c.change(r, r.ID, r.Databases, core.Running, core.OutcomeRestarted)
}

// Update implements core.Controller.
func (c *Controller) Update(_ context.Context, r core.UpdateRequest) (*core.Result, error) {
	return c.change(r, r.ID, nil, core.Running, core.OutcomeUpdated)
}

// Remove implements core.Controller.
func (c *Controller) Remove(_ context.Context, r core.RemoveRequest) (*core.Result, error) {
	res, err := c.change(r, r.ID, nil, core.Removing, core.OutcomeRemoved)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	res.Deleted = []string{
		"at http://td2:6041: consumer groups tdr.9f3c." + r.ID + ".power, tdr.9f3c." + r.ID + ".factory",
		"at http://td2:6041: topics tdr_power, tdr_factory (no other reader)",
		"here: its offsets, history and 0 quarantined messages"}
	res.Kept = []string{"rows already written at http://td1:6041"}
	if !r.DryRun {
		s := *c.Snap
		s.Tasks = nil
		for _, t := range c.Snap.Tasks {
			if t.Replica != r.ID {
				s.Tasks = append(s.Tasks, t)
			}
		}
		c.Snap = &s
	}
	return res, nil
}

// Verify implements core.Controller.
func (c *Controller) Verify(_ context.Context, r core.VerifyRequest) (*core.Audit, error) {
	_, err := c.change(r, r.ID, nil, core.Running, core.OutcomeStarted)
	return &core.Audit{Replica: r.ID, Kind: "verify", State: core.AuditRunning}, err
}

// Repair implements core.Controller.
func (c *Controller) Repair(_ context.Context, r core.RepairRequest) (*core.Audit, error) {
	_, err := c.change(r, r.ID, nil, core.Running, core.OutcomeStarted)
	return &core.Audit{Replica: r.ID, Kind: "repair", State: core.AuditRunning}, err
}

// Audit implements core.Controller.
func (c *Controller) Audit(_ context.Context, id string) (*core.Audit, error) {
	return &core.Audit{Replica: id, State: core.AuditEqual}, c.Err
}

// CancelAudit implements core.Controller.
func (c *Controller) CancelAudit(_ context.Context, r core.TargetRequest) (*core.Audit, error) {
	return &core.Audit{Replica: r.ID, State: core.AuditCancelled}, c.Err
}

// Inspect implements core.Controller.
func (c *Controller) Inspect(context.Context, core.InspectRequest) ([]core.Candidate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Candidates(), c.Err
}

// Settings implements core.Controller.
func (c *Controller) Settings(context.Context) (string, error) {
	return "[instance]\nname = \"site-a\"\n", c.Err
}

// Quarantined implements core.Controller.
func (c *Controller) Quarantined(context.Context) ([]core.Quarantined, error) { return nil, c.Err }

// Replay implements core.Controller.
func (c *Controller) Replay(_ context.Context, r core.QuarantineRequest) (*core.Quarantined, error) {
	return &core.Quarantined{ID: r.ID}, c.Err
}

// Discard implements core.Controller.
func (c *Controller) Discard(_ context.Context, r core.QuarantineRequest) (*core.Quarantined, error) {
	return &core.Quarantined{ID: r.ID}, c.Err
}

// Shutdown implements core.Controller.
func (c *Controller) Shutdown(context.Context, core.Actor) error { return nil }
