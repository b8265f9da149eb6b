package cli_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/cli"
	"tdreplica/core/control"
	"tdreplica/core/store"
)

// fake is an instance that remembers what it was asked last.
type fake struct {
	core.Controller // what a test does not expect is nil, and panics

	mu     sync.Mutex
	snap   core.Snapshot
	asked  any
	result core.Result
	err    error
	events []core.Event
	audits *core.Audit
	looks  int             // at audits
	ends   core.AuditState // what they end with
	// after is put in the place of snap when something was asked.
	after *core.Snapshot
}

func (f *fake) did(req any) (*core.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = req
	if f.after != nil {
		f.snap = *f.after
	}
	return &f.result, f.err
}

func (f *fake) Snapshot(context.Context) (*core.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.snap
	return &s, nil
}
func (f *fake) Start(_ context.Context, r core.StartRequest) (*core.Result, error) { return f.did(r) }
func (f *fake) Stop(_ context.Context, r core.TargetRequest) (*core.Result, error) { return f.did(r) }
func (f *fake) Restart(_ context.Context, r core.TargetRequest) (*core.Result, error) {
	return f.did(r)
}
func (f *fake) Update(_ context.Context, r core.UpdateRequest) (*core.Result, error) { return f.did(r) }
func (f *fake) Remove(_ context.Context, r core.RemoveRequest) (*core.Result, error) { return f.did(r) }
func (f *fake) Inspect(_ context.Context, r core.InspectRequest) ([]core.Candidate, error) {
	f.did(r)
	return []core.Candidate{{Database: "power", AtSource: true}, {Database: "elsewhere", Problems: []string{"it is not there"}}}, nil
}

// healthy is an instance with two replicas, three tasks and four vgroups.
func healthy() core.Snapshot {
	now := time.Now()
	vg := func(id int32, current, latest int64) core.Vgroup {
		return core.Vgroup{ID: id, Current: current, Committed: current, Latest: latest, Diff: latest - current}
	}
	task := func(replica string, n int, db string, state core.State, vgroups ...core.Vgroup) core.Task {
		t := core.Task{
			Replica: replica, Number: n, Source: "http://a:6041", Sink: "http://b:6041", Database: db,
			State: state, Desired: core.WantRunning, Since: now, MeasuredAt: now, Vgroups: vgroups,
		}
		if state == core.Running {
			t.Phase = core.CaughtUp
		}
		return t
	}
	stopped := task("otter", 1, "电力数据", core.Stopped, vg(9, 5, 7))
	stopped.Desired, stopped.MeasuredAt = core.WantStopped, now.Add(-time.Hour)
	return core.Snapshot{
		At:       now,
		Instance: core.Instance{Running: true, PID: 4711},
		Replicas: []core.Replica{
			{ID: "maple", Source: "http://a:6041", Sink: "http://b:6041"},
			{ID: "otter", Source: "http://b:6041", Sink: "http://a:6041"},
		},
		Tasks: []core.Task{
			task("maple", 1, "power", core.Running, vg(4, 100, 100), vg(5, 90, 120)),
			task("maple", 2, "factory", core.Running, vg(6, 1, 1)),
			stopped,
		},
	}
}

// world is a state directory with (or without) a fake instance on it.
type world struct {
	*testing.T
	dir  string
	fake *fake

	inspected core.InspectRequest // without an instance
}

func nobody(t *testing.T) *world {
	t.Helper()
	for _, v := range []string{"SOURCE_USER", "SOURCE_PASSWORD", "SOURCE_TOKEN", "SINK_USER", "SINK_PASSWORD", "SINK_TOKEN", "STATE_DIR", "CONFIG"} {
		t.Setenv("TDREPLICA_"+v, "")
	}
	dir, err := os.MkdirTemp("", "tdr") // short: a socket's path has a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	empty := filepath.Join(dir, "replica.toml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TDREPLICA_CONFIG", empty)
	return &world{T: t, dir: dir}
}

func instance(t *testing.T) *world {
	t.Helper()
	w := nobody(t)
	w.fake = &fake{snap: healthy()}
	st, err := store.Open(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := control.Listen(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer(w.fake, false, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(context.Background()), <-served, st.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// run gives a command and returns what it printed and its exit code.
func (w *world) run(args ...string) (stdout, stderr string, code int) {
	w.Helper()
	var out, errs bytes.Buffer
	no := func(context.Context, cli.Launch) error { return errors.New("no mode was asked for") }
	p := cli.Program{
		Version: cli.Version{Version: "1.2.3", Commit: "abc", Go: "go1.26"},
		Out:     &out, Err: &errs, Console: no, Headless: no, Demo: no,
		Inspect: func(_ context.Context, _ *config.Config, r core.InspectRequest) ([]core.Candidate, error) {
			w.inspected = r
			if r.Source.URL == "http://empty:6041" {
				return nil, nil
			}
			found := []core.Candidate{{Database: "power", AtSource: true, AtSink: true}}
			if len(r.Databases) == 0 {
				found = append(found, core.Candidate{Database: "half", AtSource: true, Problems: []string{"it is not at the sink"}})
			}
			return found, nil
		},
	}
	code = p.Run(w.Context(), append([]string{"--state-dir", w.dir}, args...))
	return out.String(), errs.String(), code
}
