package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/cli"
	"tdreplica/core/embedded"
	"tdreplica/core/store"
)

// TestSignalsRestoreTheTerminal ends the program by each signal that asks it
// to, with an instance inside.
func TestSignalsRestoreTheTerminal(t *testing.T) {
	program := build(t)
	// Under nohup the program would inherit that SIGHUP is ignored, and rightly
	// go on; what is caught here is not ignored there.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			state := shortDir(t)
			c := runConsoleOn(t, program, state)
			c.until("in-process")
			if err := c.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			all := c.end()
			if !bytes.Contains(all, []byte(leaveScreen)) || !bytes.Contains(all, []byte("\x1b[?25h")) {
				t.Errorf("the terminal shows %q", all)
			}
			c.restored()
			st, err := store.Open(state)
			if err != nil {
				t.Fatalf("the state after %v: %v", s, err)
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTwoSignalsAtOnceAreOne sends a second signal at once, as timeout(1) does, and one
// later.
func TestTwoSignalsAtOnceAreOne(t *testing.T) {
	signals := make(chan os.Signal, 3)
	begin := time.Now()
	times := []time.Time{begin, begin.Add(time.Millisecond), begin.Add(oneWish), begin.Add(oneWish + time.Millisecond)}
	for range times[1:] {
		signals <- syscall.SIGTERM
	}
	again(signals, func() time.Time {
		at := times[0]
		times = times[1:]
		return at
	})
	if len(times)+len(signals) != 0 {
		t.Errorf("%d signals and %d moments are left: one of the first two ended the process", len(signals), len(times))
	}
}

// TestADeafTerminalStopsNothing runs an instance in a console whose terminal
// nobody reads, as after Ctrl-S or behind a dead link: replication goes on, and
// SIGTERM still ends the process.
func TestADeafTerminalStopsNothing(t *testing.T) {
	a, b := node(t, 2), node(t, 102)
	state := shortDir(t)
	declare(t, state, a, b)
	cmd := exec.Command(build(t), "--state-dir", state)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "TDREPLICA_CONFIG=", "XDG_CONFIG_HOME="+state, "LANG=C", "LC_ALL=C")
	// The program's end of the terminal stays open here, or its mode could not
	// be asked for after the program has ended.
	ptm, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ptm.Close()
	defer tty.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 50, Cols: 180}); err != nil {
		t.Fatal(err)
	}
	before := modeOf(tty)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })

	// Redrawing on every key fills what the kernel keeps for the terminal many
	// times over while rows go on arriving.
	for n := range 60 {
		if err := a.Exec(fmt.Sprintf("insert into power.m values (now+%da, %d)", n, n)); err != nil {
			t.Fatal(err)
		}
		if _, err := ptm.WriteString("\x0c"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	awaitRows(t, b, 60)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		t.Logf("ended with %v", err)
	case <-time.After(15 * time.Second):
		t.Fatal("the program hangs with its terminal")
	}
	if after := modeOf(tty); after != before || before == "" {
		t.Errorf("the terminal's mode was %s and is %s", before, after)
	}
	if _, owned := store.Owner(state); owned {
		t.Error("the state directory is still owned")
	}
}

func node(t *testing.T, first int32) *embedded.Node {
	t.Helper()
	n, err := embedded.Start(embedded.Options{FirstVgroupID: first})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	for _, sql := range []string{"create database power vgroups 2 wal_retention_period 3600", "create table power.m (ts timestamp, v int)"} {
		if err := n.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// declare leaves a replica of database power in a state directory.
func declare(t *testing.T, state string, a, b *embedded.Node) {
	t.Helper()
	l := cli.Launch{Config: config.Default()}
	l.Config.Instance.StateDir = state
	i, err := openInstance(t.Context(), l, slog.New(slog.DiscardHandler), "test")
	if err != nil {
		t.Fatal(err)
	}
	_, err = i.engine.Start(context.Background(), core.StartRequest{
		Source: core.Endpoint{URL: a.URL(), User: "root", Password: "taosdata"},
		Sink:   core.Endpoint{URL: b.URL(), User: "root", Password: "taosdata"}, Databases: []string{"power"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.close(); err != nil {
		t.Fatal(err)
	}
}

func awaitRows(t *testing.T, n *embedded.Node, want int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		rows, err := n.Query("select * from power.m")
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d rows came over", len(rows), want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
