package tui

import (
	"fmt"
	"strings"
	"time"

	"tdreplica/core"
)

// f formats a text of the catalogue.
// Its "(s)" is for a first value other than one.
func (a *app) f(format string, args ...any) string {
	ending := "s"
	if len(args) > 0 && args[0] == any(1) {
		ending = ""
	}
	return fmt.Sprintf(strings.ReplaceAll(format, "(s)", ending), args...)
}

// View implements tea.Model: never wider or taller than the window.
func (a *app) View() string {
	if a.w == 0 || a.h == 0 {
		return ""
	}
	if a.w < minWidth || a.h < minHeight {
		return cut(a.f(a.text.TooSmall, minWidth, minHeight), a.w, "")
	}
	lines := a.frame()
	if d := a.dialog(); d != nil {
		lines = a.overlay(lines, d)
	}
	return strings.Join(lines, "\n")
}

// frame draws the window without dialogs.
func (a *app) frame() []string {
	stale := a.feed.stale(a.now)
	banner := a.banner(a.w)
	notice := a.noticeLines(a.w)
	ntasks, nvgroups := 0, 0
	if s := a.feed.snap; s != nil {
		ntasks = len(s.Tasks)
		for i := range s.Tasks {
			t := &s.Tasks[i]
			nvgroups = max(nvgroups, vgroupsOf(t)+linesOfTrouble(t, a.w)-1)
		}
	}
	a.lay = arrange(a.h, len(banner), len(notice), ntasks, nvgroups)
	if a.focus == paneEvents && a.lay.events.h < 2 {
		a.focus = paneTasks // what cannot be seen must not have the keys
	}
	lines := make([]string, 0, a.h)
	lines = append(lines, a.header(a.w))
	lines = append(lines, banner...)
	lines = append(lines, pad(a.body(a.w, stale), a.lay.main.h)...)
	lines = append(lines, notice...)
	return append(lines, a.footer(a.w))
}

// body draws the screen between header and footer.
func (a *app) body(w int, stale bool) []string {
	h := a.lay.main.h
	switch a.screen {
	case screenEvents:
		return a.eventScreen(w, h)
	case screenDetail:
		return a.detail.view(a, w, h)
	case screenInfo:
		return a.infoScreen(w, h)
	}
	if a.feed.snap == nil || len(a.feed.snap.Tasks) == 0 {
		return a.emptyScreen(w, h)
	}
	out := a.taskPane(w, a.lay.tasks.h, stale)
	out = append(out, a.vgroupPane(w, a.lay.vgroups.h, stale)...)
	return append(out, a.eventPane(w, a.lay.events.h)...)
}

// pad makes it exactly h lines.
func pad(lines []string, h int) []string {
	for len(lines) < h {
		lines = append(lines, "")
	}
	return lines[:max(0, h)]
}

// rule is a line across the window with a title at the left and facts at the
// right. The pane that has the keys has its title in the accent.
func (a *app) rule(w int, title, facts string, focused bool) string {
	l := a.newLine(w).put(dim, a.glyphs.rule).gap(1)
	tok := strong
	if focused {
		tok = accent
	}
	room := w - 6
	if facts != "" {
		room -= width(facts) + 3
	}
	l.put(tok, cutMiddle(title, max(8, room), a.glyphs.tail)).gap(1)
	end := w
	if facts != "" {
		end = w - width(facts) - 3
	}
	if n := end - l.used; n > 0 {
		l.put(dim, strings.Repeat(a.glyphs.rule, n))
	}
	if facts != "" {
		l.gap(1).put(dim, facts).gap(1).put(dim, a.glyphs.rule)
	}
	return l.String()
}

func (a *app) taskPane(w, h int, stale bool) []string {
	title := a.text.TasksTitle
	if n := len(a.tasks.marks); n > 0 {
		title += " " + a.glyphs.sep + " " + a.f(a.text.Marked, n)
	}
	sorted := a.text.SortNeed
	if c := a.tasks.column(a.tasks.sortBy); c != nil {
		sorted = strings.ToLower(c.name())
	}
	facts := a.text.SortedBy + " " + sorted
	if !a.filter.empty() {
		facts = a.f(a.text.Filtered, clean(a.filter.source), len(a.tasks.rows), len(a.feed.snap.Tasks)) +
			" " + a.glyphs.sep + " " + facts
	}
	out := []string{a.rule(w, title, facts, a.focus == paneTasks)}
	if len(a.tasks.rows) == 0 {
		out = append(out, "", a.newLine(w).gap(3).put(dim, a.text.NothingMatches).String())
		return pad(out, h)
	}
	return append(out, a.tasks.view(a, w, h-1, rowStyle{focused: a.focus == paneTasks, stale: stale})...)
}

