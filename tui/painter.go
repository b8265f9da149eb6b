package tui

import (
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// painter draws frames by what differs from the one before, cell by cell. Bubble
// Tea's renderer writes a line anew when a digit of it changes: with every
// number moving once a second that is more than a slow link should carry.
type painter struct {
	shown []string // the lines on the terminal; nil: not known
	w, h  int
	b     strings.Builder
	style string // in force at the terminal, within a frame

	was, now []screenCell // of a line, used again and again
}

// What is written before the first frame and after the last one: the terminal
// shows what it showed before.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?2004h"
	leaveScreen = "\x1b[0m\x1b[?2004l\x1b[?25h\x1b[?1049l"
)

// nearby is how many cells that stay the same are written once more instead of
// moving the cursor over them.
const nearby = 4

// forget makes the next frame a whole one: somebody else wrote on the terminal,
// or it dropped what was written.
func (p *painter) forget() { p.shown = nil }

// frame returns what turns the screen into the lines, which fit w×h cells.
func (p *painter) frame(lines []string, w, h int) string {
	p.b.Reset()
	if p.shown == nil || w != p.w || h != p.h {
		p.w, p.h = w, h
		p.shown = make([]string, h)
		p.b.WriteString("\x1b[0m\x1b[2J")
	}
	for y := range p.shown {
		now := ""
		if y < len(lines) {
			now = lines[y]
		}
		if now != p.shown[y] {
			p.was, p.now = cellsOf(p.was[:0], p.shown[y]), cellsOf(p.now[:0], now)
			p.line(y, p.was, p.now)
			p.shown[y] = now
		}
	}
	p.use("")
	return p.b.String()
}

// line writes the stretches of cells that differ.
func (p *painter) line(y int, was, now []screenCell) {
	same := func(x int) bool { return x < len(was) && was[x] == now[x] || x >= len(was) && now[x] == blankCell }
	for x := 0; x < len(now); x++ {
		if same(x) {
			continue
		}
		end := x + 1
		for k := end; k < len(now) && k <= end+nearby; k++ {
			if !same(k) {
				end = k + 1
			}
		}
		p.move(y, x)
		p.write(now[x:end], x)
		x = end
	}
	for x := len(now); x < len(was); x++ {
		if was[x] != blankCell {
			p.move(y, len(now))
			p.use("")
			p.b.WriteString("\x1b[K")
			return
		}
	}
}

func (p *painter) move(y, x int) {
	p.b.WriteString("\x1b[" + strconv.Itoa(y+1) + ";" + strconv.Itoa(x+1) + "H")
}

// write writes cells from column x on. Terminals disagree about the width of
// some signs: what follows one is put where it belongs.
func (p *painter) write(cells []screenCell, x int) {
	unsure := false
	for i, c := range cells {
		if c.Text == "" {
			continue // the second half of a wide character
		}
		sign := !plainASCII(c.Text) && (i+1 >= len(cells) || cells[i+1].Text != "")
		if unsure && !sign {
			p.b.WriteString("\x1b[" + strconv.Itoa(x+i+1) + "G")
		}
		unsure = sign
		p.use(c.Style)
		p.b.WriteString(c.Text)
	}
}

func (p *painter) use(style string) {
	if style == p.style {
		return
	}
	if p.style != "" {
		p.b.WriteString("\x1b[0m")
	}
	p.b.WriteString(style)
	p.style = style
}

// screenCell is one cell of the screen. The second one of a wide character has
// no text.
type screenCell struct{ Text, Style string }

var blankCell = screenCell{Text: " "}

// cellsOf takes a line apart and appends its cells to out.
func cellsOf(out []screenCell, line string) []screenCell {
	style, state := "", byte(0)
	for len(line) > 0 {
		seq, wide, n, next := ansi.DecodeSequence(line, state, nil)
		line, state = line[n:], next
		switch {
		case wide > 0:
			out = append(out, screenCell{seq, style})
			for range wide - 1 {
				out = append(out, screenCell{"", style})
			}
		case seq == "\x1b[0m" || seq == "\x1b[m":
			style = ""
		case strings.HasPrefix(seq, "\x1b[") && strings.HasSuffix(seq, "m"):
			style += seq
		}
	}
	return out
}
