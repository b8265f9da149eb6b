package tui

import (
	"cmp"
	"context"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"tdreplica/core"
)

// form asks for the two sides of a new replica.
type form struct {
	grace
	fields [6]input // source, user, password; sink, user, password
	at     int      // the field with the keys; 6 cancel, 7 next
	busy   bool
	err    error
}

func (a *app) openForm() tea.Cmd {
	f := &form{}
	for i := range f.fields {
		f.fields[i] = newInput("")
	}
	f.fields[0].set("http://")
	f.fields[3].set("http://")
	f.fields[2].secret, f.fields[5].secret = true, true
	return a.open(f)
}

func (f *form) title(a *app) string { return a.text.FormTitle }

func (f *form) press(a *app, k tea.KeyMsg) tea.Cmd {
	switch key := k.String(); {
	case key == "esc":
		a.closeDialog()
	case f.busy:
	case key == "enter" && f.at == 5:
		f.at = 7 // what was typed is not to be lost by one enter too many
	case key == "tab" || key == "down" || key == "enter" && f.at < 6:
		f.at = (f.at + 1) % 8
	case key == "shift+tab" || key == "up":
		f.at = (f.at + 7) % 8
	case f.at >= 6 && (key == "left" || key == "right"):
		f.at = 13 - f.at
	case key == "enter" && f.at == 6:
		a.closeDialog()
	case key == "enter":
		return f.inspect(a)
	case f.at < 6:
		f.fields[f.at].press(k)
	}
	return nil
}

// endpoints are the two sides as typed. An empty user or password at the sink
// means the same as at the source.
func (f *form) endpoints() (source, sink core.Endpoint) {
	v := func(i int) string { return f.fields[i].String() }
	source = core.Endpoint{URL: v(0), User: v(1), Password: v(2)}
	sink = core.Endpoint{URL: v(3), User: v(4), Password: v(5)}
	sink.User = cmp.Or(sink.User, source.User)
	sink.Password = cmp.Or(sink.Password, source.Password)
	return source, sink
}

func (f *form) inspect(a *app) tea.Cmd {
	f.busy, f.err = true, nil
	source, sink := f.endpoints()
	return a.inspect(f, core.InspectRequest{Source: source, Sink: sink})
}

func (a *app) inspect(d dialog, req core.InspectRequest) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(a.ctx, commandDeadline)
		defer cancel()
		found, err := a.ctrl.Inspect(ctx, req)
		return replyMsg{to: d, value: found, err: err}
	}
}

func (f *form) receive(a *app, m replyMsg) tea.Cmd {
	f.busy, f.err = false, m.err
	if m.err != nil {
		return nil
	}
	p := &picker{loaded: true}
	p.req.Source, p.req.Sink = f.endpoints()
	p.take(m.value.([]core.Candidate))
	p.startle(a)
	return a.open(p)
}

func (f *form) body(a *app, w, h int) []string {
	var out []string
	for i, label := range []string{a.text.Col.Source, a.text.User, a.text.Password, a.text.Col.Sink, a.text.User, a.text.Password} {
		if i == 3 {
			out = append(out, "")
		}
		l := a.newLine(w)
		tok := dim
		if f.at == i {
			l.put(accent, a.glyphs.cursor)
			tok = plain
		}
		l.fill(2).cell(tok, label, 14, false)
		if i > 3 && f.at != i && f.fields[i].String() == "" {
			l.put(dim, a.text.SameAsSource)
		} else {
			f.fields[i].draw(a, l, w-l.used, f.at == i)
		}
		out = append(out, l.String())
	}
	out = append(out, "")
	switch {
	case f.busy:
		out = append(out, a.newLine(w).put(accent, a.text.Inspecting).String())
	case f.err != nil:
		why := a.errorLines(f.err, w)
		out = append(out, why[:min(len(why), max(1, h-len(out)-1))]...)
	case f.at == 0 || f.at == 3:
		out = append(out, a.newLine(w).put(dim, a.text.FormSide).String())
	default:
		out = append(out, a.newLine(w).put(dim, a.text.FormHelp).String())
	}
	return append(out, a.buttonRow([]button{{label: a.text.Cancel}, {label: a.text.Next}}, f.at-6, w))
}

