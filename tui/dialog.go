package tui

import (
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"tdreplica/core"
)

// graceTime is how long a dialog that opened by itself ignores keys: what was
// typed for the screen below must not answer it.
const graceTime = 300 * time.Millisecond

// dialog is a box on top of the screen. It gets every key while it is open.
type dialog interface {
	press(a *app, k tea.KeyMsg) tea.Cmd
	title(a *app) string
	// body draws the lines in the box, each at most w cells wide, at most h.
	body(a *app, w, h int) []string
	deafUntil() time.Time
}

// dialogWidth is the width of a box that does not ask for another.
const dialogWidth = 78

// sized is a dialog that is narrower or wider than others.
type sized interface{ wants(a *app) int }

// grave is a dialog about something that cannot be taken back.
type grave interface{ grave() }

// grace is embedded by dialogs that may open, or change, by themselves.
type grace struct{ deaf time.Time }

func (g *grace) deafUntil() time.Time { return g.deaf }
func (g *grace) startle(a *app)       { g.deaf = a.clock().Add(graceTime) }

// replyMsg carries the answer to a question that a dialog asked. It goes to
// that dialog if it is still open.
type replyMsg struct {
	to    dialog
	value any
	err   error
}

// receiver is a dialog that asks questions.
type receiver interface {
	receive(a *app, m replyMsg) tea.Cmd
}

func (a *app) onReply(m replyMsg) tea.Cmd {
	for _, d := range a.dialogs {
		if r, asks := d.(receiver); asks && d == m.to {
			return r.receive(a, m)
		}
	}
	return nil
}

func (a *app) dialog() dialog {
	if n := len(a.dialogs); n > 0 {
		return a.dialogs[n-1]
	}
	return nil
}

func (a *app) open(d dialog) tea.Cmd {
	a.dialogs = append(a.dialogs, d)
	return nil
}

func (a *app) closeDialog() {
	if n := len(a.dialogs); n > 0 {
		a.dialogs = a.dialogs[:n-1]
	}
}

// overlay puts a dialog's box over the screen, which steps back: it is drawn
// dim and without other colours.
func (a *app) overlay(under []string, d dialog) []string {
	w := dialogWidth
	if s, is := d.(sized); is {
		w = s.wants(a)
	}
	w = min(w, a.w-4)
	rows := d.body(a, w-4, a.h-4)
	if len(rows) > a.h-4 {
		rows = rows[:a.h-4]
	}
	frame := accent
	if _, is := d.(grave); is {
		frame = bad
	}
	box := a.box(d.title(a), rows, w, frame)
	top, left := max(0, (a.h-len(box))/2), (a.w-w)/2
	out := make([]string, len(under))
	for i, s := range under {
		s = ansi.Strip(s)
		if i < top || i >= top+len(box) {
			out[i] = a.newLine(a.w).put(dim, s).String()
			continue
		}
		// A blank on both sides keeps the box clear of what is under it.
		before := a.newLine(left).put(dim, ansi.Truncate(s, left-1, "")).fill(left).String()
		after := a.newLine(a.w - left - w).gap(1)
		if rest := ansi.TruncateLeft(s, left+w+1, ""); width(s) > left+w+1 {
			after.put(dim, rest)
		}
		out[i] = before + box[i-top] + after.String()
	}
	return out
}

// box frames rows that are at most w-4 cells wide.
func (a *app) box(title string, rows []string, w int, frame token) []string {
	g := a.glyphs
	title = cut(title, w-6, g.tail)
	out := []string{a.newLine(w).put(frame, g.corner[0]).gap(1).put(strong, title).gap(1).
		put(frame, strings.Repeat(g.rule, max(0, w-4-width(title)))+g.corner[1]).String()}
	side := a.newLine(1).put(frame, g.side).String()
	for _, r := range rows {
		out = append(out, side+" "+r+spaces(w-3-width(r))+side)
	}
	return append(out, a.newLine(w).put(frame, g.corner[2]+strings.Repeat(g.rule, w-2)+g.corner[3]).String())
}

// button is a choice at the foot of a dialog.
type button struct {
	label  string
	danger bool
	off    bool // cannot be chosen yet
	run    func() tea.Cmd
}

// buttonRow draws the choices at the right; the chosen one in brackets.
func (a *app) buttonRow(buttons []button, chosen, w int) string {
	n := 0
	for _, b := range buttons {
		n += width(b.label) + 5
	}
	l := a.newLine(w).gap(w - n + 1)
	for i, b := range buttons {
		tok := plain
		switch {
		case b.off:
			tok = dim
		case i == chosen && b.danger:
			tok = bad
		case i == chosen:
			tok = accent
		}
		if i == chosen {
			l.put(tok, "[ "+b.label+" ]").gap(1)
		} else {
			l.gap(2).put(tok, b.label).gap(3)
		}
	}
	return l.String()
}

