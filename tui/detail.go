package tui

import (
	"context"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"tdreplica/core"
)

// detailScreen shows all that is known of one task.
type detailScreen struct {
	key    core.TaskKey
	got    *core.TaskDetail
	err    error
	asking bool
	open   bool
	pager  pager
}

type detailMsg struct {
	key core.TaskKey
	got *core.TaskDetail
	err error
}

func (a *app) openDetail() tea.Cmd {
	t := a.selected()
	if t == nil {
		return nil
	}
	a.detail = detailScreen{key: t.Key(), open: true}
	a.show(screenDetail)
	return a.detail.pull(a)
}

// pull asks for the detail while its screen is shown.
func (d *detailScreen) pull(a *app) tea.Cmd {
	if !d.open || d.asking || a.screen != screenDetail {
		return nil
	}
	d.asking = true
	key := d.key
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(a.ctx, snapshotDeadline)
		defer cancel()
		got, err := a.ctrl.Detail(ctx, key)
		return detailMsg{key: key, got: got, err: err}
	}
}

func (d *detailScreen) receive(m detailMsg) {
	if m.key != d.key {
		return // of a task that is no longer shown
	}
	d.asking, d.err = false, m.err
	if m.err == nil && m.got != nil {
		d.got = m.got
	}
}

func (d *detailScreen) view(a *app, w, h int) []string {
	title := a.f(a.text.DetailTitle, clean(d.key.Replica)+" "+a.glyphs.sep+" "+clean(d.key.Database))
	if d.got == nil {
		say, tok := a.text.Connecting, dim
		if d.err != nil {
			say, tok = a.spoken(d.err.Error()), bad
		}
		return []string{a.rule(w, title, "", true), "", a.newLine(w).gap(3).put(tok, say).String()}
	}
	t := a.target() // as fresh as the other screens
	if t == nil {
		return []string{a.rule(w, title, "", true), "", a.newLine(w).gap(3).put(warn, a.text.TaskGone).String()}
	}
	head := a.taskFacts(t, w, 3)
	body := d.pager.view(d.text(a, t, w), h-1-len(head))
	facts := d.pager.more(a)
	if d.err != nil {
		facts = cut(a.spoken(d.err.Error()), w/2, a.glyphs.tail)
	}
	return append(append([]string{a.rule(w, title, facts, true)}, head...), body...)
}

// text is the whole page.
func (d *detailScreen) text(a *app, t *core.Task, w int) []string {
	left, right := d.progress(a, t), d.settings(a, t)
	var out []string
	if w >= 110 {
		half := w/2 - 2
		out = append(out, beside(a.pairs(left, half), a.pairs(right, half), half, 3)...)
	} else {
		out = append(out, a.pairs(append(left, right...), w)...)
	}
	if t.LastError != "" {
		out = append(out, "", a.heading(a.text.LastError))
		for _, r := range wrap(a.spoken(t.LastError), w-4) {
			out = append(out, a.newLine(w).gap(2).put(bad, r).String())
		}
	}
	out = append(out, "")
	out = append(out, d.charts(a, t, w)...)
	out = append(out, "", a.heading(a.text.Gaps))
	if len(d.got.Gaps) == 0 {
		out = append(out, a.newLine(w).gap(2).put(dim, a.text.None).String())
	}
	for _, g := range d.got.Gaps {
		out = append(out, a.newLine(w).gap(2).put(dim, a.moment(g.At)).gap(2).
			put(bad, a.f(a.text.GapIs, g.Vgroup, grouped(g.From), grouped(g.To-1), grouped(g.To-g.From))).String())
	}
	out = append(out, "", a.heading(a.text.DDLHistory))
	if len(d.got.DDL) == 0 {
		out = append(out, a.newLine(w).gap(2).put(dim, a.text.None).String())
	}
	for i := len(d.got.DDL) - 1; i >= 0; i-- {
		e := &d.got.DDL[i]
		out = append(out, a.newLine(w).gap(2).cell(dim, a.moment(e.At), 12, false).gap(2).
			cell(dim, a.f(a.text.VgroupIs, e.Vgroup), 9, false).gap(1).put(plain, clean(e.Text)).String())
	}
	return out
}

func (a *app) heading(s string) string { return a.newLine(a.w).gap(1).put(strong, s).String() }

