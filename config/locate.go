package config

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// place is where something stands in the text; both count from 1.
type place struct{ line, column int }

// places knows where every key and every value of a TOML text stands. Paths
// look like "engine.retry_min", "replica[1].databases[0]".
type places struct {
	keys   map[string]place
	values map[string]place
}

// locate finds the places in a text that the TOML parser has accepted already:
// the parser does not tell the positions of what it decoded, so this walks the
// text again, and relies on its syntax being right.
func locate(text string) places {
	l := &locator{
		text:   text,
		found:  places{keys: map[string]place{}, values: map[string]place{}},
		arrays: map[string]int{},
	}
	l.pos = len(text) - len(strings.TrimPrefix(text, "\ufeff"))
	l.lineStart, l.line = l.pos, 1
	table := ""
	for l.skip(" \t\r\n"); l.pos < len(l.text); l.skip(" \t\r\n") {
		if l.text[l.pos] != '[' {
			l.pair(table)
			continue
		}
		at := l.here()
		array := strings.HasPrefix(l.text[l.pos:], "[[")
		l.skipByte('[')
		l.skipByte('[')
		table = l.table(l.key(), array)
		l.skipByte(']')
		l.skipByte(']')
		l.found.keys[table], l.found.values[table] = at, at
	}
	return l.found
}

type locator struct {
	text      string
	pos       int
	line      int
	lineStart int
	found     places
	arrays    map[string]int // of each array of tables, how many were seen
}

func (l *locator) here() place {
	return place{l.line, utf8.RuneCountInString(l.text[l.lineStart:l.pos]) + 1}
}

// advance moves over n bytes and keeps count of the lines.
func (l *locator) advance(n int) {
	for end := min(l.pos+n, len(l.text)); l.pos < end; l.pos++ {
		if l.text[l.pos] == '\n' {
			l.line++
			l.lineStart = l.pos + 1
		}
	}
}

// skip moves over any of the characters, and over comments.
func (l *locator) skip(chars string) {
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		switch {
		case strings.IndexByte(chars, c) >= 0:
			l.advance(1)
		case c == '#':
			end := strings.IndexByte(l.text[l.pos:], '\n')
			if end < 0 {
				end = len(l.text) - l.pos
			}
			l.advance(end)
		default:
			return
		}
	}
}

func (l *locator) skipByte(c byte) {
	l.skip(" \t")
	if l.pos < len(l.text) && l.text[l.pos] == c {
		l.advance(1)
	}
}

// key reads a dotted key.
func (l *locator) key() []string {
	var parts []string
	for {
		l.skip(" \t")
		start := l.pos
		if l.pos < len(l.text) && (l.text[l.pos] == '"' || l.text[l.pos] == '\'') {
			l.quoted()
			part := l.text[start:l.pos]
			if plain, err := strconv.Unquote(part); err == nil && part[0] == '"' {
				part = plain
			} else {
				part = strings.Trim(part, part[:1])
			}
			parts = append(parts, part)
		} else {
			n := strings.IndexAny(l.text[l.pos:], ".=] \t\r\n#")
			if n < 0 {
				n = len(l.text) - l.pos
			}
			l.advance(n)
			parts = append(parts, l.text[start:l.pos])
		}
		l.skip(" \t")
		if l.pos >= len(l.text) || l.text[l.pos] != '.' {
			return parts
		}
		l.advance(1)
	}
}

// table returns the path of a table's header; on its way an array of tables
// stands for its last element.
func (l *locator) table(parts []string, array bool) string {
	path := ""
	for i, part := range parts {
		path = join(path, part)
		if i == len(parts)-1 && array {
			l.arrays[path]++
		}
		if n := l.arrays[path]; n > 0 {
			path = index(path, n-1)
		}
	}
	return path
}

// pair reads `key = value` in a table.
func (l *locator) pair(table string) {
	at := l.here()
	path := table
	for _, part := range l.key() {
		path = join(path, part)
	}
	l.skipByte('=')
	l.skip(" \t")
	l.found.keys[path], l.found.values[path] = at, l.here()
	before := l.pos
	l.value(path)
	if l.pos == before {
		l.advance(1) // not TOML after all; go on rather than stand still
	}
}

func (l *locator) value(path string) {
	if l.pos >= len(l.text) {
		return
	}
	switch l.text[l.pos] {
	case '"', '\'':
		l.quoted()
	case '[':
		l.advance(1)
		for i := 0; ; i++ {
			l.skip(" \t\r\n,")
			if l.pos >= len(l.text) || l.text[l.pos] == ']' {
				l.advance(1)
				return
			}
			before := l.pos
			l.found.values[index(path, i)] = l.here()
			l.value(index(path, i))
			if l.pos == before {
				return
			}
		}
	case '{':
		l.advance(1)
		for {
			l.skip(" \t\r\n,")
			if l.pos >= len(l.text) || l.text[l.pos] == '}' {
				l.advance(1)
				return
			}
			l.pair(path)
		}
	default:
		n := strings.IndexAny(l.text[l.pos:], ",]}#\r\n")
		if n < 0 {
			n = len(l.text) - l.pos
		}
		l.advance(n)
	}
}

// quoted moves over a string of any of the four kinds.
func (l *locator) quoted() {
	quote := l.text[l.pos : l.pos+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(l.text[l.pos:], triple) {
		quote = triple
	}
	l.advance(len(quote))
	for l.pos < len(l.text) {
		switch {
		case quote[0] == '"' && l.text[l.pos] == '\\':
			l.advance(2)
		case strings.HasPrefix(l.text[l.pos:], quote):
			l.advance(len(quote))
			// Up to two more quotes may belong to a multi-line string's end.
			for len(quote) == 3 && l.pos < len(l.text) && l.text[l.pos] == quote[0] {
				l.advance(1)
			}
			return
		default:
			l.advance(1)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
