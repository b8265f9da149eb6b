package tui

import (
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"tdreplica/core"
)

// eventList shows events, the newest first. While it follows, the newest is
// under the cursor; else the cursor stays with its event.
type eventList struct {
	rows   []*core.Event // the newest first
	cursor int
	at     uint64 // the event under the cursor
	top    int
	follow bool
	wrap   bool
	shift  int        // cells that the texts are scrolled to the left
	least  core.Level // the least urgent level shown; empty: all
	filter filter
}

// applyEvents rebuilds the list: on the tasks screen the selected replica's,
// on the events screen everybody's.
func (a *app) applyEvents() {
	l := &a.log
	l.rows = l.rows[:0]
	var only *core.Task
	if a.screen != screenEvents {
		only = a.selected()
	}
	for i := len(a.feed.events) - 1; i >= 0; i-- {
		e := &a.feed.events[i]
		if only != nil && !concerns(e, only) || !l.shows(e) {
			continue
		}
		l.rows = append(l.rows, e)
	}
	l.settle()
}

// concerns reports whether an event belongs to a task: its own, its replica's,
// or the instance's.
func concerns(e *core.Event, t *core.Task) bool {
	return e.Replica == "" || e.Replica == t.Replica && (e.Database == "" || e.Database == t.Database)
}

func (l *eventList) shows(e *core.Event) bool {
	switch l.least {
	case core.LevelWarn:
		if e.Level == core.LevelInfo {
			return false
		}
	case core.LevelError:
		if e.Level != core.LevelError {
			return false
		}
	}
	return l.filter.event(e)
}

// settle puts the cursor where it belongs after the rows changed.
func (l *eventList) settle() {
	if l.follow {
		l.cursor, l.top = 0, 0
	} else if i := slices.IndexFunc(l.rows, func(e *core.Event) bool { return e.Seq <= l.at }); i >= 0 {
		l.top += i - l.cursor
		l.cursor = i
	}
	l.moveTo(l.cursor)
}

func (l *eventList) moveTo(i int) {
	l.cursor = max(0, min(i, len(l.rows)-1))
	if l.cursor < len(l.rows) {
		l.at = l.rows[l.cursor].Seq
	}
}

func (l *eventList) move(m motion, page int) {
	if m.side != 0 {
		l.shift = max(0, l.shift+m.side)
		return
	}
	l.moveTo(m.apply(l.cursor, len(l.rows), page))
	l.follow = l.cursor == 0
}

func (l *eventList) current() *core.Event {
	if l.cursor < len(l.rows) {
		return l.rows[l.cursor]
	}
	return nil
}

func (a *app) toggleFollow() tea.Cmd {
	a.log.follow = !a.log.follow
	a.log.settle()
	return nil
}

func (a *app) nextLevel() tea.Cmd {
	switch a.log.least {
	case "":
		a.log.least = core.LevelWarn
	case core.LevelWarn:
		a.log.least = core.LevelError
	default:
		a.log.least = ""
	}
	a.applyEvents()
	return nil
}

func (a *app) toggleWrap() tea.Cmd {
	a.log.wrap, a.log.shift = !a.log.wrap, 0
	return nil
}

func (a *app) openEvents() tea.Cmd {
	a.show(screenEvents)
	a.applyEvents()
	return nil
}

// logFacts says how the list is shown, at the right end of its rule.
func (a *app) logFacts() string {
	follow := a.text.NotFollowing
	if a.log.follow {
		follow = a.text.Following
	}
	level := a.text.AllLevels
	switch a.log.least {
	case core.LevelWarn:
		level = a.text.FromWarn
	case core.LevelError:
		level = a.text.OnlyErrors
	}
	facts := follow + " " + a.glyphs.sep + " " + level
	if !a.log.filter.empty() {
		facts = a.f(a.text.FilterIs, clean(a.log.filter.source)) + " " + a.glyphs.sep + " " + facts
	}
	if a.feed.eventErr != nil {
		facts = a.text.EventsFailed + " " + a.glyphs.sep + " " + facts
	}
	return facts
}

func (a *app) eventPane(w, h int) []string {
	if h < 1 {
		return nil
	}
	focused := a.focus == paneEvents
	title := a.text.EventsTitle
	if t := a.selected(); t != nil {
		title = a.f(a.text.EventsOf, clean(t.Replica)+" "+a.glyphs.sep+" "+clean(t.Database))
	}
	out := []string{a.rule(w, title, a.logFacts(), focused)}
	return append(out, a.eventLines(w, h-1, focused)...)
}

