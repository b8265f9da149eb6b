package tui

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"tdreplica/core"
	"tdreplica/tui/internal/scene"
)

func shows(t *testing.T, a *app, want string) {
	t.Helper()
	if v := a.View(); !strings.Contains(v, want) {
		t.Fatalf("the screen does not show %q:\n%s", want, v)
	}
}

func showsNot(t *testing.T, a *app, what string) {
	t.Helper()
	if v := a.View(); strings.Contains(v, what) {
		t.Fatalf("the screen shows %q:\n%s", what, v)
	}
}

func TestStopAsksAndCancelIsDefault(t *testing.T) {
	a, c := newScene(scene.TwoWay(), &english, 120, 40)
	press(a, "x")
	shows(t, a, "Stop 1 task")
	shows(t, a, "[ Cancel ]")
	press(a, "enter")
	if n := len(c.Requests()); n != 0 {
		t.Fatalf("%d requests after Cancel", n)
	}
	press(a, "x", "right", "enter")
	got := c.Requests()
	if len(got) != 1 {
		t.Fatalf("requests: %v", got)
	}
	req := got[0].(core.TargetRequest)
	if req.ID != "maple" || len(req.Databases) != 1 || req.Databases[0] != "power" || req.Actor.String() != "console (lin)" {
		t.Errorf("request %+v", req)
	}
	shows(t, a, "maple · power: stopped")
	shows(t, a, "○ stopped")
}

func TestMarkedTasksAreActedOnTogether(t *testing.T) {
	a, c := newScene(scene.TwoWay(), &english, 120, 40)
	press(a, "space", "space", "down", "space", "s")
	ids := map[string]int{}
	for _, r := range c.Requests() {
		ids[r.(core.StartRequest).ID] += len(r.(core.StartRequest).Databases)
	}
	if ids["maple"] != 2 || ids["otter"] != 1 {
		t.Errorf("started %v", ids)
	}
	if len(a.tasks.marks) != 0 {
		t.Error("the marks are still there")
	}
}

func TestPendingUntilTheTruthIsKnown(t *testing.T) {
	a, _ := newScene(scene.TwoWay(), &english, 120, 40)
	cmd := a.askStart()
	shows(t, a, "◌ starting")
	// A snapshot that was asked for before the answer tells nothing.
	a.Update(snapshotMsg{number: a.feed.asked, snap: a.feed.snap})
	shows(t, a, "◌ starting")
	drain(a, cmd)
	showsNot(t, a, "◌ starting")
}

func TestRemoveWantsTheName(t *testing.T) {
	a, c := newScene(scene.Failed(), &english, 120, 40)
	press(a, "D")
	dry := len(c.Requests())
	if dry != 1 || !c.Requests()[0].(core.RemoveRequest).DryRun {
		t.Fatalf("requests: %v", c.Requests())
	}
	typed(a, "otte")
	press(a, "tab", "enter")
	if len(c.Requests()) != dry {
		t.Fatal("removed with half of the name")
	}
	typed(a, "r")
	press(a, "enter")
	if len(c.Requests()) != dry+1 {
		t.Fatalf("not removed: %v", c.Requests())
	}
	showsNot(t, a, "otter    ")
	if len(a.dialogs) != 0 {
		t.Error("the dialog is still open")
	}
}

func TestRemoveTellsWhatItLeavesAtASourceThatDoesNotAnswer(t *testing.T) {
	a, _ := newScene(scene.Failed(), &english, 120, 40)
	a.Update(keyMsg("D"))
	res := &core.Result{Warnings: []string{"left at http://td2:6041: consumer group tdr.9f3c.otter.power and topic tdr_power (connection refused)"}}
	a.Update(replyMsg{to: a.dialogs[0], value: res})
	shows(t, a, "What stays:")
	shows(t, a, "left at http://td2:6041: consumer group tdr.9f3c.otter.power and topic")
	a.setLanguage(&chinese)
	a.Update(replyMsg{to: a.dialogs[0], value: res})
	showsNot(t, a, "left at")
}

