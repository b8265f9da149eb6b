package tui

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"tdreplica/core"
)

// commandDeadline bounds a request that acts; it may have to reach two sites.
const commandDeadline = 60 * time.Second

// pendingAction is shown in a task's place until a snapshot that was asked for
// after the answer tells the truth.
type pendingAction struct {
	word  string
	until int // number of the first snapshot that was asked for after it
}

// commandDoneMsg is the answer to one action, of which each request has its
// own result.
type commandDoneMsg struct {
	keys    []core.TaskKey
	ids     []string // of the replicas, one for each result
	results []*core.Result
	errs    []error
}

func (a *app) actor() core.Actor { return core.Actor{Via: "console", User: a.opt.User} }

// targets are the tasks that an action applies to: those marked, else the
// selected one.
func (a *app) targets() []core.Task {
	var out []core.Task
	if s := a.feed.snap; s != nil && a.screen == screenTasks {
		for i := range s.Tasks {
			if a.tasks.marks[s.Tasks[i].Key()] {
				out = append(out, s.Tasks[i])
			}
		}
	}
	if t := a.target(); len(out) == 0 && t != nil {
		out = append(out, *t)
	}
	return out
}

// target is the task that an action without marks is about: on its own screen
// the one shown there, which a filter may have taken out of the list since; else
// the one under the cursor.
func (a *app) target() *core.Task {
	if a.screen != screenDetail {
		return a.selected()
	}
	if s := a.feed.snap; s != nil {
		return s.Task(a.detail.key)
	}
	return nil
}

func (a *app) mark() tea.Cmd {
	if a.focus == paneTasks {
		a.tasks.toggleMark()
		a.move(motion{by: 1})
	}
	return nil
}

func (a *app) unmark() tea.Cmd { a.tasks.marks = nil; return nil }

// perReplica groups tasks into one request per replica.
func perReplica(tasks []core.Task) (ids []string, databases map[string][]string) {
	databases = map[string][]string{}
	for i := range tasks {
		t := &tasks[i]
		if !slices.Contains(ids, t.Replica) {
			ids = append(ids, t.Replica)
		}
		databases[t.Replica] = append(databases[t.Replica], t.Database)
	}
	return ids, databases
}

// request sends one request per replica, shows the tasks as pending, and
// answers with a commandDoneMsg. Acting resumes a paused screen: the operator
// wants to see what comes of it.
func (a *app) request(tasks []core.Task, word string, send func(ctx context.Context, id string, databases []string) (*core.Result, error)) tea.Cmd {
	a.feed.paused = false
	done := commandDoneMsg{}
	for i := range tasks {
		done.keys = append(done.keys, tasks[i].Key())
		a.pending[tasks[i].Key()] = &pendingAction{word: word}
	}
	ids, databases := perReplica(tasks)
	done.ids = ids
	a.tasks.marks = nil
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(a.ctx, commandDeadline)
		defer cancel()
		for _, id := range ids {
			res, err := send(ctx, id, databases[id])
			done.results = append(done.results, res)
			done.errs = append(done.errs, err)
		}
		return done
	}
}

func (a *app) onCommandDone(m commandDoneMsg) tea.Cmd {
	for _, k := range m.keys {
		if p := a.pending[k]; p != nil {
			p.until = a.feed.asked + 1
		}
	}
	for i, err := range m.errs {
		if err == nil {
			continue
		}
		a.complain(err)
		for k := range a.pending {
			if i < len(m.ids) && k.Replica == m.ids[i] {
				delete(a.pending, k)
			}
		}
	}
	var said []string
	for _, r := range m.results {
		if r == nil {
			continue
		}
		for _, t := range r.Tasks {
			said = append(said, t.Replica+" "+a.glyphs.sep+" "+t.Database+": "+a.outcome(t.Outcome))
		}
		for _, w := range r.Warnings {
			a.notices.add(notice{level: warn, text: a.spoken(w)})
		}
	}
	if len(said) > 3 {
		said = append(said[:3], a.f(a.text.AndMore, len(said)-3))
	}
	if len(said) > 0 {
		a.say("%s", strings.Join(said, "; "))
	}
	return tea.Batch(a.pull(), a.pullEvents(), a.detail.pull(a))
}

func (a *app) outcome(o core.Outcome) string {
	if w, known := a.text.Outcome[o]; known {
		return w
	}
	return string(o)
}

// settle forgets pending actions whose truth the snapshot tells. One that
// failed to come says nothing.
func (a *app) settle(m snapshotMsg) {
	for k, p := range a.pending {
		if m.err == nil && p.until > 0 && m.number >= p.until {
			delete(a.pending, k)
		}
	}
}

func (a *app) askStart() tea.Cmd {
	tasks := a.targets()
	if len(tasks) == 0 {
		return nil
	}
	return a.request(tasks, a.text.State[core.Starting], func(ctx context.Context, id string, dbs []string) (*core.Result, error) {
		return a.ctrl.Start(ctx, core.StartRequest{ID: id, Databases: dbs, Actor: a.actor()})
	})
}

