package tui

import (
	"unicode"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"
)

// inputLimit bounds what can be typed or pasted into one field.
const inputLimit = 1024

// input is a field for one line of text.
type input struct {
	text   []rune
	at     int  // the cursor, in runes
	secret bool // shown as dots
}

func newInput(s string) input {
	r := []rune(s)
	return input{text: r, at: len(r)}
}

func (in *input) String() string { return string(in.text) }

func (in *input) set(s string) { in.text = []rune(s); in.at = len(in.text) }

// press edits the text and reports whether the key was one for it.
func (in *input) press(k tea.KeyMsg) bool {
	switch k.String() {
	case "left", "ctrl+b":
		in.at = max(0, in.at-1)
	case "right", "ctrl+f":
		in.at = min(len(in.text), in.at+1)
	case "home", "ctrl+a":
		in.at = 0
	case "end", "ctrl+e":
		in.at = len(in.text)
	case "backspace", "ctrl+h":
		if in.at > 0 {
			in.text = append(in.text[:in.at-1:in.at-1], in.text[in.at:]...)
			in.at--
		}
	case "delete", "ctrl+d":
		if in.at < len(in.text) {
			in.text = append(in.text[:in.at:in.at], in.text[in.at+1:]...)
		}
	case "ctrl+u":
		in.text, in.at = in.text[in.at:], 0
	case "ctrl+w":
		from := in.at
		for from > 0 && in.text[from-1] == ' ' {
			from--
		}
		for from > 0 && in.text[from-1] != ' ' {
			from--
		}
		in.text = append(in.text[:from:from], in.text[in.at:]...)
		in.at = from
	default:
		if k.Type != tea.KeyRunes && k.Type != tea.KeySpace || k.Alt {
			return false
		}
		for _, r := range k.Runes {
			if unicode.IsPrint(r) && len(in.text) < inputLimit {
				in.text = append(in.text[:in.at:in.at], append([]rune{r}, in.text[in.at:]...)...)
				in.at++
			}
		}
	}
	return true
}

// draw appends the field in w cells, with the cursor in sight.
func (in *input) draw(a *app, l *line, w int, focused bool) {
	shown := in.text
	if in.secret {
		shown = make([]rune, len(in.text))
		for i := range shown {
			shown[i] = '•'
			if a.glyphs == &asciiGlyphs {
				shown[i] = '*'
			}
		}
	}
	start, end := l.used, l.used+w
	before, after := string(shown[:in.at]), string(shown[in.at:])
	for width(before) > w-1 && before != "" {
		_, n := utf8.DecodeRuneInString(before)
		before = before[n:]
	}
	l.put(strong, before)
	if focused {
		l.put(accent, a.glyphs.caret)
	}
	if room := end - l.used; room > 0 {
		l.put(strong, cut(after, room, ""))
	}
	l.gap(start + w - l.used)
}
