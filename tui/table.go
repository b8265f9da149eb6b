package tui

import (
	"slices"
)

// cell is what a column shows for a row.
type cell struct {
	text string
	tok  token
}

// column describes one column of a table of R.
type column[R any] struct {
	id    string // in the sort menu and in exported files
	title string
	named string // in the sort menu, where the title would be too wide
	width int    // cells; the least of a column that can grow
	most  int    // a column that grows with its content: up to so many cells
	keep  int    // and so far it grows before less important columns get room
	fill  bool   // takes what is left of the line
	gap   int    // blanks in front
	right bool
	// cut shortens what is too long, if not at its end.
	cut func(s string, w int, tail string) string
	// drop orders what goes when the window is narrow: the highest first. A
	// column with 0 always stays.
	drop int
	draw func(*R) cell
	// order compares two rows for sorting; nil: cannot be sorted by.
	order func(a, b *R) int
	// raw is the value for files and the clipboard, not rounded or shortened;
	// nil: the shown text.
	raw func(*R) string
}

func (c *column[R]) name() string {
	if c.named != "" {
		return c.named
	}
	return c.title
}

func (c *column[R]) value(r *R) string {
	if c.raw != nil {
		return c.raw(r)
	}
	return c.draw(r).text
}

// table shows rows that have a key. The cursor and the marks stay with their
// rows when rows come, go and change places. Only visible rows are drawn.
type table[R any, K comparable] struct {
	cols   []column[R]
	key    func(*R) K
	rows   []*R
	cursor int
	at     K    // the key under the cursor
	has    bool // whether at means anything
	top    int
	marks  map[K]bool
	sortBy string // a column's id; empty: the natural order
	desc   bool

	needs    []int // widest content of each growing column
	shown    []placed[R]
	shownFor int // the width that shown was made for
}

// placed is a column with its width in this window.
type placed[R any] struct {
	*column[R]
	w int
}

// setNatural sorts the rows into the order they have when no column was chosen
// (and which decides between equal ones), then takes them.
func (t *table[R, K]) setNatural(rows []*R, natural func(a, b *R) int) {
	slices.SortStableFunc(rows, natural)
	t.setRows(rows)
}

// setRows takes the rows in their natural order, sorts them if asked to, and
// keeps the cursor on its row. If that row is gone the cursor stays at its
// place.
func (t *table[R, K]) setRows(rows []*R) {
	t.rows = rows
	if c := t.column(t.sortBy); c != nil && c.order != nil {
		slices.SortStableFunc(t.rows, func(a, b *R) int {
			if t.desc {
				return c.order(b, a)
			}
			return c.order(a, b)
		})
	}
	if t.has {
		for i, r := range t.rows {
			if t.key(r) == t.at {
				t.cursor = i
				break
			}
		}
	}
	t.measure()
	t.moveTo(t.cursor)
}

func (t *table[R, K]) column(id string) *column[R] {
	for i := range t.cols {
		if t.cols[i].id == id && id != "" {
			return &t.cols[i]
		}
	}
	return nil
}

// measure finds the width of the columns that grow with their content. It
// forgets the columns' places only if that changed anything.
func (t *table[R, K]) measure() {
	if len(t.needs) != len(t.cols) {
		t.needs = make([]int, len(t.cols))
		t.shownFor = 0
	}
	for i := range t.cols {
		c := &t.cols[i]
		if c.most == 0 {
			continue
		}
		need := max(c.width, width(c.title))
		for _, r := range t.rows {
			if need >= c.most {
				break
			}
			need = max(need, width(c.draw(r).text))
		}
		if need = min(need, c.most); need != t.needs[i] {
			t.needs[i] = need
			t.shownFor = 0
		}
	}
}

// setColumns replaces the columns, as after a change of language.
func (t *table[R, K]) setColumns(cols []column[R]) {
	t.cols, t.needs, t.shownFor = cols, nil, 0
	t.measure()
}

func (t *table[R, K]) moveTo(i int) {
	t.cursor = max(0, min(i, len(t.rows)-1))
	t.has = len(t.rows) > 0
	if t.has {
		t.at = t.key(t.rows[t.cursor])
	}
}

// current is the row under the cursor, or nil.
func (t *table[R, K]) current() *R {
	if t.cursor < len(t.rows) {
		return t.rows[t.cursor]
	}
	return nil
}

// toggleMark marks the row under the cursor, or takes its mark away.
func (t *table[R, K]) toggleMark() {
	if !t.has {
		return
	}
	if t.marks == nil {
		t.marks = map[K]bool{}
	}
	if t.marks[t.at] {
		delete(t.marks, t.at)
	} else {
		t.marks[t.at] = true
	}
}

