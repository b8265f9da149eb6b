package tui

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"tdreplica/core"
)

// unknown is how a number that cannot be known now is shown.
const unknown = "–"

// grouped writes n with its digits in groups of three: 12,480.
func grouped(n int64) string {
	if n < 0 {
		return unknown
	}
	s := strconv.FormatInt(n, 10)
	if len(s) <= 3 {
		return s
	}
	var b [26]byte
	out := len(b)
	for i, k := len(s)-1, 0; i >= 0; i, k = i-1, k+1 {
		if k > 0 && k%3 == 0 {
			out--
			b[out] = ','
		}
		out--
		b[out] = s[i]
	}
	return string(b[out:])
}

// metric writes a rate with a decimal prefix, three significant digits at the
// most: 41.2 k/s, 1.21 M rows/s.
func metric(f float64, unit string) string {
	switch {
	case f < 0:
		return unknown
	case f < 0.05:
		return "0 " + unit
	case f < 10:
		return strconv.FormatFloat(f, 'f', 1, 64) + " " + unit
	case f < 1000:
		return strconv.FormatFloat(f, 'f', 0, 64) + " " + unit
	}
	prefixes := "kMGTP"
	i := -1
	for f >= 999.5 && i < len(prefixes)-1 {
		f /= 1000
		i++
	}
	if unit != "" && unit[0] != '/' {
		unit = " " + unit
	}
	return significant(f) + " " + prefixes[i:i+1] + unit
}

// size writes a number of bytes with powers of 1024: 38.2 MB.
func size(n int64) string {
	if n < 0 {
		return unknown
	}
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, i := float64(n), -1
	prefixes := "KMGTP"
	for f >= 999.5 && i < len(prefixes)-1 {
		f /= 1024
		i++
	}
	return significant(f) + " " + prefixes[i:i+1] + "B"
}

// significant writes f, which is below 1000, with three significant digits.
func significant(f float64) string {
	switch {
	case f < 9.995:
		return strconv.FormatFloat(f, 'f', 2, 64)
	case f < 99.95:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

// span writes a duration in one unit, in at most six cells: 0.8 s, 41 m, 12 d.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return unknown
	case d == 0:
		return "0 s"
	case d < 100*time.Millisecond:
		return "0.1 s" // not 0: something waits
	case d < 9950*time.Millisecond:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < 100*time.Second:
		return strconv.FormatInt(int64(d/time.Second), 10) + " s"
	case d < 100*time.Minute:
		return strconv.FormatInt(int64(d/time.Minute), 10) + " m"
	case d < 100*time.Hour:
		return strconv.FormatInt(int64(d/time.Hour), 10) + " h"
	}
	return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + " d"
}

// spanMS is span for the milliseconds of a snapshot; Unknown is –.
func spanMS(ms int64) string {
	if ms == core.Unknown {
		return unknown
	}
	return span(time.Duration(ms) * time.Millisecond)
}

// wholeSpan is span without a fraction, for an age that ticks on the screen.
func wholeSpan(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	if d < 100*time.Second {
		return strconv.Itoa(int(d/time.Second)) + " s"
	}
	return span(d)
}

// uptime writes a duration in two units: 12d 04h, 4h 07m, 3m 20s.
func uptime(d time.Duration) string {
	switch {
	case d < 0:
		return unknown
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	day := 24 * time.Hour
	return fmt.Sprintf("%dd %02dh", d/day, d%day/time.Hour)
}

// plainASCII reports whether s is printable ASCII only: then its width is its
// length, and it holds nothing that could disturb a terminal.
func plainASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// width is how many cells s takes.
func width(s string) int {
	if plainASCII(s) {
		return len(s)
	}
	return ansi.StringWidth(s)
}

// clean makes text that came from outside (names, notes, errors) safe to show
// on one line: control characters and escape sequences cannot reach the
// terminal.
func clean(s string) string {
	if plainASCII(s) {
		return s
	}
	s = ansi.Strip(s)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < 0x20 || r >= 0x7f && r < 0xa0, r == '\u2028', r == '\u2029', r == '\u200b', r == '\ufeff':
			return -1
		case r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069':
			return -1 // bidirectional overrides could reorder a whole row
		}
		return r
	}, s)
}

// cut shortens s to w cells; tail marks that something is missing.
func cut(s string, w int, tail string) string {
	if w <= 0 {
		return ""
	}
	if width(s) <= w {
		return s
	}
	return ansi.Truncate(s, w, tail)
}

// cutMiddle shortens s to w cells in its middle: names of one kind often differ
// at their ends only.
func cutMiddle(s string, w int, tail string) string {
	n := width(s)
	if n <= w || w < 5 {
		return cut(s, w, tail)
	}
	end := (w - 1) / 2
	rest := ansi.TruncateLeft(s, n-end, "")
	return ansi.Truncate(s, w-width(rest), tail) + rest
}

const blanks = "                                                                                                    "

// spaces returns n blanks.
func spaces(n int) string {
	if n <= 0 {
		return ""
	}
	if n <= len(blanks) {
		return blanks[:n]
	}
	return strings.Repeat(" ", n)
}

// quantity is a number and its unit, and dashed a date: both stay on one line.
var (
	quantity = regexp.MustCompile(`(\d) ([smhd]|ms|[KMGTP]?B)\b`)
	dashed   = regexp.MustCompile(`(\d)-(\d)`)
	unbound  = strings.NewReplacer("\u00a0", " ", "\u2011", "-")
)

// stops are where Chinese, which has no blanks, may be broken.
const stops = "，。；：、）"

// keptTogether is s as wrap does not break it, if it fits into one line.
func keptTogether(s string) string { return strings.ReplaceAll(s, " ", "\u00a0") }

// wrap breaks s into lines of at most w cells.
func wrap(s string, w int) []string {
	if w <= 0 {
		return nil
	}
	if width(s) <= w {
		return []string{unbound.Replace(s)}
	}
	bound := dashed.ReplaceAllString(quantity.ReplaceAllString(s, "$1\u00a0$2"), "$1\u2011$2")
	lines := strings.Split(ansi.Wrap(bound, w, stops), "\n")
	for i := range lines {
		lines[i] = cut(strings.TrimRight(unbound.Replace(lines[i]), " "), w, "")
	}
	return lines
}
