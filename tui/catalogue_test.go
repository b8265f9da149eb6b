package tui

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// sameWord are texts that are alike in both languages.
var sameWord = []string{"ETA", ", "}

var verbs = regexp.MustCompile(`%[a-z]`)

func TestCatalogueIsWhole(t *testing.T) {
	walkTexts(t, "text", reflect.ValueOf(english), reflect.ValueOf(chinese))
	for _, act := range actions {
		for _, lang := range []*text{&english, &chinese} {
			if lang.Act[act.id].short == "" || lang.Act[act.id].long == "" {
				t.Errorf("action %s has no text", act.id)
			}
		}
	}
	if len(english.Act) != len(actions) {
		t.Errorf("%d texts for %d actions", len(english.Act), len(actions))
	}
}

func walkTexts(t *testing.T, path string, en, zh reflect.Value) {
	switch en.Kind() {
	case reflect.String:
		a, b := en.String(), zh.String()
		if a == "" || b == "" {
			t.Errorf("%s is empty: %q, %q", path, a, b)
		}
		if av, bv := verbs.FindAllString(a, -1), verbs.FindAllString(b, -1); !slices.Equal(av, bv) {
			t.Errorf("%s takes other values: %v, %v", path, av, bv)
		}
		han := strings.ContainsFunc(b, func(r rune) bool { return unicode.Is(unicode.Han, r) })
		if !han && !slices.Contains(sameWord, a) && !strings.Contains(path, "language") {
			t.Errorf("%s is not translated: %q", path, b)
		}
	case reflect.Struct:
		for i := range en.NumField() {
			walkTexts(t, path+"."+en.Type().Field(i).Name, en.Field(i), zh.Field(i))
		}
	case reflect.Slice:
		if en.Len() != zh.Len() {
			t.Fatalf("%s: %d and %d texts", path, en.Len(), zh.Len())
		}
		for i := range en.Len() {
			walkTexts(t, path, en.Index(i), zh.Index(i))
		}
	case reflect.Map:
		if en.Len() != zh.Len() {
			t.Errorf("%s: %d and %d texts", path, en.Len(), zh.Len())
		}
		for _, k := range en.MapKeys() {
			at := path + "[" + fmt.Sprint(k) + "]"
			if !zh.MapIndex(k).IsValid() {
				t.Errorf("%s is missing", at)
				continue
			}
			walkTexts(t, at, en.MapIndex(k), zh.MapIndex(k))
		}
	}
}

func TestActionsAreSound(t *testing.T) {
	a := &app{}
	handlers := a.handlers()
	seen := map[string]actionID{}
	for _, act := range actions {
		if handlers[act.id] == nil {
			t.Errorf("action %s does nothing", act.id)
		}
		for _, k := range act.keys {
			for _, s := range scopes {
				// Moving and global keys are there on every screen.
				if act.scope&(s|scopeMove|scopeGlobal) == 0 {
					continue
				}
				at := fmt.Sprint(s, k)
				if other := seen[at]; other != "" && other != act.id {
					t.Errorf("%s and %s share the key %q", other, act.id, k)
				}
				seen[at] = act.id
			}
		}
	}
	if len(handlers) != len(actions) {
		t.Errorf("%d handlers for %d actions", len(handlers), len(actions))
	}
}

func TestReadmeHasTheKeys(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), "<!-- keys -->\n")
	_, after, end := strings.Cut(rest, "<!-- /keys -->")
	if !found || !end {
		t.Fatal("README.md has no <!-- keys --> … <!-- /keys -->")
	}
	want := before + "<!-- keys -->\n" + KeyTable() + "<!-- /keys -->" + after
	if string(b) == want {
		return
	}
	if updating() {
		if err := os.WriteFile("../README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Error("the key table of README.md is not that of the actions; mend it with: go test ./tui -update")
}
