package tui

import (
	"context"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"tdreplica/core"
	"tdreplica/tui/internal/scene"
)

// TestEveryQuestionShowsItsAnswers asks about many tasks, and about everything at
// once, in the lowest window.
func TestEveryQuestionShowsItsAnswers(t *testing.T) {
	for _, lang := range []*text{&english, &chinese} {
		for _, key := range []string{"x", "r", "V", "R", "D", "q"} {
			a, _ := newScene(scene.Failed(), lang, minWidth, minHeight)
			a.opt.Mode = InProcess
			a.opt.Handover = func(context.Context) error { return nil }
			if key != "D" {
				press(a, "space", "space", "space", "space", "space", "space")
			}
			press(a, key)
			view := a.View()
			fits(t, key, view, minWidth, minHeight)
			if !strings.Contains(view, "[ "+lang.Cancel+" ]") {
				t.Errorf("%s shows no answers:\n%s", key, view)
			}
			before := view
			press(a, "pgdown", "pgdown", "pgdown")
			if view = a.View(); strings.Contains(before, "%") && view == before {
				t.Errorf("%s: what is below cannot be read:\n%s", key, view)
			}
		}
	}
}

func TestTargetsStandInOneLineEach(t *testing.T) {
	a, _ := newScene(scene.Long(), &english, 120, 40)
	for w := 30; w <= 120; w++ {
		for _, l := range a.listTargets(a.feed.snap.Tasks, w) {
			if width(l) > w {
				t.Fatalf("%d cells in %d: %q", width(l), w, l)
			}
			if !strings.Contains(l, a.stateWord(&a.feed.snap.Tasks[0])) && !strings.Contains(l, "interrupted") && !strings.Contains(l, "running") {
				t.Fatalf("no state in %q", l)
			}
		}
	}
}

// TestAnActionIsAboutTheTaskShown opens a task that a filter takes out of the
// list while it is looked at.
func TestAnActionIsAboutTheTaskShown(t *testing.T) {
	a, c := newScene(scene.Failed(), &english, 120, 40)
	a.setFilter(parseFilter("!state:running"))
	press(a, "enter")
	shown := a.detail.key
	press(a, "r", "right", "enter")
	if a.feed.snap.Task(shown).State != core.Running || a.selected().Key() == shown {
		t.Fatalf("the task is %s, the cursor is at %v", a.feed.snap.Task(shown).State, a.selected().Key())
	}
	press(a, "s", "x", "right", "enter")
	got := c.Requests()
	if len(got) != 3 {
		t.Fatalf("requests: %v", got)
	}
	start, stop := got[1].(core.StartRequest), got[2].(core.TargetRequest)
	if start.ID != shown.Replica || start.Databases[0] != shown.Database || stop.ID != shown.Replica || stop.Databases[0] != shown.Database {
		t.Errorf("%v is shown; started %s %v, stopped %s %v", shown, start.ID, start.Databases, stop.ID, stop.Databases)
	}
}

func TestATaskThatIsGoneDoesNotLookAlive(t *testing.T) {
	a, c := newScene(scene.TwoWay(), &english, 120, 40)
	press(a, "space", "enter")
	s := *a.feed.snap
	s.Tasks = s.Tasks[2:]
	c.Set(&s, nil)
	drain(a, a.pull())
	shows(t, a, english.TaskGone)
	showsNot(t, a, "caught up")
	press(a, "x", "D", "a")
	if len(a.dialogs) != 0 {
		t.Errorf("something is asked about a task that is gone:\n%s", a.View())
	}
	press(a, "esc")
	showsNot(t, a, "marked")
}

func TestKeysOfOnePacket(t *testing.T) {
	a, _ := newScene(scene.TwoWay(), &english, 120, 40)
	a.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("jjj")})
	if a.tasks.cursor != 3 {
		t.Errorf("the cursor is at %d after three keys", a.tasks.cursor)
	}
	a.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("/db")})
	if !a.prompt.open || a.filter.source != "db" {
		t.Errorf("the filter is %q", a.filter.source)
	}
	press(a, "esc")
	at := a.tasks.cursor
	a.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("jj"), Paste: true})
	if a.tasks.cursor != at {
		t.Error("what was pasted is taken for keys")
	}
}

func TestEscapeAndAKeyThatCameAsOne(t *testing.T) {
	a, _ := newScene(scene.TwoWay(), &english, 120, 40)
	press(a, "x")
	a.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("j"), Alt: true})
	if len(a.dialogs) != 0 || a.tasks.cursor != 1 {
		t.Errorf("%d dialogs, the cursor is at %d", len(a.dialogs), a.tasks.cursor)
	}
	press(a, "/")
	typed(a, "two words")
	a.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("b"), Alt: true})
	if at := a.prompt.input.field.Position(); !a.prompt.open || at != len("two ") {
		t.Errorf("Alt-B in a text goes to %d", at)
	}
}

