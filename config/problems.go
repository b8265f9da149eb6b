package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong (or, in Config.Warnings, unwise) in a
// configuration. Line and Column count from 1 and are 0 where the file has no
// place for it, such as a key that is missing. The text never holds a secret.
type Problem struct {
	File   string
	Line   int
	Column int // in characters
	Key    string
	Text   string
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key)
		b.WriteString(" ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Errors is everything that is wrong with a configuration, in the order of the
// file.
type Errors struct{ Problems []Problem }

func (e *Errors) Error() string {
	if len(e.Problems) == 1 {
		return "the configuration is not usable: " + e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the configuration has %d problems:", len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  ")
		b.WriteString(p.String())
	}
	return b.String()
}

// closest returns the word of words that was probably meant, or "".
func closest(word string, words []string) string {
	best, bestDistance := "", 3 // more than two slips of the finger is another word
	for _, w := range words {
		if best == "" && len(word) > 3 && (strings.HasPrefix(w, word) || strings.HasPrefix(word, w)) {
			best = w
		}
		if d := editDistance(word, w); d < bestDistance && d < len(w) {
			best, bestDistance = w, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements of bytes that
// lead from a to b.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64 // no key is that long: do not spend time on it
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}
