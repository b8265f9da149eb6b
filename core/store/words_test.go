package store

import (
	"slices"
	"strings"
	"testing"
)

func TestWordsAreCommonDistinctAndTypeable(t *testing.T) {
	if len(words) < 500 {
		t.Fatalf("%d words, want at least 500", len(words))
	}
	if !slices.IsSorted(words) {
		t.Error("the list is not sorted")
	}
	for i, w := range words {
		if len(w) < 3 || len(w) > 8 || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" {
			t.Errorf("%q: want 3 to 8 letters a-z", w)
		}
		for _, o := range words[:i] {
			if oneKeyApart(w, o) {
				t.Errorf("%q and %q differ by less than two keystrokes", w, o)
			}
		}
	}
}

// oneKeyApart reports whether one letter changed, added or left out (or
// nothing at all) turns a into b.
func oneKeyApart(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return i == len(a) || a[i+1:] == b[i+1:]
	}
	return a[i:] == b[i+1:]
}

func TestNewIDAvoidsWhatIsTaken(t *testing.T) {
	free := "otter"
	id := NewID(func(w string) bool { return w != free })
	if id != free {
		t.Errorf("NewID = %q, want the only free word %q", id, free)
	}
	all := map[string]bool{}
	for _, w := range words {
		all[w] = true
	}
	id = NewID(func(w string) bool { return all[w] })
	if !strings.HasSuffix(id, "2") || !all[strings.TrimSuffix(id, "2")] {
		t.Errorf("NewID with every word taken = %q", id)
	}
}
