package tui

import (
	"unicode/utf8"

	"github.com/charmbracelet/bubbles/key"
	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"
)

// inputLimit bounds what can be typed or pasted into one field.
const inputLimit = 1024

// input is a field for one line of text. How it is edited is the library's; how
// it is drawn is ours, so that widths hold for Chinese text too.
type input struct {
	field  textinput.Model
	secret bool // shown as dots
}

func newInput(s string) input {
	in := input{field: textinput.New()}
	in.field.CharLimit = inputLimit
	// Pasting is the terminal's business, and suggestions nobody's.
	for _, b := range []*key.Binding{
		&in.field.KeyMap.Paste, &in.field.KeyMap.AcceptSuggestion,
		&in.field.KeyMap.NextSuggestion, &in.field.KeyMap.PrevSuggestion,
	} {
		b.SetEnabled(false)
	}
	in.field.Focus()
	in.set(s)
	return in
}

func (in *input) String() string { return in.field.Value() }

func (in *input) set(s string) {
	in.field.SetValue(s)
	in.field.CursorEnd()
}

// press edits the text and reports whether the key was one for it.
func (in *input) press(k tea.KeyMsg) bool {
	typed := (k.Type == tea.KeyRunes || k.Type == tea.KeySpace) && !k.Alt
	m := &in.field.KeyMap
	edits := key.Matches(k, m.CharacterForward, m.CharacterBackward, m.WordForward, m.WordBackward,
		m.DeleteWordBackward, m.DeleteWordForward, m.DeleteAfterCursor, m.DeleteBeforeCursor,
		m.DeleteCharacterBackward, m.DeleteCharacterForward, m.LineStart, m.LineEnd)
	if !typed && !edits {
		return false
	}
	in.field, _ = in.field.Update(k)
	return true
}

// draw appends the field in w cells, with the cursor in sight.
func (in *input) draw(a *app, l *line, w int, focused bool) {
	shown := []rune(in.field.Value())
	if in.secret {
		for i := range shown {
			shown[i] = '•'
			if a.glyphs == &asciiGlyphs {
				shown[i] = '*'
			}
		}
	}
	start, end := l.used, l.used+w
	before, after := string(shown[:in.field.Position()]), string(shown[in.field.Position():])
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
