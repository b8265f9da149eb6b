package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

const exampleFile = "../replica.example.toml"

// commentedKey is a line of the example that is a key with a # before it.
var commentedKey = regexp.MustCompile(`(?m)^#([a-z_]+ = |\[)`)

func readExample(t *testing.T) (asIs, uncommented string) {
	t.Helper()
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(data), commentedKey.ReplaceAllString(string(data), "$1")
}

func TestExampleIsTheDefaults(t *testing.T) {
	asIs, _ := readExample(t)
	got, err := Parse(exampleFile, []byte(asIs))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.File = exampleFile
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the example differs from the defaults:\n%s\nwant:\n%s", got.Redacted(), want.Redacted())
	}
}

func TestExampleShowsEveryKeyWithItsDefault(t *testing.T) {
	_, text := readExample(t)
	c, err := Parse(exampleFile, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil {
		t.Fatal(err)
	}
	table := func(in any, path ...string) map[string]any {
		for _, p := range path {
			in = in.(map[string]any)[p]
		}
		if list, ok := in.([]map[string]any); ok {
			in = list[0]
		}
		return in.(map[string]any)
	}
	compareKeys(t, "", reflect.TypeFor[Config](), tree)
	compareKeys(t, "endpoints.site-a", reflect.TypeFor[Endpoint](), table(tree, "endpoints", "site-a"))
	compareKeys(t, "replica", reflect.TypeFor[Replica](), table(tree, "replica"))
	for _, name := range []string{"instance", "engine", "console", "metrics"} {
		field, _ := reflect.TypeFor[Config]().FieldByNameFunc(func(s string) bool { return strings.EqualFold(s, name) })
		compareKeys(t, name, field.Type, table(tree, name))
	}

	// What has no default is set to its zero value before comparing.
	replica, site := c.Replicas[0], c.Endpoints["site-a"]
	replica.Source, replica.Sink, site.URL = "", "", ""
	if !reflect.DeepEqual(replica, DefaultReplica()) {
		t.Errorf("[[replica]] shows %+v, the defaults are %+v", replica, DefaultReplica())
	}
	if site != (Endpoint{}) {
		t.Errorf("[endpoints.site-a] shows %+v, the defaults are empty", site)
	}
}

func compareKeys(t *testing.T, path string, schema reflect.Type, tree map[string]any) {
	t.Helper()
	for i := range schema.NumField() {
		key := keyOf(schema.Field(i))
		if _, ok := tree[key]; key != "" && !ok {
			t.Errorf("%s: key %q of the schema is missing from the example", path, key)
		}
	}
}

// TestExampleExplainsEveryKey wants a comment right above each key, which for a
// duration or a size says so.
func TestExampleExplainsEveryKey(t *testing.T) {
	asIs, _ := readExample(t)
	key := regexp.MustCompile(`^#?([a-z_]+) = (.*)$`)
	quantity := regexp.MustCompile(`^"\d+(ms|s|m|h|MB)"$`)
	explained, comment := map[string]bool{}, ""
	for n, line := range strings.Split(asIs, "\n") {
		m := key.FindStringSubmatch(line)
		switch {
		case m == nil && strings.HasPrefix(line, "# "):
			comment += line
			continue
		case m != nil && comment == "" && !explained[m[1]]:
			t.Errorf("line %d: %s has no comment above it", n+1, m[1])
		case m != nil && quantity.MatchString(m[2]) && !strings.Contains(comment, "uration") && !strings.Contains(comment, "Size"):
			t.Errorf("line %d: the comment of %s does not name its unit", n+1, m[1])
		}
		if m != nil {
			explained[m[1]] = true
		}
		comment = ""
	}
}
