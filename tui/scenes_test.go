package tui

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/tui/internal/scene"
)

// updating reports whether golden files are written anew: the flag -update is
// teatest's.
func updating() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

// newScene is a console over a snapshot at the scene's time, of which every
// request has been answered.
func newScene(s *core.Snapshot, lang *text, w, h int) (*app, *scene.Controller) {
	c := scene.New(s)
	a := newApp(context.Background(), Options{Controller: c, Mode: Attached, User: "lin", Config: &config.Config{}})
	a.clock = func() time.Time { return scene.Now }
	a.zone, a.now = time.UTC, scene.Now
	a.setLanguage(lang)
	a.resize(w, h)
	drain(a, a.pull())
	drain(a, a.pullEvents())
	a.View()
	return a, c
}

// drain runs a command and what follows from it, except timers.
func drain(a *app, cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	got := make(chan tea.Msg, 1)
	go func() { got <- cmd() }()
	select {
	case m := <-got:
		if batch, is := m.(tea.BatchMsg); is {
			for _, c := range batch {
				drain(a, c)
			}
			return
		}
		if m != nil {
			_, next := a.Update(m)
			drain(a, next)
		}
	case <-time.After(100 * time.Millisecond): // a timer
	}
}

// press types keys: names in angle brackets, else single characters.
func press(a *app, keys ...string) {
	for _, k := range keys {
		_, cmd := a.Update(keyMsg(k))
		drain(a, cmd)
		a.View()
	}
}

var namedKeys = map[string]tea.KeyType{"enter": tea.KeyEnter, "esc": tea.KeyEsc, "tab": tea.KeyTab, "up": tea.KeyUp,
	"down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight, "space": tea.KeySpace, "backspace": tea.KeyBackspace,
	"ctrl+c": tea.KeyCtrlC, "pgdown": tea.KeyPgDown, "end": tea.KeyEnd}

func keyMsg(k string) tea.KeyMsg {
	if t, named := namedKeys[k]; named {
		m := tea.KeyMsg{Type: t}
		if t == tea.KeySpace {
			m.Runes = []rune{' '}
		}
		return m
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)}
}

func typed(a *app, s string) {
	for _, r := range s {
		press(a, string(r))
	}
}

// later moves the scene's clock.
func later(a *app, d time.Duration) {
	at := a.now.Add(d)
	a.clock = func() time.Time { return at }
	a.now = at
}

// scenes are what the goldens and the pictures show.
var scenes = []struct {
	name string
	snap func() *core.Snapshot
	do   func(a *app, c *scene.Controller)
}{
	{"empty", scene.Empty, nil},
	{"healthy", scene.TwoWay, nil},
	{"catching-up", scene.CatchingUp, nil},
	{"interrupted", scene.Interrupted, nil},
	{"failed", scene.Failed, nil},
	{"remove", scene.Failed, func(a *app, _ *scene.Controller) {
		press(a, "D")
		typed(a, "otte")
	}},
	{"form", scene.TwoWay, func(a *app, _ *scene.Controller) {
		press(a, "n")
		typed(a, "td1:6041")
		press(a, "tab")
		typed(a, "repl")
		press(a, "tab")
		typed(a, "secret-1")
		press(a, "tab")
		typed(a, "td2:6041")
	}},
	{"picker", scene.TwoWay, func(a *app, _ *scene.Controller) {
		press(a, "n", "up", "enter")
	}},
	{"help", scene.TwoWay, func(a *app, _ *scene.Controller) { press(a, "?") }},
	{"filter", scene.Failed, func(a *app, _ *scene.Controller) {
		press(a, "/")
		typed(a, "db:power !state:stopped")
	}},
	{"lost", scene.CatchingUp, func(a *app, c *scene.Controller) {
		c.Set(nil, errors.New("dial unix /var/lib/tdreplica/control.sock: connect: connection refused"))
		later(a, 12*time.Second)
		drain(a, a.pull())
	}},
	{"long", scene.Long, nil},
	{"many", func() *core.Snapshot { return scene.Many(500, 8) }, nil},
	{"detail", scene.Failed, func(a *app, _ *scene.Controller) { press(a, "down", "down", "enter") }},
	{"events", scene.Failed, func(a *app, _ *scene.Controller) { press(a, "e") }},
	{"stop", scene.TwoWay, func(a *app, _ *scene.Controller) { press(a, "space", "space", "x") }},
	{"quit", scene.TwoWay, func(a *app, _ *scene.Controller) {
		a.opt.Mode = InProcess
		a.opt.Handover = func(context.Context) error { return nil }
		press(a, "q")
	}},
}

