package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/creack/pty"

	"tdreplica/config"
	"tdreplica/core/cli"
	"tdreplica/core/store"
	"tdreplica/tui/paper"
)

// build makes the program as it is shipped: the test binary has other packages
// in it, and so another order of initialisation.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "tdreplica")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// TestCommandsDoNotWaitForTheTerminal runs commands on a terminal that answers
// no question, and of whose type they may not be told. The console's libraries ask
// one while they are initialised and wait five seconds for the answer.
func TestCommandsDoNotWaitForTheTerminal(t *testing.T) {
	program := build(t)
	untyped := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TERM=") })
	untyped = append(untyped, "TDREPLICA_STATE_DIR="+t.TempDir(), "TDREPLICA_CONFIG=")
	for _, args := range [][]string{
		{"version"}, {"status"}, {"diff", "-o", "json"}, {"stop", "maple"}, {"--help"}, {"--no-tui", "--nonsense"},
		{"completion", "bash"}, {"__complete", "status", ""},
	} {
		for _, env := range [][]string{untyped, append(slices.Clone(untyped), "TERM=xterm-256color")} {
			asksNothing(t, program, args, env)
		}
	}
}

func asksNothing(t *testing.T, program string, args, env []string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = env
	begin := time.Now()
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var out bytes.Buffer
	_, _ = io.Copy(&out, terminal) // ends with an error when the other side closes
	_ = cmd.Wait()                 // the exit code is another test's
	took := time.Since(begin)
	t.Logf("%v: %v", args, took)
	if took > time.Second {
		t.Errorf("%v takes %v on a terminal that does not answer", args, took)
	}
	if bytes.Contains(out.Bytes(), []byte("\x1b]")) {
		t.Errorf("%v asks the terminal: %q", args, out.Bytes())
	}
}

// The size of the terminals that consoles run on here.
const lines, columns = 30, 120

// consoleRun is a console on a terminal of its own.
type consoleRun struct {
	*testing.T
	cmd      *exec.Cmd
	terminal *os.File
	before   string // the terminal's mode
	after    string // and what the program left; read it after end
	ended    chan error
	seen     chan []byte // what was printed so far, again and again
}

func runConsoleOn(t *testing.T, program, state string) *consoleRun {
	t.Helper()
	return runProgramOn(t, exec.Command(program, "--state-dir", state), state)
}

// runProgramOn runs a command that opens the console.
func runProgramOn(t *testing.T, cmd *exec.Cmd, state string) *consoleRun {
	t.Helper()
	c := &consoleRun{T: t, cmd: cmd, ended: make(chan error, 1), seen: make(chan []byte)}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "TERM=xterm-256color", "TDREPLICA_CONFIG=", "XDG_CONFIG_HOME="+state, "LANG=C", "LC_ALL=C")
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Rows: lines, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	c.before = modeOf(tty)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.terminal = terminal
	t.Cleanup(func() { terminal.Close() })
	go func() {
		err := c.cmd.Wait()
		c.after = modeOf(tty)
		tty.Close() // the last one to close it: now the reader finds an end
		c.ended <- err
	}()
	go func() {
		defer close(c.seen)
		var all []byte
		chunk := make([]byte, 4096)
		for {
			n, err := terminal.Read(chunk)
			if n > 0 {
				all = append(all, chunk[:n]...)
				c.seen <- bytes.Clone(all)
			}
			if err != nil {
				return
			}
		}
	}()
	return c
}

// restored checks, after the end, that the terminal is in the mode it had.
func (c *consoleRun) restored() {
	c.Helper()
	if c.after != c.before || c.before == "" {
		c.Errorf("the terminal's mode was %s and is %s", c.before, c.after)
	}
}

// modeOf is a terminal's mode, or "" if it cannot be asked for.
func modeOf(tty *os.File) string {
	mode, err := term.GetState(tty.Fd())
	if err != nil {
		return ""
	}
	return fmt.Sprint(*mode)
}

