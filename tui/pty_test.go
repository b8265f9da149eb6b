//go:build unix

package tui

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/term"
	"github.com/creack/pty"

	"tdreplica/core"
	"tdreplica/tui/internal/scene"
)

// terminalTest is a console on a pseudo terminal.
type terminalTest struct {
	t      *testing.T
	ptm    *os.File
	tty    *os.File
	before *term.State
	mu     sync.Mutex
	got    bytes.Buffer
	cancel context.CancelFunc
	ended  chan struct{}
	exit   Exit
	err    error
}

// onTerminal runs a console of 120×40 cells; reads says whether anybody reads
// what it writes.
func onTerminal(t *testing.T, c core.Controller, reads bool, change func(*app)) *terminalTest {
	t.Helper()
	return onTerminalOf(t, &pty.Winsize{Rows: 40, Cols: 120}, c, reads, change)
}

func onTerminalOf(t *testing.T, size *pty.Winsize, c core.Controller, reads bool, change func(*app)) *terminalTest {
	t.Helper()
	ptm, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(tty, size); err != nil {
		t.Fatal(err)
	}
	x := &terminalTest{t: t, ptm: ptm, tty: tty, ended: make(chan struct{})}
	if x.before, err = term.GetState(tty.Fd()); err != nil {
		t.Fatal(err)
	}
	// A descriptor of its own for the output: the last write to a terminal that
	// nobody reads may outlive the console.
	out, err := os.OpenFile(tty.Name(), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	x.cancel = cancel
	a := newApp(ctx, Options{Controller: c, Mode: Attached, In: tty, Out: out})
	if change != nil {
		change(a)
	}
	go func() {
		x.exit, x.err = a.run(ctx)
		close(x.ended)
	}()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		if !reads {
			<-x.ended
		}
		buf := make([]byte, 32<<10)
		for {
			n, err := ptm.Read(buf)
			x.mu.Lock()
			x.got.Write(buf[:n])
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-x.ended
		out.Close()
		tty.Close()
		ptm.Close()
		<-drained
	})
	return x
}

func (x *terminalTest) output() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.got.String()
}

// patience bounds how long a test waits for what a screen must show, also on a
// machine that does other things.
const patience = 20 * time.Second