const (
	cursorCells = 2 // in front of every row: cursor and mark
	columnGap   = 2
)

// place chooses the columns for a window of w cells and gives them their
// widths.
func (t *table[R, K]) place(w int) []placed[R] {
	if t.shownFor == w && t.shown != nil {
		return t.shown
	}
	out := make([]placed[R], 0, len(t.cols))
	for i := range t.cols {
		c := &t.cols[i]
		out = append(out, placed[R]{column: c, w: max(c.width, min(c.keep, t.need(c.id)))})
	}
	room := w - cursorCells
	for total(out) > room {
		worst := -1
		for i := range out {
			if out[i].drop > 0 && (worst < 0 || out[i].drop >= out[worst].drop) {
				worst = i
			}
		}
		if worst < 0 {
			break
		}
		out = slices.Delete(out, worst, worst+1)
	}
	left := room - total(out)
	for i := range out {
		if back := min(-left, out[i].w-out[i].width); back > 0 {
			out[i].w -= back
			left += back
		}
	}
	for i := range out {
		if out[i].most == 0 || left <= 0 {
			continue
		}
		grow := min(left, t.need(out[i].id)-out[i].w)
		if grow > 0 {
			out[i].w += grow
			left -= grow
		}
	}
	for i := range out {
		if out[i].fill && left > 0 {
			out[i].w += left
			break
		}
	}
	t.shown, t.shownFor = out, w
	return out
}

func (t *table[R, K]) need(id string) int {
	for i := range t.cols {
		if t.cols[i].id == id && i < len(t.needs) {
			return t.needs[i]
		}
	}
	return 0
}

// shows reports whether there is room for a column in this window.
func (t *table[R, K]) shows(id string) bool {
	return slices.ContainsFunc(t.shown, func(p placed[R]) bool { return p.id == id })
}

func total[R any](cols []placed[R]) int {
	sum := 0
	for i := range cols {
		sum += cols[i].w
		if i > 0 {
			sum += cols[i].before()
		}
	}
	return sum
}

func (p placed[R]) before() int {
	if p.gap > 0 {
		return p.gap
	}
	return columnGap
}

// rowStyle is how a row differs from its own cells: nothing, or all of it dim.
type rowStyle struct {
	focused bool // the pane has the keys
	stale   bool // the numbers are old
}

// view draws the head and the visible rows in exactly h lines of w cells.
func (t *table[R, K]) view(a *app, w, h int, style rowStyle) []string {
	out := make([]string, 0, h)
	if h <= 0 {
		return out
	}
	cols := t.place(w)
	out = append(out, t.head(a, cols, w))
	body := h - 1
	t.scroll(body)
	for i := t.top; i < len(t.rows) && len(out) < h; i++ {
		out = append(out, t.row(a, cols, i, w, style))
	}
	for len(out) < h {
		out = append(out, "")
	}
	return out
}

// scroll keeps the cursor among the body's lines and leaves no line empty
// that could hold a row.
func (t *table[R, K]) scroll(body int) {
	if body <= 0 {
		return
	}
	if t.cursor < t.top {
		t.top = t.cursor
	}
	if t.cursor >= t.top+body {
		t.top = t.cursor - body + 1
	}
	t.top = max(0, min(t.top, len(t.rows)-body))
}

func (t *table[R, K]) head(a *app, cols []placed[R], w int) string {
	l := a.newLine(w).gap(cursorCells)
	for i, c := range cols {
		if i > 0 {
			l.gap(c.before())
		}
		title := c.title
		if c.id == t.sortBy && c.id != "" {
			arrow := a.glyphs.sortUp
			if t.desc {
				arrow = a.glyphs.sortDown
			}
			title = cut(title, max(0, c.w-1), "") + arrow
		}
		l.cell(dim, title, c.w, c.right)
	}
	return l.String()
}

func (t *table[R, K]) row(a *app, cols []placed[R], i, w int, style rowStyle) string {
	r := t.rows[i]
	l := a.newLine(w)
	l.selected = style.focused && i == t.cursor
	switch {
	case i != t.cursor:
		l.gap(1)
	case style.focused:
		l.put(accent, a.glyphs.cursor)
	default:
		l.put(dim, a.glyphs.cursor)
	}
	if t.marks[t.key(r)] {
		l.put(warn, a.glyphs.mark)
	} else {
		l.gap(1)
	}
	for k, c := range cols {
		if k > 0 {
			l.gap(c.before())
		}
		v := c.draw(r)
		if style.stale {
			v.tok = dim
		}
		if c.cut != nil {
			v.text = c.cut(v.text, c.w, a.glyphs.tail)
		}
		l.cell(v.tok, v.text, c.w, c.right)
	}
	return l.String()
}
