package tui

import (
	"strings"

	"tdreplica/core"
)

// filter selects rows by words: all of them must match. A word in front of
// which stands ! must not match; state:failed looks at one field only.
type filter struct {
	source string
	terms  []condition
}

type condition struct {
	field string // empty: any
	word  string // in lower case
	not   bool
}

// parseFilter reads what an operator typed; every text is a filter.
func parseFilter(s string) filter {
	f := filter{source: strings.TrimSpace(s)}
	for _, w := range strings.Fields(strings.ToLower(s)) {
		var t condition
		w, t.not = strings.CutPrefix(w, "!")
		if field, word, found := strings.Cut(w, ":"); found && fields[field] != "" {
			t.field, w = fields[field], word
			// !state:failed and state:!failed mean the same.
			if rest, not := strings.CutPrefix(w, "!"); not {
				w, t.not = rest, !t.not
			}
		}
		if t.word = w; w != "" {
			f.terms = append(f.terms, t)
		}
	}
	return f
}

// fields are the names that may stand before a colon.
var fields = map[string]string{
	"state": "state", "replica": "replica", "id": "replica", "db": "database", "database": "database",
	"source": "source", "sink": "sink", "note": "note", "level": "level", "kind": "kind",
}

func (f filter) empty() bool { return len(f.terms) == 0 }

func (f filter) matches(get func(field string) string, all ...string) bool {
	for _, t := range f.terms {
		found := false
		if t.field != "" {
			found = strings.Contains(strings.ToLower(get(t.field)), t.word)
		} else {
			for _, field := range all {
				if found = strings.Contains(strings.ToLower(get(field)), t.word); found {
					break
				}
			}
		}
		if found == t.not {
			return false
		}
	}
	return true
}

func (f filter) task(t *core.Task) bool {
	if f.empty() {
		return true
	}
	return f.matches(func(field string) string {
		switch field {
		case "replica":
			return t.Replica
		case "database":
			return t.Database
		case "source":
			return t.Source
		case "sink":
			return t.Sink
		case "note":
			return t.Note
		case "state":
			return string(t.State) + " " + string(t.Phase)
		}
		return ""
	}, "replica", "database", "source", "sink", "state", "note")
}

func (f filter) event(e *core.Event) bool {
	if f.empty() {
		return true
	}
	return f.matches(func(field string) string {
		switch field {
		case "replica":
			return e.Replica
		case "database":
			return e.Database
		case "note":
			return e.Text + " " + e.Actor.String()
		case "level":
			return string(e.Level)
		case "kind":
			return string(e.Kind)
		}
		return ""
	}, "replica", "database", "note", "kind")
}
