package tui

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/muesli/termenv"

	"tdreplica/tui/internal/scene"
	"tdreplica/tui/paper"
)

// paperShows compares a screen with a view.
func paperShows(t *testing.T, on *paper.Paper, view string) {
	t.Helper()
	lines := strings.Split(view, "\n")
	for y, row := range on.Cells {
		var want []screenCell
		if y < len(lines) {
			want = cellsOf(nil, lines[y])
		}
		for x := range row {
			cell := blankCell
			if x < len(want) {
				cell = want[x]
			}
			if row[x] != paper.Cell(cell) {
				t.Fatalf("line %d, cell %d shows %q, not %q", y, x, row[x], cell)
			}
		}
	}
}

// TestPaintedIsWhatTheViewSays paints scene after scene in both languages and
// in windows that change, and compares every cell.
func TestPaintedIsWhatTheViewSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var p painter
	var on *paper.Paper
	w, h := 0, 0
	for range 400 {
		sc := scenes[r.IntN(len(scenes))]
		if r.IntN(4) == 0 || on == nil {
			w, h = 40+r.IntN(160), 12+r.IntN(50)
			on = paper.New(w, h)
		}
		a, c := newScene(sc.snap(), []*text{&english, &chinese}[r.IntN(2)], w, h)
		a.theme = newTheme("dark", termenv.TrueColor, true)
		if sc.do != nil && r.IntN(2) == 0 && sc.name != "lost" {
			sc.do(a, c)
		}
		if r.IntN(10) == 0 {
			p.forget()
		}
		view := a.View()
		if err := on.Take(p.frame(strings.Split(view, "\n"), w, h)); err != nil {
			t.Fatal(err)
		}
		paperShows(t, on, view)
	}
}

// TestPaintingWritesLittle changes a digit.
func TestPaintingWritesLittle(t *testing.T) {
	a, _ := newScene(scene.CatchingUp(), &english, 120, 40)
	a.theme = newTheme("dark", termenv.TrueColor, true)
	var p painter
	lines := strings.Split(a.View(), "\n")
	p.frame(lines, 120, 40)
	if again := p.frame(lines, 120, 40); again != "" {
		t.Errorf("the same frame again writes %q", again)
	}
	a.feed.snap.Tasks[1].Rate.Versions += 10
	if one := p.frame(strings.Split(a.View(), "\n"), 120, 40); len(one) > 20 {
		t.Errorf("a digit takes %d bytes: %q", len(one), one)
	}
}