// emptyScreen greets an instance without tasks with what to do first, and with why
// its replicas have none. It also waits for the first snapshot.
func (a *app) emptyScreen(w, h int) []string {
	out := []string{a.rule(w, a.text.TasksTitle, "", true)}
	var rows []string
	say := func(tok token, s string) {
		for _, r := range wrap(s, w-8) {
			rows = append(rows, a.newLine(w).put(tok, r).String())
		}
	}
	title := func() {
		say(strong, a.text.EmptyTitle)
		for _, why := range a.idleReplicas() {
			say(warn, why)
		}
	}
	switch {
	case a.feed.snap == nil && a.feed.err == nil:
		say(dim, a.text.Connecting)
	case a.feed.snap == nil:
		say(dim, a.text.NoData)
	case a.readOnly():
		title()
		say(dim, a.text.EmptyReadOnly)
	default:
		title()
		rows = append(rows, "")
		for i, s := range a.text.EmptyHow {
			rows = append(rows, a.newLine(w-8).put(accent, a.key([]string{"n", "tab", "enter"}[i])).fill(6).put(plain, s).String())
		}
		rows = append(rows, "")
		say(dim, a.text.EmptyCommand)
		rows = append(rows, a.newLine(w-8).put(plain, emptyCommand).String())
	}
	widest := 0
	for _, r := range rows {
		widest = max(widest, width(r))
	}
	for range max(0, (h-len(rows))/3) {
		out = append(out, "")
	}
	for _, r := range rows {
		out = append(out, spaces(max(1, (w-widest)/2))+r)
	}
	return out
}

// emptyCommand is the first replica without the console.
const emptyCommand = "tdreplica start -f http://SOURCE:6041 -t http://SINK:6041"

// idleReplicas says of each replica without tasks why it has none, if that is known.
func (a *app) idleReplicas() (why []string) {
	for _, r := range a.feed.snap.WithoutTasks() {
		why = append(why, clean(r.ID)+": "+a.spoken(r.Note))
	}
	return why
}

// banner says that the numbers are not live, and why; if they are, that replicas
// have no task beside those of others.
func (a *app) banner(w int) []string {
	f := &a.feed
	l := a.newLine(w).gap(1)
	switch {
	case f.err != nil:
		l.put(bad, a.glyphs.warn).gap(1)
		if f.snap == nil {
			l.put(bad, a.f(a.text.NoAnswer, a.spoken(f.err.Error())))
		} else {
			l.put(bad, a.f(a.text.LostFor, wholeSpan(f.age(a.now)), a.clockText(f.snap.At)))
			l.put(dim, " "+a.glyphs.sep+" "+a.spoken(f.err.Error()))
		}
	case f.paused && f.snap != nil:
		l.put(warn, a.glyphs.warn+" "+a.f(a.text.PausedFor, wholeSpan(f.age(a.now)), a.clockText(f.snap.At)))
	case f.snap != nil && !f.snap.Instance.Running:
		l.put(warn, a.glyphs.warn+" "+a.text.NotRunning)
	case f.stale(a.now):
		l.put(warn, a.glyphs.warn+" "+a.f(a.text.OldFor, wholeSpan(f.age(a.now)), a.clockText(f.snap.At)))
	case f.snap != nil && len(f.snap.Tasks) > 0:
		idle := a.idleReplicas()
		if len(idle) == 0 {
			return nil
		}
		l.put(warn, a.glyphs.warn+" ")
		if more := len(idle) - 1; more > 0 {
			l.put(warn, fmt.Sprintf("(+%d) ", more))
		}
		l.put(warn, idle[0])
	default:
		return nil
	}
	return []string{l.String()}
}

func (a *app) clockText(t time.Time) string { return t.In(a.zone).Format("15:04:05") }

// part is a piece of the header; the ones with the highest drop go first when
// the window is narrow.
type part struct {
	text string
	tok  token
	drop int
}

