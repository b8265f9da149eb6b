//go:build unix

package tui

import (
	"strings"
	"testing"
	"time"

	"tdreplica/tui/internal/scene"
)

const (
	lightTitle = "38;2;28;35;51m"    // the strong token of the light theme
	darkTitle  = "38;2;230;233;240m" // and of the dark one
)

// TestThemeFollowsTheTerminal opens consoles on terminals that tell the colour
// of their background, late or not at all, with keys pressed meanwhile.
func TestThemeFollowsTheTerminal(t *testing.T) {
	for _, c := range []struct {
		name, guess string
		answer      []string // what the terminal sends, piece by piece
		want        string
	}{
		{"light", "", []string{"\x1b]11;rgb:ffff/fafa/f0f0\x1b\\"}, lightTitle},
		{"light against the environment", "15;0", []string{"\x1b]11;rgb:ff/fa/f0\a"}, lightTitle},
		{"light, in pieces among keys", "", []string{"jj\x1b]11;rgb:ffff/", "ffff/ffff", "\x1b\\kk"}, lightTitle},
		{"light, cut behind the escape", "", []string{"\x1b", "]11;rgb:ffff/ffff/ffff\a"}, lightTitle},
		{"dark", "0;15", []string{"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\"}, darkTitle},
		{"no answer", "", nil, darkTitle},
		{"no answer, but a light environment", "0;15", nil, lightTitle},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("TERM", "xterm-256color")
			t.Setenv("COLORTERM", "truecolor")
			t.Setenv("NO_COLOR", "")
			t.Setenv("CI", "true") // says nothing about the terminal
			t.Setenv("LC_ALL", "C")
			t.Setenv("COLORFGBG", c.guess)
			x := onTerminal(t, scene.New(scene.TwoWay()), true, nil)
			x.await(askBackground)
			x.await("maple") // the first screen does not wait for the answer
			for _, piece := range c.answer {
				if _, err := x.ptm.WriteString(piece); err != nil {
					t.Fatal(err)
				}
				time.Sleep(150 * time.Millisecond) // a piece is a read of its own
			}
			x.await(c.want)
			if _, err := x.ptm.WriteString("?"); err != nil {
				t.Fatal(err)
			}
			x.await("Everywhere")
			if out := x.output(); strings.Contains(out, "Restart 1") {
				t.Error("the answer was taken for keys")
			}
		})
	}
}

func TestAnswersAreTakenOutOfTheKeys(t *testing.T) {
	for _, c := range []struct {
		in   []string
		want string
		told int
	}{
		{[]string{"abc"}, "abc", 0},
		{[]string{"\x1b", "[A"}, "\x1b[A", 0},
		{[]string{"\x1b]", "x"}, "\x1b]x", 0},
		{[]string{"\x1b]1", "1;rgb:0/0/0\ax"}, "x", 1},
		{[]string{"a\x1b]11;rgb:0/0/0\x1b", "\\b"}, "ab", 1},
		{[]string{"a\x1b]11;nonsense\ab"}, "ab", 0},
		{[]string{"\x1b]11;" + strings.Repeat("0", 100), "b"}, "b", 0},
	} {
		told, got := 0, ""
		r := &answers{told: func(bool) { told++ }}
		for _, in := range c.in {
			got += string(r.take([]byte(in)))
		}
		if got != c.want || told != c.told {
			t.Errorf("%q: keys %q, want %q; %d answers, want %d", c.in, got, c.want, told, c.told)
		}
	}
}
