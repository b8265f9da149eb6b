package tui

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"tdreplica/core"
)

// vgroupColumns describes the table of the selected task's vgroups.
func (a *app) vgroupColumns() []column[core.Vgroup] {
	c := a.text.Col
	version := func(id, title string, drop int, f func(*core.Vgroup) int64) column[core.Vgroup] {
		return column[core.Vgroup]{id: id, title: title, width: 12, right: true, drop: drop,
			draw: func(v *core.Vgroup) cell {
				if f(v) < 0 {
					return cell{a.glyphs.dash, dim}
				}
				return cell{a.count(f(v), 12), plain}
			},
			order: byNumber(f),
			raw:   func(v *core.Vgroup) string { return strconv.FormatInt(f(v), 10) }}
	}
	return []column[core.Vgroup]{
		{id: "vgroup_id", title: c.Vgroup, width: 6, right: true,
			draw:  func(v *core.Vgroup) cell { return cell{strconv.Itoa(int(v.ID)), plain} },
			order: byNumber(func(v *core.Vgroup) int64 { return int64(v.ID) })},
		version("current", c.Current, 0, func(v *core.Vgroup) int64 { return v.Current }),
		version("committed", c.Committed, 6, func(v *core.Vgroup) int64 { return v.Committed }),
		version("latest", c.Latest, 0, func(v *core.Vgroup) int64 { return v.Latest }),
		{id: "diff", title: c.Diff, width: 11, right: true,
			draw: func(v *core.Vgroup) cell {
				if v.Diff < 0 {
					return cell{a.glyphs.dash, dim}
				}
				return cell{a.count(v.Diff, 11), zeroDim(v.Diff)}
			},
			order: byNumber(func(v *core.Vgroup) int64 { return v.Diff }),
			raw:   func(v *core.Vgroup) string { return strconv.FormatInt(v.Diff, 10) }},
		{id: "lag", title: c.Lag, width: 6, right: true, drop: 3,
			draw:  func(v *core.Vgroup) cell { return cell{spanMS(v.LagMS), zeroDim(v.LagMS)} },
			order: byNumber(func(v *core.Vgroup) int64 { return v.LagMS }),
			raw:   func(v *core.Vgroup) string { return strconv.FormatInt(v.LagMS, 10) }},
		{id: "rate", title: c.Rate, width: 9, right: true, drop: 5,
			draw:  func(v *core.Vgroup) cell { return rateCell(true, v.Rate) },
			order: func(x, y *core.Vgroup) int { return cmp.Compare(x.Rate, y.Rate) },
			raw:   func(v *core.Vgroup) string { return strconv.FormatFloat(v.Rate, 'f', 1, 64) }},
		{id: "eta", title: c.ETA, width: 6, right: true, drop: 4,
			draw:  func(v *core.Vgroup) cell { return etaCell(v.Diff, v.EtaMS) },
			order: byNumber(func(v *core.Vgroup) int64 { return v.EtaMS }),
			raw:   func(v *core.Vgroup) string { return strconv.FormatInt(v.EtaMS, 10) }},
		{id: "last_at", title: c.LastApplied, width: 12, drop: 7,
			draw:  func(v *core.Vgroup) cell { return cell{a.moment(v.LastAt), dim} },
			order: func(x, y *core.Vgroup) int { return x.LastAt.Compare(y.LastAt) },
			raw:   func(v *core.Vgroup) string { return stamp(v.LastAt) }},
		{id: "history", title: c.History, named: c.Highest, width: sparkCells, drop: 8,
			draw:  func(v *core.Vgroup) cell { return a.sparkCell(true, v.Diff, v.History) },
			order: byNumber(func(v *core.Vgroup) int64 { return highest(v.History) }),
			raw:   func(v *core.Vgroup) string { return strconv.FormatInt(highest(v.History), 10) }},
		{id: "state", title: c.State, width: 10, fill: true, drop: 2,
			draw:  func(v *core.Vgroup) cell { return cell{a.vgroupWords(v), plain} },
			order: byText(a.vgroupWords),
			raw:   a.vgroupWords},
	}
}

func zeroDim(n int64) token {
	if n <= 0 {
		return dim
	}
	return plain
}

// vgroupWords says what is done with a vgroup here, or which other instance of a
// shared group reads it.
func (a *app) vgroupWords(v *core.Vgroup) string {
	if v.State == "" && v.Owner != "" {
		return a.f(a.text.ReadBy, clean(v.Owner))
	}
	return a.vgroupState(v.State)
}

// vgroupState translates the words that the catalogue knows.
func (a *app) vgroupState(s string) string {
	if w, known := a.text.Vgroup[s]; known {
		return w
	}
	return a.spoken(s)
}

// moment shows a time of today to the millisecond, an older one by its date.
func (a *app) moment(t time.Time) string {
	if t.IsZero() {
		return a.glyphs.dash
	}
	t = t.In(a.zone)
	if a.now.Sub(t) < 20*time.Hour {
		return t.Format("15:04:05.000")
	}
	return t.Format("01-02 15:04")
}

// vgroupsOf is how many vgroups a task has, listed or not.
func vgroupsOf(t *core.Task) int { return len(t.Vgroups) + t.LeftOut }