func (a *app) eventScreen(w, h int) []string {
	title := a.f(a.text.EventsAll, grouped(int64(len(a.log.rows))))
	out := []string{a.rule(w, title, a.logFacts(), true)}
	return append(out, a.eventLines(w, h-1, true)...)
}

// eventLines draws h lines of events from the top one on.
func (a *app) eventLines(w, h int, focused bool) []string {
	l := &a.log
	if h <= 0 {
		return nil
	}
	if len(l.rows) == 0 {
		return pad([]string{a.newLine(w).gap(3).put(dim, a.text.NoEvents).String()}, h)
	}
	a.scrollEvents(w, h)
	who := 12
	for i := l.top; i < len(l.rows) && i < l.top+h; i++ {
		who = max(who, min(28, width(a.subject(l.rows[i]))))
	}
	var out []string
	for i := l.top; i < len(l.rows) && len(out) < h; i++ {
		out = append(out, a.eventRow(l.rows[i], w, who, focused && i == l.cursor)...)
	}
	return pad(out, h)
}

// scrollEvents keeps the cursor's event on the screen, whole if it fits.
func (a *app) scrollEvents(w, h int) {
	l := &a.log
	l.top = max(0, min(l.top, len(l.rows)-1))
	if l.cursor < l.top {
		l.top = l.cursor
	}
	used := 0
	for i := l.cursor; i >= l.top; i-- {
		n := 1
		if l.wrap {
			n = len(a.eventRow(l.rows[i], w, 28, false))
		}
		if used += n; used > h && i < l.cursor {
			l.top = i + 1
			return
		}
	}
}

func (a *app) subject(e *core.Event) string {
	switch {
	case e.Replica == "":
		return a.text.TheInstance
	case e.Database == "":
		return clean(e.Replica)
	}
	return clean(e.Replica) + " " + a.glyphs.sep + " " + clean(e.Database)
}

// by is who asked for it and how: a person in the console or by a command, or
// the configuration. What the engine does by itself says nothing.
func (a *app) by(e *core.Event) string {
	via := e.Actor.Via
	if via == "" || via == "engine" {
		return ""
	}
	if word, known := a.text.Via[via]; known {
		via = word
	}
	who := clean(via)
	if e.Actor.User != "" {
		who = clean(e.Actor.User) + " " + a.glyphs.sep + " " + who
	}
	return "  (" + who + ")"
}

func (a *app) eventRow(e *core.Event, w, who int, selected bool) []string {
	l := a.newLine(w)
	l.selected = selected
	if selected {
		l.put(accent, a.glyphs.cursor)
	} else {
		l.gap(1)
	}
	mark, tok := " ", plain
	switch e.Level {
	case core.LevelWarn:
		mark, tok = a.glyphs.warn, warn
	case core.LevelError:
		mark, tok = a.stateGlyph(core.Failed), bad
	}
	l.put(dim, a.eventTime(e)).gap(1).put(tok, mark).gap(1)
	l.cell(plain, a.subject(e), who, false).gap(2)
	indent := l.used
	said, by := a.spoken(e.Text), a.by(e)
	if !a.log.wrap {
		switch what, why, long := strings.Cut(e.Text, ": "); {
		case a.log.shift > 0:
			said = tailOf(said, a.log.shift)
		case long && width(said) > w-indent:
			what = a.spoken(what) + ": "
			said = what + a.brief(why, w-indent-width(what))
		}
		return []string{l.put(tok, said).put(dim, by).String()}
	}
	rows := wrap(said+by, max(20, w-indent-1))
	out := []string{l.put(tok, rows[0]).String()}
	for _, r := range rows[1:] {
		more := a.newLine(w)
		more.selected = selected
		out = append(out, more.gap(indent).put(tok, r).String())
	}
	return out
}

// eventTime is the time of day; an event of another day shows its date.
func (a *app) eventTime(e *core.Event) string {
	t, now := e.At.In(a.zone), a.now.In(a.zone)
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("01-02 15")
}

// tailOf is s without its first n cells.
func tailOf(s string, n int) string {
	used := 0
	for i, r := range s {
		if used >= n {
			return s[i:]
		}
		used += width(string(r))
	}
	return ""
}
