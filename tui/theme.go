package tui

import (
	"strings"

	"github.com/muesli/termenv"
)

// token is the meaning of a piece of text; the theme says how it looks. No
// meaning is carried by a token alone: a glyph or a word goes with it.
type token uint8

const (
	plain  token = iota
	strong       // titles, what the eye should find
	dim          // structure: rules, column heads, units, zeroes
	accent       // the focused pane, keys, what moves
	soft         // columns of charts: large, so not loud
	ok           // counters of what is well
	warn         // interrupted, marks, growing
	bad          // failed, errors
	tokens       // how many there are
)

// look is a token's colour for each depth of terminal. The 16-colour one is an
// ANSI number, so that it follows the operator's own palette.
type look struct {
	hex   string
	ansi  string
	attrs string // SGR attributes in front of the colour: "1" bold, "2" faint
}

type palette struct {
	looks     [tokens]look
	selection string // background of the row under the cursor
	ground256 string // the same where there are 256 colours: the nearest one may be loud
	dimThere  string // the dim token on it: it must stay legible
}

var palettes = map[string]palette{
	"dark": {
		looks: [tokens]look{
			plain: {}, strong: {hex: "#e6e9f0", attrs: "1"}, dim: {hex: "#7a8299", attrs: "2"},
			accent: {hex: "#6cb6eb", ansi: "14"}, soft: {hex: "#4d7fa8", ansi: "6"}, ok: {hex: "#7fc98f", ansi: "2"},
			warn: {hex: "#e5b567", ansi: "11"}, bad: {hex: "#f2777a", ansi: "9", attrs: "1"},
		},
		selection: "#263348", ground256: "236", dimThere: "#a3abbf",
	},
	"light": {
		looks: [tokens]look{
			plain: {}, strong: {hex: "#1c2333", attrs: "1"}, dim: {hex: "#6b7280", attrs: "2"},
			accent: {hex: "#0b63b5", ansi: "4"}, soft: {hex: "#7badde", ansi: "6"}, ok: {hex: "#1d7a3a", ansi: "2"},
			warn: {hex: "#96600a", ansi: "3"}, bad: {hex: "#b3202a", ansi: "1", attrs: "1"},
		},
		selection: "#dbe7f5", ground256: "254", dimThere: "#4b5565",
	},
	// Blue and orange with different lightness: told apart with any of the
	// common colour vision deficiencies, on dark and on light grounds.
	"colorblind": {
		looks: [tokens]look{
			plain: {}, strong: {attrs: "1"}, dim: {hex: "#868e9c", attrs: "2"},
			accent: {hex: "#56b4e9", ansi: "14"}, soft: {hex: "#4487b0", ansi: "6"}, ok: {hex: "#2f9fe0", ansi: "12"},
			warn: {hex: "#e6a817", ansi: "11"}, bad: {hex: "#e8743b", ansi: "13", attrs: "1"},
		},
		selection: "#3a4252", ground256: "238", dimThere: "#b4bac4",
	},
}

// theme holds the ready-made SGR sequences of a palette, so that drawing a
// cell costs no more than two copies.
type theme struct {
	name  string
	open  [2][tokens]string // [row under the cursor][token]
	reset string
}

// newTheme renders the named palette for a colour depth. Unknown names and
// "auto" mean dark or light, as the terminal's background is.
func newTheme(name string, depth termenv.Profile, darkGround bool) *theme {
	if _, known := palettes[name]; !known {
		name = groundTheme(darkGround)
	}
	t := &theme{name: name}
	if depth == termenv.Ascii {
		return t
	}
	p := palettes[name]
	t.reset = "\x1b[0m"
	for tok := plain; tok < tokens; tok++ {
		seq := p.looks[tok].sequence(depth)
		t.open[0][tok] = sgr(seq)
		if tok == dim {
			seq = look{hex: p.dimThere, attrs: p.looks[dim].attrs}.sequence(depth)
		}
		if depth == termenv.ANSI {
			// None of sixteen colours is sure to be legible on the row, or to
			// differ from the ground just enough: it is shown in reverse.
			t.open[1][tok] = sgr(join("7", strings.TrimPrefix(p.looks[tok].attrs, "2")))
			continue
		}
		ground := p.selection
		if depth == termenv.ANSI256 {
			ground = p.ground256
		}
		t.open[1][tok] = sgr(join(depth.Color(ground).Sequence(true), seq))
	}
	return t
}

// groundTheme is the theme for a terminal's background.
func groundTheme(dark bool) string {
	if dark {
		return "dark"
	}
	return "light"
}

func (l look) sequence(depth termenv.Profile) string {
	colour := ""
	if depth == termenv.ANSI {
		if l.ansi != "" {
			colour = depth.Color(l.ansi).Sequence(false)
		}
		return join(l.attrs, colour)
	}
	attrs := l.attrs
	if l.hex != "" {
		colour = depth.Color(l.hex).Sequence(false)
		attrs = strings.TrimPrefix(attrs, "2") // its colour is faint already
	}
	return join(attrs, colour)
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ";" + b
}

func sgr(seq string) string {
	if seq == "" {
		return ""
	}
	return "\x1b[" + seq + "m"
}

// glyphs are the signs of the screen. The ASCII set serves terminals and fonts
// that have nothing else.
type glyphs struct {
	cursor, mark, rule, tail, dash, sep, arrow string
	up, down, level, caret                     string
	corner                                     [4]string // ┌ ┐ └ ┘
	side                                       string
	spark                                      []string
	bullet, warn, hint                         string
	sortUp, sortDown                           string
	on, off                                    string // of a check box
	none                                       string // nothing was measured
}

var unicodeGlyphs = glyphs{
	cursor: "▸", mark: "✓", rule: "─", tail: "…", dash: "–", sep: "·", arrow: "→",
	up: "↑", down: "↓", level: " ", caret: "▌",
	corner: [4]string{"┌", "┐", "└", "┘"}, side: "│",
	spark:  []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
	bullet: "●", warn: "▲", hint: "→", sortUp: "▴", sortDown: "▾",
	on: "[✓]", off: "[ ]", none: "·",
}

var asciiGlyphs = glyphs{
	cursor: ">", mark: "*", rule: "-", tail: "~", dash: "-", sep: "-", arrow: "->",
	up: "^", down: "v", level: " ", caret: "_",
	corner: [4]string{"+", "+", "+", "+"}, side: "|",
	spark:  []string{"_", ".", ",", ":", "-", "=", "*", "#"},
	bullet: "*", warn: "!", hint: "->", sortUp: "^", sortDown: "v",
	on: "[x]", off: "[ ]", none: " ",
}

// sparkline draws values, scaled to their own highest. A flat zero stays at the
// bottom.
func sparkline(values []int64, g *glyphs) string {
	var top int64 = 1
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	last := int64(len(g.spark) - 2) // the full block would touch the line above
	for _, v := range values {
		if v == missing {
			b.WriteByte(' ')
			continue
		}
		step := int64(0)
		if v > 0 {
			// Anything above zero leaves the ground, or a short peak would
			// make a standing backlog look like none.
			step = max(1, int64(float64(v)/float64(top)*float64(last)+0.5))
		}
		b.WriteString(g.spark[min(step, last)])
	}
	return b.String()
}