// fact is a name and its value.
type fact struct {
	name, value string
	tok         token
}

// pairs lists facts with their values aligned.
func (a *app) pairs(facts []fact, w int) []string {
	var out []string
	for _, f := range facts {
		for i, r := range wrap(f.value, max(10, w-22)) {
			l := a.newLine(w).gap(1)
			if i == 0 {
				l.put(dim, f.name)
			}
			out = append(out, l.fill(21).put(f.tok, r).String())
		}
	}
	return out
}

func (d *detailScreen) progress(a *app, t *core.Task) []fact {
	c := a.text.Col
	throughput := metric(t.Rate.Messages, "msg/s") + ", " + size(int64(t.Rate.Bytes)) + "/s"
	if t.Rate.Rows >= 0 {
		throughput += ", " + metric(t.Rate.Rows, "rows/s")
	}
	quarantined := fact{a.text.Quarantined, strconv.Itoa(d.got.Poisoned), plain}
	if d.got.Poisoned > 0 {
		quarantined.tok = warn
	}
	f := []fact{
		{strings.ToLower(c.State), a.stateGlyph(t.State) + " " + a.stateWord(t) + " " + a.glyphs.sep + " " + a.ago(t.Since), stateToken(t)},
		{a.text.Desired, a.text.DesiredWord[t.Desired], plain},
		{strings.ToLower(c.Diff), a.count(t.Diff, 20), plain},
		{strings.ToLower(c.Lag), a.lagCell(t).text, plain},
		{c.ETA, etaCell(t.Diff, t.EtaMS).text, plain},
		{a.text.Throughput, throughput, plain},
		{a.text.Totals, a.f(a.text.TotalsAre, grouped(t.Totals.Messages), size(t.Totals.Bytes), grouped(t.Totals.Commits), grouped(t.Totals.DDL)), plain},
		{a.text.Retries, grouped(t.Totals.Retries), plain},
		{a.text.QueueName, size(t.QueueBytes) + " / " + size(t.QueueLimit), plain},
		{a.text.Workers, a.workers(t), plain},
		{a.text.LastCommit, a.ago(t.LastCommit), plain},
		quarantined,
	}
	if c := t.Conflicts; d.got.Replica.TwoWay != "" {
		conflicts := fact{a.text.Conflicts, a.f(a.text.ConflictsAre, grouped(c.Rows), grouped(c.Unchecked), grouped(c.Watched)), plain}
		if c.Rows > 0 || c.Unchecked > 0 {
			conflicts.tok = warn
		}
		f = append(f, conflicts)
	}
	if t.Audit != nil {
		tok := plain
		if t.Audit.State.Over() && t.Audit.State != core.AuditEqual {
			tok = warn
		}
		f = append(f, fact{a.text.Audited, a.spoken(t.Audit.Text), tok})
	}
	for _, warning := range t.Warnings {
		f = append(f, fact{a.text.Warning, a.spoken(warning), warn})
	}
	return f
}

// workers is their number, and whether the task has chosen it itself.
func (a *app) workers(t *core.Task) string {
	if t.AutoWorkers {
		return a.f(a.text.AutoWorkers, t.Workers)
	}
	return strconv.Itoa(t.Workers)
}

func (d *detailScreen) settings(a *app, t *core.Task) []fact {
	r := &d.got.Replica
	dbs := strings.Join(r.Databases, ", ")
	if r.AllDatabases {
		dbs = a.text.AllOfThem
	}
	if len(r.Exclude) > 0 {
		dbs += " " + a.f(a.text.Except, strings.Join(r.Exclude, ", "))
	}
	version := func(url, v string) string {
		if v == "" {
			return clean(url)
		}
		return clean(url) + " (" + clean(v) + ")"
	}
	declared := fact{a.text.Declared, a.text.Via[string(r.Origin)], plain}
	if r.Undeclared {
		declared.value += " " + a.glyphs.sep + " " + a.text.Undeclared
		declared.tok = warn
	}
	f := []fact{
		{a.text.Col.Source, version(t.Source, t.SourceVersion), plain},
		{a.text.Col.Sink, version(t.Sink, t.SinkVersion), plain},
		{a.text.Topic, clean(t.Topic), plain},
		{a.text.Group, clean(t.Group), plain},
		{a.text.Precision, clean(t.Precision), plain},
		{a.text.Databases, clean(dbs), plain},
		declared,
		{a.text.StartFrom, r.StartFrom, plain},
		{a.text.NewDatabases, a.newDatabases(r), plain},
		{a.text.CreateDatabases, a.yes(r.CreateDatabases), plain},
		{a.text.TwoWay, orDash(clean(r.TwoWay)), plain},
		{a.text.Limits, a.f(a.text.LimitsAre, limit(r.MaxLagS), limit(r.MaxInterruptedS)), plain},
	}
	if r.HoldWAL {
		held := unknown
		if t.WALHeldMS >= 0 {
			held = spanMS(t.WALHeldMS)
		}
		f = append(f, fact{a.text.HoldWAL, a.f(a.text.HoldWALIs, held, limit(r.HoldWALLimitS)), plain})
	}
	if r.MaxBytesPerS > 0 {
		f = append(f, fact{a.text.MaxRate, size(r.MaxBytesPerS) + "/s", plain})
	}
	return f
}

