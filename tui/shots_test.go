package tui

import (
	"bytes"
	"cmp"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/muesli/termenv"
)

var screenshots = flag.Bool("screenshots", false, "render the scenes into ../screenshots")

// TestScreenshots renders the scenes from the real view into pictures. It runs
// only when asked to: it needs rsvg-convert and the fonts.
func TestScreenshots(t *testing.T) {
	if !*screenshots {
		t.Skip("no -screenshots given: `make screenshots` renders the pictures")
	}
	rsvg, err := exec.LookPath("rsvg-convert")
	if err != nil {
		t.Fatal("rsvg-convert is missing; on Debian: apt-get install librsvg2-bin fonts-jetbrains-mono fonts-noto-cjk")
	}
	dir := filepath.Join("..", "screenshots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, sc := range scenes {
		shot{name: sc.name}.take(t, rsvg, dir)
	}
	for _, s := range []shot{
		{name: "failed-80x24", w: 80, h: 24},
		{name: "failed-zh", lang: &chinese},
		{name: "failed-light", theme: "light"},
		{name: "failed-colorblind", theme: "colorblind"},
		{name: "failed-256", depth: termenv.ANSI256},
		{name: "failed-16", depth: termenv.ANSI},
		{name: "failed-16-light", theme: "light", depth: termenv.ANSI},
		{name: "failed-ascii", depth: termenv.Ascii, glyphs: &asciiGlyphs},
	} {
		s.scene = "failed"
		s.take(t, rsvg, dir)
	}
}

// shot is a picture of a scene; what is not given is as in most pictures.
type shot struct {
	name, scene, theme string
	lang               *text
	depth              termenv.Profile // 0 is true colour
	glyphs             *glyphs
	w, h               int
}

func (s shot) take(t *testing.T, rsvg, dir string) {
	s.scene, s.theme = cmp.Or(s.scene, s.name), cmp.Or(s.theme, "dark")
	s.lang, s.glyphs = cmp.Or(s.lang, &english), cmp.Or(s.glyphs, &unicodeGlyphs)
	s.w, s.h = cmp.Or(s.w, 132), cmp.Or(s.h, 30)
	on := darkGround
	if s.theme == "light" {
		on = lightGround
	}
	for _, sc := range scenes {
		if sc.name != s.scene {
			continue
		}
		a, c := newScene(sc.snap(), s.lang, s.w, s.h)
		a.glyphs = s.glyphs
		a.setLanguage(s.lang) // the columns' titles have signs in them
		a.apply()
		a.theme = newTheme(s.theme, s.depth, s.theme != "light")
		if sc.do != nil {
			sc.do(a, c)
		}
		cmd := exec.Command(rsvg, "-o", filepath.Join(dir, s.name+".png"))
		cmd.Stdin = bytes.NewReader(renderSVG(a.View(), s.w, s.h, on))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("render %s: %v\n%s", s.name, err, out)
		}
	}
}
