package tui

import (
	"testing"

	"github.com/muesli/termenv"

	"tdreplica/tui/internal/scene"
)

func BenchmarkFrame(b *testing.B) {
	a, _ := newScene(scene.Many(100, 100), &english, 200, 60)
	a.theme = newTheme("dark", termenv.TrueColor, true)
	b.ReportAllocs()
	for b.Loop() {
		if a.View() == "" {
			b.Fatal("nothing drawn")
		}
	}
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
