package tui

import (
	"strings"
	"testing"

	"github.com/muesli/termenv"

	"tdreplica/tui/internal/scene"
)

// BenchmarkFrame draws a frame of which every number is another than before, as
// text and as what is written to the terminal.
func BenchmarkFrame(b *testing.B) {
	a, _ := newScene(scene.Many(100, 100), &english, 200, 60)
	a.theme = newTheme("dark", termenv.TrueColor, true)
	var p painter
	p.frame(strings.Split(a.View(), "\n"), a.w, a.h)
	b.ReportAllocs()
	written := 0
	for b.Loop() {
		for i := range a.feed.snap.Tasks {
			t := &a.feed.snap.Tasks[i]
			t.Diff, t.Rate.Versions = t.Diff+17, t.Rate.Versions+1111
			for k := range t.Vgroups {
				v := &t.Vgroups[k]
				v.Current, v.Latest, v.Rate = v.Current+1001, v.Latest+1003, v.Rate+111
			}
		}
		n := len(p.frame(strings.Split(a.View(), "\n"), a.w, a.h))
		if n == 0 {
			b.Fatal("nothing drawn")
		}
		written += n
	}
	b.ReportMetric(float64(written)/float64(b.N), "written-B/op")
}

func BenchmarkSnapshot10000Vgroups(b *testing.B) {
	a, _ := newScene(scene.Many(100, 100), &english, 200, 60)
	s := scene.Many(100, 100)
	b.ReportAllocs()
	for b.Loop() {
		a.feed.asking = true
		a.Update(snapshotMsg{number: a.feed.asked, snap: s})
	}
}
