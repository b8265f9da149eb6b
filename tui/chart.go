package tui

import (
	"strings"
	"time"
)

// chart draws values over a stretch of time as columns of blocks, with the
// highest value and zero at its axis and the times under it. Its width always
// stands for the whole stretch: what was not measured is left open.
type chart struct {
	title    string
	span     time.Duration
	step     time.Duration // of one value
	to       time.Time     // the right end
	points   []point
	now      string             // the value of this moment
	label    func(int64) string // of the axis, with its unit
	timeText string             // layout of the times under it
}

type point struct {
	at    time.Time // the beginning of its step
	value int64
}

const axisCells = 11

// missing stands for a cell of which nothing was measured.
const missing = -1

// draw returns the title, h lines of columns, and the times, each w cells wide.
func (c chart) draw(a *app, w, h int) []string {
	room := max(1, w-axisCells-1)
	cells := c.cells(room)
	var top int64
	for _, v := range cells {
		top = max(top, v)
	}
	out := []string{a.newLine(w).gap(1).put(strong, c.title).gap(2).put(dim, a.f(a.text.ChartNow, c.now, c.label(top))).String()}
	for row := h - 1; row >= 0; row-- {
		l := a.newLine(w)
		switch {
		case row == 0:
			l.cell(dim, c.label(0), axisCells-1, true)
		case row == h-1 && top > 0:
			l.cell(dim, c.label(top), axisCells-1, true)
		default:
			l.gap(axisCells - 1)
		}
		l.put(dim, a.glyphs.side)
		a.chartRow(l, cells, top, row, h)
		out = append(out, l.String())
	}
	return append(out, c.times(a, w, room))
}

// times are the clock's at both ends and, where there is room, in the middle.
func (c chart) times(a *app, w, room int) string {
	at := func(part time.Duration) string { return c.to.Add(-part).In(a.zone).Format(c.timeText) }
	from, to := at(c.span), at(0)
	l := a.newLine(w).gap(axisCells).put(dim, from)
	if middle := at(c.span / 2); room > 4*len(middle) {
		l.fill(axisCells+(room-len(middle))/2).put(dim, middle)
	}
	return l.fill(axisCells+room-len(to)).put(dim, to).String()
}

// cells are the highest values of the n equal parts of the stretch.
func (c chart) cells(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = missing
	}
	begin := c.to.Add(-c.span)
	for _, p := range c.points {
		from := int64(p.at.Sub(begin)) * int64(n) / int64(c.span)
		until := (int64(p.at.Add(c.step).Sub(begin))*int64(n) - 1) / int64(c.span)
		for i := max(0, from); i <= min(until, int64(n)-1); i++ {
			out[i] = max(out[i], p.value)
		}
	}
	return out
}

// chartRow draws one line of the columns; row 0 is the lowest.
func (a *app) chartRow(l *line, values []int64, top int64, row, h int) {
	steps := len(a.glyphs.spark)
	var b strings.Builder
	tok := soft
	flush := func(next token) {
		if next != tok {
			l.put(tok, b.String())
			b.Reset()
			tok = next
		}
	}
	for _, v := range values {
		if v == missing {
			flush(dim)
			if row == 0 {
				b.WriteString(a.glyphs.none)
			} else {
				b.WriteByte(' ')
			}
			continue
		}
		flush(soft)
		level := 0
		if top > 0 && v > 0 {
			level = max(1, int(float64(v)/float64(top)*float64(h*steps)+0.5))
		}
		switch fill := level - row*steps; {
		case fill >= steps:
			b.WriteString(a.glyphs.spark[steps-1])
		case fill > 0:
			b.WriteString(a.glyphs.spark[fill-1])
		default:
			b.WriteByte(' ')
		}
	}
	l.put(tok, b.String())
}

// beside joins two blocks of lines: the left one takes w cells.
func beside(left, right []string, w, gap int) []string {
	n := max(len(left), len(right))
	out := make([]string, n)
	for i := range out {
		l, r := "", ""
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		if r == "" {
			out[i] = l
			continue
		}
		out[i] = l + spaces(w-width(l)+gap) + r
	}
	return out
}
