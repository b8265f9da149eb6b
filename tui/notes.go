package tui

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tdreplica/core"
)

// An instance speaks English: its notes, events and errors are made of parts,
// what was being done, what happened, what to do about it. The console
// translates part by part; a part that the catalogue does not know stays as it
// is, so that no word of a server is lost.

// phrase is a part in English and what it becomes. {1} stands for what differs.
type phrase struct {
	from *regexp.Regexp
	to   string
	size int // of the words in it: the longest that fits is the right one
}

var blank = regexp.MustCompile(`\{[0-9]\}`)

// phrases are the Chinese ones, ready for use.
var phrases = sync.OnceValue(func() []phrase {
	var out []phrase
	for i, en := range english.Phrase {
		form := blank.ReplaceAllString(regexp.QuoteMeta(en), "(.+?)")
		for n := 1; n < 10; n++ {
			form = strings.ReplaceAll(form, regexp.QuoteMeta("{"+strconv.Itoa(n)+"}"), "(.+?)")
		}
		out = append(out, phrase{from: regexp.MustCompile("^" + form + "$"), to: chinese.Phrase[i], size: len(blank.ReplaceAllString(en, ""))})
	}
	slices.SortStableFunc(out, func(a, b phrase) int { return cmp.Compare(b.size, a.size) })
	return out
})

var errorCode = regexp.MustCompile(` \[0x[0-9A-F]{4}\]$`)

// spoken is what the instance says, in the language of the console.
func (a *app) spoken(s string) string {
	out, known := a.said[s]
	if !known {
		if len(a.said) >= saidKept {
			clear(a.said)
		}
		out = a.text.translate(clean(s))
		a.said[s] = out
	}
	return out
}

// saidKept is how many translations are remembered: a frame shows the same
// notes as the one before, and each takes a fraction of a millisecond.
const saidKept = 1000

// brief is what the instance says in about w cells. It begins with what was
// being done, and ends with the cause and what to do about it: what was being
// done goes first.
func (a *app) brief(s string, w int) string {
	said := a.spoken(s)
	for width(said) > w {
		if s = lessOf(s); s == "" {
			break
		}
		said = a.glyphs.tail + " " + a.spoken(s)
	}
	return said
}

// mechanics are parts of an error that name a step of the network.
var mechanics = regexp.MustCompile(`^((dial|read|write) tcp .*|connect)$`)

// shortCause is a length below which a cause says too little alone.
const shortCause = 16

// lessOf leaves out the part of an error that says least, or returns "".
func lessOf(s string) string {
	cause, hint, hinted := strings.Cut(s, "; ")
	parts := strings.Split(cause, ": ")
	at := slices.IndexFunc(parts, mechanics.MatchString)
	if at < 0 || at == len(parts)-1 {
		at = 0
	}
	parts = slices.Delete(parts, at, at+1)
	less := strings.Join(parts, ": ")
	if hinted {
		less += "; " + hint
	}
	if len(parts) == 0 || len(less) < shortCause {
		return ""
	}
	return less
}

func (a *app) spokenAll(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = a.spoken(s)
	}
	return out
}

// translate translates an English note, event or error part by part.
func (t *text) translate(s string) string {
	if t == &english || s == "" {
		return s
	}
	halves := strings.Split(s, "; ")
	for i, half := range halves {
		parts := strings.Split(half, ": ")
		for k, p := range parts {
			parts[k] = t.part(p)
		}
		halves[i] = strings.Join(parts, ": ")
	}
	return strings.Join(halves, "; ")
}

func (t *text) part(s string) string {
	code := errorCode.FindString(s)
	words := strings.TrimSuffix(s, code)
	// What is done is often followed by where.
	if at := strings.LastIndex(words, " at "); at > 0 {
		if w := t.word(words[:at]); w != "" {
			return w + " (" + words[at+len(" at "):] + ")" + code
		}
	}
	if w := t.word(words); w != "" {
		return w + code
	}
	return s
}

// word is the translation of a part, or "".
func (t *text) word(s string) string {
	if w := t.State[core.State(s)]; w != "" {
		return w
	}
	if w := t.Outcome[core.Outcome(s)]; w != "" {
		return w
	}
	return t.phrase(s)
}

// phrase is the translation of a part by the list of them, or "". What differs
// can be a phrase, too: what was being applied, the time of a gap.
func (t *text) phrase(s string) string {
	for _, p := range phrases() {
		found := p.from.FindStringSubmatch(s)
		if found == nil {
			continue
		}
		to := p.to
		for n := 1; n < len(found); n++ {
			what := found[n]
			if w := t.phrase(what); w != "" {
				what = w
			}
			to = strings.ReplaceAll(to, "{"+strconv.Itoa(n)+"}", what)
		}
		return to
	}
	return ""
}