// vgroupPane draws the selected task's vgroups: a rule that names the task, a
// line with what holds for all of them (or what is wrong), the table.
func (a *app) vgroupPane(w, h int, stale bool) []string {
	if h < 2 {
		return nil
	}
	t := a.selected()
	if t == nil {
		return pad([]string{a.rule(w, a.text.VgroupsTitle, "", a.focus == paneVgroups)}, h)
	}
	title := a.f(a.text.VgroupsOf, clean(t.Replica)+" "+a.glyphs.sep+" "+clean(t.Database))
	out := []string{a.rule(w, title, a.f(a.text.CountVgroups, vgroupsOf(t)), a.focus == paneVgroups)}
	// A trouble's note may take the lines that the vgroups do not need, and
	// all but two of theirs: it says what to do.
	out = append(out, a.taskFacts(t, w, max(1, h-2-min(vgroupsOf(t), 2)))...)
	style := rowStyle{focused: a.focus == paneVgroups, stale: stale || !t.State.Live() || a.old(t)}
	return append(out, a.vgroups.view(a, w, h-len(out), style)...)
}

// troubleLines is how many lines a task in trouble may say why in.
const troubleLines = 6

// linesOfTrouble is about how many lines a task's note needs in w cells.
func linesOfTrouble(t *core.Task, w int) int {
	if t.State != core.Failed && t.State != core.Interrupted {
		return 1
	}
	return min(troubleLines, 1+(len(t.Note)+50)/(w-8))
}

// idleAfter is how long nothing must have come for a task to be called idle.
const idleAfter = 10 * time.Second

// taskFacts is what stands under the pane's rule. A task in trouble says why,
// in up to three of the lines it may take; else one line says how full the
// queue is and how long the source keeps its WAL.
func (a *app) taskFacts(t *core.Task, w, most int) []string {
	l := a.newLine(w).gap(1)
	if t.State == core.Failed || t.State == core.Interrupted {
		return a.trouble(t, w, min(most, troubleLines))
	}
	tok := plain
	if a.feed.stale(a.now) {
		tok = dim
	}
	if phase := a.phaseWord(t); phase != "" {
		l.put(tok, phase)
		if t.Diff == 0 && t.IdleMS >= idleAfter.Milliseconds() {
			l.put(tok, a.text.Comma+a.text.Idle+" "+wholeSpan(time.Duration(t.IdleMS)*time.Millisecond))
		}
		l.put(dim, " "+a.glyphs.sep+" ")
	}
	l.put(dim, a.text.State[t.State]+" "+a.ago(t.Since))
	for _, fact := range a.facts(t) {
		l.put(dim, " "+a.glyphs.sep+" "+fact)
	}
	return []string{l.String()}
}

// trouble says in at most so many lines why a task does not run.
func (a *app) trouble(t *core.Task, w, most int) []string {
	tok := stateToken(t)
	said := a.stateWord(t) + " " + a.ago(t.Since) + ": "
	said += a.note(t, most*(w-8)-width(said))
	if retry := a.retry(t); retry != "" && strings.HasSuffix(said, retry) {
		when := strings.TrimPrefix(retry, " "+a.glyphs.sep+" ")
		said = strings.TrimSuffix(said, when) + keptTogether(when)
	}
	if a.old(t) {
		said += " " + a.glyphs.sep + " " + a.f(a.text.NumbersOld, a.ago(t.MeasuredAt))
	}
	rows := wrap(said, w-4)
	if len(rows) > most {
		rows = append(rows[:most-1:most-1], strings.Join(rows[most-1:], " "))
	}
	out := make([]string, len(rows))
	for i, r := range rows {
		l := a.newLine(w).gap(1)
		if i == 0 {
			l.put(tok, a.stateGlyph(t.State))
		}
		out[i] = l.fill(3).put(tok, r).String()
	}
	return out
}

func (a *app) facts(t *core.Task) []string {
	var out []string
	if t.State.Live() && t.Step.Name != "" && !t.Step.Since.IsZero() {
		if d := a.asOf().Sub(t.Step.Since); d >= 10*time.Second {
			out = append(out, a.f(a.text.InStep, a.vgroupState(t.Step.Name), wholeSpan(d)))
		}
	}
	if t.QueueLimit > 0 && t.State.Live() {
		out = append(out, a.f(a.text.Queue, size(t.QueueBytes), size(t.QueueLimit)))
	}
	if !t.LastCommit.IsZero() && t.State.Live() {
		out = append(out, a.f(a.text.CommitAgo, a.ago(t.LastCommit)))
	}
	switch {
	case t.WALRetentionS < 0:
		out = append(out, a.text.WALForever)
	case t.WALRetentionS > 0:
		room := time.Duration(t.WALRetentionS)*time.Second - time.Duration(max(0, t.LagMS))*time.Millisecond
		out = append(out, a.f(a.text.HeadRoom, wholeSpan(room)))
	}
	if t.Note != "" {
		out = append(out, a.spoken(t.Note))
	}
	if t.Conflicts.Rows > 0 {
		out = append(out, a.glyphs.warn+" "+a.f(a.text.BothSides, grouped(t.Conflicts.Rows)))
	}
	for _, warning := range t.Warnings {
		out = append(out, a.glyphs.warn+" "+a.spoken(warning))
	}
	return out
}