// picker lists the databases that Inspect found and lets choose among those
// that can be replicated.
type picker struct {
	grace
	req     core.StartRequest
	found   []core.Candidate
	chosen  map[string]bool
	here    []string // databases that the replica has already
	all     bool     // every database, and new ones as they appear
	create  bool     // databases that the sink lacks are created there
	created bool     // as it is with the replica so far
	at      int      // 0 all, 1 create, then the databases
	loaded  bool
	err     error
}

// openAdd picks databases to add to the selected task's replica.
func (a *app) openAdd() tea.Cmd {
	t := a.target()
	if t == nil {
		return nil
	}
	p := &picker{req: core.StartRequest{ID: t.Replica}}
	if r := a.feed.snap.Replica(t.Replica); r != nil {
		p.create, p.created = r.CreateDatabases, r.CreateDatabases
	}
	for i := range a.feed.snap.Tasks {
		if a.feed.snap.Tasks[i].Replica == t.Replica {
			p.here = append(p.here, a.feed.snap.Tasks[i].Database)
		}
	}
	a.open(p)
	return a.inspect(p, core.InspectRequest{ID: t.Replica})
}

func (p *picker) receive(a *app, m replyMsg) tea.Cmd {
	p.loaded, p.err = true, m.err
	if m.err == nil {
		p.take(m.value.([]core.Candidate))
	}
	p.startle(a)
	return nil
}

// take shows what was found; of a new replica everything fit is chosen.
func (p *picker) take(found []core.Candidate) {
	p.found, p.chosen = found, map[string]bool{}
	for i := range found {
		if p.req.ID == "" && p.fit(&found[i]) {
			p.chosen[found[i].Database] = true
		}
	}
	p.at = min(2, len(found)+1)
}

// first is the first choice: a replica that is extended has been asked already
// whether it takes every database.
func (p *picker) first() int {
	if p.req.ID != "" {
		return 1
	}
	return 0
}

// fit reports whether a database can be chosen. One that only the sink lacks
// can once it is to be created there.
func (p *picker) fit(c *core.Candidate) bool {
	if !c.AtSource || slices.Contains(p.here, c.Database) {
		return false
	}
	return len(c.Problems) == 0 || !c.AtSink && p.create && len(c.Problems) == 1
}

func (p *picker) title(a *app) string {
	if p.req.ID != "" {
		return a.f(a.text.AddTitle, clean(p.req.ID))
	}
	return a.text.PickTitle
}

func (p *picker) press(a *app, k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "esc", "q":
		a.closeDialog()
	case "up", "k":
		p.at = max(p.first(), p.at-1)
	case "down", "j", "tab":
		p.at = min(len(p.found)+1, p.at+1)
	case " ", "x":
		if p.loaded && p.err == nil {
			p.toggle()
		}
	case "enter":
		if p.err != nil {
			a.closeDialog()
			return nil
		}
		return p.start(a)
	}
	return nil
}

func (p *picker) toggle() {
	switch p.at {
	case 0:
		p.all = !p.all
	case 1:
		p.create = !p.create
		for i := range p.found {
			if !p.fit(&p.found[i]) {
				delete(p.chosen, p.found[i].Database)
			}
		}
	default:
		if c := &p.found[p.at-2]; p.fit(c) {
			p.chosen[c.Database] = !p.chosen[c.Database]
		}
	}
}

// databases are the names of those chosen; none stands for all.
func (p *picker) databases() (names []string) {
	for i := range p.found {
		if db := p.found[i].Database; p.chosen[db] && !p.all {
			names = append(names, db)
		}
	}
	return names
}

