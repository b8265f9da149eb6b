package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tdreplica/core"
	"tdreplica/core/control"
	"tdreplica/core/embedded"
	"tdreplica/core/store"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashIn) != "" {
		os.Exit(crashing())
	}
	testscript.Main(m, map[string]func(){"tdreplica": func() { os.Exit(run()) }})
}

// TestScripts runs the program as an operator does, against two embedded
// nodes, in a state directory of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sql": sql, "until": until, "shutdown": shutdown, "lastline": lastLine, "adapter": adapter, "owner": owner, "deaf": deaf,
			"refuse": refuse, "accept": accept,
		},
		RequireExplicitExec: true,
	})
}

// nodes are the two sides of a script.
type nodes map[string]*embedded.Node

// setup gives a script its nodes as $A and $B, an old server as $OLD, and
// addresses at which something is wrong.
func setup(env *testscript.Env) error {
	all := nodes{}
	for name, options := range map[string]embedded.Options{
		"A": {FirstVgroupID: 2}, "B": {FirstVgroupID: 102}, "OLD": {Version: "3.2.3.0"},
	} {
		node, err := embedded.Start(options)
		if err != nil {
			return err
		}
		env.Defer(func() { _ = node.Close() })
		all[name] = node
		env.Setenv(name, node.URL())
		env.Setenv(name+"HOST", strings.TrimPrefix(node.URL(), "http://"))
	}
	env.Values["nodes"] = all
	state := filepath.Join(env.WorkDir, "s")
	env.Defer(func() { _ = stopInstance(state) })
	for k, v := range map[string]string{
		"TDREPLICA_STATE_DIR": state, "HOME": env.WorkDir, "XDG_CONFIG_HOME": env.WorkDir, "USER": "operator",
		"TDREPLICA_CONFIG": filepath.Join(env.WorkDir, "replica.toml"),
	} {
		env.Setenv(k, v)
	}
	const quick = "[engine]\ncommit_interval = \"200ms\"\nretry_min = \"100ms\"\nretry_max = \"1s\"\npoll_wait_max = \"100ms\"\n"
	return os.WriteFile(filepath.Join(env.WorkDir, "replica.toml"), []byte(quick), 0o600)
}

// sql SIDE STATEMENT: runs it at a node.
func sql(ts *testscript.TestScript, neg bool, args []string) {
	node := ts.Value("nodes").(nodes)[args[0]]
	ts.Check(node.Exec(strings.Join(args[1:], " ")))
}

// until PATTERN COMMAND...: repeats a command until its output matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if pattern.MatchString(out) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v never printed %q; last: %v\n%s", args[1:], args[0], err, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// lastline VARIABLE: takes the last line of the last command's stdout.
func lastLine(ts *testscript.TestScript, neg bool, args []string) {
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\n"), "\n")
	ts.Setenv(args[0], lines[len(lines)-1])
}

// adapter SIDE start|stop: starts or stops a node's adapter.
func adapter(ts *testscript.TestScript, neg bool, args []string) {
	node := ts.Value("nodes").(nodes)[args[0]]
	if args[1] == "stop" {
		node.StopAdapter()
		return
	}
	ts.Check(node.StartAdapter())
}

// refuse SIDE TEXT: a node refuses writes that hold a text; accept SIDE: it
// refuses nothing any more.
func refuse(ts *testscript.TestScript, neg bool, args []string) {
	ts.Value("nodes").(nodes)[args[0]].Faults().Add(embedded.Fault{
		Code: 0x060B, Text: "Timestamp data out of range",
		Match: func(r embedded.Request) bool { return bytes.Contains(r.Raw, []byte(args[1])) },
	})
}

func accept(ts *testscript.TestScript, neg bool, args []string) {
	ts.Value("nodes").(nodes)[args[0]].Faults().Clear()
}

// owner VARIABLE: the pid of the process that owns the state directory.
func owner(ts *testscript.TestScript, neg bool, args []string) {
	pid, owned := store.Owner(ts.Getenv("TDREPLICA_STATE_DIR"))
	if !owned {
		ts.Fatalf("nobody owns the state directory")
	}
	ts.Setenv(args[0], fmt.Sprint(pid))
}

// deaf VARIABLE: an address where somebody accepts and never answers.
func deaf(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], "http://"+l.Addr().String())
}

// shutdown ends the instance and waits until it has given its state directory
// back.
func shutdown(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(stopInstance(ts.Getenv("TDREPLICA_STATE_DIR")))
}

func stopInstance(state string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := control.NewClient(state)
	defer client.Close()
	err := client.Shutdown(ctx, core.Actor{Via: "command"})
	if errors.Is(err, core.ErrNotRunning) {
		return nil
	}
	for {
		if _, owned := store.Owner(state); !owned {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the instance does not end: %w", ctx.Err())
		}
	}
}
