package contract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/control"
	"tdreplica/core/engine"
	"tdreplica/core/store"
	"tdreplica/core/taos"
)

var testActor = core.Actor{Via: "command", User: "contract"}

// instance is one that a scenario drives: an engine in this process, or the
// program itself in another one. It keeps its state directory while it is
// down, so that launch brings the same instance back.
type instance struct {
	core.Controller
	*env
	dir     string
	process bool
	load    *load // of the scenario, for those that disturb it

	halt func(graceful bool) // ends what launch began; nil while down
	slay func()              // what kill -9 does to a process, from any goroutine; halt is still to be called
}

// runInstance starts an engine in this process.
func (e *env) runInstance() *instance {
	e.Helper()
	return e.newInstance(false)
}

// runProcess starts the program, so that it can be killed.
func (e *env) runProcess() *instance {
	e.Helper()
	return e.newInstance(true)
}

func (e *env) newInstance(process bool) *instance {
	e.Helper()
	in := &instance{env: e, process: process, dir: stateDir(e)}
	in.launch()
	e.Cleanup(func() {
		if in.halt != nil {
			in.shutdown()
		}
	})
	return in
}

// stateDir is short, since a socket's path must be.
func stateDir(e *env) string {
	e.Helper()
	dir, err := os.MkdirTemp("", "tdr")
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// testTuning makes retries and commits quick enough for a test.
func testTuning() *config.Config {
	c := config.Default()
	c.Engine.CommitInterval = config.Duration{Duration: 200 * time.Millisecond}
	c.Engine.RetryMin = config.Duration{Duration: 50 * time.Millisecond}
	c.Engine.RetryMax = config.Duration{Duration: time.Second}
	c.Engine.PollWaitMax = config.Duration{Duration: 100 * time.Millisecond}
	return c
}

// processTuning is testTuning as the program reads it.
const processTuning = `
[engine]
commit_interval = "200ms"
retry_min = "50ms"
retry_max = "1s"
poll_wait_max = "100ms"
`

// launch starts the instance on its state directory.
func (in *instance) launch() {
	in.Helper()
	if in.process {
		in.launchProcess()
	} else {
		in.launchEngine()
	}
}

func (in *instance) launchEngine() {
	in.Helper()
	st, err := store.Open(in.dir)
	if err != nil {
		in.Fatalf("open the state: %v", err)
	}
	cfg := testTuning()
	cfg.Instance.StateDir = in.dir
	if in.opts.poison != "" {
		cfg.Engine.OnPoison = in.opts.poison
	}
	if in.queue > 0 {
		cfg.Engine.QueueBytes = config.Bytes(in.queue)
	}
	if in.patient > 0 {
		cfg.Engine.RequestTimeout.Duration, cfg.Engine.WriteTimeout.Duration = in.patient, in.patient
	}
	if in.opts.stall > 0 {
		cfg.Engine.StallTimeout.Duration = in.opts.stall
	}
	o := engine.Options{
		Config:    cfg,
		Store:     st,
		Connector: taos.New(taos.Options{RequestTimeout: in.patient, WriteTimeout: in.patient}),
		Clock:     in.opts.clock,
		Log:       slog.New(slog.NewTextHandler(in.logFile(), nil)),
		Version:   "contract",
		GrowAfter: in.opts.grow,
	}
	if in.clock != nil {
		o.Clock = in.clock
		cfg.Engine.PollWaitMax.Duration /= time.Duration(in.clock.times)
	}
	eng, err := engine.New(o)
	if err != nil {
		in.Fatalf("make the engine: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- eng.Run(ctx) }()
	in.Controller = eng
	in.halt = func(graceful bool) {
		if !graceful {
			eng.Abort()
		}
		cancel()
		if err := <-ran; err != nil && !errors.Is(err, context.Canceled) {
			in.Errorf("the engine ended with: %v", err)
		}
		if err := st.Close(); err != nil {
			in.Errorf("close the state: %v", err)
		}
	}
}

// logFile is read by people after a failure: it survives where t.Log would
// drown the failure itself.
func (in *instance) logFile() io.Writer {
	in.Helper()
	f, err := os.OpenFile(filepath.Join(in.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		in.Fatal(err)
	}
	in.Cleanup(func() {
		_ = f.Close()
		if text, err := os.ReadFile(f.Name()); in.Failed() && !in.quiet && err == nil {
			if len(text) > 6000 {
				text = text[len(text)-6000:]
			}
			in.Logf("the end of the instance's log:\n%s", text)
		}
	})
	return f
}

// binary is the program, built once for all scenarios that need it.
var binary struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func buildBinary() (string, error) {
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "tdr"); binary.err != nil {
			return
		}
		binary.path = filepath.Join(binary.dir, "tdreplica")
		out, err := exec.Command("go", "build", "-o", binary.path, "tdreplica").CombinedOutput()
		if err != nil {
			binary.err = errors.New("build tdreplica: " + err.Error() + ": " + string(out))
		}
	})
	return binary.path, binary.err
}

func removeBinary() {
	if binary.dir != "" {
		_ = os.RemoveAll(binary.dir)
	}
}

func (in *instance) launchProcess() {
	in.Helper()
	path, err := buildBinary()
	if err != nil {
		in.Fatal(err)
	}
	conf := filepath.Join(in.dir, "replica.toml")
	tuning := processTuning
	if in.opts.poison != "" {
		tuning += "on_poison = \"" + in.opts.poison + "\"\n"
	}
	if in.queue > 0 {
		tuning += fmt.Sprintf("queue_bytes = %q\n", config.Bytes(in.queue))
	}
	if in.patient > 0 {
		tuning += fmt.Sprintf("request_timeout = %q\nwrite_timeout = %[1]q\n", in.patient)
	}
	if err := os.WriteFile(conf, []byte(tuning), 0o600); err != nil {
		in.Fatal(err)
	}
	cmd := exec.Command(path, "--no-tui", "-c", conf, "--state-dir", in.dir)
	cmd.Stdout = in.logFile()
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		in.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	client := in.dial(ended)
	in.Controller = client
	in.slay = func() { _ = cmd.Process.Kill() }
	in.halt = func(graceful bool) {
		sig := syscall.SIGKILL
		if graceful {
			sig = syscall.SIGTERM
		}
		client.Close()
		if err := cmd.Process.Signal(sig); err != nil && (graceful || !errors.Is(err, os.ErrProcessDone)) {
			in.Errorf("signal the instance: %v", err)
		}
		if err := <-ended; graceful && err != nil {
			in.Errorf("the instance ended with: %v", err)
		}
	}
}

// dial waits until the instance answers on its socket.
func (in *instance) dial(ended <-chan error) *control.Client {
	in.Helper()
	client := control.NewClient(in.dir)
	in.waitUntil("the instance answers", func() (bool, string) {
		select {
		case err := <-ended:
			in.Fatalf("the instance ended at once: %v", err)
		default:
		}
		if err := client.Ping(in.Context()); err != nil {
			return false, err.Error()
		}
		return true, ""
	})
	return client
}

// shutdown ends the instance gracefully; kill ends it as kill -9 does.
func (in *instance) shutdown() {
	in.Helper()
	in.halt(true)
	in.halt = nil
}

func (in *instance) kill() {
	in.Helper()
	if !in.process {
		in.Fatal("only a process can be killed")
	}
	in.halt(false)
	in.halt = nil
}

// replicate starts a replica of the databases and returns its id.
func (in *instance) replicate(from, to *side, databases ...string) string {
	in.Helper()
	return in.begin(core.StartRequest{Source: from.ep, Sink: to.ep, Databases: databases})
}

// begin sends a start request that must succeed. Its checks have 4.5 s, in which a
// machine that does other things may not get to the end of them.
func (in *instance) begin(req core.StartRequest) string {
	in.Helper()
	req.Actor = testActor
	var res *core.Result
	in.waitUntil("the replica is started", func() (_ bool, why string) {
		var err error
		if res, err = in.Start(in.Context(), req); err != nil {
			why = fmt.Sprintf("%v (%s)", err, core.HintOf(err))
			if !core.ClassOf(err).Retryable() {
				in.Fatalf("start: %s", why)
			}
		}
		return err == nil, why
	})
	if res.ID == "" {
		in.Fatalf("start names no replica: %+v", res)
	}
	return res.ID
}

// outcome fails unless a request succeeded with one outcome for every task.
func (in *instance) outcome(res *core.Result, err error, want core.Outcome) {
	in.Helper()
	if err != nil {
		in.Fatalf("expected %q: %v (%s)", want, err, core.HintOf(err))
	}
	other := func(t core.TaskResult) bool { return t.Outcome != want }
	if len(res.Tasks) == 0 || slices.ContainsFunc(res.Tasks, other) {
		in.Fatalf("expected %q for every task: %+v", want, res.Tasks)
	}
}

// caughtUp waits as waitCaughtUp does for replicas of this instance.
func (in *instance) caughtUp(ids ...string) {
	in.Helper()
	in.waitCaughtUp(in.Controller, ids...)
}

func (in *instance) waitState(key core.TaskKey, want core.State) *core.Task {
	in.Helper()
	return in.env.waitState(in.Controller, key, want)
}

// stopped stops a replica that has one task and returns when that has stopped.
func (in *instance) stopped(id, db string) {
	in.Helper()
	if _, err := in.Stop(in.Context(), core.TargetRequest{ID: id, Actor: testActor}); err != nil {
		in.Fatal(err)
	}
	in.waitState(core.TaskKey{Replica: id, Database: db}, core.Stopped)
}

// waitApplied returns when a task has written something to its sink.
func (in *instance) waitApplied(id, db string) {
	in.Helper()
	in.waitUntil("the task has applied something", func() (bool, string) {
		snap, err := in.Snapshot(in.Context())
		if err != nil {
			return false, err.Error()
		}
		t := snap.Task(core.TaskKey{Replica: id, Database: db})
		if t == nil {
			return false, "there is no such task"
		}
		return t.Totals.Messages > 0, describeTask(t)
	})
}
