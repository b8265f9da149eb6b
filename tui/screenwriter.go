package tui

import (
	"io"
	"sync"
	"time"

	"github.com/charmbracelet/x/term"
)

// queueLimit bounds what waits for a slow terminal, in bytes. More than a few
// frames are of no use to anybody: they are dropped and the screen is drawn
// anew once the terminal reads again.
const queueLimit = 256 << 10

// repaintMsg asks for the whole screen: some of it was dropped.
type repaintMsg struct{}

// screenWriter stands between the console and the terminal so that a terminal
// that stops reading (Ctrl-S, a dead link) blocks nobody: Write never waits. One
// that blocks would hang the event loop and with it the way out.
type screenWriter struct {
	out  io.Writer
	mu   sync.Mutex
	wake *sync.Cond
	buf  []byte
	lost bool // something was dropped since the queue was last empty
	end  bool
	done chan struct{} // closed when the writing goroutine has ended
}

func newScreenWriter(out io.Writer) *screenWriter {
	w := &screenWriter{out: out, done: make(chan struct{})}
	w.wake = sync.NewCond(&w.mu)
	return w
}

// mute is the terminal as Bubble Tea needs it: with the descriptor, if it has
// one, to set its mode and to ask for the window's size. It takes no output.
func mute(out io.Writer) io.Writer {
	if f, isFile := out.(term.File); isFile {
		return muteTerminal{f}
	}
	return io.Discard
}

type muteTerminal struct{ term.File }

func (muteTerminal) Write(p []byte) (int, error) { return len(p), nil }

// Write queues p. It is safe for concurrent use and never blocks.
func (w *screenWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf)+len(p) > queueLimit {
		w.lost = true
		return len(p), nil
	}
	w.buf = append(w.buf, p...)
	w.wake.Signal()
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (w *screenWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// start runs the goroutine that writes; close ends it. repaint is called when
// the terminal reads again after something was dropped.
func (w *screenWriter) start(repaint func()) {
	w.buf = append(w.buf, enterScreen...)
	go w.loop(repaint)
}

func (w *screenWriter) loop(repaint func()) {
	defer close(w.done)
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.buf) == 0 && !w.end {
			w.wake.Wait()
		}
		if len(w.buf) == 0 {
			return
		}
		p := w.buf
		w.buf = nil
		w.mu.Unlock()
		_, err := w.out.Write(p)
		w.mu.Lock()
		if err != nil {
			// The terminal is gone. Its program ends with its context; until
			// then there is nobody to show anything to.
			w.buf = nil
			if w.end {
				return
			}
			continue
		}
		if w.lost && len(w.buf) == 0 && !w.end {
			w.lost = false
			w.mu.Unlock()
			repaint()
			w.mu.Lock()
		}
	}
}

// close writes what is queued, waiting at most d for the terminal. The
// goroutine may outlive it in a write that the terminal never takes.
func (w *screenWriter) close(d time.Duration) {
	w.mu.Lock()
	w.end = true
	w.buf = append(w.buf, leaveScreen...)
	w.wake.Signal()
	w.mu.Unlock()
	select {
	case <-w.done:
	case <-time.After(d):
	}
}
