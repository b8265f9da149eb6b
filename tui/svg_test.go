package tui

import (
	"fmt"
	"html"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// The grid of a picture, in pixels. The cell is that of JetBrains Mono, in whole
// pixels, so that blocks join without a seam.
const (
	cellW, cellH = 14.0, 31.0
	fontSize     = 70.0 / 3
	wideSize     = 25.0 // of characters that take two cells
	baseline     = 23.5
	margin       = 28.0
	stroke       = 1.5
)

// ground is a terminal's own colours: background, text, and the sixteen that
// its user may have chosen.
type ground struct {
	back, ink string
	ansi      [16]string
}

var (
	darkGround = ground{"#12161f", "#c5cbd8", [16]string{
		"#12161f", "#cd3131", "#0dbc79", "#e5e510", "#2472c8", "#bc3fbc", "#11a8cd", "#e5e5e5",
		"#666666", "#f14c4c", "#23d18b", "#f5f543", "#3b8eea", "#d670d6", "#29b8db", "#ffffff"}}
	lightGround = ground{"#fbfbf9", "#2b3244", [16]string{
		"#000000", "#cd3131", "#00bc00", "#949800", "#0451a5", "#bc05bc", "#0598bc", "#555555",
		"#666666", "#cd3131", "#14ce14", "#b5ba00", "#0451a5", "#bc05bc", "#0598bc", "#a5a5a5"}}
)

// pen is the state of the SGR attributes while a view is drawn.
type pen struct {
	on                               ground
	fg, bg                           string
	bold, faint, underlined, reverse bool
}

// renderSVG draws a view on a grid: every character at its own place, so that
// wide ones cannot shift what follows. Blocks and rules are drawn as shapes,
// since no font joins them exactly.
func renderSVG(view string, w, h int, on ground) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f">`, float64(w)*cellW+2*margin, float64(h)*cellH+2*margin)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="12" fill="%s"/>`, on.back)
	fmt.Fprintf(&b, `<g font-family="JetBrains Mono, Noto Sans Mono CJK SC, DejaVu Sans Mono" font-size="%.2f" xml:space="preserve">`, fontSize)
	for row, text := range strings.Split(view, "\n") {
		drawRow(&b, text, row, on)
	}
	b.WriteString("</g></svg>")
	return []byte(b.String())
}

func drawRow(b *strings.Builder, text string, row int, on ground) {
	p := pen{on: on}
	col := 0
	state := byte(0)
	top := margin + float64(row)*cellH
	for len(text) > 0 {
		seq, wide, n, next := ansi.DecodeSequence(text, state, nil)
		text, state = text[n:], next
		if wide == 0 {
			p.take(seq)
			continue
		}
		p.draw(b, seq, wide, margin+float64(col)*cellW, top)
		col += wide
	}
}

// draw draws one character.
func (p *pen) draw(b *strings.Builder, seq string, wide int, x, top float64) {
	fg, bg := p.fg, p.bg
	if fg == "" {
		fg = p.on.ink
	}
	if p.reverse {
		if bg == "" {
			bg = p.on.back
		}
		fg, bg = bg, fg
	}
	w := float64(wide) * cellW
	if bg != "" {
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x, top, w, cellH, bg)
	}
	if p.underlined {
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x, top+cellH-4, w, stroke, fg)
	}
	if seq == " " {
		return
	}
	style := ""
	if p.bold {
		style = ` font-weight="bold"`
	}
	if p.faint {
		style += ` opacity="0.6"`
	}
	if wide > 1 {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="%.0f" text-anchor="middle" fill="%s"%s>%s</text>`, x+w/2, top+baseline, wideSize, fg, style, html.EscapeString(seq))
		return
	}
	if !shape(b, seq, x, top, fg) {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="%s"%s>%s</text>`, x, top+baseline, fg, style, html.EscapeString(seq))
	}
}

