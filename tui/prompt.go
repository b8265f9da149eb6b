package tui

import (
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// prompt is the line at the foot of the window: the filter or the palette.
type prompt struct {
	open    bool
	palette bool
	input   input
	before  filter // what the filter was, for esc
	chosen  int    // of the palette's matches
	past    int    // how far back in the history, 0: not
}

// openFilter starts typing a filter; the rows follow each key.
func (a *app) openFilter() tea.Cmd {
	f := a.currentFilter()
	a.prompt = prompt{open: true, input: newInput(f.source), before: *f}
	return nil
}

// currentFilter is the one of the screen or pane that has the keys.
func (a *app) currentFilter() *filter {
	if a.screen == screenEvents || a.screen == screenTasks && a.focus == paneEvents {
		return &a.log.filter
	}
	return &a.filter
}

func (a *app) setFilter(f filter) {
	*a.currentFilter() = f
	a.apply()
	a.applyEvents()
}

// openPalette lists every action by name.
func (a *app) openPalette() tea.Cmd {
	a.prompt = prompt{open: true, palette: true, input: newInput("")}
	return nil
}

func (a *app) promptKey(k tea.KeyMsg) tea.Cmd {
	p := &a.prompt
	switch k.String() {
	case "esc", "ctrl+c":
		if !p.palette {
			a.setFilter(p.before)
		}
		p.open = false
		return nil
	case "enter":
		p.open = false
		if p.palette {
			return a.runPalette()
		}
		return nil
	case "up", "down", "tab", "shift+tab":
		if p.palette {
			a.walkPalette(k.String())
		}
		return nil
	case "backspace":
		if p.input.String() == "" {
			p.open = false
			return nil
		}
	}
	if p.input.press(k) {
		p.chosen, p.past = 0, 0
		if !p.palette {
			a.setFilter(parseFilter(p.input.String()))
		}
	}
	return nil
}

// walkPalette moves among the matches; up from an empty line recalls what was
// used before.
func (a *app) walkPalette(key string) {
	p := &a.prompt
	n := len(a.paletteMatches())
	recalls := key == "up" && (p.past > 0 || p.input.String() == "" && p.chosen == 0)
	switch {
	case recalls && p.past < len(a.recent):
		p.past++
		p.input.set(a.recent[p.past-1])
		p.chosen = 0
	case key == "up" || key == "shift+tab":
		p.chosen = max(0, p.chosen-1)
	default:
		p.chosen = min(p.chosen+1, max(0, n-1))
	}
}

// paletteMatches are the actions that the typed words fit: first those whose
// name begins with them.
func (a *app) paletteMatches() []action {
	typed := strings.ToLower(strings.TrimSpace(a.prompt.input.String()))
	var first, rest []action
	for _, act := range a.enabled() {
		if act.scope == scopeMove || act.id == "palette" {
			continue
		}
		name := string(act.id)
		said := strings.ToLower(a.text.Act[act.id].short + " " + a.text.Act[act.id].long)
		switch {
		case strings.HasPrefix(name, typed):
			first = append(first, act)
		case strings.Contains(said, typed):
			rest = append(rest, act)
		}
	}
	return append(first, rest...)
}

func (a *app) runPalette() tea.Cmd {
	matches := a.paletteMatches()
	if len(matches) == 0 {
		a.notices.add(notice{level: warn, text: a.f(a.text.NoSuchAction, a.prompt.input.String()), until: a.clock().Add(noticeTime)})
		return nil
	}
	act := matches[min(a.prompt.chosen, len(matches)-1)]
	a.recent = slices.DeleteFunc(a.recent, func(s string) bool { return s == string(act.id) })
	a.recent = append([]string{string(act.id)}, a.recent...)
	return a.perform(act)
}

// promptLine draws the prompt in the footer's place.
func (a *app) promptLine(w int) string {
	p := &a.prompt
	l := a.newLine(w).gap(1)
	if !p.palette {
		l.put(accent, "/ ")
		p.input.draw(a, l, min(40, w/2), true)
		l.gap(2).put(dim, a.text.FilterHelp)
		return l.String()
	}
	l.put(accent, ": ")
	p.input.draw(a, l, 16, true)
	l.gap(1)
	matches := a.paletteMatches()
	from := max(0, p.chosen-2)
	for i := from; i < len(matches) && l.used < w-4; i++ {
		name := string(matches[i].id)
		if l.used+width(name)+2 > w {
			break
		}
		if i == p.chosen {
			l.put(accent, a.glyphs.cursor).put(strong, name)
			l.put(dim, " "+a.text.Act[matches[i].id].long)
		} else {
			l.put(dim, " "+name)
		}
		l.gap(2)
	}
	return l.String()
}
