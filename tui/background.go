package tui

import (
	"bytes"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/term"
)

// askBackground asks a terminal for the colour of its background (OSC 11).
const askBackground = "\x1b]11;?\x1b\\"

const (
	answerHead  = "\x1b]11;"
	answerLimit = 64 // bytes; what is longer is no colour
)

// backgroundMsg is the terminal's answer.
type backgroundMsg struct{ dark bool }

// keyboard is a terminal to read from, as Bubble Tea needs it.
type keyboard interface {
	term.File
	Name() string
}

// answers reads keys and takes the terminal's answer out from among them. The
// console does not wait for it: an old terminal gives none, and over a slow
// line it comes when the first screen is long there. Whenever it comes, it must
// not be taken for keys: "rgb" would begin with a restart.
type answers struct {
	keyboard
	told   func(dark bool)
	held   []byte // the beginning of an answer
	escape bool   // the last byte handed out was an escape: an answer may go on from there
}

// Read implements io.Reader. It may return 0 bytes without an error.
func (r *answers) Read(p []byte) (int, error) {
	// What is held may have to be given out too.
	n, err := r.keyboard.Read(p[:max(1, len(p)-len(answerHead))])
	if n > 0 {
		n = copy(p, r.take(p[:n]))
	}
	return n, err
}

// take returns what is left of in without answers.
func (r *answers) take(in []byte) []byte {
	buf := append(r.held, in...)
	r.held = nil
	if r.escape && bytes.HasPrefix(buf, []byte(answerHead[1:])) {
		buf = append([]byte{answerHead[0]}, buf...)
	}
	var keys []byte
	for {
		at := bytes.Index(buf, []byte(answerHead))
		if at < 0 {
			break
		}
		keys = append(keys, buf[:at]...)
		body := buf[at+len(answerHead):]
		end, after := endOfAnswer(body)
		if end < 0 {
			if len(body) < answerLimit {
				r.held = bytes.Clone(buf[at:])
			}
			r.escape = false
			return keys
		}
		if dark, known := darkColour(string(body[:end])); known {
			r.told(dark)
		}
		buf = body[after:]
	}
	keep := beginning(buf)
	r.held = bytes.Clone(buf[len(buf)-keep:])
	keys = append(keys, buf[:len(buf)-keep]...)
	r.escape = bytes.HasSuffix(keys, []byte{answerHead[0]})
	return keys
}

// endOfAnswer finds where an answer ends (BEL, or ESC \) and what is behind it.
func endOfAnswer(body []byte) (end, after int) {
	for i, c := range body {
		switch {
		case c == '\a':
			return i, i + 1
		case c == '\x1b' && i+1 < len(body):
			return i, i + 2
		}
	}
	return -1, -1
}

// beginning is how many bytes at the end of buf may be the beginning of an
// answer. A lone escape is a key: it is not held back.
func beginning(buf []byte) int {
	for n := len(answerHead) - 1; n > 1; n-- {
		if bytes.HasSuffix(buf, []byte(answerHead[:n])) {
			return n
		}
	}
	return 0
}

var colourForm = regexp.MustCompile(`^rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})(/[0-9a-fA-F]{1,4})?$`)

// darkColour reads a colour as X11 writes it: rgb:ffff/ffff/ffff.
func darkColour(s string) (dark, known bool) {
	m := colourForm.FindStringSubmatch(s)
	if m == nil {
		return false, false
	}
	light := 0.0
	for i, weight := range []float64{0.299, 0.587, 0.114} {
		digits := m[i+1]
		v, err := strconv.ParseUint(digits, 16, 16)
		if err != nil {
			return false, false
		}
		light += weight * float64(v) / float64(uint64(1)<<(4*len(digits))-1)
	}
	return light < 0.5, true
}

// darkByEnvironment is the best guess before the terminal has answered, and
// for those that do not: COLORFGBG, which some set, else dark.
func darkByEnvironment() bool {
	fields := strings.Split(os.Getenv("COLORFGBG"), ";")
	ground, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		return true
	}
	return ground < 7 || ground == 8
}

// answersBackground leaves out terminals that print the question or are known
// not to answer it.
func answersBackground() bool {
	kind := os.Getenv("TERM")
	return kind != "" && kind != "dumb" && kind != "linux" && (!strings.HasPrefix(kind, "screen") || os.Getenv("TMUX") != "")
}

// onBackground follows the terminal's colour unless the theme was chosen.
func (a *app) onBackground(m backgroundMsg) {
	automatic := a.theme.name == groundTheme(a.dark)
	a.dark = m.dark
	if automatic {
		a.setTheme()
	}
}
