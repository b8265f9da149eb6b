package tui

import (
	"context"
	"io"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"

	"tdreplica/core"
)

// screen is what fills the window between header and footer.
type screen uint8

const (
	screenTasks screen = iota
	screenDetail
	screenEvents
	screenInfo
)

// pane is a part of the tasks screen.
type pane uint8

const (
	paneTasks pane = iota
	paneVgroups
	paneEvents
	panes // how many there are
)

// app is the root model: all state of the console. Only the event loop touches
// it; commands (goroutines of Bubble Tea) see copies and answer with messages.
type app struct {
	ctx   context.Context
	opt   Options
	ctrl  core.Controller
	out   io.Writer // for what is not part of the view: the clipboard
	clock func() time.Time
	zone  *time.Location
	depth termenv.Profile
	dark  bool // the terminal's background
	asks  bool // the terminal is asked for it

	text   *text
	theme  *theme
	glyphs *glyphs
	handle map[actionID]func() tea.Cmd

	now    time.Time // of the last tick; the screen's clock
	w, h   int
	lay    layout
	feed   feed
	screen screen
	behind []screen // where esc leads back to
	focus  pane

	tasks    table[core.Task, core.TaskKey]
	vgroups  table[core.Vgroup, int32]
	log      eventList
	detail   detailScreen
	info     pager
	settings settingsMsg // as last answered
	filter   filter
	prompt   prompt // at the footer: filter or palette
	dialogs  []dialog
	notices  notices
	pending  map[core.TaskKey]*pendingAction
	recent   []string          // palette entries that were used, the newest first
	said     map[string]string // what the instance said, translated

	exit Exit
}

// newApp makes the model. Everything that differs between a real terminal and
// a test is a field.
func newApp(ctx context.Context, o Options) *app {
	a := &app{
		ctx: ctx, opt: o, ctrl: o.Controller, out: io.Discard,
		clock: time.Now, zone: time.Local, depth: termenv.Ascii, dark: true,
		glyphs: &unicodeGlyphs, pending: map[core.TaskKey]*pendingAction{},
	}
	a.feed.refresh = refreshSteps[0]
	if o.Config != nil {
		a.feed.refresh = max(o.Config.Console.Refresh.Duration, refreshSteps[0])
		if o.Config.Console.ASCII {
			a.glyphs = &asciiGlyphs
		}
	}
	a.log.follow = true
	a.handle = a.handlers()
	a.now = a.clock()
	a.setLanguage(languageOf(o.Config))
	a.setTheme()
	return a
}

// setTheme applies the configured theme to the terminal's depth.
func (a *app) setTheme() {
	name := ""
	if a.opt.Config != nil {
		name = a.opt.Config.Console.Theme
	}
	a.theme = newTheme(name, a.depth, a.dark)
}

// setLanguage changes every text, among them the columns' titles.
func (a *app) setLanguage(t *text) {
	a.text, a.said = t, map[string]string{}
	a.tasks.key = (*core.Task).Key
	a.tasks.setColumns(a.taskColumns())
	a.vgroups.key = func(v *core.Vgroup) int32 { return v.ID }
	a.vgroups.setColumns(a.vgroupColumns())
}

// Init implements tea.Model.
func (a *app) Init() tea.Cmd {
	cmds := []tea.Cmd{tick(), a.listen(), a.pull(), a.pullEvents()}
	if a.asks {
		// Not before the terminal is in raw mode: it would echo its answer.
		cmds = append(cmds, func() tea.Msg { _, _ = io.WriteString(a.out, askBackground); return nil })
	}
	return tea.Batch(cmds...)
}

// Update implements tea.Model: it gives each message to its one owner.
func (a *app) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		a.resize(m.Width, m.Height)
	case tea.KeyMsg:
		return a, tea.Batch(a.onKey(m), a.pullMissing())
	case tickMsg:
		return a, a.onTick(time.Time(m))
	case changedMsg:
		return a, a.onChanged()
	case listenMsg:
		return a, a.listen()
	case snapshotMsg:
		return a, a.onSnapshot(m)
	case eventsMsg:
		return a, a.onEvents(m)
	case detailMsg:
		a.detail.receive(m)
	case settingsMsg:
		a.settings = m
	case commandDoneMsg:
		return a, a.onCommandDone(m)
	case replyMsg:
		return a, a.onReply(m)
	case handedOverMsg:
		return a, a.onHandedOver(m)
	case noticeMsg:
		a.notices.add(notice(m))
	case backgroundMsg:
		a.onBackground(m)
	}
	return a, nil
}

