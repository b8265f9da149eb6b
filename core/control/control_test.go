package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tdreplica/core"
	"tdreplica/core/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Controller that remembers what it was asked last and answers with
// what a test gave it.
type fake struct {
	asked  any
	result core.Result
	snap   core.Snapshot
	err    error
	panics bool
	block  chan struct{}
}

func (f *fake) did(req any) (*core.Result, error) {
	if f.panics {
		panic("the fake panics")
	}
	f.asked = req
	return &f.result, f.err
}

func (f *fake) Snapshot(ctx context.Context) (*core.Snapshot, error) {
	if f.block != nil {
		<-f.block
	}
	return &f.snap, f.err
}
func (f *fake) Detail(_ context.Context, k core.TaskKey) (*core.TaskDetail, error) {
	f.asked = k
	return &core.TaskDetail{Poisoned: 3}, f.err
}
func (f *fake) Events(_ context.Context, after uint64, limit int) ([]core.Event, error) {
	f.asked = [2]uint64{after, uint64(limit)}
	return []core.Event{{Seq: after + 1, Text: "事件"}}, f.err
}
func (f *fake) Changes() <-chan struct{} { return nil }
func (f *fake) Start(_ context.Context, r core.StartRequest) (*core.Result, error) {
	return f.did(r)
}
func (f *fake) Stop(_ context.Context, r core.TargetRequest) (*core.Result, error) {
	return f.did(r)
}
func (f *fake) Restart(_ context.Context, r core.TargetRequest) (*core.Result, error) {
	return f.did(r)
}
func (f *fake) Update(_ context.Context, r core.UpdateRequest) (*core.Result, error) {
	return f.did(r)
}
func (f *fake) Remove(_ context.Context, r core.RemoveRequest) (*core.Result, error) {
	return f.did(r)
}
func (f *fake) Verify(_ context.Context, r core.VerifyRequest) (*core.Audit, error) {
	f.asked = r
	return &core.Audit{Replica: r.ID, Kind: "verify"}, f.err
}
func (f *fake) Repair(_ context.Context, r core.RepairRequest) (*core.Audit, error) {
	f.asked = r
	return &core.Audit{Replica: r.ID, Kind: "repair"}, f.err
}
func (f *fake) Audit(_ context.Context, id string) (*core.Audit, error) {
	f.asked = id
	return &core.Audit{Replica: id, Databases: []core.DatabaseAudit{{Differences: map[core.DifferenceKind]int64{core.MissingRow: 7}}}}, f.err
}
func (f *fake) CancelAudit(_ context.Context, r core.TargetRequest) (*core.Audit, error) {
	f.asked = r
	return &core.Audit{Replica: r.ID, State: core.AuditCancelled}, f.err
}
func (f *fake) Inspect(_ context.Context, r core.InspectRequest) ([]core.Candidate, error) {
	f.asked = r
	return []core.Candidate{{Database: "power"}}, f.err
}
func (f *fake) Overview(_ context.Context, of core.TaskKey) (*core.Snapshot, error) {
	return f.snap.Overview(of), f.err
}
func (f *fake) Settings(context.Context) (string, error) { return "[instance]\n", f.err }
func (f *fake) Quarantined(context.Context) ([]core.Quarantined, error) {
	return []core.Quarantined{{ID: "maple-2-7-aa"}}, f.err
}
func (f *fake) Replay(_ context.Context, r core.QuarantineRequest) (*core.Quarantined, error) {
	f.asked = r
	return &core.Quarantined{ID: r.ID}, f.err
}
func (f *fake) Discard(_ context.Context, r core.QuarantineRequest) (*core.Quarantined, error) {
	f.asked = r
	return &core.Quarantined{ID: r.ID}, f.err
}
func (f *fake) Shutdown(_ context.Context, by core.Actor) error { f.asked = by; return f.err }

