package tui

import "strings"

// chart draws values as columns of blocks, h lines high, with the highest
// value and zero at its axis and the times under it. It is w cells wide.
type chart struct {
	title  string
	values []int64
	label  func(int64) string // of the axis, with its unit
	from   string             // the time at the left end
	to     string
}

const axisCells = 11

func (c chart) draw(a *app, w, h int) []string {
	room := max(1, w-axisCells-1)
	values := c.values
	if len(values) > room {
		values = squeeze(values, room)
	}
	var top int64
	for _, v := range values {
		top = max(top, v)
	}
	now := unknown
	if n := len(c.values); n > 0 {
		now = c.label(c.values[n-1])
	}
	out := []string{a.newLine(w).gap(1).put(strong, c.title).gap(2).put(dim, a.f(a.text.ChartNow, now, c.label(top))).String()}
	bars := stretch(values, room)
	for row := h - 1; row >= 0; row-- {
		l := a.newLine(w)
		switch row {
		case h - 1:
			l.cell(dim, c.label(top), axisCells-1, true)
		case 0:
			l.cell(dim, c.label(0), axisCells-1, true)
		default:
			l.gap(axisCells - 1)
		}
		l.put(dim, a.glyphs.side)
		out = append(out, l.put(accent, a.chartRow(bars, top, row, h)).String())
	}
	foot := a.newLine(w).gap(axisCells).put(dim, c.from)
	return append(out, foot.fill(w-width(c.to)-1).put(dim, c.to).String())
}

// stretch spreads values over w cells, so that a chart fills its width.
func stretch(values []int64, w int) []int64 {
	if len(values) == 0 || len(values) >= w {
		return values
	}
	out := make([]int64, w)
	for i := range out {
		out[i] = values[i*len(values)/w]
	}
	return out
}

// chartRow is one line of the columns; row 0 is the lowest.
func (a *app) chartRow(values []int64, top int64, row, h int) string {
	steps := len(a.glyphs.spark)
	var b strings.Builder
	for _, v := range values {
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
	return b.String()
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