// walk moves the choice among the buttons; it reports whether the key was one
// for that.
func walk(k string, chosen, n int) (int, bool) {
	switch k {
	case "left", "shift+tab", "h":
		return (chosen + n - 1) % n, true
	case "right", "tab", "l":
		return (chosen + 1) % n, true
	}
	return chosen, false
}

// confirm asks before something is done. Cancel is chosen until the operator
// moves.
type confirm struct {
	grace
	head    string
	tasks   []core.Task // what it is about, if it is about tasks
	says    []string
	buttons []button
	chosen  int
	busy    string // what is being waited for: it cannot be left any more
	pager   pager  // of what it says, in a low window
}

func (d *confirm) title(a *app) string { return d.pager.titled(a, d.head) }

func (d *confirm) press(a *app, k tea.KeyMsg) tea.Cmd {
	key := k.String()
	if d.busy != "" {
		return nil
	}
	if to, moved := walk(key, d.chosen, len(d.buttons)); moved {
		d.chosen = to
		return nil
	}
	switch key {
	case "esc", "q", "n":
		a.closeDialog()
	case "enter":
		return d.buttons[d.chosen].run()
	default:
		d.pager.press(key)
	}
	return nil
}

func (d *confirm) body(a *app, w, h int) []string {
	var out []string
	if len(d.tasks) > 0 {
		out = append(a.listTargets(d.tasks, w), "")
	}
	for _, s := range d.says {
		for _, r := range wrap(s, w) {
			out = append(out, a.newLine(w).put(plain, r).String())
		}
	}
	out = append(d.pager.view(out, min(len(out), h-2)), "")
	if d.busy != "" {
		return append(out, a.newLine(w).put(accent, d.busy).String())
	}
	return append(out, a.buttonRow(d.buttons, d.chosen, w))
}

// cancel is the choice that does nothing.
func (a *app) cancel() button {
	return button{label: a.text.Cancel, run: func() tea.Cmd { a.closeDialog(); return nil }}
}

// menu is a list to choose one from.
type menu struct {
	grace
	head    string
	entries []string
	chosen  int
	pick    func(i int) tea.Cmd
}

func (d *menu) title(*app) string { return d.head }

func (d *menu) wants(*app) int {
	w := width(d.head) + 6
	for _, e := range d.entries {
		w = max(w, width(e)+8)
	}
	return w
}

func (d *menu) press(a *app, k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "esc", "q":
		a.closeDialog()
	case "up", "k":
		d.chosen = max(0, d.chosen-1)
	case "down", "j":
		d.chosen = min(len(d.entries)-1, d.chosen+1)
	case "enter":
		a.closeDialog()
		return d.pick(d.chosen)
	}
	return nil
}

func (d *menu) body(a *app, w, h int) []string {
	from := max(0, d.chosen-h+1)
	var out []string
	for i := from; i < len(d.entries) && len(out) < h; i++ {
		l := a.newLine(w)
		if l.selected = i == d.chosen; l.selected {
			l.put(accent, a.glyphs.cursor)
		} else {
			l.gap(1)
		}
		out = append(out, l.gap(1).put(plain, d.entries[i]).String())
	}
	return out
}

// openSort lists the columns of the pane to sort by; choosing the one in force
// turns its direction.
func (a *app) openSort() tea.Cmd {
	if a.focus == paneVgroups {
		openSortOf(a, &a.vgroups, a.text.SortVgroup)
	} else {
		openSortOf(a, &a.tasks, a.text.SortNeed)
	}
	return nil
}

func openSortOf[R any, K comparable](a *app, t *table[R, K], natural string) {
	d := &menu{head: a.text.SortTitle, entries: []string{natural}}
	ids := []string{""}
	for _, c := range t.cols {
		if c.order == nil {
			continue
		}
		if c.id == t.sortBy {
			d.chosen = len(ids)
		}
		ids = append(ids, c.id)
		d.entries = append(d.entries, c.name())
	}
	d.pick = func(i int) tea.Cmd {
		// Numbers are sought from the highest down, names from A on.
		if c := t.column(ids[i]); ids[i] == t.sortBy {
			t.desc = !t.desc
		} else {
			t.sortBy, t.desc = ids[i], c != nil && c.right
		}
		t.shownFor = 0
		a.apply()
		return nil
	}
	a.open(d)
}