// start creates or extends the replica with what was chosen.
func (p *picker) start(a *app) tea.Cmd {
	req := p.req
	req.Actor = a.actor()
	if p.create != p.created {
		req.Options.CreateDatabases = &p.create
	}
	if req.Databases = p.databases(); !p.loaded || len(req.Databases) == 0 && !p.all {
		return nil
	}
	a.dialogs = nil
	a.feed.paused = false
	a.say("%s", a.text.Creating)
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(a.ctx, commandDeadline)
		defer cancel()
		res, err := a.ctrl.Start(ctx, req)
		return commandDoneMsg{results: []*core.Result{res}, errs: []error{err}}
	}
}

func (p *picker) body(a *app, w, h int) []string {
	switch {
	case !p.loaded:
		return []string{a.newLine(w).put(accent, a.text.Inspecting).String()}
	case p.err != nil:
		why := a.errorLines(p.err, w)
		return append(why[:min(len(why), h-2)], "", a.buttonRow([]button{{label: a.text.Cancel}}, 0, w))
	}
	option := func(i int, on bool, label string) string {
		l := a.newLine(w)
		l.selected = p.at == i
		return l.put(accent, a.box01(on)).gap(1).put(plain, label).String()
	}
	var out []string
	if p.first() == 0 {
		out = append(out, option(0, p.all, a.text.PickAll))
	}
	out = append(out, option(1, p.create, a.text.PickCreate), "",
		a.newLine(w).gap(4).cell(dim, a.text.Col.Database, 16, false).gap(1).cell(dim, a.text.CountVgroupsHead, 7, true).
			gap(2).put(dim, a.text.Col.Note).String())
	// What does not fit in its row is said below, of the database that is chosen.
	var more []string
	if i := p.at - 2; i >= 0 && i < len(p.found) {
		if note, tok := p.note(a, &p.found[i]); width(note) > w-pickerNote {
			for _, r := range wrap(note, w) {
				more = append(more, a.newLine(w).put(tok, r).String())
			}
			more = append([]string{""}, more[:min(len(more), 3)]...)
		}
	}
	room := max(1, h-len(out)-len(more)-2)
	from := max(0, min(p.at-2-room+1, len(p.found)-room))
	for i := from; i < len(p.found) && i < from+room; i++ {
		out = append(out, p.row(a, i, w))
	}
	out = append(out, more...)
	help, tok := a.text.PickHelp, dim
	if !p.all && len(p.databases()) == 0 {
		help, tok = a.text.PickNone, plain
	}
	return append(out, "", a.newLine(w).put(tok, help).String())
}

// pickerNote is where the notes begin in a picker's rows.
const pickerNote = 30

func (a *app) box01(on bool) string {
	if on {
		return a.glyphs.on
	}
	return a.glyphs.off
}

// note says what would be wrong about a database.
func (p *picker) note(a *app, c *core.Candidate) (string, token) {
	switch {
	case slices.Contains(p.here, c.Database):
		return a.text.PickHere, dim
	case !p.fit(c) && len(c.Problems) == 0:
		return a.text.PickOnlySink, warn
	case !p.fit(c):
		return strings.Join(a.spokenAll(append(slices.Clone(c.Problems), c.Warnings...)), "; "), warn
	case !c.AtSink:
		return a.text.PickWillCreate, dim
	case len(c.Warnings) > 0:
		return strings.Join(a.spokenAll(c.Warnings), "; "), warn
	}
	return a.text.PickFit, dim
}

func (p *picker) row(a *app, i, w int) string {
	c := &p.found[i]
	l := a.newLine(w)
	l.selected = p.at == i+2
	tok := plain
	if !p.fit(c) {
		tok = dim
	}
	note, noteTok := p.note(a, c)
	l.put(accent, a.box01(p.all && p.fit(c) || p.chosen[c.Database])).gap(1)
	l.cell(tok, cutMiddle(clean(c.Database), 16, a.glyphs.tail), 16, false).gap(1).cell(tok, grouped(int64(c.Vgroups)), 7, true).gap(2)
	return l.put(noteTok, note).String()
}