func (a *app) askStop() tea.Cmd {
	return a.askTarget(a.text.StopTitle, a.text.StopSays, a.text.StopDo, a.text.State[core.Stopping], a.ctrl.Stop)
}

func (a *app) askRestart() tea.Cmd {
	return a.askTarget(a.text.RestartTitle, a.text.RestartSays, a.text.RestartDo, a.text.Restarting, a.ctrl.Restart)
}

// askTarget asks before tasks are stopped or restarted, with what that means
// for these tasks.
func (a *app) askTarget(title, says, do, word string, send func(context.Context, core.TargetRequest) (*core.Result, error)) tea.Cmd {
	tasks := a.targets()
	if len(tasks) == 0 {
		return nil
	}
	d := &confirm{head: a.f(title, len(tasks)), tasks: tasks, says: []string{says}}
	for i := range tasks {
		if r := tasks[i].WALRetentionS; r > 0 {
			d.says = append(d.says, a.f(a.text.WALKeeps, span(time.Duration(r)*time.Second)))
			break
		}
	}
	d.buttons = []button{a.cancel(), {label: do, danger: true, run: func() tea.Cmd {
		a.closeDialog()
		return a.request(tasks, word, func(ctx context.Context, id string, dbs []string) (*core.Result, error) {
			return send(ctx, core.TargetRequest{ID: id, Databases: dbs, Actor: a.actor()})
		})
	}}}
	return a.open(d)
}

// leastPair is a width below which a shortened pair of endpoints says nothing.
const leastPair = 16

// listTargets lists tasks that are to be acted on, each in one line of w cells.
func (a *app) listTargets(tasks []core.Task, w int) []string {
	shown := tasks
	if len(tasks) > 5 {
		shown = tasks[:4]
	}
	var names, pairs, states []string
	nameWidth, pairWidth, stateWidth := 0, 0, 0
	for i := range shown {
		t := &shown[i]
		names = append(names, clean(t.Replica)+" "+a.glyphs.sep+" "+clean(t.Database))
		pairs = append(pairs, a.pair(t.Source, t.Sink))
		states = append(states, a.stateWord(t))
		nameWidth = max(nameWidth, width(names[i]))
		pairWidth = max(pairWidth, width(pairs[i]))
		stateWidth = max(stateWidth, width(states[i]))
	}
	room := w - 2 - 3 - stateWidth
	nameWidth = min(nameWidth, room)
	if pairWidth = min(pairWidth, room-nameWidth-3); pairWidth < leastPair {
		pairWidth = 0
	}
	var out []string
	for i := range shown {
		l := a.newLine(w).gap(2).cell(plain, cutMiddle(names[i], nameWidth, a.glyphs.tail), nameWidth, false).gap(3)
		if pairWidth > 0 {
			l.cell(plain, cutPair(pairs[i], pairWidth, a.glyphs.tail), pairWidth, false).gap(3)
		}
		out = append(out, l.put(plain, states[i]).String())
	}
	if rest := len(tasks) - len(shown); rest > 0 {
		out = append(out, a.newLine(w).gap(2).put(plain, a.f(a.text.AndMore, rest)).String())
	}
	return out
}

// removal asks for the name of the replica before it is deleted, and lists
// what that deletes as the instance itself says.
type removal struct {
	grace
	id       string
	tasks    int
	name     input
	chosen   int // 0 cancel, 1 remove
	deleted  []string
	kept     []string
	warnings []string // what stays although it should not: its source does not answer
	left     int64    // WAL versions that will never be applied
	loaded   bool
	err      error
	pager    pager // of what would be deleted, in a low window
}

func (a *app) askRemove() tea.Cmd {
	tasks := a.targets()
	if len(tasks) == 0 {
		return nil
	}
	ids, _ := perReplica(tasks)
	if len(ids) > 1 {
		a.notices.add(notice{level: warn, text: a.text.OneReplica, until: a.clock().Add(noticeTime)})
		return nil
	}
	d := &removal{id: ids[0], name: newInput("")}
	for i := range a.feed.snap.Tasks {
		if t := &a.feed.snap.Tasks[i]; t.Replica == d.id {
			d.tasks++
			d.left += max(0, t.Diff)
		}
	}
	a.open(d)
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(a.ctx, commandDeadline)
		defer cancel()
		res, err := a.ctrl.Remove(ctx, core.RemoveRequest{ID: d.id, Force: true, DryRun: true, Actor: a.actor()})
		return replyMsg{to: d, value: res, err: err}
	}
}

func (d *removal) receive(a *app, m replyMsg) tea.Cmd {
	d.loaded, d.err = true, m.err
	if res, has := m.value.(*core.Result); has && res != nil {
		d.deleted, d.kept, d.warnings = a.spokenAll(res.Deleted), a.spokenAll(res.Kept), a.spokenAll(res.Warnings)
	}
	if d.chosen == 1 {
		d.startle(a) // enter may be on its way; letters of the name do no harm
	}
	return nil
}

func (d *removal) grave() {}