// shape draws blocks and box lines; it reports whether seq was one.
func shape(b *strings.Builder, seq string, x, top float64, fg string) bool {
	rect := func(dx, dy, w, h float64) {
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x+dx, top+dy, w, h, fg)
	}
	midX, midY := (cellW-stroke)/2, (cellH-stroke)/2
	switch r := []rune(seq)[0]; {
	case r >= '▁' && r <= '█':
		part := float64(r-'▁'+1) / 8 * cellH
		rect(0, cellH-part, cellW, part)
	case r == '▌':
		rect(0, 0, cellW/2, cellH)
	case r == '─':
		rect(0, midY, cellW, stroke)
	case r == '│':
		rect(midX, 0, stroke, cellH)
	case r == '┌':
		rect(midX, midY, cellW-midX, stroke)
		rect(midX, midY, stroke, cellH-midY)
	case r == '┐':
		rect(0, midY, midX+stroke, stroke)
		rect(midX, midY, stroke, cellH-midY)
	case r == '└':
		rect(midX, midY, cellW-midX, stroke)
		rect(midX, 0, stroke, midY+stroke)
	case r == '┘':
		rect(0, midY, midX+stroke, stroke)
		rect(midX, 0, stroke, midY)
	case r == '●', r == '○', r == '◐', r == '◌':
		disc(b, r, x+cellW/2, top+cellH/2, fg)
	default:
		return false
	}
	return true
}

// disc draws the signs of the states, which the text font does not have.
func disc(b *strings.Builder, r rune, x, y float64, fg string) {
	const radius = 6.0
	fill, dash := "none", ""
	if r == '●' {
		fill = fg
	}
	if r == '◌' {
		dash = ` stroke-dasharray="2.4 2.4"`
	}
	fmt.Fprintf(b, `<circle cx="%.2f" cy="%.2f" r="%.2f" fill="%s" stroke="%s" stroke-width="1.7"%s/>`, x, y, radius, fill, fg, dash)
	if r == '◐' {
		fmt.Fprintf(b, `<path d="M %.2f %.2f a %.2f %.2f 0 0 0 0 %.2f z" fill="%s"/>`, x, y-radius, radius, radius, 2*radius, fg)
	}
}

// take applies an SGR sequence of the theme, of any depth.
func (p *pen) take(seq string) {
	if !strings.HasPrefix(seq, "\x1b[") || !strings.HasSuffix(seq, "m") {
		return
	}
	codes := strings.Split(seq[2:len(seq)-1], ";")
	for i := 0; i < len(codes); i++ {
		n, _ := strconv.Atoi(codes[i]) // an empty one is 0
		switch {
		case n == 0:
			*p = pen{on: p.on}
		case n == 1:
			p.bold = true
		case n == 2:
			p.faint = true
		case n == 4:
			p.underlined = true
		case n == 7:
			p.reverse = true
		case n >= 30 && n <= 37:
			p.fg = p.on.ansi[n-30]
		case n >= 90 && n <= 97:
			p.fg = p.on.ansi[n-90+8]
		case n == 38 || n == 48:
			colour, used := p.extended(codes[i+1:])
			if n == 38 {
				p.fg = colour
			} else {
				p.bg = colour
			}
			i += used
		}
	}
}

// extended reads a colour of 256 or of all: what follows 38 or 48.
func (p *pen) extended(codes []string) (colour string, used int) {
	var v [4]int
	for i := range min(len(codes), len(v)) {
		v[i], _ = strconv.Atoi(codes[i])
	}
	if v[0] == 2 {
		return fmt.Sprintf("#%02x%02x%02x", v[1], v[2], v[3]), 4
	}
	n := v[1]
	switch {
	case n < 16:
		return p.on.ansi[n], 2
	case n >= 232:
		g := 8 + 10*(n-232)
		return fmt.Sprintf("#%02x%02x%02x", g, g, g), 2
	}
	level := func(k int) int {
		if k == 0 {
			return 0
		}
		return 55 + 40*k
	}
	n -= 16
	return fmt.Sprintf("#%02x%02x%02x", level(n/36), level(n/6%6), level(n%6)), 2
}