func TestGoldens(t *testing.T) {
	for _, lang := range []struct {
		name string
		text *text
	}{{"en", &english}, {"zh", &chinese}} {
		for _, size := range []struct {
			name string
			w, h int
		}{{"60x15", 60, 15}, {"80x24", 80, 24}, {"120x40", 120, 40}, {"200x60", 200, 60}} {
			for _, sc := range scenes {
				a, c := newScene(sc.snap(), lang.text, size.w, size.h)
				if sc.do != nil {
					sc.do(a, c)
				}
				view := a.View()
				fits(t, sc.name, view, size.w, size.h)
				golden(t, sc.name+"-"+size.name+"-"+lang.name, view)
			}
		}
	}
}

// TestGoldensAreThoseOfTheScenes finds a scene without its pictures, and files
// that no scene makes any more.
func TestGoldensAreThoseOfTheScenes(t *testing.T) {
	want := map[string]bool{}
	for _, sc := range scenes {
		for _, size := range []string{"60x15", "80x24", "120x40", "200x60"} {
			for _, lang := range []string{"en", "zh"} {
				want[sc.name+"-"+size+"-"+lang+".golden"] = true
			}
		}
	}
	for _, name := range []string{"empty", "healthy", "catching-up", "interrupted", "failed", "remove", "form", "help", "filter", "lost", "many"} {
		if !want[name+"-60x15-en.golden"] {
			t.Errorf("the scene %s is gone", name)
		}
	}
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".golden") && !want[f.Name()] {
			t.Errorf("%s is no scene's", f.Name())
		}
		delete(want, f.Name())
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	var lines []string
	for _, s := range strings.Split(got, "\n") {
		lines = append(lines, strings.TrimRight(s, " "))
	}
	got = strings.Join(lines, "\n") + "\n"
	path := filepath.Join("testdata", name+".golden")
	if updating() {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (make it with: go test ./tui -run TestGoldens -update)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", name, got, want)
	}
}

// fits holds a view against its window.
func fits(t *testing.T, name, view string, w, h int) {
	t.Helper()
	lines := strings.Split(view, "\n")
	if len(lines) > h {
		t.Errorf("%s at %dx%d has %d lines", name, w, h, len(lines))
	}
	for i, s := range lines {
		if n := ansi.StringWidth(s); n > w {
			t.Errorf("%s at %dx%d: line %d is %d cells wide: %q", name, w, h, i, n, s)
		}
	}
}

// TestEveryWindowFits draws every scene in every size up to 250×70 (in steps
// that meet all remainders) while the window changes, and all below that.
func TestEveryWindowFits(t *testing.T) {
	for _, lang := range []*text{&english, &chinese} {
		for _, sc := range scenes {
			a, c := newScene(sc.snap(), lang, 100, 30)
			if sc.do != nil {
				sc.do(a, c)
			}
			for w := 1; w <= 250; w += 1 + w/12 {
				for h := 1; h <= 70; h += 1 + h/6 {
					a.resize(w, h)
					fits(t, sc.name, a.View(), w, h)
					if t.Failed() {
						t.Fatal(a.View())
					}
				}
			}
		}
	}
}

func TestColourDepthsKeepTheText(t *testing.T) {
	for _, name := range []string{"dark", "light", "colorblind"} {
		for _, depth := range []termenv.Profile{termenv.ANSI, termenv.ANSI256, termenv.TrueColor} {
			a, _ := newScene(scene.Failed(), &english, 120, 40)
			want := a.View()
			a.theme = newTheme(name, depth, true)
			got := a.View()
			if ansi.Strip(got) != want {
				t.Errorf("theme %s changes the text", name)
			}
			if got == want {
				t.Errorf("theme %s at depth %d has no colour", name, depth)
			}
		}
	}
}

func TestASCIIHasNothingElse(t *testing.T) {
	for _, sc := range scenes {
		s := sc.snap()
		for i := range s.Tasks {
			if !plainASCII(s.Tasks[i].Database) {
				s.Tasks[i].Database = "factory"
			}
		}
		a, c := newScene(s, &english, 120, 40)
		a.glyphs = &asciiGlyphs
		a.setLanguage(&english)
		a.apply()
		if sc.do != nil && sc.name != "picker" && sc.name != "many" {
			sc.do(a, c)
		}
		for _, line := range strings.Split(a.View(), "\n") {
			if !plainASCII(line) {
				t.Errorf("%s: %q", sc.name, line)
			}
		}
	}
}