func (x *terminalTest) await(what string) {
	x.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(x.output(), what) {
		if time.Now().After(deadline) {
			x.t.Fatalf("%q does not come; got %q", what, x.output())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// restored waits for the end and checks that the terminal is as it was.
func (x *terminalTest) restored(within time.Duration) {
	x.t.Helper()
	select {
	case <-x.ended:
	case <-time.After(within):
		x.t.Fatalf("the console does not end within %v", within)
	}
	after, err := term.GetState(x.tty.Fd())
	if err != nil {
		x.t.Fatal(err)
	}
	if fmt.Sprint(*after) != fmt.Sprint(*x.before) {
		x.t.Error("the terminal is still in raw mode")
	}
	x.await("\x1b[?1049l") // out of the alternate screen
	x.await("\x1b[?25h")   // the cursor is back
}

func TestTerminalIsRestored(t *testing.T) {
	t.Run("after leaving", func(t *testing.T) {
		x := onTerminal(t, scene.New(scene.TwoWay()), true, nil)
		x.await("maple")
		if _, err := x.ptm.WriteString("q"); err != nil {
			t.Fatal(err)
		}
		x.restored(2 * time.Second)
		if x.err != nil || x.exit != Left {
			t.Errorf("exit %v, %v", x.exit, x.err)
		}
	})
	t.Run("when its context ends", func(t *testing.T) {
		x := onTerminal(t, scene.New(scene.TwoWay()), true, nil)
		x.await("maple")
		x.cancel()
		x.restored(2 * time.Second)
		if x.err != nil {
			t.Error(x.err)
		}
	})
	for what, mistake := range map[string]func() tea.Cmd{
		"after a panic":              func() tea.Cmd { panic("a mistake") },
		"after a panic of a command": func() tea.Cmd { return tea.Batch(tick(), func() tea.Msg { panic("a mistake") }) },
	} {
		t.Run(what, func(t *testing.T) {
			x := onTerminal(t, scene.New(scene.TwoWay()), true, func(a *app) { a.handle["help"] = mistake })
			x.await("maple")
			if _, err := x.ptm.WriteString("?"); err != nil {
				t.Fatal(err)
			}
			x.restored(2 * time.Second)
			if x.err == nil || !strings.Contains(x.err.Error(), "a mistake") {
				t.Errorf("error %v", x.err)
			}
		})
	}
}

// TestTerminalIsTakenOverAgain plays the shell that has had the terminal while
// the console was stopped.
func TestTerminalIsTakenOverAgain(t *testing.T) {
	x := onTerminal(t, scene.New(scene.TwoWay()), true, nil)
	x.await("maple")
	raw, err := term.GetState(x.tty.Fd())
	if err != nil {
		t.Fatal(err)
	}
	if err := term.SetState(x.tty.Fd(), x.before); err != nil {
		t.Fatal(err)
	}
	from := len(x.output())
	if err := pty.Setsize(x.tty, &pty.Winsize{Rows: 30, Cols: 90}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		again := x.output()[from:]
		_, screen, entered := strings.Cut(again, enterScreen)
		if entered && strings.Contains(screen, "\x1b[2J") && strings.Contains(screen, "\x1b[30;2H") {
			break // the whole screen, with its footer where the last line is now
		}
		if time.Now().After(deadline) {
			t.Fatalf("after it goes on: %q", again)
		}
	}
	now, err := term.GetState(x.tty.Fd())
	if err != nil || fmt.Sprint(*now) != fmt.Sprint(*raw) {
		t.Errorf("the terminal is not in raw mode again (%v)", err)
	}
	if _, err := x.ptm.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	x.restored(2 * time.Second)
}

// TestTerminalThatStopsReading fills a terminal that nobody reads with frames
// and keys: the console must still follow its context.
func TestTerminalThatStopsReading(t *testing.T) {
	c := scene.New(scene.Many(60, 8))
	x := onTerminal(t, c, false, nil)
	for i := range 15 {
		c.Set(scene.Many(60+i, 8), nil)
		if _, err := x.ptm.WriteString("jjj?\x0c"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	began := time.Now()
	x.cancel()
	select {
	case <-x.ended:
	case <-time.After(2500 * time.Millisecond):
		t.Fatal("the console hangs with its terminal")
	}
	t.Logf("ended %v after its context", time.Since(began).Round(time.Millisecond))
	after, err := term.GetState(x.tty.Fd())
	if err != nil || fmt.Sprint(*after) != fmt.Sprint(*x.before) {
		t.Errorf("the terminal is still in raw mode (%v)", err)
	}
}

// busy moves every number with each snapshot, as live load does.
type busy struct {
	*scene.Controller
	of func() *core.Snapshot
	mu sync.Mutex
	n  int64
}

func (b *busy) Snapshot(context.Context) (*core.Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	s := b.of()
	s.At = time.Now()
	for i := range s.Tasks {
		t := &s.Tasks[i]
		t.Diff = 12_000 - b.n*37 + int64(i)
		t.Rate.Versions = 41_200 + float64(b.n*113%900)
		t.LastCommit = s.At
		for k := range t.Vgroups {
			v := &t.Vgroups[k]
			v.Current, v.Latest, v.Committed = v.Current+b.n*1001, v.Latest+b.n*1003, v.Committed+b.n*1001
			v.Rate, v.LastAt = 10_000+float64(b.n*17%700), s.At
		}
	}
	return s, nil
}

func (b *busy) Overview(ctx context.Context, of core.TaskKey) (*core.Snapshot, error) {
	s, err := b.Snapshot(ctx)
	return s.Overview(of), err
}

// TestBytesPerSecond holds the output of a screen whose every number moves
// against what a slow link carries.
func TestBytesPerSecond(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	t.Setenv("COLORTERM", "truecolor")
	for _, c := range []struct {
		size pty.Winsize
		of   func() *core.Snapshot
	}{
		{pty.Winsize{Cols: 80, Rows: 24}, scene.CatchingUp},
		{pty.Winsize{Cols: 200, Rows: 60}, scene.CatchingUp},
		{pty.Winsize{Cols: 200, Rows: 60}, func() *core.Snapshot { return scene.Many(100, 100) }},
	} {
		t.Run(fmt.Sprintf("%d tasks at %dx%d", len(c.of().Tasks), c.size.Cols, c.size.Rows), func(t *testing.T) {
			x := onTerminalOf(t, &c.size, &busy{Controller: scene.New(c.of()), of: c.of}, true, nil)
			x.await("maple")
			time.Sleep(1200 * time.Millisecond)
			deadline := time.Now().Add(patience) // for a busy machine, which draws late
			for rate := 0.0; rate < 100; {
				if time.Now().After(deadline) {
					t.Fatalf("%.0f bytes/s: the screen does not move", rate)
				}
				from, began := len(x.output()), time.Now()
				time.Sleep(2 * time.Second) // a rate needs a time
				rate = float64(len(x.output())-from) / time.Since(began).Seconds()
				t.Logf("%.0f bytes/s", rate)
				if rate > 4096 {
					t.Errorf("%.0f bytes/s, more than 4096", rate)
				}
			}
		})
	}
}