// TestRemoveIsNotAnsweredBeforeItIsRead types the whole name and enter while the
// instance still looks what would be deleted.
func TestRemoveIsNotAnsweredBeforeItIsRead(t *testing.T) {
	a, c := newScene(scene.Failed(), &english, 120, 40)
	_, look := a.Update(keyMsg("D"))
	typed(a, "otter")
	press(a, "tab", "enter")
	drain(a, look)
	shows(t, a, "consumer groups")
	press(a, "enter")
	if n := len(c.Requests()); n != 1 {
		t.Fatalf("%d requests: removed by an enter from before", n)
	}
	later(a, graceTime)
	press(a, "enter")
	if n := len(c.Requests()); n != 2 {
		t.Fatalf("%d requests: not removed", n)
	}
}

func TestReadOnlyHidesAndRefuses(t *testing.T) {
	a, c := newScene(scene.TwoWay(), &english, 120, 40)
	a.opt.ReadOnly = true
	showsNot(t, a, "x stop")
	shows(t, a, "read-only")
	for _, act := range actions {
		if act.acts {
			press(a, act.keys[0])
		}
	}
	shows(t, a, english.ReadOnlyRefused)
	if len(c.Requests()) != 0 || len(a.dialogs) != 0 {
		t.Errorf("requests %v, %d dialogs", c.Requests(), len(a.dialogs))
	}
	press(a, ":")
	typed(a, "stop")
	for _, act := range a.paletteMatches() {
		if act.acts {
			t.Errorf("the palette offers %s", act.id)
		}
	}
}

func TestSettingsAreThoseOfTheInstance(t *testing.T) {
	a, c := newScene(scene.TwoWay(), &english, 120, 40)
	press(a, "i")
	shows(t, a, `name = "site-a"`)
	c.Err = errors.New("no such request")
	press(a, "esc", "i")
	shows(t, a, "no such request")
}

func TestOfManyVgroupsOnlyTheSelectedTasksAreAskedFor(t *testing.T) {
	listed := func(a *app) (n int) {
		for i := range a.feed.snap.Tasks {
			n += len(a.feed.snap.Tasks[i].Vgroups)
		}
		return n
	}
	a, _ := newScene(scene.Many(100, 11), &english, 120, 40)
	if n := listed(a); n != 1100 {
		t.Errorf("the first snapshot lists %d vgroups", n)
	}
	before := a.View()
	drain(a, a.pull())
	if n := listed(a); n != 11 || a.View() != before {
		t.Errorf("then %d are listed, and the screen shows\n%s", n, a.View())
	}
	press(a, "down")
	if n := len(a.vgroups.rows); n != 11 || listed(a) != 11 {
		t.Errorf("of the next task %d are shown, of %d", n, listed(a))
	}
	press(a, "p")
	if n := listed(a); n != 1100 {
		t.Errorf("a screen that stands still lists %d", n)
	}
	few, _ := newScene(scene.Many(100, 9), &english, 120, 40)
	drain(few, few.pull())
	if n := listed(few); n != 900 {
		t.Errorf("of few vgroups %d are listed", n)
	}
}

func TestErrorsStayUntilDismissed(t *testing.T) {
	a, c := newScene(scene.TwoWay(), &english, 120, 40)
	c.Err = &core.RefusedError{Text: "the topic is gone", Hint: "run restart"}
	press(a, "s")
	showsNot(t, a, "◌ starting")
	c.Err = nil
	drain(a, a.refreshAll())
	later(a, time.Hour)
	a.Update(tickMsg(a.now))
	shows(t, a, "the topic is gone → run restart")
	press(a, "esc")
	showsNot(t, a, "the topic is gone")
}

