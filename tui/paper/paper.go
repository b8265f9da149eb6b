// Package paper is a terminal for tests: it shows what a program writes for
// one, as far as the console makes use of it.
package paper

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Cell is one cell of a screen. The second one of a wide character has no text.
type Cell struct{ Text, Style string }

// Paper is a screen that remembers what was written on it.
type Paper struct {
	Cells [][]Cell // by line
	x, y  int
	style string
}

// New is a blank screen of w×h cells.
func New(w, h int) *Paper {
	p := &Paper{}
	for range h {
		p.Cells = append(p.Cells, make([]Cell, w))
	}
	p.clear()
	return p
}

// Take writes on the screen. It returns an error for what does not fit on it
// and for control sequences that it does not know.
func (p *Paper) Take(s string) error {
	state := byte(0)
	for len(s) > 0 {
		seq, wide, n, next := ansi.DecodeSequence(s, state, nil)
		s, state = s[n:], next
		if wide == 0 {
			if err := p.control(seq); err != nil {
				return err
			}
			continue
		}
		if p.y >= len(p.Cells) || p.x+wide > len(p.Cells[p.y]) {
			return fmt.Errorf("%q is written beyond the end of line %d", seq, p.y)
		}
		for i := range wide {
			p.Cells[p.y][p.x+i] = Cell{"", p.style}
		}
		p.Cells[p.y][p.x].Text = seq
		p.x += wide
	}
	return nil
}

func (p *Paper) control(seq string) error {
	body, known := strings.CutPrefix(seq, "\x1b[")
	switch {
	case strings.HasPrefix(seq, "\x1b]"), strings.HasPrefix(body, "?"):
		return nil // a question, a mode of the terminal
	case !known || body == "":
		return fmt.Errorf("%q is not known", seq)
	}
	args := strings.Split(body[:len(body)-1], ";")
	number := func(i int) int {
		n := 1
		if i < len(args) && args[i] != "" {
			n, _ = strconv.Atoi(args[i])
		}
		return n - 1
	}
	switch body[len(body)-1] {
	case 'H':
		p.y, p.x = number(0), number(1)
	case 'G':
		p.x = number(0)
	case 'K':
		p.clearLine(p.y, p.x)
	case 'J':
		p.clear()
	case 'm':
		if p.style += seq; body == "0m" {
			p.style = ""
		}
	default:
		return fmt.Errorf("%q is not known", seq)
	}
	return nil
}

func (p *Paper) clear() {
	for y := range p.Cells {
		p.clearLine(y, 0)
	}
}

func (p *Paper) clearLine(y, x int) {
	for ; x < len(p.Cells[y]); x++ {
		p.Cells[y][x] = Cell{" ", p.style}
	}
}

// Text is what can be read on the screen, a line for each of its own.
func (p *Paper) Text() string {
	var b strings.Builder
	for _, row := range p.Cells {
		for _, c := range row {
			b.WriteString(c.Text)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
