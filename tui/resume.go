package tui

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/term"
)

// resumedMsg tells that the process goes on after it was stopped.
type resumedMsg struct{}

// mendTerminal waits, until ctx ends, for the process to go on after somebody
// has stopped it (`kill -TSTP`, and `fg` then). The shell has used the terminal
// meanwhile: its mode is the shell's, and so is what it shows. The mode to go
// back to in the end is the one that Bubble Tea found, and stays that.
func mendTerminal(ctx context.Context, in any, resumed func()) {
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, syscall.SIGCONT)
	defer signal.Stop(goesOn)
	for {
		select {
		case <-goesOn:
			if f, is := in.(term.File); is && term.IsTerminal(f.Fd()) {
				// If that fails keys come line by line; the screen is right even so.
				_, _ = term.MakeRaw(f.Fd())
			}
			resumed()
		case <-ctx.Done():
			return
		}
	}
}

// onResumed takes the screen over again, whose size may be another one now.
func (g *guard) onResumed() tea.Cmd {
	_, _ = g.screen.WriteString(enterScreen)
	g.painter.forget()
	return tea.WindowSize()
}
