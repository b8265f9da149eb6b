package tui

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"tdreplica/core"
)

// rank orders tasks by need: trouble first, and what still has to catch up
// before what is done.
func rank(t *core.Task) int {
	switch t.State {
	case core.Failed:
		return 0
	case core.Interrupted:
		return 1
	case core.Starting:
		return 2
	case core.Running:
		if t.Phase == core.CatchingUp {
			return 3
		}
		return 4
	case core.Stopping:
		return 5
	case core.Removing:
		return 6
	}
	return 7
}

// apply takes a new snapshot onto the screen.
func (a *app) apply() {
	snap := a.feed.snap
	if snap == nil {
		return
	}
	rows := make([]*core.Task, 0, len(snap.Tasks))
	marks := map[core.TaskKey]bool{} // without those of tasks that are gone
	for i := range snap.Tasks {
		t := &snap.Tasks[i]
		if a.filter.task(t) {
			rows = append(rows, t)
		}
		if a.tasks.marks[t.Key()] {
			marks[t.Key()] = true
		}
	}
	a.tasks.marks = marks
	a.tasks.setNatural(rows, func(x, y *core.Task) int {
		return cmp.Or(rank(x)-rank(y), strings.Compare(x.Replica, y.Replica), x.Number-y.Number)
	})
	a.selectTask()
}

// selected is the task that the lower panes and the detail show.
func (a *app) selected() *core.Task { return a.tasks.current() }

// selectTask shows the task under the cursor in the lower panes.
func (a *app) selectTask() {
	t := a.selected()
	if t == nil {
		a.vgroups.setRows(nil)
		a.applyEvents()
		return
	}
	rows := make([]*core.Vgroup, len(t.Vgroups))
	for i := range t.Vgroups {
		rows[i] = &t.Vgroups[i]
	}
	a.vgroups.setRows(rows)
	a.applyEvents()
}

// byNumber compares two numbers of tasks.
func byNumber[R any](f func(*R) int64) func(a, b *R) int {
	return func(a, b *R) int { return cmp.Compare(f(a), f(b)) }
}

func byText[R any](f func(*R) string) func(a, b *R) int {
	return func(a, b *R) int { return strings.Compare(f(a), f(b)) }
}

