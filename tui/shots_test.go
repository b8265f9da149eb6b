package tui

import (
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
	shoot := func(name, scene, themeName string, lang *text, w, h int) {
		for _, sc := range scenes {
			if sc.name != scene {
				continue
			}
			a, c := newScene(sc.snap(), lang, w, h)
			a.theme = newTheme(themeName, termenv.TrueColor, themeName != "light")
			if sc.do != nil {
				sc.do(a, c)
			}
			svg := renderSVG(a.View(), w, h, themeName == "light")
			cmd := exec.Command(rsvg, "--zoom", "1.5", "-o", filepath.Join(dir, name+".png"))
			in, err := cmd.StdinPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err == nil {
				_, err = in.Write(svg)
				in.Close()
			}
			if err == nil {
				err = cmd.Wait()
			}
			if err != nil {
				t.Errorf("render %s: %v", name, err)
			}
		}
	}
	for _, sc := range scenes {
		shoot(sc.name, sc.name, "dark", &english, 132, 28)
	}
	shoot("failed-80x24", "failed", "dark", &english, 80, 24)
	shoot("failed-zh", "failed", "dark", &chinese, 132, 28)
	shoot("failed-light", "failed", "light", &english, 132, 28)
	shoot("failed-colorblind", "failed", "colorblind", &english, 132, 28)
}
