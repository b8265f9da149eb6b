package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"tdreplica/core"
)

// grid prints rows in a frame of +---+. Columns whose cells are all numbers
// are aligned to the right. Widths are those of a terminal, where Chinese
// characters take two cells.
func grid(w io.Writer, head []string, rows [][]string) {
	width := make([]int, len(head))
	number := make([]bool, len(head))
	for i, h := range head {
		width[i], number[i] = ansi.StringWidth(h), len(rows) > 0
		for _, r := range rows {
			width[i] = max(width[i], ansi.StringWidth(r[i]))
			number[i] = number[i] && isNumber(r[i])
		}
	}
	var b strings.Builder
	rule := func() {
		for _, n := range width {
			b.WriteString("+" + strings.Repeat("-", n+2))
		}
		b.WriteString("+\n")
	}
	line := func(cells []string) {
		for i, cell := range cells {
			pad := strings.Repeat(" ", width[i]-ansi.StringWidth(cell))
			if number[i] {
				b.WriteString("| " + pad + cell + " ")
			} else {
				b.WriteString("| " + cell + pad + " ")
			}
		}
		b.WriteString("|\n")
	}
	rule()
	line(head)
	rule()
	for _, r := range rows {
		line(r)
	}
	if len(rows) > 0 {
		rule()
	}
	io.WriteString(w, b.String())
}

func isNumber(s string) bool {
	return s == "–" || s != "" && strings.Trim(s, "0123456789") == ""
}

// clean keeps a text on its line and takes out what a terminal would obey.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, s)
}

// count prints a number that may be unknown.
func count(n int64) string {
	if n == core.Unknown {
		return "–"
	}
	return fmt.Sprint(n)
}

// age prints a span in its largest unit or two.
func age(d time.Duration) string {
	switch d = max(d, 0).Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
