package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"tdreplica/core"
)

// maxAnswer bounds an answer: a snapshot of ten thousand vgroups has a few
// megabytes.
const maxAnswer = 256 << 20

// Client is the Controller of an instance in another process.
type Client struct {
	path string
	http *http.Client
}

var _ core.Controller = (*Client)(nil)

// NewClient speaks to the instance of a state directory. It connects with the
// first request. Where no instance answers, requests fail with
// core.ErrNotRunning.
func NewClient(stateDir string) *Client {
	path := SocketPath(stateDir)
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{path: path, http: &http.Client{CheckRedirect: stay, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		MaxIdleConns:    2,
		IdleConnTimeout: 30 * time.Second,
	}}}
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ping reports whether an instance answers: nil, core.ErrNotRunning, or what
// is wrong with it.
func (c *Client) Ping(ctx context.Context) error {
	var i core.Instance
	return c.do(ctx, askTime, http.MethodGet, "/v1/info", nil, &i)
}

// Snapshot implements core.Controller.
func (c *Client) Snapshot(ctx context.Context) (*core.Snapshot, error) {
	return fetched[core.Snapshot](ctx, c, askTime, http.MethodGet, "/v1/snapshot", nil)
}

// Overview implements core.Controller.
func (c *Client) Overview(ctx context.Context, of core.TaskKey) (*core.Snapshot, error) {
	path := "/v1/overview/" + url.PathEscape(of.Replica) + "/" + url.PathEscape(of.Database)
	return fetched[core.Snapshot](ctx, c, askTime, http.MethodGet, path, nil)
}

// Detail implements core.Controller.
func (c *Client) Detail(ctx context.Context, task core.TaskKey) (*core.TaskDetail, error) {
	path := "/v1/tasks/" + url.PathEscape(task.Replica) + "/" + url.PathEscape(task.Database)
	return fetched[core.TaskDetail](ctx, c, askTime, http.MethodGet, path, nil)
}

// Events implements core.Controller.
func (c *Client) Events(ctx context.Context, after uint64, limit int) ([]core.Event, error) {
	path := "/v1/events?after=" + strconv.FormatUint(after, 10) + "&limit=" + strconv.Itoa(max(limit, 0))
	var events []core.Event
	err := c.do(ctx, askTime, http.MethodGet, path, nil, &events)
	return events, err
}

// Changes implements core.Controller: a client polls.
func (c *Client) Changes() <-chan struct{} { return nil }

// Start implements core.Controller.
func (c *Client) Start(ctx context.Context, req core.StartRequest) (*core.Result, error) {
	path := "/v1/replicas"
	if req.ID != "" {
		path = replicaPath(req.ID) + "/start"
	}
	return fetched[core.Result](ctx, c, actTime, http.MethodPost, path, req)
}

// Stop implements core.Controller.
func (c *Client) Stop(ctx context.Context, req core.TargetRequest) (*core.Result, error) {
	return c.target(ctx, "/stop", req)
}

// Restart implements core.Controller.
func (c *Client) Restart(ctx context.Context, req core.TargetRequest) (*core.Result, error) {
	return c.target(ctx, "/restart", req)
}

func (c *Client) target(ctx context.Context, what string, req core.TargetRequest) (*core.Result, error) {
	path := "/v1" + what
	if !req.All {
		path = replicaPath(req.ID) + what
	}
	return fetched[core.Result](ctx, c, actTime, http.MethodPost, path, req)
}

// Update implements core.Controller.
func (c *Client) Update(ctx context.Context, req core.UpdateRequest) (*core.Result, error) {
	return fetched[core.Result](ctx, c, actTime, http.MethodPost, replicaPath(req.ID)+"/update", req)
}

// Remove implements core.Controller.
func (c *Client) Remove(ctx context.Context, req core.RemoveRequest) (*core.Result, error) {
	q := url.Values{}
	q.Set("force", strconv.FormatBool(req.Force))
	q.Set("dry_run", strconv.FormatBool(req.DryRun))
	q.Set("via", req.Actor.Via)
	q.Set("user", req.Actor.User)
	return fetched[core.Result](ctx, c, actTime, http.MethodDelete, replicaPath(req.ID)+"?"+q.Encode(), nil)
}

