package tui

import (
	"cmp"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// footActions are the hints of the footer in their order.
func (a *app) footActions() []action {
	// Without a task there is nothing that most keys could be about.
	empty := a.screen == screenTasks && (a.feed.snap == nil || len(a.feed.snap.Tasks) == 0)
	keys := slices.DeleteFunc(a.enabled(), func(act action) bool {
		return act.foot == 0 || empty && act.scope&scopeGlobal == 0 && act.id != "new"
	})
	slices.SortStableFunc(keys, func(x, y action) int { return cmp.Compare(x.foot, y.foot) })
	return keys
}

// helpBox lists every key by scope, then what the numbers mean.
type helpBox struct {
	grace
	pager pager
}

func (a *app) openHelp() tea.Cmd { return a.open(&helpBox{}) }

func (d *helpBox) title(a *app) string {
	if more := d.pager.more(a); more != "" {
		return a.text.HelpTitle + " " + a.glyphs.sep + " " + more
	}
	return a.text.HelpTitle
}

func (d *helpBox) press(a *app, k tea.KeyMsg) tea.Cmd {
	if d.pager.press(k.String()) {
		return nil
	}
	switch k.String() {
	case "k":
		d.pager.move(motion{by: -1})
	case "j":
		d.pager.move(motion{by: 1})
	case "ctrl+b":
		d.pager.move(motion{pages: -1})
	case "ctrl+f", " ":
		d.pager.move(motion{pages: 1})
	case "home", "g":
		d.pager.move(motion{toTop: true})
	case "end", "G":
		d.pager.move(motion{toEnd: true})
	default:
		a.closeDialog()
	}
	return nil
}

// helpColumns is the window's width from which the keys stand in two columns.
const helpColumns = 120

func (d *helpBox) wants(a *app) int {
	if a.w >= helpColumns {
		return helpColumns - 4
	}
	return dialogWidth
}

func (d *helpBox) body(a *app, w, h int) []string {
	var out []string
	if w >= helpColumns-8 {
		// The keys for acting at the left, the ones for looking at the right.
		half := (w - 3) / 2
		left, right := a.helpOf(half, scopeTask, scopeList, scopeEvents), a.helpOf(half, scopeMove, scopeGlobal)
		out = beside(left, right, half, 3)
	} else {
		out = a.helpOf(w, scopes...)
	}
	out = append(out, a.newLine(w).put(strong, a.text.Meanings).String())
	for _, m := range a.text.Meaning {
		for i, r := range wrap(m.says, w-15) {
			l := a.newLine(w).gap(2)
			if i == 0 {
				l.put(accent, m.name)
			}
			out = append(out, l.fill(15).put(plain, r).String())
		}
	}
	return d.pager.view(out, min(h, len(out)))
}

// helpOf lists the keys of some scopes in w cells.
func (a *app) helpOf(w int, of ...scope) []string {
	var out []string
	for _, s := range of {
		out = append(out, a.newLine(w).put(strong, a.text.Scope[s]).String())
		for _, act := range actions {
			if homeScope(act) != s || act.acts && a.readOnly() {
				continue
			}
			for i, r := range wrap(a.text.Act[act.id].long, w-15) {
				l := a.newLine(w).gap(2)
				if i == 0 {
					l.put(accent, a.keysOf(act))
				}
				out = append(out, l.fill(15).put(plain, r).String())
			}
		}
		out = append(out, "")
	}
	return out
}

// homeScope is the first scope of an action, under which it is listed.
func homeScope(act action) scope {
	for _, s := range scopes {
		if act.scope&s != 0 {
			return s
		}
	}
	return scopeGlobal
}

func (a *app) keysOf(act action) string {
	if len(act.keys) == 0 {
		return ":" + string(act.id)
	}
	names := make([]string, len(act.keys))
	for i, k := range act.keys {
		names[i] = a.key(k)
	}
	return strings.Join(names, " ")
}

// KeyTable is the table of all keys in Markdown, as the README has it.
func KeyTable() string {
	var b strings.Builder
	b.WriteString("| Key | Where | What it does |\n|---|---|---|\n")
	for _, s := range scopes {
		for _, act := range actions {
			if homeScope(act) != s {
				continue
			}
			names := []string{"`:" + string(act.id) + "`"}
			if len(act.keys) > 0 {
				names = names[:0]
				for _, k := range act.keys {
					names = append(names, "`"+keyName(k)+"`")
				}
			}
			b.WriteString("| " + strings.Join(names, " ") + " | " + english.Scope[s] + " | " + english.Act[act.id].long + " |\n")
		}
	}
	return b.String()
}
