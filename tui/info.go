package tui

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

func (a *app) openInfo() tea.Cmd {
	a.info.top = 0
	a.show(screenInfo)
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(a.ctx, snapshotDeadline)
		defer cancel()
		toml, err := a.ctrl.Settings(ctx)
		return settingsMsg{toml: toml, err: err}
	}
}

// settingsMsg is the configuration of the instance, which may have read another
// file than this console.
type settingsMsg struct {
	toml string
	err  error
}

func (a *app) infoScreen(w, h int) []string {
	text := a.infoText(w)
	body := a.info.view(text, h-1)
	return append([]string{a.rule(w, a.text.InfoTitle, a.info.more(a), true)}, body...)
}

// infoText lists where things are, what runs, and the configuration in force
// without its secrets.
func (a *app) infoText(w int) []string {
	var f []fact
	if s := a.feed.snap; s != nil {
		in := &s.Instance
		f = append(f,
			fact{a.text.Instance, clean(in.Name) + " (" + clean(in.ID) + ")", plain},
			fact{a.text.Version, clean(in.Version) + ", " + runtime.Version(), plain},
			fact{a.text.Process, strconv.Itoa(in.PID) + ", " + a.text.Up + " " + uptime(a.asOf().Sub(in.Since)), plain},
			fact{a.text.StateDir, clean(in.StateDir), plain})
	}
	f = append(f, fact{a.text.ModeName, a.modeWord(), plain},
		fact{a.text.Refresh, wholeSpan(a.feed.pace()), plain},
		fact{a.text.ThemeName, a.theme.name, plain})
	names := make([]string, 0, len(a.opt.Paths))
	for name := range a.opt.Paths {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f = append(f, fact{cmp.Or(a.text.Path[name], clean(name)), clean(a.opt.Paths[name]), plain})
	}
	out := append(a.pairs(f, w), "")
	out = append(out, a.heading(a.text.Configuration))
	if a.settings.err != nil {
		return append(out, a.newLine(w).gap(2).put(bad, a.spoken(a.settings.err.Error())).String())
	}
	for _, s := range strings.Split(strings.TrimRight(a.settings.toml, "\n"), "\n") {
		tok := plain
		if strings.HasPrefix(strings.TrimSpace(s), "#") {
			tok = dim
		}
		out = append(out, a.newLine(w).gap(2).put(tok, clean(s)).String())
	}
	return out
}

// nextTheme changes to the next theme for this session.
func (a *app) nextTheme() tea.Cmd {
	names := []string{"dark", "light", "colorblind"}
	next := names[(slices.Index(names, a.theme.name)+1)%len(names)]
	a.theme = newTheme(next, a.depth, a.dark)
	a.say("%s: %s", a.text.ThemeName, next)
	return nil
}

// nextLanguage changes to the other language for this session.
func (a *app) nextLanguage() tea.Cmd {
	if a.text == &english {
		a.setLanguage(&chinese)
	} else {
		a.setLanguage(&english)
	}
	return nil
}