// taskColumns describes the tasks screen's table.
func (a *app) taskColumns() []column[core.Task] {
	c := a.text.Col
	number := func(f func(*core.Task) int64) func(*core.Task) string {
		return func(t *core.Task) string { return strconv.FormatInt(f(t), 10) }
	}
	diff := func(t *core.Task) int64 { return t.Diff }
	lag := func(t *core.Task) int64 { return t.LagMS }
	eta := func(t *core.Task) int64 { return t.EtaMS }
	return []column[core.Task]{
		{id: "replica", title: c.Replica, width: 8, keep: 12, most: 16, cut: cutMiddle,
			draw:  func(t *core.Task) cell { return cell{clean(t.Replica), plain} },
			order: byText(func(t *core.Task) string { return t.Replica })},
		{id: "task", title: c.Task, width: 4, right: true, drop: 8,
			draw:  func(t *core.Task) cell { return cell{strconv.Itoa(t.Number), dim} },
			order: byNumber(func(t *core.Task) int64 { return int64(t.Number) })},
		{id: "pair", title: c.Pair, width: 20, most: 48, drop: 5, cut: cutPair,
			draw:  func(t *core.Task) cell { return cell{a.pair(t.Source, t.Sink), plain} },
			order: byText(func(t *core.Task) string { return t.Source + " " + t.Sink }),
			raw:   func(t *core.Task) string { return t.Source + " " + t.Sink }},
		{id: "database", title: c.Database, width: 8, keep: 16, most: 24, cut: cutMiddle,
			draw:  func(t *core.Task) cell { return cell{clean(t.Database), plain} },
			order: byText(func(t *core.Task) string { return t.Database })},
		{id: "state", title: c.State, width: 14,
			draw:  a.stateCell,
			order: func(x, y *core.Task) int { return rank(x) - rank(y) },
			raw:   func(t *core.Task) string { return string(t.State) }},
		{id: "phase", title: c.Phase, width: 11, drop: 10,
			draw:  a.phaseCell,
			order: byText(func(t *core.Task) string { return string(t.Phase) }),
			raw:   func(t *core.Task) string { return string(t.Phase) }},
		{id: "diff", title: c.Diff, width: diffCells, right: true,
			draw: a.diffCell, order: byNumber(diff), raw: number(diff)},
		{id: "trend", named: c.Trend, width: 1, gap: 1, draw: a.trendCell,
			order: byNumber(func(t *core.Task) int64 { return int64(t.Trend) }),
			raw:   number(func(t *core.Task) int64 { return int64(t.Trend) })},
		{id: "lag", title: c.Lag, width: 9, gap: 1, right: true,
			draw: a.lagCell, order: byNumber(lag), raw: number(lag)},
		{id: "rate", title: c.Rate, width: 9, right: true, drop: 3,
			draw:  func(t *core.Task) cell { return rateCell(t.State.Live(), t.Rate.Versions) },
			order: func(x, y *core.Task) int { return cmp.Compare(x.Rate.Versions, y.Rate.Versions) },
			raw:   func(t *core.Task) string { return strconv.FormatFloat(t.Rate.Versions, 'f', 1, 64) }},
		{id: "eta", title: c.ETA, width: 6, right: true, drop: 4,
			draw:  func(t *core.Task) cell { return etaCell(t.Diff, t.EtaMS) },
			order: byNumber(eta), raw: number(eta)},
		{id: "since", title: c.Since, width: 6, right: true, drop: 7,
			draw:  func(t *core.Task) cell { return cell{a.ago(t.Since), dim} },
			order: func(x, y *core.Task) int { return y.Since.Compare(x.Since) },
			raw:   func(t *core.Task) string { return stamp(t.Since) }},
		{id: "history", title: c.History, named: c.Highest, width: sparkCells, drop: 6,
			draw:  func(t *core.Task) cell { return a.sparkCell(t.State.Live(), t.Diff, t.History) },
			order: byNumber(func(t *core.Task) int64 { return highest(t.History) }),
			raw:   number(func(t *core.Task) int64 { return highest(t.History) })},
		{id: "note", title: c.Note, width: 24, fill: true, drop: 9,
			draw:  func(t *core.Task) cell { return cell{a.note(t, a.noteCells()), stateToken(t)} },
			order: byText(func(t *core.Task) string { return t.Note }),
			raw:   func(t *core.Task) string { return t.Note }},
	}
}

// pair shows two endpoints without their scheme, which is the same almost
// everywhere; the detail shows them whole.
func (a *app) pair(source, sink string) string {
	return host(source) + " " + a.glyphs.arrow + " " + host(sink)
}

// cutPair shortens both endpoints of a pair: their schemes go first.
func cutPair(s string, w int, tail string) string {
	words := strings.Fields(s)
	if width(s) <= w || len(words) != 3 {
		return cut(s, w, tail)
	}
	for i, word := range words {
		if _, rest, found := strings.Cut(word, "://"); found {
			words[i] = rest
		}
	}
	room := w - width(words[1]) - 2
	from := min(width(words[0]), max(room/2, room-width(words[2])))
	return cutMiddle(words[0], from, tail) + " " + words[1] + " " + cutMiddle(words[2], room-from, tail)
}

func host(url string) string {
	if _, after, found := strings.Cut(url, "://"); found && !strings.HasPrefix(url, "https") && !strings.HasPrefix(url, "wss") {
		return clean(after)
	}
	return clean(url)
}

// stateGlyph is the sign of a state: its shape says as much as its colour.
func (a *app) stateGlyph(s core.State) string {
	if a.glyphs == &asciiGlyphs {
		return map[core.State]string{core.Failed: "!", core.Interrupted: "~", core.Starting: "+",
			core.Running: "*", core.Stopping: "-", core.Removing: "x", core.Stopped: "."}[s]
	}
	switch s {
	case core.Failed:
		return "✖"
	case core.Interrupted:
		return "◐"
	case core.Running:
		return "●"
	case core.Stopped:
		return "○"
	case core.Removing:
		return "✕"
	}
	return "◌"
}