func TestQuit(t *testing.T) {
	quits := func(a *app, key string) bool {
		_, cmd := a.Update(keyMsg(key))
		if cmd == nil {
			return false
		}
		_, is := cmd().(tea.QuitMsg)
		return is
	}
	a, _ := newScene(scene.TwoWay(), &english, 120, 40)
	if !quits(a, "ctrl+c") || a.exit != Left {
		t.Error("attached: Ctrl-C does not just leave")
	}
	a.opt.Mode = InProcess
	for range 5 {
		if quits(a, "ctrl+c") {
			t.Fatal("in-process: Ctrl-C leaves")
		}
	}
	a.dialogs = nil
	handed := errors.New("no room")
	a.opt.Handover = func(context.Context) error { return handed }
	press(a, "q", "right", "enter")
	shows(t, a, "no room")
	handed = nil
	press(a, "esc", "q", "right", "enter")
	if a.exit != HandedOver {
		t.Errorf("exit %v after the handover", a.exit)
	}
	a.exit, a.dialogs = Left, nil
	press(a, "q", "right", "right")
	if !quits(a, "enter") || a.exit != StopAll {
		t.Errorf("exit %v after stop all", a.exit)
	}
}

func TestReplicasWithoutTasksSayWhy(t *testing.T) {
	snap := scene.Empty()
	snap.Replicas = []core.Replica{{ID: "azure", Note: "looking for databases: connect to http://td2:6041: connection refused"}}
	a, _ := newScene(snap, &english, 120, 40)
	shows(t, a, "azure: looking for databases: connect to http://td2:6041: connection refused")
	a, _ = newScene(snap, &chinese, 120, 40)
	shows(t, a, "azure: 查找数据库")
	a.opt.ReadOnly = true
	shows(t, a, "azure: 查找数据库")

	beside := scene.TwoWay()
	a, _ = newScene(beside, &english, 80, 24)
	showsNot(t, a, "azure")
	beside.Replicas = append(beside.Replicas, snap.Replicas[0], core.Replica{ID: "birch", Note: "looking for databases: no answer"})
	a, _ = newScene(beside, &english, 80, 24)
	shows(t, a, "(+1) azure: looking for databases: connect to http://td2:6041: connection re…")
}

func TestNewReplica(t *testing.T) {
	a, c := newScene(scene.Empty(), &english, 120, 40)
	press(a, "n")
	typed(a, "td1:6041")
	press(a, "tab", "tab")
	typed(a, "topsecret")
	showsNot(t, a, "topsecret")
	press(a, "tab")
	typed(a, "td2:6041")
	press(a, "tab", "tab", "tab", "tab", "enter")
	shows(t, a, "the precision differs")
	later(a, graceTime)
	press(a, "down", "down", "space", "down", "space") // metering and archive cannot be chosen
	press(a, "enter")
	got := c.Requests()
	if len(got) != 1 {
		t.Fatalf("requests: %v", got)
	}
	req := got[0].(core.StartRequest)
	if req.Source.URL != "http://td1:6041" || req.Sink.Password != "topsecret" || strings.Join(req.Databases, " ") != "power factory 工厂数据" {
		t.Errorf("request for %s, databases %v", req.Source.URL, req.Databases)
	}
}

func TestFilterAndSort(t *testing.T) {
	a, _ := newScene(scene.Failed(), &english, 120, 40)
	count := func(f string, want int) {
		t.Helper()
		a.setFilter(parseFilter(f))
		if got := len(a.tasks.rows); got != want {
			t.Errorf("filter %q leaves %d tasks, not %d", f, got, want)
		}
	}
	count("state:failed", 1)
	count("!state:running", 3)
	count("otter power", 1)
	count("db:!power", 3)
	count("nothing", 0)
	count("", 6)
	press(a, "o")
	for a.dialogs[0].(*menu).entries[a.dialogs[0].(*menu).chosen] != "DIFF" {
		press(a, "down")
	}
	press(a, "enter")
	if got := a.tasks.rows[0].Diff; got != 12_480 {
		t.Errorf("the first by diff has %d", got)
	}
	at := a.tasks.at
	press(a, "o", "enter")
	if a.tasks.rows[0].Diff > 0 || a.tasks.at != at {
		t.Errorf("the other way round the first has %d, the cursor is at %v", a.tasks.rows[0].Diff, a.tasks.at)
	}
}

func TestLostInstanceIsSaidAndReturns(t *testing.T) {
	a, c := newScene(scene.TwoWay(), &english, 120, 40)
	showsNot(t, a, "No answer")
	c.Set(a.feed.snap, errors.New("connection refused"))
	later(a, 30*time.Second)
	drain(a, a.pull())
	shows(t, a, "No answer for 30 s: these numbers are from 14:03:22")
	if !a.feed.stale(a.now) {
		t.Error("the numbers look live")
	}
	s := *a.feed.snap
	s.At = a.now
	c.Set(&s, nil)
	drain(a, a.pull())
	showsNot(t, a, "No answer")
}

