package tui

import (
	"fmt"
	"html"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// The grid of a picture, in SVG units. The cell is that of JetBrains Mono.
const (
	cellW, cellH = 9.0, 19.8
	fontSize     = 15.0
	margin       = 18.0
)

// pen is the state of the SGR attributes while a view is drawn.
type pen struct {
	fg, bg string
	bold   bool
}

// renderSVG draws a view on a grid: every character at its own place, so that
// wide ones cannot shift what follows. Blocks and rules are drawn as shapes,
// since no font joins them exactly.
func renderSVG(view string, w, h int, light bool) []byte {
	ground, ink := "#12161f", "#c5cbd8"
	if light {
		ground, ink = "#fbfbf9", "#2b3244"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f">`, float64(w)*cellW+2*margin, float64(h)*cellH+2*margin)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`, ground)
	fmt.Fprintf(&b, `<g font-family="JetBrains Mono, Noto Sans Mono CJK SC, DejaVu Sans Mono" font-size="%.0f" xml:space="preserve">`, fontSize)
	for row, text := range strings.Split(view, "\n") {
		drawRow(&b, text, row, ink)
	}
	b.WriteString("</g></svg>")
	return []byte(b.String())
}

func drawRow(b *strings.Builder, text string, row int, ink string) {
	p := pen{}
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
		x := margin + float64(col)*cellW
		if p.bg != "" {
			fmt.Fprintf(b, `<rect x="%.2f" y="%.2f" width="%.2f" height="%.2f" fill="%s"/>`, x, top, float64(wide)*cellW+0.3, cellH, p.bg)
		}
		col += wide
		fg := p.fg
		if fg == "" {
			fg = ink
		}
		if !shape(b, seq, x, top, fg) && seq != " " {
			weight := ""
			if p.bold {
				weight = ` font-weight="bold"`
			}
			fmt.Fprintf(b, `<text x="%.2f" y="%.2f" fill="%s"%s>%s</text>`, x, top+15, fg, weight, html.EscapeString(seq))
		}
	}
}

// shape draws blocks and box lines; it reports whether seq was one.
func shape(b *strings.Builder, seq string, x, top float64, fg string) bool {
	rect := func(dx, dy, w, h float64) {
		fmt.Fprintf(b, `<rect x="%.2f" y="%.2f" width="%.2f" height="%.2f" fill="%s"/>`, x+dx, top+dy, w, h, fg)
	}
	midX, midY := cellW/2-0.5, cellH/2-0.5
	switch r := []rune(seq)[0]; {
	case r >= '▁' && r <= '█':
		part := float64(r-'▁'+1) / 8 * cellH
		rect(0.3, cellH-part, cellW-0.6, part+0.2)
	case r == '─':
		rect(0, midY, cellW+0.2, 1)
	case r == '│':
		rect(midX, 0, 1, cellH+0.2)
	case r == '┌':
		rect(midX, midY, cellW-midX, 1)
		rect(midX, midY, 1, cellH-midY)
	case r == '┐':
		rect(0, midY, midX+1, 1)
		rect(midX, midY, 1, cellH-midY)
	case r == '└':
		rect(midX, midY, cellW-midX, 1)
		rect(midX, 0, 1, midY)
	case r == '┘':
		rect(0, midY, midX+1, 1)
		rect(midX, 0, 1, midY)
	case r == '●', r == '○', r == '◐', r == '◌':
		disc(b, r, x+cellW/2, top+cellH/2, fg)
	default:
		return false
	}
	return true
}

// disc draws the signs of the states, which the text font does not have.
func disc(b *strings.Builder, r rune, x, y float64, fg string) {
	const radius = 3.9
	fill, dash := "none", ""
	if r == '●' {
		fill = fg
	}
	if r == '◌' {
		dash = ` stroke-dasharray="1.6 1.6"`
	}
	fmt.Fprintf(b, `<circle cx="%.2f" cy="%.2f" r="%.2f" fill="%s" stroke="%s" stroke-width="1.1"%s/>`, x, y, radius, fill, fg, dash)
	if r == '◐' {
		fmt.Fprintf(b, `<path d="M %.2f %.2f a %.2f %.2f 0 0 0 0 %.2f z" fill="%s"/>`, x, y-radius, radius, radius, 2*radius, fg)
	}
}

// take applies an SGR sequence of the theme.
func (p *pen) take(seq string) {
	if !strings.HasPrefix(seq, "\x1b[") || !strings.HasSuffix(seq, "m") {
		return
	}
	codes := strings.Split(seq[2:len(seq)-1], ";")
	for i := 0; i < len(codes); i++ {
		switch codes[i] {
		case "", "0":
			*p = pen{}
		case "1":
			p.bold = true
		case "38", "48":
			if i+4 >= len(codes) {
				return
			}
			c := rgb(codes[i+2 : i+5])
			if codes[i] == "38" {
				p.fg = c
			} else {
				p.bg = c
			}
			i += 4
		}
	}
}

func rgb(parts []string) string {
	s := "#"
	for _, v := range parts {
		n, _ := strconv.Atoi(v)
		s += fmt.Sprintf("%02x", n)
	}
	return s
}