// onKey gives a key to the dialog on top, else to the prompt, else to the
// action table.
func (a *app) onKey(k tea.KeyMsg) tea.Cmd {
	if len(k.Runes) > 1 && k.Type == tea.KeyRunes && !k.Paste {
		// Keys that came in one packet, as they do over a slow line.
		var cmds []tea.Cmd
		for _, r := range k.Runes {
			cmds = append(cmds, a.onKey(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}}))
		}
		return tea.Batch(cmds...)
	}
	if k.Alt && k.Type == tea.KeyRunes && !a.typing() {
		// Escape and the next key, of which tmux or a slow line made one.
		return tea.Batch(a.onKey(tea.KeyMsg{Type: tea.KeyEsc}), a.onKey(tea.KeyMsg{Type: tea.KeyRunes, Runes: k.Runes}))
	}
	if d := a.dialog(); d != nil {
		if k.Type == tea.KeyCtrlC {
			return d.press(a, tea.KeyMsg{Type: tea.KeyEsc})
		}
		if a.clock().Before(d.deafUntil()) {
			return nil
		}
		return d.press(a, k)
	}
	if a.prompt.open {
		return a.promptKey(k)
	}
	return a.press(k.String())
}

// typing reports whether keys are text, in which Alt moves by words.
func (a *app) typing() bool {
	switch a.dialog().(type) {
	case nil:
		return a.prompt.open
	case *form, *removal, *writer:
		return true
	}
	return false
}

func (a *app) resize(w, h int) {
	a.w, a.h = w, h
}

// motion is a movement of the cursor or of a page.
type motion struct {
	by, pages    int
	toTop, toEnd bool
	side         int
}

// apply returns the new place of something at i in a list of n, of which page
// are visible.
func (m motion) apply(i, n, page int) int {
	switch {
	case m.toTop:
		return 0
	case m.toEnd:
		return max(0, n-1)
	}
	i += m.by + m.pages*max(1, page-1)
	return max(0, min(i, n-1))
}

// move moves in whatever has the focus.
func (a *app) move(m motion) {
	switch a.screen {
	case screenDetail:
		a.detail.pager.move(m)
	case screenInfo:
		a.info.move(m)
	case screenEvents:
		a.log.move(m, a.lay.main.h-1)
	case screenTasks:
		switch a.focus {
		case paneTasks:
			before := a.tasks.at
			a.tasks.moveTo(m.apply(a.tasks.cursor, len(a.tasks.rows), a.lay.tasks.h-2))
			if a.tasks.at != before {
				a.selectTask()
			}
		case paneVgroups:
			a.vgroups.moveTo(m.apply(a.vgroups.cursor, len(a.vgroups.rows), a.lay.vgroups.h-3))
		case paneEvents:
			a.log.move(m, a.lay.events.h-1)
		}
	}
}

func (a *app) nextPane() tea.Cmd {
	a.focus = (a.focus + 1) % panes
	if a.focus == paneEvents && a.lay.events.h < 2 {
		a.focus = paneTasks
	}
	return nil
}

// show goes to another screen; esc comes back. To one that lies behind it goes
// back, so that esc never leads in circles.
func (a *app) show(s screen) {
	if a.screen == s {
		return
	}
	if at := slices.Index(a.behind, s); at >= 0 {
		a.behind = a.behind[:at]
	} else {
		a.behind = append(a.behind, a.screen)
	}
	a.screen = s
}

// back undoes the last thing that stands in the way: a message, a filter, the
// marks, a screen.
func (a *app) back() tea.Cmd {
	switch {
	case a.notices.dismiss():
	case a.screen == screenEvents && !a.log.filter.empty():
		a.log.filter = filter{}
		a.applyEvents()
	case len(a.behind) > 0:
		a.screen = a.behind[len(a.behind)-1]
		a.behind = a.behind[:len(a.behind)-1]
		if a.screen == screenTasks {
			a.applyEvents()
		}
	case !a.filter.empty():
		a.filter = filter{}
		a.apply()
	case len(a.tasks.marks) > 0:
		a.tasks.marks = nil
	case a.focus != paneTasks:
		a.focus = paneTasks
	}
	return nil
}

func (a *app) togglePause() tea.Cmd {
	a.feed.paused = !a.feed.paused
	return a.refreshAll()
}

func (a *app) changeRefresh(by int) func() tea.Cmd {
	return func() tea.Cmd {
		a.feed.step(by)
		a.say(a.text.RefreshIs, wholeSpan(a.feed.refresh))
		return nil
	}
}

func (a *app) repaint() tea.Cmd { return func() tea.Msg { return repaintMsg{} } }
