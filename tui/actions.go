package tui

import (
	"slices"

	tea "github.com/charmbracelet/bubbletea"
)

// actionID names an action in the catalogue, the handlers and the tests.
type actionID string

// scope is where an action can be asked for.
type scope uint8

const (
	scopeTask   scope = 1 << iota // the tasks screen and a task's detail
	scopeList                     // the tasks screen only
	scopeEvents                   // the events screen and pane
	scopeMove                     // everywhere; listed apart
	scopeGlobal
)

// scopes lists them in the order of the help.
var scopes = []scope{scopeTask, scopeList, scopeEvents, scopeMove, scopeGlobal}

// action is one thing an operator can ask the console for. Keys, footer, help,
// palette and the README's key table are made from the list of them.
type action struct {
	id    actionID
	keys  []string // as Bubble Tea names them; empty: from the palette only
	scope scope
	acts  bool // changes something at the instance: gone in read-only mode
	foot  int  // its place in the footer, 0: not there
}

// actions is the one table of them.
var actions = []action{
	{id: "start", keys: []string{"s"}, scope: scopeTask, acts: true, foot: 1},
	{id: "stop", keys: []string{"x"}, scope: scopeTask, acts: true, foot: 2},
	{id: "restart", keys: []string{"r"}, scope: scopeTask, acts: true, foot: 3},
	{id: "remove", keys: []string{"D"}, scope: scopeTask, acts: true, foot: 4},
	{id: "new", keys: []string{"n"}, scope: scopeList, acts: true, foot: 5},
	{id: "add", keys: []string{"a"}, scope: scopeTask, acts: true, foot: 11},
	{id: "verify", keys: []string{"V"}, scope: scopeTask, foot: 19},
	{id: "repair", keys: []string{"R"}, scope: scopeTask, acts: true, foot: 20},
	{id: "detail", keys: []string{"enter"}, scope: scopeList, foot: 8},
	{id: "mark", keys: []string{" "}, scope: scopeList, foot: 12},
	{id: "unmark", keys: []string{"u"}, scope: scopeList},
	{id: "filter", keys: []string{"/"}, scope: scopeList | scopeEvents, foot: 6},
	{id: "sort", keys: []string{"o"}, scope: scopeList, foot: 7},
	{id: "pane", keys: []string{"tab"}, scope: scopeList, foot: 13},

	{id: "follow", keys: []string{"f"}, scope: scopeEvents, foot: 1},
	{id: "level", keys: []string{"v"}, scope: scopeEvents, foot: 2},
	{id: "wrap", keys: []string{"z"}, scope: scopeEvents, foot: 3},

	{id: "up", keys: []string{"up", "k"}, scope: scopeMove},
	{id: "down", keys: []string{"down", "j"}, scope: scopeMove},
	{id: "pageup", keys: []string{"pgup", "ctrl+b"}, scope: scopeMove},
	{id: "pagedown", keys: []string{"pgdown", "ctrl+f"}, scope: scopeMove},
	{id: "top", keys: []string{"home", "g"}, scope: scopeMove},
	{id: "bottom", keys: []string{"end", "G"}, scope: scopeMove},
	{id: "left", keys: []string{"left", "h"}, scope: scopeMove},
	{id: "right", keys: []string{"right", "l"}, scope: scopeMove},
	{id: "back", keys: []string{"esc"}, scope: scopeMove},

	{id: "events", keys: []string{"e"}, scope: scopeGlobal, foot: 9},
	{id: "info", keys: []string{"i"}, scope: scopeGlobal, foot: 14},
	{id: "pause", keys: []string{"p"}, scope: scopeGlobal, foot: 15},
	{id: "slower", keys: []string{"+", "="}, scope: scopeGlobal},
	{id: "faster", keys: []string{"-"}, scope: scopeGlobal},
	{id: "copy", keys: []string{"y"}, scope: scopeGlobal, foot: 16},
	{id: "write", keys: []string{"w"}, scope: scopeGlobal, foot: 17},
	{id: "palette", keys: []string{":"}, scope: scopeGlobal, foot: 18},
	{id: "theme", scope: scopeGlobal},
	{id: "language", scope: scopeGlobal},
	{id: "repaint", keys: []string{"ctrl+l"}, scope: scopeGlobal},
	{id: "help", keys: []string{"?"}, scope: scopeGlobal, foot: 90},
	{id: "quit", keys: []string{"q", "ctrl+c"}, scope: scopeGlobal, foot: 91},
}

