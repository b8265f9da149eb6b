package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/cli"
	"tdreplica/core/control"
	"tdreplica/core/demo"
	"tdreplica/core/store"
	"tdreplica/core/termguard"
	"tdreplica/tui"
)

// console attaches to the instance that runs on the state directory, or runs
// one in this process for as long as the console is open.
func console(ctx context.Context, l cli.Launch, version string) error {
	if !terminal() {
		return &core.RefusedError{Text: "the console needs a terminal", Hint: "run the instance without one: tdreplica --no-tui"}
	}
	dir := l.Config.Instance.StateDir
	client := control.NewClient(dir)
	defer client.Close()
	switch err := client.Ping(ctx); {
	case err == nil:
		return attached(ctx, l, client)
	case !errors.Is(err, core.ErrNotRunning):
		return err
	}
	logTo, log, done, err := consoleLog(l.Config.Instance)
	if err != nil {
		return err
	}
	defer done()
	i, err := openInstance(ctx, l, log, version)
	var owned *store.LockedError
	if errors.As(err, &owned) && client.Ping(ctx) == nil {
		return attached(ctx, l, client) // it was just starting
	}
	if err != nil {
		return err
	}
	return inProcess(ctx, l, i, logTo)
}

func attached(ctx context.Context, l cli.Launch, client *control.Client) error {
	o := consoleOptions(l, tui.Attached, client)
	_, err := runConsole(ctx, o)
	return err
}

// inProcess shows the console of an instance that ends with it, unless it is
// handed over to a process in the background.
func inProcess(ctx context.Context, l cli.Launch, i *instance, logTo string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var closing atomic.Bool // somebody closes the instance, and nobody else may
	handed := make(chan struct{})
	var successor *cli.Process
	var lost error // a handover that left nothing running
	o := consoleOptions(l, tui.InProcess, i.engine)
	o.Paths["log"] = logTo
	o.Handover = func(ctx context.Context) (err error) {
		if !closing.CompareAndSwap(false, true) {
			return context.Canceled
		}
		defer close(handed)
		if err = i.close(); err == nil {
			successor, err = cli.Background(ctx, l.Config)
		}
		if err != nil {
			// A console over an instance that is gone would only show old numbers.
			lost = fmt.Errorf("hand over to the background: %w; nothing replicates now: tdreplica --no-tui starts an instance", err)
			cancel()
		}
		return err
	}
	go func() {
		i.wait(ctx)
		if !closing.Load() {
			cancel()
		}
	}()
	_, err := runConsole(ctx, o)
	if closing.CompareAndSwap(false, true) {
		farewell(os.Stderr, "stopping the instance: finishing writes and committing …")
		return errors.Join(err, i.close())
	}
	// A signal may have ended the console amid a handover.
	<-handed
	if lost != nil {
		return lost
	}
	if successor != nil {
		farewell(os.Stdout, fmt.Sprintf("the instance goes on in the background (pid %d, log %s)", successor.PID, successor.Log))
	}
	return err
}

// farewell says a line on the terminal that the console has left. One that
// stopped reading does not hear it, and must not keep the process from ending:
// the write may outlive the wait, and ends with the process.
func farewell(out io.Writer, line string) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		fmt.Fprintln(out, line)
	}()
	select {
	case <-said:
	case <-time.After(500 * time.Millisecond):
	}
}

func demoConsole(ctx context.Context, l cli.Launch, version string) error {
	fmt.Println("starting two embedded nodes …")
	d, err := demo.Start(ctx, demo.Options{Config: l.Config, Version: version})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-d.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	o := consoleOptions(l, tui.Demo, d.Controller())
	o.Paths = nil // there is no socket, and the state goes away
	_, err = runConsole(ctx, o)
	if err == nil && ctx.Err() == nil {
		err = demoVerdict(ctx, d)
	}
	return errors.Join(err, d.Close())
}

// verdictTime is how long the demo's two sides may take to be level once its
// operator has left. Without an obstacle they need a second.
const verdictTime = 20 * time.Second

// demoVerdict compares the two sides after the console has left, as the demo
// without a console does. There is none where the operator stopped or removed
// tasks.
func demoVerdict(ctx context.Context, d *demo.Demo) error {
	ctx, cancel := context.WithTimeout(ctx, verdictTime)
	defer cancel()
	err := d.Finish(ctx, os.Stdout)
	var changed *demo.ChangedError
	if errors.As(err, &changed) {
		fmt.Println(changed)
		return nil
	}
	return err
}

func runConsole(ctx context.Context, o tui.Options) (tui.Exit, error) {
	termguard.Restore()
	return tui.Run(ctx, o)
}

func consoleOptions(l cli.Launch, mode tui.Mode, ctrl core.Controller) tui.Options {
	dir := l.Config.Instance.StateDir
	paths := map[string]string{"socket": control.SocketPath(dir)}
	if l.Config.File != "" {
		paths["configuration"] = l.Config.File
	}
	return tui.Options{
		Controller: ctrl, Mode: mode, ReadOnly: l.ReadOnly, Config: l.Config,
		Paths: paths, User: cli.Actor().User,
	}
}

// consoleLog keeps the log off the screen: it goes to the configured file,
// else to one in the state directory.
func consoleLog(c config.Instance) (path string, log *slog.Logger, done func(), err error) {
	if c.LogFile == "" {
		if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
			return "", nil, nil, fmt.Errorf("create the state directory: %w", err)
		}
		c.LogFile = filepath.Join(c.StateDir, "tdreplica.log")
	}
	log, done, err = newLog(c, io.Discard)
	return c.LogFile, log, done, err
}
