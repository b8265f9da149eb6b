package control

import (
	"context"
	"net/http"

	"tdreplica/core"
)

// Health is the document of GET /v1/healthz: the instance answers, and this is
// why `status --check` would not be content with it.
type Health struct {
	Healthy bool     `json:"healthy"`
	Why     []string `json:"why"`
}

func (s *Server) healthz(ctx context.Context, _ *http.Request) (any, error) {
	snap, err := s.ctrl.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	why := snap.Unhealthy()
	return Health{Healthy: len(why) == 0, Why: append([]string{}, why...)}, nil
}

func (s *Server) info(ctx context.Context, _ *http.Request) (any, error) {
	snap, err := s.ctrl.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return snap.Instance, nil
}

// settings is the answer that says how an instance is configured.
type settings struct {
	TOML string `json:"toml"`
}

func (s *Server) settings(ctx context.Context, _ *http.Request) (any, error) {
	text, err := s.ctrl.Settings(ctx)
	return settings{text}, err
}

func (s *Server) snapshot(ctx context.Context, _ *http.Request) (any, error) {
	return s.ctrl.Snapshot(ctx)
}

func (s *Server) events(ctx context.Context, r *http.Request) (any, error) {
	after, err := number(r, "after")
	if err != nil {
		return nil, err
	}
	limit, err := number(r, "limit")
	if err != nil {
		return nil, err
	}
	events, err := s.ctrl.Events(ctx, after, int(limit))
	if events == nil {
		events = []core.Event{}
	}
	return events, err
}

func (s *Server) overview(ctx context.Context, r *http.Request) (any, error) {
	return s.ctrl.Overview(ctx, taskOf(r))
}

func (s *Server) detail(ctx context.Context, r *http.Request) (any, error) {
	return s.ctrl.Detail(ctx, taskOf(r))
}

// taskOf is the task in a request's path.
func taskOf(r *http.Request) core.TaskKey {
	return core.TaskKey{Replica: r.PathValue("id"), Database: r.PathValue("database")}
}

func (s *Server) inspect(ctx context.Context, r *http.Request) (any, error) {
	var req core.InspectRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	found, err := s.ctrl.Inspect(ctx, req)
	if found == nil {
		found = []core.Candidate{}
	}
	return found, err
}

func (s *Server) create(ctx context.Context, r *http.Request) (any, error) {
	var req core.StartRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	if req.ID == "" && (req.Source.URL == "" || req.Sink.URL == "") {
		return nil, &requestError{text: `a new replica needs "source" and "sink", each with a "url"`}
	}
	named(&req.Actor)
	return s.ctrl.Start(ctx, req)
}

func (s *Server) start(ctx context.Context, r *http.Request) (any, error) {
	var req core.StartRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	req.ID = r.PathValue("id")
	named(&req.Actor)
	return s.ctrl.Start(ctx, req)
}

type targetFunc func(context.Context, core.TargetRequest) (*core.Result, error)

func (s *Server) target(do targetFunc) handler {
	return func(ctx context.Context, r *http.Request) (any, error) {
		var req core.TargetRequest
		if err := read(r, &req); err != nil {
			return nil, err
		}
		req.ID, req.All = r.PathValue("id"), false
		named(&req.Actor)
		return do(ctx, req)
	}
}

// everything wants "all" said in so many words: a request without a document
// must not stop the whole instance.
func (s *Server) everything(do targetFunc) handler {
	return func(ctx context.Context, r *http.Request) (any, error) {
		var req core.TargetRequest
		if err := read(r, &req); err != nil {
			return nil, err
		}
		if !req.All {
			return nil, &requestError{text: `this is about every replica: it needs the document {"all": true}`}
		}
		req.ID = ""
		named(&req.Actor)
		return do(ctx, req)
	}
}

func (s *Server) update(ctx context.Context, r *http.Request) (any, error) {
	var req core.UpdateRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	req.ID = r.PathValue("id")
	named(&req.Actor)
	return s.ctrl.Update(ctx, req)
}

func (s *Server) remove(ctx context.Context, r *http.Request) (any, error) {
	req := core.RemoveRequest{ID: r.PathValue("id")}
	var err error
	if req.Force, err = yes(r, "force"); err != nil {
		return nil, err
	}
	if req.DryRun, err = yes(r, "dry_run"); err != nil {
		return nil, err
	}
	req.Actor = core.Actor{Via: r.URL.Query().Get("via"), User: r.URL.Query().Get("user")}
	named(&req.Actor)
	return s.ctrl.Remove(ctx, req)
}

func (s *Server) verify(ctx context.Context, r *http.Request) (any, error) {
	var req core.VerifyRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	req.ID = r.PathValue("id")
	named(&req.Actor)
	return s.ctrl.Verify(ctx, req)
}

func (s *Server) repair(ctx context.Context, r *http.Request) (any, error) {
	var req core.RepairRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	req.ID = r.PathValue("id")
	named(&req.Actor)
	return s.ctrl.Repair(ctx, req)
}

func (s *Server) audit(ctx context.Context, r *http.Request) (any, error) {
	return s.ctrl.Audit(ctx, r.PathValue("id"))
}

func (s *Server) cancelAudit(ctx context.Context, r *http.Request) (any, error) {
	var req core.TargetRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	req.ID = r.PathValue("id")
	named(&req.Actor)
	return s.ctrl.CancelAudit(ctx, req)
}

func (s *Server) quarantined(ctx context.Context, _ *http.Request) (any, error) {
	list, err := s.ctrl.Quarantined(ctx)
	if list == nil {
		list = []core.Quarantined{}
	}
	return list, err
}

func (s *Server) quarantine(do func(context.Context, core.QuarantineRequest) (*core.Quarantined, error)) handler {
	return func(ctx context.Context, r *http.Request) (any, error) {
		var req core.QuarantineRequest
		if err := read(r, &req); err != nil {
			return nil, err
		}
		req.ID = r.PathValue("id")
		named(&req.Actor)
		return do(ctx, req)
	}
}

func (s *Server) shutdown(ctx context.Context, r *http.Request) (any, error) {
	var by core.Actor
	if err := read(r, &by); err != nil {
		return nil, err
	}
	named(&by)
	return struct{}{}, s.ctrl.Shutdown(ctx, by)
}

// named gives a request that does not say who asks a name for it.
func named(a *core.Actor) {
	if a.Via == "" {
		a.Via = "socket"
	}
}
