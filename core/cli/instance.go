package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/control"
	"tdreplica/core/store"
)

const (
	// answerTime is how long an instance that owns the state directory, but
	// does not answer yet, may take to begin.
	answerTime = 10 * time.Second
	pollEvery  = 50 * time.Millisecond
)

// silentError is an instance that owns the state directory and does not answer.
type silentError struct {
	dir string
	pid int
}

func (e *silentError) Error() string {
	return fmt.Sprintf("the instance on %s (process %d) does not answer", e.dir, e.pid)
}
func (e *silentError) Unwrap() error { return core.ErrNotRunning }
func (e *silentError) ErrorHint() string {
	return fmt.Sprintf("it may be stopping; see its log, or end it with: kill %d", e.pid)
}

// absentError says how to start an instance.
type absentError struct{ dir string }

func (e *absentError) Error() string { return "no instance runs on " + e.dir }
func (e *absentError) Unwrap() error { return core.ErrNotRunning }
func (e *absentError) ErrorHint() string {
	return "start one with: tdreplica --no-tui --state-dir " + e.dir
}

// dial returns a client of the instance that runs on the state directory. An
// instance that is just beginning is waited for.
func (c *command) dial(ctx context.Context) (*control.Client, error) {
	if err := c.settle(); err != nil {
		return nil, err
	}
	client := control.NewClient(c.dir)
	deadline := time.Now().Add(answerTime)
	for {
		err := client.Ping(ctx)
		if err == nil {
			return client, nil
		}
		if !errors.Is(err, core.ErrNotRunning) {
			client.Close()
			return nil, err
		}
		pid, owned := store.Owner(c.dir)
		if !owned || time.Now().After(deadline) {
			client.Close()
			if owned {
				return nil, &silentError{dir: c.dir, pid: pid}
			}
			return nil, &absentError{dir: c.dir}
		}
		if err := core.Pause(ctx, pollEvery); err != nil {
			client.Close()
			return nil, err
		}
	}
}

// act runs f with the running instance.
func (c *command) act(ctx context.Context, f func(core.Controller) error) error {
	if c.readOnly {
		return core.ErrReadOnly
	}
	client, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return f(client)
}

// look returns the running instance's snapshot, or what the state directory
// last knew where none runs.
func (c *command) look(ctx context.Context) (*core.Snapshot, error) {
	client, err := c.dial(ctx)
	if err == nil {
		defer client.Close()
		return client.Snapshot(ctx)
	}
	var absent *absentError
	if !errors.As(err, &absent) {
		return nil, err
	}
	return c.lookOffline()
}

func (c *command) lookOffline() (*core.Snapshot, error) {
	st, err := store.OpenReadOnly(c.dir)
	if errors.Is(err, store.ErrNoState) {
		return &core.Snapshot{
			At: time.Now(), Instance: core.Instance{StateDir: c.dir},
			Replicas: []core.Replica{}, Tasks: []core.Task{},
		}, nil
	}
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return st.Snapshot()
}

// Background starts an instance as a process of its own, with the same
// configuration and state directory, and returns when it answers. Nothing
// secret is in its arguments or, beyond what it is meant to read there, in its
// environment. Its output goes to a file of the state directory. One that has not
// answered when ctx ends, or after ten seconds, is told to end.
func Background(ctx context.Context, cfg *config.Config) (*Process, error) {
	dir := cfg.Instance.StateDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the state directory: %w", err)
	}
	p := &Process{Log: filepath.Join(dir, "tdreplica.log")}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of a new instance: %w", err)
	}
	defer log.Close()
	begin, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("open the log of a new instance: %w", err)
	}
	child, err := instanceProcess(cfg)
	if err != nil {
		return nil, err
	}
	child.Stdout, child.Stderr = log, log
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("start an instance: %w", err)
	}
	p.PID = child.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }() // ends with the child, or with this process
	client := control.NewClient(dir)
	defer client.Close()
	if err := answers(ctx, client, ended); err != nil {
		// What nobody has seen answering must not go on unknown to anybody.
		_ = child.Process.Signal(syscall.SIGTERM)
		return nil, fmt.Errorf("start an instance in the background: %w%s", err, logSince(p.Log, begin))
	}
	return p, nil
}

// Process is an instance that runs in the background.
type Process struct {
	PID int
	Log string // path of the file with its output
}

func instanceProcess(cfg *config.Config) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %w", err)
	}
	args := []string{os.Args[0], "--no-tui", "--state-dir", cfg.Instance.StateDir}
	if cfg.File != "" {
		path, err := filepath.Abs(cfg.File)
		if err != nil {
			return nil, fmt.Errorf("find the configuration: %w", err)
		}
		args = append(args, "-c", path)
	}
	child := &exec.Cmd{Path: exe, Args: args, Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, sourceEnv) && !strings.HasPrefix(name, sinkEnv) {
			child.Env = append(child.Env, v)
		}
	}
	return child, nil
}

// answers waits until a new instance answers, or has ended.
func answers(ctx context.Context, client *control.Client, ended <-chan error) error {
	deadline := time.Now().Add(answerTime)
	for {
		err := client.Ping(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		select {
		case err := <-ended:
			return fmt.Errorf("it ended at once: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

// logSince is what an instance that did not come up has said, or how to hear it.
func logSince(path string, begin int64) string {
	b, err := os.ReadFile(path)
	if err != nil || int64(len(b)) <= begin {
		return fmt.Sprintf("; it left nothing in %s (is the disk full?): tdreplica --no-tui --state-dir %s says why", path, filepath.Dir(path))
	}
	said := strings.TrimSpace(string(b[begin:]))
	if len(said) > 2000 {
		said = said[len(said)-2000:]
	}
	return "\n" + said
}

// known finds the replica of an id in a snapshot.
func known(s *core.Snapshot, id string) (*core.Replica, error) {
	if r := s.Replica(id); r != nil {
		return r, nil
	}
	unknown := &core.UnknownReplicaError{ID: id}
	for _, r := range s.Replicas {
		unknown.Known = append(unknown.Known, r.ID)
	}
	return nil, unknown
}
