package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/cli"
	"tdreplica/core/store"
	"tdreplica/tui"
)

// crashIn names the state directory of a console that is to crash. It is set
// only for a copy of the test program that runs in place of tdreplica.
const crashIn = "TDREPLICA_TEST_CRASH_IN"

// broken is an instance whose snapshots are a mistake.
type broken struct{ core.Controller }

func (broken) Snapshot(context.Context) (*core.Snapshot, error) { panic("a mistake") }

// crashing is the program with an instance and a console that panics.
func crashing() int {
	l := cli.Launch{Config: config.Default()}
	l.Config.Instance.StateDir = os.Getenv(crashIn)
	i, err := openInstance(context.Background(), l, slog.New(slog.DiscardHandler), "test")
	if err != nil {
		fmt.Println("the instance does not start:", err)
		return cli.ExitFailed
	}
	_, err = runConsole(context.Background(), consoleOptions(l, tui.InProcess, broken{i.engine}))
	fmt.Println("the console ended with:", err)
	if err := i.close(); err != nil {
		fmt.Println("the instance does not end:", err)
	}
	return 0
}

// TestACrashedConsoleLeavesTheTerminalAndTheState panics in a request of the
// console, on a terminal of its own.
func TestACrashedConsoleLeavesTheTerminalAndTheState(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	state := shortDir(t)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), crashIn+"="+state)
	c := runProgramOn(t, cmd, state)
	all := string(c.end())
	before, after, left := strings.Cut(all, leaveScreen)
	if !left || strings.Contains(before, "a mistake") || !strings.Contains(all, "\x1b[?25h") || !strings.Contains(after, "the console ended with: ") || strings.Contains(after, "<nil>") {
		t.Errorf("the terminal shows %q", all)
	}
	c.restored()
	st, err := store.Open(state)
	if err != nil {
		t.Fatalf("the state after a crash: %v", err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}