func TestOldNumbersOfATaskDoNotLookLive(t *testing.T) {
	s := scene.Interrupted()
	s.Tasks[3].MeasuredAt = scene.Now.Add(-40 * time.Second)
	s.Tasks[3].Diff, s.Tasks[3].LagMS = 0, 0
	a, _ := newScene(s, &english, 120, 40)
	shows(t, a, "numbers 40 s old")
	shows(t, a, "(0)")
}

func TestOneRequestInFlight(t *testing.T) {
	a, _ := newScene(scene.TwoWay(), &english, 120, 40)
	first := a.pull()
	if first == nil || a.pull() != nil {
		t.Fatal("a second request while one is in flight")
	}
	m := first()
	if _, cmd := a.Update(m); cmd == nil {
		t.Error("what changed meanwhile is not asked for")
	}
}

// TestThousandsOfTasksAreAskedForLessOften takes the measured cost of an
// overview as given.
func TestThousandsOfTasksAreAskedForLessOften(t *testing.T) {
	asks := func(cost time.Duration) (every int) {
		a, _ := newScene(scene.TwoWay(), &english, 120, 40)
		a.feed.lastAsk = a.now
		a.onSnapshot(snapshotMsg{snap: a.feed.snap, cost: cost})
		before := a.feed.asked
		for every = 1; a.feed.asked == before; every++ {
			a.onTick(a.now.Add(time.Second))
		}
		return every - 1
	}
	for cost, want := range map[time.Duration]int{0: 1, 15 * time.Millisecond: 1, 50 * time.Millisecond: 2, 3 * time.Second: 5} {
		if got := asks(cost); got != want {
			t.Errorf("an overview that took %v is asked for every %d s, not %d", cost, got, want)
		}
	}
}

func TestEventsStayWhereTheyAre(t *testing.T) {
	a, _ := newScene(scene.Failed(), &english, 120, 40)
	press(a, "e", "down", "down")
	at := a.log.current().Seq
	last := a.feed.lastSeq
	a.Update(eventsMsg{events: []core.Event{{Seq: last + 1, At: scene.Now, Text: "new"}}})
	if a.log.current().Seq != at || a.log.follow {
		t.Error("a new event moved the cursor")
	}
	press(a, "f")
	if a.log.current().Seq != last+1 {
		t.Error("following does not go to the newest")
	}
	press(a, "v", "v")
	if len(a.log.rows) != 1 {
		t.Errorf("%d errors", len(a.log.rows))
	}
}

func TestWriteNeverReplacesAFile(t *testing.T) {
	a, _ := newScene(scene.TwoWay(), &english, 120, 40)
	path := filepath.Join(t.TempDir(), "tasks.csv")
	write := func() {
		press(a, "w")
		a.dialogs[0].(*writer).path.set(path)
		press(a, "enter")
	}
	write()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(string(b)), "\n"); len(lines) != 6 || !strings.HasPrefix(lines[0], "replica,task,pair,database,state") {
		t.Errorf("wrote:\n%s", b)
	}
	shows(t, a, "Wrote")
	write()
	shows(t, a, "not written")
	path = strings.TrimSuffix(path, "csv") + "exe"
	write()
	shows(t, a, "must end in")
}

func TestForeignTextCannotDisturbTheTerminal(t *testing.T) {
	s := scene.TwoWay()
	s.Tasks[0].Database = "po\x1b[31mwer\nx\u202e"
	s.Tasks[0].Note, s.Tasks[0].State = "\x1b]52;c;aGk=\x07bad\r\nnote", core.Failed
	a, _ := newScene(s, &english, 120, 40)
	if v := a.View(); strings.ContainsAny(v, "\x1b\x07\r\u202e") || len(strings.Split(v, "\n")) != 40 {
		t.Errorf("the view holds control characters: %q", v)
	}
}