func stateToken(t *core.Task) token {
	switch t.State {
	case core.Failed:
		return bad
	case core.Interrupted:
		return warn
	case core.Stopped, core.Stopping, core.Removing:
		return dim
	}
	return plain
}

// stateWord is the state or, of a task that is still behind, that it is: the
// one thing about a running task that a narrow window must tell.
func (a *app) stateWord(t *core.Task) string {
	if t.State == core.Running && t.Phase == core.CatchingUp {
		return a.text.CatchingUp
	}
	return a.text.State[t.State]
}

// phaseWord is the sub-state of a running task.
func (a *app) phaseWord(t *core.Task) string {
	switch {
	case t.State != core.Running:
		return ""
	case t.Phase == core.CatchingUp:
		return a.text.CatchingUp
	}
	return a.text.CaughtUp
}

// phaseCell is the sub-state of a running task; of one that is on its way to
// running, the step that it is in.
func (a *app) phaseCell(t *core.Task) cell {
	switch {
	case t.State == core.Running && t.Phase == core.CatchingUp:
		return cell{a.phaseWord(t), plain}
	case t.State == core.Starting:
		return cell{a.vgroupState(t.Step.Name), dim}
	}
	return cell{a.phaseWord(t), dim}
}

func (a *app) stateCell(t *core.Task) cell {
	if p := a.pending[t.Key()]; p != nil {
		return cell{a.glyphs.pending() + " " + p.word, accent}
	}
	word := a.stateWord(t)
	if a.tasks.shows("phase") {
		word = a.text.State[t.State]
	}
	return cell{a.stateGlyph(t.State) + " " + word, stateToken(t)}
}

func (g *glyphs) pending() string {
	if g == &asciiGlyphs {
		return "+"
	}
	return "◌"
}

// measureAge is the age at which a task's numbers are no longer live. The
// engine measures every task that it can reach more often than that: an idle one
// after each third poll of 6 s, with what was true when that one began.
const measureAge = 30 * time.Second

// old reports whether a task's numbers are from before something went wrong:
// a diff of 0 that was measured before the source went away promises nothing.
func (a *app) old(t *core.Task) bool {
	return t.State != core.Stopped && !t.MeasuredAt.IsZero() && a.feed.snap.At.Sub(t.MeasuredAt) > measureAge
}

// diffCells is the width of a task's diff: 12,345,678.
const diffCells = 10

func (a *app) diffCell(t *core.Task) cell {
	switch {
	case a.old(t) && t.Diff >= 0:
		return cell{"(" + a.count(t.Diff, diffCells-2) + ")", dim}
	case t.Diff == core.Unknown:
		return cell{a.glyphs.dash, dim}
	case t.Diff == 0, !t.State.Live() && t.State != core.Failed:
		return cell{a.count(t.Diff, diffCells), dim}
	}
	return cell{a.count(t.Diff, diffCells), plain}
}

// count is a grouped number in at most w cells; a larger one is rounded.
func (a *app) count(n int64, w int) string {
	if n < 0 {
		return a.glyphs.dash
	}
	if s := grouped(n); len(s) <= w {
		return s
	}
	return strings.TrimRight(metric(float64(n), ""), " ")
}

func (a *app) trendCell(t *core.Task) cell {
	switch {
	case t.Diff <= 0 || !t.State.Live():
		return cell{}
	case t.Trend > 0:
		return cell{a.glyphs.up, warn}
	case t.Trend < 0:
		return cell{a.glyphs.down, dim}
	}
	return cell{}
}