func (a *app) newDatabases(r *core.Replica) string {
	if r.NoNewDatabases || !r.AllDatabases {
		return a.text.No
	}
	return a.f(a.text.EverySpan, span(time.Duration(r.CheckIntervalS)*time.Second))
}

func (a *app) yes(b bool) string {
	if b {
		return a.text.Yes
	}
	return a.text.No
}

func orDash(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

func limit(s int64) string {
	if s <= 0 {
		return unknown
	}
	return span(time.Duration(s) * time.Second)
}

// charts draws throughput and lag over a quarter of an hour and over a day.
func (d *detailScreen) charts(a *app, t *core.Task, w int) []string {
	all := []chart{
		d.rates(a, t, a.text.Chart15, quarter), d.lags(a, t, a.text.ChartLag15, quarter),
		d.rates(a, t, a.text.Chart24, day), d.lags(a, t, a.text.ChartLag24, day),
	}
	var out []string
	if w < 110 {
		for _, c := range all {
			out = append(append(out, c.draw(a, w-1, 4)...), "")
		}
		return out
	}
	half := w/2 - 2
	for i := 0; i < len(all); i += 2 {
		out = append(out, beside(all[i].draw(a, half, 5), all[i+1].draw(a, half, 5), half, 3)...)
		out = append(out, "")
	}
	return out
}

// stretch is a time that the engine keeps the past of, in steps.
type stretch struct {
	span, step time.Duration
	points     func(*core.TaskDetail) []core.Throughput
}

var (
	quarter = stretch{15 * time.Minute, 10 * time.Second, func(d *core.TaskDetail) []core.Throughput { return d.Minutes }}
	day     = stretch{24 * time.Hour, 5 * time.Minute, func(d *core.TaskDetail) []core.Throughput { return d.Day }}
)

// chart of a stretch ends with the step that is under way, so that it moves on
// by whole steps.
func (d *detailScreen) chart(a *app, title string, s stretch) chart {
	return chart{title: title, span: s.span, step: s.step, to: a.asOf().Truncate(s.step).Add(s.step), timeText: "15:04"}
}

func (d *detailScreen) rates(a *app, t *core.Task, title string, s stretch) chart {
	c := d.chart(a, title, s)
	c.label = func(n int64) string { return size(n) + "/s" }
	c.now = c.label(int64(t.Rate.Bytes))
	until := a.asOf()
	for _, p := range s.points(d.got) {
		// Of the step that is under way only a part is over, and of its own first
		// one the instance saw only the end.
		from, to := p.At, p.At.Add(s.step)
		if snap := a.feed.snap; snap != nil && snap.Instance.Since.After(from) && snap.Instance.Since.Before(to) {
			from = snap.Instance.Since
		}
		if until.Before(to) {
			to = until
		}
		over := max(time.Second, to.Sub(from))
		c.points = append(c.points, point{p.At, int64(float64(p.Bytes) / over.Seconds())})
	}
	return c
}

func (d *detailScreen) lags(a *app, t *core.Task, title string, s stretch) chart {
	c := d.chart(a, title, s)
	c.label, c.now = spanMS, spanMS(t.LagMS)
	for _, p := range s.points(d.got) {
		c.points = append(c.points, point{p.At, p.LagMS})
	}
	return c
}