// handlers says what each action does. A test holds it against the table.
func (a *app) handlers() map[actionID]func() tea.Cmd {
	move := func(m motion) func() tea.Cmd {
		return func() tea.Cmd { a.move(m); return nil }
	}
	return map[actionID]func() tea.Cmd{
		"start": a.askStart, "stop": a.askStop, "restart": a.askRestart, "remove": a.askRemove,
		"verify": a.askVerify, "repair": a.askRepair,
		"new": a.openForm, "add": a.openAdd,
		"detail": a.openDetail, "mark": a.mark, "unmark": a.unmark,
		"filter": a.openFilter, "sort": a.openSort, "pane": a.nextPane,
		"follow": a.toggleFollow, "level": a.nextLevel, "wrap": a.toggleWrap,
		"up": move(motion{by: -1}), "down": move(motion{by: 1}),
		"pageup": move(motion{pages: -1}), "pagedown": move(motion{pages: 1}),
		"top": move(motion{toTop: true}), "bottom": move(motion{toEnd: true}),
		"left": move(motion{side: -8}), "right": move(motion{side: 8}),
		"back": a.back, "events": a.openEvents, "info": a.openInfo,
		"pause": a.togglePause, "slower": a.changeRefresh(1), "faster": a.changeRefresh(-1),
		"copy": a.copy, "write": a.openWrite, "palette": a.openPalette,
		"theme": a.nextTheme, "language": a.nextLanguage, "repaint": a.repaint,
		"help": a.openHelp, "quit": a.askQuit,
	}
}

// scope is what can be asked for on the screen as it is.
func (a *app) scope() scope {
	s := scopeMove | scopeGlobal
	switch a.screen {
	case screenTasks:
		s |= scopeTask | scopeList
		if a.focus == paneEvents {
			s = s&^scopeTask | scopeEvents
		}
	case screenDetail:
		s |= scopeTask
	case screenEvents:
		s |= scopeEvents
	}
	return s
}

// enabled are the actions that can be asked for now.
func (a *app) enabled() []action {
	here := a.scope()
	out := make([]action, 0, len(actions))
	for _, act := range actions {
		if act.scope&here != 0 && !(act.acts && a.readOnly()) {
			out = append(out, act)
		}
	}
	return out
}

// press finds the action of a key. What read-only mode refuses is refused in
// words: a key that does nothing teaches nothing.
func (a *app) press(key string) tea.Cmd {
	here := a.scope()
	for _, act := range actions {
		if act.scope&here != 0 && slices.Contains(act.keys, key) {
			return a.perform(act)
		}
	}
	return nil
}

func (a *app) perform(act action) tea.Cmd {
	if act.acts && a.readOnly() {
		a.notices.add(notice{level: warn, text: a.text.ReadOnlyRefused, until: a.clock().Add(noticeTime)})
		return nil
	}
	return a.handle[act.id]()
}

// readOnly reports whether nothing may be changed from here.
func (a *app) readOnly() bool {
	return a.opt.ReadOnly || a.feed.snap != nil && a.feed.snap.Instance.ReadOnly
}

// keyName is a key as an operator reads it.
func keyName(k string) string {
	if name, ok := keyNames[k]; ok {
		return name
	}
	return k
}

var keyNames = map[string]string{
	" ": "space", "up": "↑", "down": "↓", "left": "←", "right": "→", "enter": "↵",
	"pgup": "PgUp", "pgdown": "PgDn", "home": "Home", "end": "End",
	"ctrl+c": "Ctrl-C", "ctrl+b": "Ctrl-B", "ctrl+f": "Ctrl-F", "ctrl+l": "Ctrl-L",
}