// lagCell shows how old the oldest unapplied message is. A task without any
// is not behind: a quiet source is shown as idle, not as lag.
func (a *app) lagCell(t *core.Task) cell {
	switch {
	case t.State == core.Stopped || t.LagMS == core.Unknown || a.old(t):
		return cell{a.glyphs.dash, dim}
	case t.Diff == 0 && t.LagMS == 0 && t.IdleMS >= time.Minute.Milliseconds():
		return cell{a.text.Idle + " " + spanMS(t.IdleMS), dim}
	case t.LagMS == 0:
		return cell{"0 s", dim}
	}
	return cell{spanMS(t.LagMS), plain}
}

func rateCell(live bool, rate float64) cell {
	switch {
	case !live || rate < 0:
		return cell{unknown, dim}
	case rate == 0:
		return cell{"0 /s", dim}
	}
	return cell{metric(rate, "/s"), plain}
}

func etaCell(diff, eta int64) cell {
	if diff <= 0 || eta < 0 {
		return cell{unknown, dim}
	}
	return cell{spanMS(eta), plain}
}

// sparkCells is the width of a sparkline: a cell is a minute.
const sparkCells = 10

// sparkCell draws the diff's history. That of what has caught up is dim.
func (a *app) sparkCell(live bool, diff int64, history []int64) cell {
	if !live && diff <= 0 || len(history) == 0 {
		return cell{a.glyphs.dash, dim}
	}
	s := sparkline(squeeze(history, sparkCells), a.glyphs)
	if diff == 0 {
		return cell{s, dim}
	}
	return cell{s, accent}
}

func highest(values []int64) int64 {
	n := core.Unknown
	for _, v := range values {
		n = max(n, v)
	}
	return n
}

// historyPoints is how many values a history has when it is full.
const historyPoints = 60

// squeeze makes w values out of a history, each the highest of its stretch. The
// newest is at the right; what is older than the history is missing.
func squeeze(history []int64, w int) []int64 {
	out := make([]int64, w)
	stretch := historyPoints / w
	for i := range out {
		out[i] = missing
		to := len(history) - (w-1-i)*stretch
		for _, v := range history[max(0, to-stretch):max(0, to)] {
			out[i] = max(out[i], v)
		}
	}
	return out
}

// note says in about w cells why a task is as it is: the engine's words and the
// retry, or what is unwell while it runs.
func (a *app) note(t *core.Task, w int) string {
	retry := ""
	if t.State == core.Interrupted {
		retry = a.retry(t)
	}
	switch {
	case t.Note != "" || retry != "":
	case t.Audit != nil && !t.Audit.State.Over():
		return a.brief(t.Audit.Text, w)
	case t.Conflicts.Rows > 0:
		return a.f(a.text.BothSides, grouped(t.Conflicts.Rows))
	case len(t.Warnings) > 0:
		return a.brief(t.Warnings[0], w)
	}
	return a.brief(t.Note, w-width(retry)) + retry
}

// noteCells is how wide notes are in this window.
func (a *app) noteCells() int {
	for _, c := range a.tasks.shown {
		if c.id == "note" {
			return c.w
		}
	}
	return 0
}

func (a *app) retry(t *core.Task) string {
	s := ""
	if t.Retry.Tries > 0 {
		s += " " + a.glyphs.sep + " " + a.f(a.text.Try, t.Retry.Tries)
	}
	if !t.Retry.Next.IsZero() {
		if in := t.Retry.Next.Sub(a.asOf()); in > 0 {
			s += " " + a.glyphs.sep + " " + a.f(a.text.NextTryIn, wholeSpan(in))
		} else {
			s += " " + a.glyphs.sep + " " + a.text.TryingNow
		}
	}
	return s
}

// ago is how long ago t was.
func (a *app) ago(t time.Time) string {
	if t.IsZero() {
		return a.glyphs.dash
	}
	return wholeSpan(a.asOf().Sub(t))
}

// asOf is the moment that the screen shows: now, unless the numbers stand still.
// Ages that went on counting would make them look live.
func (a *app) asOf() time.Time {
	if s := a.feed.snap; s != nil && a.feed.stale(a.now) {
		return s.At
	}
	return a.now
}

// stamp is a time as files have it.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
