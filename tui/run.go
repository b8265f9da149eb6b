package tui

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/term"
	"github.com/muesli/termenv"

	"tdreplica/config"
	"tdreplica/core"
)

// Mode is how the console came to its instance.
type Mode string

// The modes. They decide what leaving means.
const (
	InProcess Mode = "in-process" // the instance ends with this process
	Attached  Mode = "attached"   // over a socket: leaving stops nothing
	Demo      Mode = "demo"       // in this process, with data that goes away
)

// Exit says what the operator chose on leaving.
type Exit int

// How a console ends.
const (
	Left       Exit = iota // nothing is asked for; also when ctx ended
	StopAll                // the caller shuts the instance of this process down
	HandedOver             // a background instance has taken over
)

// Options are what a console needs.
type Options struct {
	Controller core.Controller
	Mode       Mode
	ReadOnly   bool           // hides and refuses everything that acts
	Config     *config.Config // of the console; may be nil
	// Handover gives the instance of this process to a background one. It is
	// nil where that is not possible.
	Handover func(ctx context.Context) error
	Paths    map[string]string // for the info screen: socket, configuration, log → path
	User     string            // the login name, for the events
	In       io.Reader         // nil: the terminal
	Out      io.Writer         // nil: the terminal
}

// frameGap is the least time between two frames.
const frameGap = 100 * time.Millisecond

// leaveTime bounds how long a terminal may take to be restored. One that does
// not read is left as it is: the process must be able to end.
const leaveTime = 1500 * time.Millisecond

// Run shows the console until the operator leaves or ctx ends, and restores
// the terminal. It returns within two seconds of the end of ctx whatever the
// terminal does. The caller owns the signals.
func Run(ctx context.Context, o Options) (Exit, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return newApp(ctx, o).run(ctx)
}

// run shows the model on its terminal.
func (a *app) run(ctx context.Context) (Exit, error) {
	o, out := a.opt, a.opt.Out
	if out == nil {
		out = os.Stdout
	}
	a.useTerminal(out)

	screen := newScreenWriter(out)
	a.out = screen
	opts := []tea.ProgramOption{
		// It has nothing to show: the guard paints.
		tea.WithoutSignalHandler(), tea.WithFPS(1), tea.WithOutput(mute(out)),
	}
	in := o.In
	if in == nil {
		in = os.Stdin
	}
	var p *tea.Program
	if k, ok := in.(keyboard); ok && a.asks {
		in = &answers{keyboard: k, told: func(dark bool) { p.Send(backgroundMsg{dark}) }}
	}
	opts = append(opts, tea.WithInput(in))
	g := &guard{app: a, screen: screen}
	p = tea.NewProgram(g, opts...)
	screen.start(func() { p.Send(repaintMsg{}) })

	mended := make(chan struct{})
	watch, stop := context.WithCancel(ctx)
	go func() {
		defer close(mended)
		mendTerminal(watch, in, func() { p.Send(resumedMsg{}) })
	}()
	done := make(chan error, 1)
	go func() { _, err := p.Run(); done <- err }()
	err := await(ctx, p, done)
	stop()
	<-mended
	screen.close(leaveTime)
	switch {
	case ctx.Err() != nil:
		return Left, nil
	case g.crash != nil:
		return Left, g.crash
	case err != nil:
		return Left, fmt.Errorf("run the console: %w", err)
	}
	return a.exit, nil
}

// guard paints the console, and turns a panic of it into an error of Run: the
// terminal is restored first, by the usual way out, and the stack is not lost
// with the alternate screen. Bubble Tea's own way out would print over the
// screen and close the terminal's reader while it is being read.
type guard struct {
	*app
	screen  *screenWriter
	painter painter
	painted time.Time
	due     bool // a frame has been asked for
	crash   error
}

// paintMsg is the time for a frame.
type paintMsg struct{}

// paint draws what the console shows now, or asks for it if the last frame was
// just now.
func (g *guard) paint() tea.Cmd {
	if wait := frameGap - time.Since(g.painted); wait > 0 {
		if g.due {
			return nil
		}
		g.due = true
		return tea.Tick(wait, func(time.Time) tea.Msg { return paintMsg{} })
	}
	g.painted, g.due = time.Now(), false
	if view := g.app.View(); view != "" {
		_, _ = g.screen.WriteString(g.painter.frame(strings.Split(view, "\n"), g.app.w, g.app.h))
	}
	return nil
}

// crashMsg is a panic of a command, which runs in a goroutine of Bubble Tea.
type crashMsg struct{ err error }

func crashOf(v any) error {
	return fmt.Errorf("the console failed: %v\n%s", v, debug.Stack())
}

func (g *guard) caught(err error) {
	if g.crash == nil {
		g.crash = err
	}
}

// guarded is cmd with a crashMsg for a panic, also in what it is a batch of.
func guarded(cmd tea.Cmd) tea.Cmd {
	if cmd == nil {
		return nil
	}
	return func() (m tea.Msg) {
		defer func() {
			if v := recover(); v != nil {
				m = crashMsg{crashOf(v)}
			}
		}()
		m = cmd()
		if batch, is := m.(tea.BatchMsg); is {
			for i := range batch {
				batch[i] = guarded(batch[i])
			}
		}
		return m
	}
}

// Init implements tea.Model.
func (g *guard) Init() tea.Cmd { return guarded(g.app.Init()) }

// Update implements tea.Model.
func (g *guard) Update(msg tea.Msg) (m tea.Model, cmd tea.Cmd) {
	defer func() {
		if v := recover(); v != nil {
			g.caught(crashOf(v))
		}
		m, cmd = g, guarded(cmd)
		if g.crash != nil {
			cmd = tea.Quit
		}
	}()
	switch m := msg.(type) {
	case crashMsg:
		g.caught(m.err)
	case paintMsg:
		g.due = false
	case resumedMsg:
		cmd = g.onResumed()
	case repaintMsg, tea.WindowSizeMsg:
		g.painter.forget()
	}
	if g.crash == nil {
		_, next := g.app.Update(msg)
		cmd = tea.Batch(cmd, next, g.paint())
	}
	return g, cmd
}

// View implements tea.Model.
func (g *guard) View() string { return "" }

// await waits for the program. When ctx ends the program is asked to leave by
// the usual way, which waits for its reader of keys; killing it is for one
// that does not.
func await(ctx context.Context, p *tea.Program, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	go p.Quit() // returns as soon as the program takes it, or has ended
	select {
	case err := <-done:
		return err
	case <-time.After(leaveTime):
	}
	p.Kill()
	return ctx.Err()
}

// useTerminal takes the colour depth from the terminal and the environment
// (NO_COLOR, COLORTERM, TERM), and decides whether the terminal is asked for
// the colour of its background.
func (a *app) useTerminal(out io.Writer) {
	a.depth = termenv.Ascii
	if f, isFile := out.(term.File); isFile && term.IsTerminal(f.Fd()) {
		// The library would take any process with CI in its environment for
		// one without a terminal; here the terminal itself was asked.
		a.depth = termenv.NewOutput(out, termenv.WithUnsafe()).EnvColorProfile()
	}
	a.dark = darkByEnvironment()
	a.setTheme()
	a.asks = a.depth != termenv.Ascii && answersBackground() && (a.opt.Config == nil || palettes[a.opt.Config.Console.Theme].selection == "")
}