func serve(t *testing.T, f *fake, readOnly bool) (*control.Client, string) {
	t.Helper()
	dir := t.TempDir()
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer(f, readOnly, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c := control.NewClient(dir)
	t.Cleanup(func() {
		c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(s.Close(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	return c, dir
}

func TestEveryRequestArrivesWhole(t *testing.T) {
	interval := int64(60)
	options := core.Options{CheckIntervalS: &interval}
	by := core.Actor{Via: "command", User: "li"}
	from, to := core.Endpoint{URL: "http://a:6041", User: "root", Password: "p&=/ %"}, core.Endpoint{URL: "http://b:6041", Token: "t"}
	want := core.Result{ID: "maple", Tasks: []core.TaskResult{{Replica: "maple", Database: "power", Outcome: core.OutcomeStarted}}, Deleted: []string{"x"}}
	f := &fake{result: want}
	c, _ := serve(t, f, false)
	ctx := t.Context()

	create := core.StartRequest{Source: from, Sink: to, Databases: []string{"数据"}, Options: options, Actor: by}
	extend := core.StartRequest{ID: "maple", Databases: []string{"a/b"}, Actor: by}
	target := core.TargetRequest{ID: "maple", Databases: []string{"power"}, Actor: by}
	all := core.TargetRequest{All: true, Actor: by}
	update := core.UpdateRequest{ID: "maple", Options: options, Actor: by}
	remove := core.RemoveRequest{ID: "maple", Force: true, Actor: by}
	for _, step := range []struct {
		ask any
		do  func() (*core.Result, error)
	}{
		{create, func() (*core.Result, error) { return c.Start(ctx, create) }},
		{extend, func() (*core.Result, error) { return c.Start(ctx, extend) }},
		{target, func() (*core.Result, error) { return c.Stop(ctx, target) }},
		{target, func() (*core.Result, error) { return c.Restart(ctx, target) }},
		{all, func() (*core.Result, error) { return c.Stop(ctx, all) }},
		{all, func() (*core.Result, error) { return c.Restart(ctx, all) }},
		{update, func() (*core.Result, error) { return c.Update(ctx, update) }},
		{remove, func() (*core.Result, error) { return c.Remove(ctx, remove) }},
	} {
		f.asked = nil
		got, err := step.do()
		if err != nil {
			t.Fatalf("%+v: %v", step.ask, err)
		}
		if !reflect.DeepEqual(f.asked, step.ask) {
			t.Errorf("asked   %+v\narrived %+v", step.ask, f.asked)
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("answered %+v, arrived %+v", want, *got)
		}
	}

	key := core.TaskKey{Replica: "maple", Database: "a/b 数据"}
	if d, err := c.Detail(ctx, key); err != nil || d.Poisoned != 3 || f.asked != key {
		t.Errorf("detail: %v, %v, asked for %v", d, err, f.asked)
	}
	if ev, err := c.Events(ctx, 41, 7); err != nil || ev[0].Seq != 42 || ev[0].Text != "事件" || f.asked != [2]uint64{41, 7} {
		t.Errorf("events: %v, %v, asked for %v", ev, err, f.asked)
	}
	inspect := core.InspectRequest{Source: from, Sink: to}
	if found, err := c.Inspect(ctx, inspect); err != nil || found[0].Database != "power" || !reflect.DeepEqual(f.asked, inspect) {
		t.Errorf("inspect: %v, %v, asked for %v", found, err, f.asked)
	}
	repair := core.RepairRequest{VerifyRequest: core.VerifyRequest{ID: "maple", Databases: []string{"power"}, Exact: true, Actor: by}, Gap: true, Winner: "source"}
	if a, err := c.Repair(ctx, repair); err != nil || a.Kind != "repair" || !reflect.DeepEqual(f.asked, repair) {
		t.Errorf("repair: %v, %v, asked for %+v", a, err, f.asked)
	}
	if a, err := c.Verify(ctx, repair.VerifyRequest); err != nil || a.Kind != "verify" || !reflect.DeepEqual(f.asked, repair.VerifyRequest) {
		t.Errorf("verify: %v, %v, asked for %+v", a, err, f.asked)
	}
	if a, err := c.Audit(ctx, "maple"); err != nil || f.asked != "maple" || a.Databases[0].Differences[core.MissingRow] != 7 {
		t.Errorf("audit: %v, %v, asked for %+v", a, err, f.asked)
	}
	cancel := core.TargetRequest{ID: "maple", Actor: by}
	if a, err := c.CancelAudit(ctx, cancel); err != nil || a.State != core.AuditCancelled || !reflect.DeepEqual(f.asked, cancel) {
		t.Errorf("cancel: %v, %v, asked for %+v", a, err, f.asked)
	}
	if s, err := c.Overview(ctx, core.TaskKey{Replica: "maple", Database: "a/b"}); err != nil || len(s.Tasks) != len(f.snap.Tasks) {
		t.Errorf("overview: %+v, %v", s, err)
	}
	if text, err := c.Settings(ctx); err != nil || text != "[instance]\n" {
		t.Errorf("settings: %q, %v", text, err)
	}
	if list, err := c.Quarantined(ctx); err != nil || len(list) != 1 || list[0].ID != "maple-2-7-aa" {
		t.Errorf("quarantined: %v, %v", list, err)
	}
	message := core.QuarantineRequest{ID: "maple-2-7-aa", Actor: by}
	for _, do := range []func(context.Context, core.QuarantineRequest) (*core.Quarantined, error){c.Replay, c.Discard} {
		f.asked = nil
		if m, err := do(ctx, message); err != nil || m.ID != message.ID || f.asked != message {
			t.Errorf("quarantine: %v, %v, asked for %v", m, err, f.asked)
		}
	}
	if err := c.Shutdown(ctx, by); err != nil || f.asked != by {
		t.Errorf("shutdown: %v, asked by %v", err, f.asked)
	}
	if err := c.Ping(ctx); err != nil {
		t.Errorf("ping: %v", err)
	}
}

func TestErrorsKeepTheirTypes(t *testing.T) {
	f := &fake{}
	c, _ := serve(t, f, false)
	ask := func(err error) error {
		f.err = err
		_, got := c.Stop(t.Context(), core.TargetRequest{ID: "aaa"})
		if got == nil || got.Error() != err.Error() {
			t.Errorf("sent %q, came back as %q", err, got)
		}
		return got
	}
	var unknown *core.UnknownReplicaError
	if got := ask(&core.UnknownReplicaError{ID: "aaa", Known: []string{"maple", "otter"}}); !errors.As(got, &unknown) || len(unknown.Known) != 2 {
		t.Errorf("unknown replica came back as %#v", got)
	}
	var refused *core.RefusedError
	if got := ask(&core.RefusedError{Text: "replica maple runs", Hint: "stop it first, or use --force"}); !errors.As(got, &refused) || core.HintOf(got) != "stop it first, or use --force" {
		t.Errorf("refusal came back as %#v with hint %q", got, core.HintOf(got))
	}
	var endpoint *core.Error
	cause := &core.Error{Class: core.ClassOperator, Code: 0x357, Op: "connect to http://a:6041", Text: "Authentication failure", Hint: "check the password"}
	if got := ask(fmt.Errorf("start maple: %w", cause)); !errors.As(got, &endpoint) || *endpoint != *cause || core.ClassOf(got) != core.ClassOperator {
		t.Errorf("endpoint error came back as %#v", got)
	}
	for _, sentinel := range []error{core.ErrReadOnly, core.ErrNotRunning, context.DeadlineExceeded} {
		if got := ask(fmt.Errorf("stop: %w", sentinel)); !errors.Is(got, sentinel) {
			t.Errorf("%v came back as %#v", sentinel, got)
		}
	}
	ask(errors.New("something else"))
}

// raw sends a request as curl would.
func raw(t *testing.T, dir, method, path, body string) (int, string) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", control.SocketPath(dir))
	}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b) {
		t.Errorf("%s %s: the answer is no JSON: %s", method, path, b)
	}
	return resp.StatusCode, string(b)
}

func TestBadRequestsNameWhatIsWrong(t *testing.T) {
	f := &fake{}
	_, dir := serve(t, f, false)
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/v1/replicas/maple/stop", "", 200, "tasks"},
		{"POST", "/v1/replicas/maple/stop", `{"databases":`, 400, "read the request"},
		{"POST", "/v1/replicas/maple/stop", `{"nonsense":1}`, 400, "nonsense"},
		{"POST", "/v1/replicas/maple/stop", `{} {}`, 400, "more than one"},
		{"POST", "/v1/replicas/maple/stop", `{"id":"` + strings.Repeat("x", 2<<20) + `"}`, 400, "too large"},
		{"POST", "/v1/stop", ``, 400, `\"all\"`},
		{"POST", "/v1/stop", `{"all":true}`, 200, "tasks"},
		{"POST", "/v1/replicas", `{}`, 400, `\"source\"`},
		{"GET", "/v1/events?after=-1", "", 400, "after"},
		{"DELETE", "/v1/replicas/maple?force=perhaps", "", 400, "force"},
		{"GET", "/v2/snapshot", "", 404, "/v2/snapshot"},
		{"DELETE", "/v1/snapshot", "", 404, "DELETE"},
		{"GET", "/v1/healthz", "", 200, `"healthy":true`},
		{"GET", "/v1/info", "", 200, `"pid"`},
		{"GET", "/v1/settings", "", 200, `{"toml":"[instance]\n"}`},
		{"GET", "/v1/snapshot", "", 200, `"tasks"`},
	} {
		f.snap.Instance.PID = 1
		status, body := raw(t, dir, c.method, c.path, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %.40s: %d %.200s, want %d with %q", c.method, c.path, c.body, status, body, c.status, c.want)
		}
	}
	if status, body := raw(t, dir, "POST", "/v1/replicas/maple/stop", ""); status != 200 || f.asked.(core.TargetRequest).Actor.Via != "socket" {
		t.Errorf("a request that names no actor: %d %s, actor %+v", status, body, f.asked)
	}
}

func TestReadOnlyRefusesWhateverActs(t *testing.T) {
	f := &fake{}
	c, dir := serve(t, f, true)
	for _, r := range [][2]string{
		{"POST", "/v1/replicas"}, {"POST", "/v1/replicas/a/start"}, {"POST", "/v1/replicas/a/stop"},
		{"POST", "/v1/replicas/a/restart"}, {"POST", "/v1/replicas/a/update"}, {"DELETE", "/v1/replicas/a"},
		{"POST", "/v1/stop"}, {"POST", "/v1/restart"}, {"POST", "/v1/shutdown"},
		{"POST", "/v1/replicas/a/repair"}, {"POST", "/v1/quarantine/a/replay"}, {"POST", "/v1/quarantine/a/discard"},
	} {
		if status, body := raw(t, dir, r[0], r[1], ""); status != 403 || !strings.Contains(body, "read_only") {
			t.Errorf("%s %s: %d %s, want 403", r[0], r[1], status, body)
		}
	}
	if f.asked != nil {
		t.Errorf("something arrived all the same: %+v", f.asked)
	}
	if _, err := c.Snapshot(t.Context()); err != nil {
		t.Errorf("asking is allowed: %v", err)
	}
	if _, err := c.Verify(t.Context(), core.VerifyRequest{ID: "a"}); err != nil {
		t.Errorf("comparing is allowed: %v", err)
	}
	if err := c.Shutdown(t.Context(), core.Actor{}); !errors.Is(err, core.ErrReadOnly) {
		t.Errorf("shutdown: %v", err)
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	f := &fake{panics: true}
	_, dir := serve(t, f, false)
	if status, body := raw(t, dir, "POST", "/v1/replicas/a/stop", ""); status != 500 || !strings.Contains(body, "the fake panics") {
		t.Errorf("%d %s", status, body)
	}
	f.panics = false
	if status, _ := raw(t, dir, "POST", "/v1/replicas/a/stop", ""); status != 200 {
		t.Errorf("after a panic: %d", status)
	}
}

func TestSocketHygiene(t *testing.T) {
	_, dir := serve(t, &fake{}, false)
	path := control.SocketPath(dir)
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket mode %v, %v: want 0600", st.Mode(), err)
	}
	var refused *core.RefusedError
	if _, err := control.Listen(dir); !errors.As(err, &refused) {
		t.Errorf("a live owner: %v, want a refusal", err)
	}

	stale := t.TempDir()
	l, err := net.Listen("unix", control.SocketPath(stale))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if l, err = control.Listen(stale); err != nil {
		t.Errorf("a stale socket: %v", err)
	} else {
		l.Close()
	}
	if _, err := os.Stat(control.SocketPath(stale)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket of a closed listener is still there: %v", err)
	}

	file := t.TempDir()
	if err := os.WriteFile(control.SocketPath(file), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Listen(file); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file in the socket's place: %v", err)
	}
	if b, _ := os.ReadFile(control.SocketPath(file)); string(b) != "precious" {
		t.Error("the file was displaced")
	}

	long := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if _, err := control.Listen(long); !errors.As(err, &refused) || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a path of %d bytes: %v", len(long), err)
	}
}

func TestNobodyThere(t *testing.T) {
	dir := t.TempDir()
	c := control.NewClient(dir)
	if _, err := c.Snapshot(t.Context()); !errors.Is(err, core.ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	l, err := net.Listen("unix", control.SocketPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := c.Snapshot(t.Context()); !errors.Is(err, core.ErrNotRunning) {
		t.Errorf("a stale socket: %v", err)
	}
}

func TestAnAskerGivesUpWithItsContext(t *testing.T) {
	f := &fake{block: make(chan struct{})}
	c, _ := serve(t, f, false)
	defer close(f.block)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Snapshot(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
}

func TestProfilesHoldNoCommandLine(t *testing.T) {
	_, dir := serve(t, &fake{}, true)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "control.sock"))
	}
	c := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	for path, want := range map[string]string{"goroutine?debug=1": "goroutine profile:", "cmdline": "Unknown profile"} {
		resp, err := c.Get("http://instance/debug/pprof/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.HasPrefix(string(body), want) {
			t.Errorf("%s: %v, %.80s, want %s", path, err, body, want)
		}
	}
}