// header is one line: who this is at the left, how it does at the right.
func (a *app) header(w int) string {
	left := []part{{"tdreplica", accent, 0}}
	var right []part
	if s := a.feed.snap; s != nil {
		if name := clean(s.Instance.Name); name != string(a.opt.Mode) {
			left = append(left, part{name, strong, 0})
		}
		left = append(left, part{a.modeWord(), a.modeToken(), 0})
		if s.Instance.Running {
			left = append(left, part{a.text.Up + " " + uptime(s.At.Sub(s.Instance.Since)), dim, 6})
		}
		right = a.totals(s)
	} else {
		left = append(left, part{a.modeWord(), a.modeToken(), 0})
	}
	right = append(right, part{a.clockText(a.now), dim, 0})
	for partsWidth(left)+partsWidth(right)+4 > w {
		worst, at, side := 0, -1, &left
		for _, s := range []*[]part{&left, &right} {
			for i, p := range *s {
				if p.drop > worst {
					worst, at, side = p.drop, i, s
				}
			}
		}
		if at < 0 {
			break
		}
		*side = append((*side)[:at:at], (*side)[at+1:]...)
	}
	if a.feed.stale(a.now) {
		for i := range right[:len(right)-1] {
			right[i].tok = dim
		}
	}
	l := a.newLine(w).gap(1)
	a.putParts(l, left)
	l.fill(w - partsWidth(right) - 1)
	a.putParts(l, right)
	return l.String()
}

func partsWidth(parts []part) int {
	n := 0
	for i, p := range parts {
		if i > 0 {
			n += 2
		}
		n += width(p.text)
	}
	return n
}

func (a *app) putParts(l *line, parts []part) {
	for i, p := range parts {
		if i > 0 {
			l.gap(2)
		}
		l.put(p.tok, p.text)
	}
}

func (a *app) modeWord() string {
	word := a.text.Mode[a.opt.Mode]
	if a.readOnly() {
		word += " " + a.glyphs.sep + " " + a.text.ReadOnly
	}
	return word
}

func (a *app) modeToken() token {
	if a.readOnly() {
		return warn
	}
	return dim
}

// totals are the header's numbers over all tasks. Widths are fixed where
// numbers change with every refresh.
func (a *app) totals(s *core.Snapshot) []part {
	var bytes, messages, rows float64
	var lag int64
	count := map[core.State]int{}
	rowsKnown := false
	for i := range s.Tasks {
		t := &s.Tasks[i]
		count[t.State]++
		bytes += max(0, t.Rate.Bytes)
		messages += max(0, t.Rate.Messages)
		if t.Rate.Rows >= 0 && t.State.Live() {
			rows, rowsKnown = rows+t.Rate.Rows, true
		}
		if t.State != core.Stopped {
			lag = max(lag, t.LagMS)
		}
	}
	if len(s.Tasks) == 0 {
		return nil
	}
	out := []part{
		{fmt.Sprintf("%10s", size(int64(bytes))+"/s"), plain, 3},
		{fmt.Sprintf("%12s", metric(messages, "msg/s")), plain, 5},
	}
	if rowsKnown {
		out = append(out, part{fmt.Sprintf("%13s", metric(rows, "rows/s")), plain, 4})
	}
	// The lag keeps its place when there is none: what stands beside it must
	// not jump with every message that is on its way.
	tok := plain
	if lag == 0 {
		tok = dim
	}
	out = append(out, part{a.text.WorstLag + " " + fmt.Sprintf("%6s", spanMS(lag)), tok, 2})
	out = append(out, part{a.f(a.text.CountTasks, len(s.Tasks)), dim, 7})
	for _, g := range []struct {
		tok token
		of  []core.State
	}{
		{bad, []core.State{core.Failed}}, {warn, []core.State{core.Interrupted}},
		{plain, []core.State{core.Starting, core.Stopping, core.Removing}},
		{ok, []core.State{core.Running}}, {dim, []core.State{core.Stopped}},
	} {
		n := 0
		for _, st := range g.of {
			n += count[st]
		}
		if n > 0 {
			out = append(out, part{a.stateGlyph(g.of[0]) + " " + grouped(int64(n)), g.tok, 0})
		}
	}
	return out
}

// footer lists what can be done now, or holds the prompt.
func (a *app) footer(w int) string {
	if a.prompt.open {
		return a.promptLine(w)
	}
	l := a.newLine(w).gap(1)
	keys := a.footActions()
	tail := keys[len(keys)-2:]
	room := w - 1
	for _, act := range tail {
		room -= a.hintWidth(act)
	}
	for _, act := range keys[:len(keys)-2] {
		if l.used+a.hintWidth(act) > room {
			break
		}
		a.putHint(l, act)
	}
	for _, act := range tail {
		a.putHint(l, act)
	}
	return l.String()
}

func (a *app) hintWidth(act action) int {
	return width(keyName(act.keys[0])) + 1 + width(a.text.Act[act.id].short) + 2
}

func (a *app) putHint(l *line, act action) {
	l.put(accent, a.key(act.keys[0])).gap(1).put(dim, a.text.Act[act.id].short).gap(2)
}

// key is a key's name in the glyphs of this terminal.
func (a *app) key(k string) string {
	if a.glyphs == &asciiGlyphs && !plainASCII(keyName(k)) {
		return k
	}
	return keyName(k)
}
