package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/creack/pty"
)

// TestCommandsDoNotWaitForTheTerminal runs commands on a terminal that answers
// no question. The console's libraries ask one while they are initialised and
// wait five seconds for the answer.
func TestCommandsDoNotWaitForTheTerminal(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tdreplica")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	state := t.TempDir()
	for _, args := range [][]string{
		{"version"}, {"status"}, {"diff", "-o", "json"}, {"stop", "maple"}, {"--help"}, {"--no-tui", "--nonsense"},
		{"completion", "bash"}, {"__complete", "status", ""},
	} {
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "TERM=xterm-256color", "TDREPLICA_STATE_DIR="+state, "TDREPLICA_CONFIG=")
		begin := time.Now()
		terminal, err := pty.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		_, _ = io.Copy(&out, terminal) // ends with an error when the other side closes
		_ = cmd.Wait()                 // the exit code is another test's
		terminal.Close()
		took := time.Since(begin)
		t.Logf("%v: %v", args, took)
		if took > time.Second {
			t.Errorf("%v takes %v on a terminal that does not answer", args, took)
		}
		if bytes.Contains(out.Bytes(), []byte("\x1b]")) {
			t.Errorf("%v asks the terminal: %q", args, out.Bytes())
		}
	}
}
