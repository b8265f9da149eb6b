package tui

import "strings"

// line builds one line of the screen out of styled pieces and knows how many
// cells it has used. A style is switched only where it changes: on a slow link
// every escape sequence counts.
type line struct {
	b        strings.Builder
	th       *theme
	used     int
	max      int // cells the line may take
	selected bool
	cur      string
	tail     string
	ascii    bool
}

// asciiSigns replaces signs of texts and notes, cell for cell, where the
// terminal has ASCII only. Names keep their letters.
var asciiSigns = strings.NewReplacer("–", "-", "—", "-", "…", "~", "·", "-", "→", ">", "↵", "^",
	"↑", "^", "↓", "v", "←", "<", "“", "\"", "”", "\"", "✓", "x", "中文界面", "Chinese ")

// sign is s as this terminal can show it.
func (l *line) sign(s string) string {
	if !l.ascii || plainASCII(s) {
		return s
	}
	return asciiSigns.Replace(s)
}

func (a *app) newLine(max int) *line {
	return &line{th: a.theme, max: max, tail: a.glyphs.tail, ascii: a.glyphs == &asciiGlyphs}
}

// put appends s, cut to the cells that are left.
func (l *line) put(tok token, s string) *line {
	if room := l.max - l.used; room > 0 && s != "" {
		s = cut(l.sign(s), room, l.tail)
		l.style(l.th.open[btoi(l.selected)][tok])
		l.b.WriteString(s)
		l.used += width(s)
	}
	return l
}

// cell appends s in exactly w cells.
func (l *line) cell(tok token, s string, w int, right bool) *line {
	s = cut(s, w, l.tail)
	gap := w - width(s)
	if right {
		l.gap(gap)
	}
	l.put(tok, s)
	if !right {
		l.gap(gap)
	}
	return l
}

// gap appends n blanks. Outside the row under the cursor they carry no style.
func (l *line) gap(n int) *line {
	n = min(n, l.max-l.used)
	if n <= 0 {
		return l
	}
	if l.selected {
		l.style(l.th.open[1][plain])
	} else {
		l.style("")
	}
	l.b.WriteString(spaces(n))
	l.used += n
	return l
}

// fill appends blanks up to the cell at.
func (l *line) fill(at int) *line { return l.gap(at - l.used) }

func (l *line) style(open string) {
	if open == l.cur {
		return
	}
	if l.cur != "" {
		l.b.WriteString(l.th.reset)
	}
	l.b.WriteString(open)
	l.cur = open
}

// String ends the line. The row under the cursor is filled to its end.
func (l *line) String() string {
	if l.selected {
		l.fill(l.max)
	}
	l.style("")
	return l.b.String()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
