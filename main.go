// Tdreplica replicates TDengine databases between two servers, one way or both
// ways at once.
package main

import (
	// It keeps the terminal library quiet while packages are initialised.
	_ "tdreplica/core/termguard"

	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/cli"
	"tdreplica/core/demo"
	"tdreplica/core/engine"
	"tdreplica/core/taos"
)

// version and commit can be set with -ldflags "-X main.version=… -X main.commit=…".
var version, commit string

func main() { os.Exit(run()) }

// run does what the command line asks for and returns the exit code.
func run() int {
	ctx, stop := withSignals(context.Background())
	defer stop()
	v := buildVersion()
	return cli.Program{
		Version:  v,
		Out:      os.Stdout,
		Err:      os.Stderr,
		Console:  func(ctx context.Context, l cli.Launch) error { return console(ctx, l, v.Version) },
		Headless: func(ctx context.Context, l cli.Launch) error { return headless(ctx, l, v.Version) },
		Demo:     func(ctx context.Context, l cli.Launch) error { return runDemo(ctx, l, v.Version) },
		Inspect: func(ctx context.Context, cfg *config.Config, req core.InspectRequest) ([]core.Candidate, error) {
			return engine.Inspect(ctx, cfg, taos.New(taos.Options{}), req)
		},
	}.Run(ctx, os.Args[1:])
}

// withSignals ends the context at the first SIGINT, SIGTERM or SIGHUP, which
// stops everything gracefully. Another one later ends the process: what was not
// committed is applied again, to the same effect, after the next start.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	asked := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		asked = append(asked, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, asked...)
	go func() {
		<-signals
		cancel()
		again(signals, time.Now)
		fmt.Fprintln(os.Stderr, "error: aborted by a second signal")
		os.Exit(cli.ExitFailed)
	}()
	return ctx, cancel
}

// oneWish is how close to each other two signals are one wish: timeout(1) sends its
// own to the process and to the process's group.
const oneWish = 500 * time.Millisecond

// again returns at a signal that comes later than oneWish.
func again(signals <-chan os.Signal, now func() time.Time) {
	for first := now(); ; {
		<-signals
		if now().Sub(first) > oneWish {
			return
		}
	}
}

func runDemo(ctx context.Context, l cli.Launch, version string) error {
	if l.Duration == 0 && !l.Headless && terminal() {
		return demoConsole(ctx, l, version)
	}
	return demo.Run(ctx, demo.Options{Duration: l.Duration, Out: os.Stdout, Version: version})
}

// buildVersion is what was set by the linker, else what Go recorded.
func buildVersion() cli.Version {
	v := cli.Version{Version: version, Commit: commit, Go: "unknown"}
	modified := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Go = info.GoVersion
		if v.Version == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && v.Commit == "":
				v.Commit = s.Value[:min(len(s.Value), 12)]
			case s.Key == "vcs.modified" && s.Value == "true" && commit == "":
				modified = " with changes"
			}
		}
	}
	if v.Version == "" {
		v.Version = "development"
	}
	if v.Commit == "" {
		v.Commit = "unknown"
	}
	v.Commit += modified
	return v
}

// terminal reports whether a person sits at both ends.
func terminal() bool {
	for _, f := range []*os.File{os.Stdin, os.Stdout} {
		st, err := f.Stat()
		if err != nil || st.Mode()&os.ModeCharDevice == 0 {
			return false
		}
	}
	return true
}
