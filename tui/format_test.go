package tui

import (
	"slices"
	"testing"
)

func TestLinesBreakWhereAReaderWould(t *testing.T) {
	for _, c := range []struct {
		s    string
		w    int
		want []string
	}{
		{"written before 2026-03-14T13:22:41Z", 24, []string{"written before", "2026-03-14T13:22:41Z"}},
		{"next in 8 s", 10, []string{"next in", "8 s"}},
		{"完成写入、提交偏移量，并保持停止", 24, []string{"完成写入、提交偏移量，", "并保持停止"}},
		{"关键词、!排除、state:failed", 24, []string{"关键词、!排除、", "state:failed"}},
		{"unbreakable", 4, []string{"unbr", "eaka", "ble"}},
	} {
		if got := wrap(c.s, c.w); !slices.Equal(got, c.want) {
			t.Errorf("%q in %d cells: %q, want %q", c.s, c.w, got, c.want)
		}
	}
}