func (d *removal) title(a *app) string {
	return d.pager.titled(a, a.f(a.text.RemoveTitle, clean(d.id)))
}

func (d *removal) ready() bool { return d.loaded && d.err == nil && d.name.String() == d.id }

func (d *removal) press(a *app, k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		a.closeDialog()
	case "tab", "shift+tab", "left", "right":
		d.chosen = 1 - d.chosen
	case "enter":
		if d.chosen == 0 {
			a.closeDialog()
			return nil
		}
		if d.ready() {
			a.closeDialog()
			return a.remove(d.id)
		}
	default:
		if !d.pager.press(k.String()) {
			d.name.press(k)
		}
	}
	return nil
}

func (a *app) remove(id string) tea.Cmd {
	var tasks []core.Task
	for i := range a.feed.snap.Tasks {
		if a.feed.snap.Tasks[i].Replica == id {
			tasks = append(tasks, a.feed.snap.Tasks[i])
		}
	}
	return a.request(tasks, a.text.State[core.Removing], func(ctx context.Context, id string, _ []string) (*core.Result, error) {
		return a.ctrl.Remove(ctx, core.RemoveRequest{ID: id, Force: true, Actor: a.actor()})
	})
}

func (d *removal) body(a *app, w, h int) []string {
	var out []string
	add := func(tok token, indent int, s string) {
		for i, r := range wrap(clean(s), w-indent-2) {
			out = append(out, a.newLine(w).gap(indent+2*min(i, 1)).put(tok, r).String())
		}
	}
	add(plain, 0, a.f(a.text.RemoveStops, d.tasks))
	switch {
	case !d.loaded:
		add(accent, 2, a.text.RemoveAsking)
	case d.err != nil:
		add(bad, 2, a.spoken(d.err.Error()))
		if hint := core.HintOf(d.err); hint != "" {
			add(dim, 2, a.spoken(hint))
		}
	}
	for _, s := range d.deleted {
		add(warn, 2, s)
	}
	if len(d.kept)+len(d.warnings) > 0 {
		add(plain, 0, a.text.RemoveKept)
		for _, s := range d.warnings {
			add(bad, 2, s)
		}
		for _, s := range d.kept {
			add(dim, 2, s)
		}
	}
	if d.left > 0 {
		add(plain, 0, a.f(a.text.RemoveLeft, grouped(d.left)))
	}
	out = d.pager.view(out, min(len(out), max(1, h-3)))
	ask := a.newLine(w).put(plain, a.text.TypeName).gap(1).put(strong, clean(d.id)).put(plain, ": ")
	d.name.draw(a, ask, max(8, w-ask.used), true)
	buttons := []button{a.cancel(), {label: a.text.RemoveDo, danger: true, off: !d.ready()}}
	return append(out, "", ask.String(), a.buttonRow(buttons, d.chosen, w))
}

// askQuit leaves. Where the instance runs in this process, leaving would end
// its replication, so it asks what is meant.
func (a *app) askQuit() tea.Cmd {
	s := a.feed.snap
	busy := s != nil && slices.ContainsFunc(s.Tasks, func(t core.Task) bool {
		// One that is stopped and wanted is about to start.
		return t.State.Live() || t.State == core.Stopping || t.State == core.Stopped && t.Desired == core.WantRunning
	})
	switch {
	case a.opt.Mode == Attached || !busy && s != nil && a.opt.Mode != Demo:
		if a.opt.Mode != Attached {
			a.exit = StopAll
		}
		return tea.Quit
	case a.opt.Mode == Demo:
		return a.open(&confirm{head: a.text.QuitTitle, says: []string{a.text.QuitDemo},
			buttons: []button{a.cancel(), {label: a.text.QuitDemoDo, danger: true, run: a.leave(StopAll)}}})
	}
	d := &confirm{head: a.text.QuitTitle, says: []string{a.text.QuitSays, ""}, buttons: []button{a.cancel()}}
	if a.opt.Handover != nil {
		d.says = append(d.says, a.text.QuitKeepSays)
		d.buttons = append(d.buttons, button{label: a.text.QuitKeep, run: func() tea.Cmd { return a.handOver(d) }})
	}
	d.says = append(d.says, a.text.QuitStopSays)
	d.buttons = append(d.buttons, button{label: a.text.QuitStop, danger: true, run: a.leave(StopAll)})
	return a.open(d)
}

func (a *app) leave(e Exit) func() tea.Cmd {
	return func() tea.Cmd { a.exit = e; return tea.Quit }
}

// handedOverMsg tells how the handover to a background instance went.
type handedOverMsg struct{ err error }

func (a *app) handOver(d *confirm) tea.Cmd {
	d.busy = a.text.HandingOver
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(a.ctx, commandDeadline)
		defer cancel()
		return handedOverMsg{a.opt.Handover(ctx)}
	}
}

func (a *app) onHandedOver(m handedOverMsg) tea.Cmd {
	if m.err != nil {
		a.closeDialog()
		a.complain(m.err)
		return nil
	}
	a.exit = HandedOver
	return tea.Quit
}