// until returns when the console shows a text.
func (c *consoleRun) until(text string) {
	c.Helper()
	deadline := time.After(20 * time.Second)
	last := ""
	for {
		select {
		case all, open := <-c.seen:
			if !open {
				c.Fatalf("the console ended without %q: %q", text, last)
			}
			if last = screenOf(all); strings.Contains(last, text) {
				return
			}
		case <-deadline:
			c.cmd.Process.Kill()
			c.Fatalf("the console does not show %q: %q", text, last)
		}
	}
}

// end waits for the console's end and returns all that it printed.
func (c *consoleRun) end() (all []byte) {
	c.Helper()
	watchdog := time.AfterFunc(20*time.Second, func() { c.cmd.Process.Kill() })
	defer watchdog.Stop()
	for b := range c.seen {
		all = b
	}
	if err := <-c.ended; err != nil {
		c.Errorf("the console ended with: %v", err)
	}
	return all
}

// screenOf is what a console's terminal shows after all that was printed.
func screenOf(all []byte) string {
	on := paper.New(columns, lines)
	_, console, _ := strings.Cut(string(all), enterScreen)
	_ = on.Take(console) // the last sequence may be cut off still
	return on.Text()
}

const enterScreen = "\x1b[?1049h"
const leaveScreen = "\x1b[?1049l" // the terminal shows again what it showed before

// TestLeavingAnAttachedConsoleStopsNothing opens the console on an instance
// that runs elsewhere, and leaves it.
func TestLeavingAnAttachedConsoleStopsNothing(t *testing.T) {
	state := shortDir(t)
	l := cli.Launch{Config: config.Default()}
	l.Config.Instance.StateDir = state
	i, err := openInstance(t.Context(), l, slog.New(slog.DiscardHandler), "test")
	if err != nil {
		t.Fatal(err)
	}
	c := runConsoleOn(t, build(t), state)
	c.until("attached")
	if _, err := c.terminal.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	if all := c.end(); !bytes.Contains(all, []byte(leaveScreen)) {
		t.Errorf("the terminal was not restored: %q", all)
	}
	if _, err := i.engine.Snapshot(t.Context()); err != nil {
		t.Errorf("the instance after the console left: %v", err)
	}
	if err := i.close(); err != nil {
		t.Error(err)
	}
}

// TestATerminatedConsoleStopsItsInstance runs an instance inside a console and
// sends it SIGTERM.
func TestATerminatedConsoleStopsItsInstance(t *testing.T) {
	state := shortDir(t)
	c := runConsoleOn(t, build(t), state)
	c.until("in-process")
	if pid, owned := store.Owner(state); !owned || pid != c.cmd.Process.Pid {
		t.Errorf("the state directory is owned by %d (%v), not by the console %d", pid, owned, c.cmd.Process.Pid)
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if all := c.end(); !bytes.Contains(all, []byte(leaveScreen)) {
		t.Errorf("the terminal was not restored: %q", all)
	}
	if _, owned := store.Owner(state); owned {
		t.Error("the state directory is still owned")
	}
}

// TestTheDemoTellsItsVerdict leaves the demo's console: both sides are compared
// on the screen that the terminal had before.
func TestTheDemoTellsItsVerdict(t *testing.T) {
	program, state := build(t), shortDir(t)
	c := runProgramOn(t, exec.Command(program, "--demo"), state)
	c.until("power")
	if _, err := c.terminal.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	c.until("The demo ends")
	time.Sleep(500 * time.Millisecond) // the dialog is deaf for its first moment
	if _, err := c.terminal.WriteString("\x1b[C\r"); err != nil {
		t.Fatal(err)
	}
	_, after, left := bytes.Cut(c.end(), []byte(leaveScreen))
	if !left || !bytes.Contains(after, []byte("both sides are equal, row by row")) {
		t.Errorf("after the console: %q", after)
	}
}

// shortDir is a state directory whose socket has a path that is short enough.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tdr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