func TestAHandoverCannotBeLeft(t *testing.T) {
	a, _ := newScene(scene.TwoWay(), &english, 120, 40)
	a.opt.Mode = InProcess
	a.opt.Handover = func(context.Context) error { return nil }
	press(a, "q", "right")
	_, handover := a.Update(keyMsg("enter"))
	shows(t, a, english.HandingOver)
	for _, key := range []string{"ctrl+c", "esc", "q", "enter"} {
		if _, cmd := a.Update(keyMsg(key)); cmd != nil || len(a.dialogs) != 1 {
			t.Errorf("%s leaves a handover", key)
		}
	}
	drain(a, handover)
	if a.exit != HandedOver {
		t.Errorf("exit %v", a.exit)
	}
}

func TestEscapeDoesNotLeadInCircles(t *testing.T) {
	a, _ := newScene(scene.TwoWay(), &english, 120, 40)
	press(a, "enter", "e", "i", "e", "i", "e", "i", "e")
	if len(a.behind) != 2 {
		t.Errorf("behind the events are %v", a.behind)
	}
	press(a, "esc", "esc")
	if a.screen != screenTasks {
		t.Errorf("screen %v", a.screen)
	}
}

func TestAPaneThatIsGoneHasNoKeys(t *testing.T) {
	a, _ := newScene(scene.TwoWay(), &english, 80, 24)
	press(a, "tab", "tab")
	if a.focus != paneEvents {
		t.Fatalf("focus %v", a.focus)
	}
	a.complain(&core.RefusedError{Text: strings.Repeat("why it is so ", 20)})
	a.resize(minWidth, minHeight)
	a.View()
	if a.lay.events.h > 1 || a.focus != paneTasks {
		t.Errorf("the events have %d lines, focus %v", a.lay.events.h, a.focus)
	}
}

func TestAddingDatabases(t *testing.T) {
	snap := scene.TwoWay()
	snap.Replicas[0].CreateDatabases = true
	a, c := newScene(snap, &english, 120, 40)
	press(a, "a")
	later(a, graceTime)
	showsNot(t, a, english.PickAll)
	shows(t, a, english.PickNone)
	press(a, "enter")
	if len(a.dialogs) != 1 || len(c.Requests()) != 0 {
		t.Fatalf("nothing was chosen: %v", c.Requests())
	}
	press(a, "up", "up", "up", "space") // databases are not to be created any more
	for a.dialogs[0].(*picker).found[max(0, a.dialogs[0].(*picker).at-2)].Database != "工厂数据" {
		press(a, "down")
	}
	press(a, "space", "enter")
	req := c.Requests()[0].(core.StartRequest)
	if req.ID != "maple" || len(req.Databases) != 1 || req.Options.CreateDatabases == nil || *req.Options.CreateDatabases {
		t.Errorf("request %+v", req)
	}
}

func TestAddingDatabasesThatCannotBeLookedFor(t *testing.T) {
	a, c := newScene(scene.TwoWay(), &english, 60, 15)
	c.Err = &core.RefusedError{Text: "the sink is gone", Hint: "bring it back"}
	press(a, "a")
	later(a, graceTime)
	shows(t, a, "the sink is gone")
	shows(t, a, "bring it back")
	shows(t, a, "[ Cancel ]")
	press(a, "space", "down", "enter")
	if len(a.dialogs) != 0 || len(c.Requests()) != 0 {
		t.Errorf("%d dialogs, requests %v", len(a.dialogs), c.Requests())
	}
}

func TestAFormIsNotLostByAnEnterTooMany(t *testing.T) {
	a, _ := newScene(scene.Empty(), &english, 120, 40)
	press(a, "n")
	typed(a, "td1:6041")
	press(a, "enter")
	typed(a, "lin")
	press(a, "enter")
	typed(a, "secret-1")
	press(a, "enter")
	typed(a, "td2:6041")
	press(a, "enter")
	typed(a, "repl")
	press(a, "enter", "enter")
	f := a.dialogs[0].(*form)
	if _, sink := f.endpoints(); sink.User != "repl" || sink.Password != "secret-1" {
		t.Errorf("the sink is %s %s, but the form says: as at the source", sink.User, sink.Password)
	}
	press(a, "enter")
	if len(a.dialogs) != 2 {
		t.Errorf("%d dialogs:\n%s", len(a.dialogs), a.View())
	}
}

func TestWhatTheInstanceWarnsOfIsTranslated(t *testing.T) {
	a, _ := newScene(scene.TwoWay(), &chinese, 120, 40)
	a.Update(commandDoneMsg{results: []*core.Result{{Warnings: []string{"an interruption that lasts longer loses rows"}}}, errs: []error{nil}})
	showsNot(t, a, "interruption")
	said := a.View()
	a.setLanguage(&english)
	if a.spoken("an interruption that lasts longer loses rows") != "an interruption that lasts longer loses rows" {
		t.Errorf("English is spoken in Chinese after:\n%s", said)
	}
}