// Verify implements core.Controller.
func (c *Client) Verify(ctx context.Context, req core.VerifyRequest) (*core.Audit, error) {
	return fetched[core.Audit](ctx, c, actTime, http.MethodPost, replicaPath(req.ID)+"/verify", req)
}

// Repair implements core.Controller.
func (c *Client) Repair(ctx context.Context, req core.RepairRequest) (*core.Audit, error) {
	return fetched[core.Audit](ctx, c, actTime, http.MethodPost, replicaPath(req.ID)+"/repair", req)
}

// Audit implements core.Controller.
func (c *Client) Audit(ctx context.Context, id string) (*core.Audit, error) {
	return fetched[core.Audit](ctx, c, askTime, http.MethodGet, replicaPath(id)+"/audit", nil)
}

// CancelAudit implements core.Controller.
func (c *Client) CancelAudit(ctx context.Context, req core.TargetRequest) (*core.Audit, error) {
	return fetched[core.Audit](ctx, c, actTime, http.MethodPost, replicaPath(req.ID)+"/audit/cancel", req)
}

// Inspect implements core.Controller.
func (c *Client) Inspect(ctx context.Context, req core.InspectRequest) ([]core.Candidate, error) {
	var found []core.Candidate
	err := c.do(ctx, actTime, http.MethodPost, "/v1/inspect", req, &found)
	return found, err
}

// Settings implements core.Controller.
func (c *Client) Settings(ctx context.Context) (string, error) {
	var got settings
	err := c.do(ctx, askTime, http.MethodGet, "/v1/settings", nil, &got)
	return got.TOML, err
}

// Quarantined implements core.Controller.
func (c *Client) Quarantined(ctx context.Context) ([]core.Quarantined, error) {
	var list []core.Quarantined
	err := c.do(ctx, askTime, http.MethodGet, "/v1/quarantine", nil, &list)
	return list, err
}

// Replay implements core.Controller.
func (c *Client) Replay(ctx context.Context, req core.QuarantineRequest) (*core.Quarantined, error) {
	return fetched[core.Quarantined](ctx, c, actTime, http.MethodPost, quarantinePath(req.ID)+"/replay", req)
}

// Discard implements core.Controller.
func (c *Client) Discard(ctx context.Context, req core.QuarantineRequest) (*core.Quarantined, error) {
	return fetched[core.Quarantined](ctx, c, actTime, http.MethodPost, quarantinePath(req.ID)+"/discard", req)
}

func quarantinePath(id string) string { return "/v1/quarantine/" + url.PathEscape(id) }

// Shutdown implements core.Controller.
func (c *Client) Shutdown(ctx context.Context, by core.Actor) error {
	return c.do(ctx, actTime, http.MethodPost, "/v1/shutdown", by, nil)
}

func replicaPath(id string) string { return "/v1/replicas/" + url.PathEscape(id) }

func fetched[T any](ctx context.Context, c *Client, limit time.Duration, method, path string, body any) (*T, error) {
	v := new(T)
	if err := c.do(ctx, limit, method, path, body, v); err != nil {
		return nil, err
	}
	return v, nil
}

// do sends a request and decodes its answer into v. It gives up when ctx ends
// or a little after the instance itself would have given up.
func (c *Client) do(ctx context.Context, limit time.Duration, method, path string, body, v any) error {
	ctx, cancel := context.WithTimeout(ctx, limit+2*time.Second)
	defer cancel()
	var sent io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		sent = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://tdreplica"+path, sent)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unanswered(err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode != http.StatusOK {
		var d errorDocument
		if err := dec.Decode(&d); err != nil || d.Error == "" {
			return fmt.Errorf("ask the instance on %s: it answered %s", c.path, resp.Status)
		}
		return errorOf(d)
	}
	if v == nil {
		return nil
	}
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("read the answer of the instance on %s: %w", c.path, err)
	}
	return nil
}

// unanswered tells "nobody is there" from other failures of a request.
func (c *Client) unanswered(err error) error {
	// The error of net/http begins with a URL that means nothing to a person.
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w (%s)", core.ErrNotRunning, c.path)
	case errors.Is(err, fs.ErrPermission):
		return &DeniedError{Dir: filepath.Dir(c.path)}
	}
	return fmt.Errorf("ask the instance on %s: %w", c.path, err)
}
