package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// decoder fills a Config from a TOML tree and collects what is wrong instead of
// stopping at it. A value that is wrong leaves the default in its place, so
// that later checks do not complain about it a second time.
type decoder struct {
	file     string
	places   places
	problems []Problem
	warnings []Problem
	bad      map[string]bool // paths that have a problem
}

// decode reads the text into c.
func (d *decoder) decode(text string, c *Config) {
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil {
		d.syntax(text, err)
		return
	}
	d.places = locate(text)
	d.value("", tree, reflect.ValueOf(c).Elem())
}

// quotedText matches what the TOML parser quotes, and harmless what may be shown of
// it: single characters and quotes. Anything longer may be half of a password.
var (
	quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:\\.[0-9a-zA-Z]*|[^'\\][^']*|''')'`)
	harmless   = regexp.MustCompile(`^(?:"[^\\]?"|'[^\\]'|'\\(?:.|x[0-9a-f]{2}|u[0-9a-f]{4})'|["']+)$`)
)

// syntax reports what the TOML parser said, without the text that it quotes.
func (d *decoder) syntax(text string, err error) {
	p := Problem{File: d.file, Text: "is not TOML: " + withoutText(err.Error())}
	var parse toml.ParseError
	if errors.As(err, &parse) {
		p.Line, p.Column = lineOf(text, parse.Position.Start)
		p.Text = "is not TOML: " + withoutText(parse.Message)
		switch {
		case strings.HasPrefix(parse.Message, "Key '"):
			p.Text = "is not TOML: " + parse.Message // names a key that is there twice
		case strings.HasPrefix(parse.Message, "expected value but found "):
			p.Text += "; texts stand in quotes"
		case strings.Contains(parse.Message, "to end with a newline, comment, or EOF"):
			p.Text += "; texts, sizes and durations stand in quotes, such as \"64MB\""
		}
	}
	d.problems = append(d.problems, p)
}

func withoutText(message string) string {
	return quotedText.ReplaceAllStringFunc(message, func(quoted string) string {
		if harmless.MatchString(quoted) {
			return quoted
		}
		return "(this)"
	})
}

// lineOf is the line and column of a byte, both from 1. What the parser itself says
// of them is a line too far where a line ended too early.
func lineOf(text string, at int) (line, column int) {
	before := strings.TrimPrefix(text, "\ufeff")
	before = before[:min(max(at, 0), len(before))]
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:]) + 1
}

// problem reports what is wrong with the value at a path.
func (d *decoder) problem(path, format string, args ...any) {
	d.bad[path] = true
	d.problems = append(d.problems, d.at(d.places.values, path, fmt.Sprintf(format, args...)))
}

// warn reports what is unwise about the value at a path.
func (d *decoder) warn(path, format string, args ...any) {
	d.warnings = append(d.warnings, d.at(d.places.values, path, fmt.Sprintf(format, args...)))
}

// at places a text at a path, or where its nearest table stands.
func (d *decoder) at(places map[string]place, path, text string) Problem {
	p := Problem{File: d.file, Key: path, Text: text}
	for ; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		if at, ok := places[path]; ok {
			p.Line, p.Column = at.line, at.column
			break
		}
	}
	return p
}

// value puts in, a node of the TOML tree, into out.
func (d *decoder) value(path string, in any, out reflect.Value) {
	if text, ok := out.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(path, in, text)
		return
	}
	switch out.Kind() {
	case reflect.Struct:
		d.table(path, in, out)
	case reflect.Map:
		d.tables(path, in, out)
	case reflect.Slice:
		d.list(path, in, out)
	case reflect.String:
		s, ok := in.(string)
		d.typed(path, in, ok, `text in quotes`)
		if ok {
			out.SetString(s)
		}
	case reflect.Bool:
		b, ok := in.(bool)
		d.typed(path, in, ok, "true or false")
		out.SetBool(b && ok)
	case reflect.Int:
		n, ok := in.(int64)
		ok = ok && n >= math.MinInt32 && n <= math.MaxInt32
		d.typed(path, in, ok, "a whole number")
		if ok {
			out.SetInt(n)
		}
	}
}

func (d *decoder) typed(path string, in any, ok bool, want string) {
	if !ok {
		d.problem(path, "is %s; expected %s", kindOf(in), want)
	}
}

// text reads a duration or a size. Neither is ever a secret.
func (d *decoder) text(path string, in any, out encoding.TextUnmarshaler) {
	var s string
	switch v := in.(type) {
	case string:
		s = v
	case int64, float64:
		s = fmt.Sprint(v) // gets the sentence about the missing unit
	default:
		d.typed(path, in, false, "text in quotes with a number and its unit")
		return
	}
	if err := out.UnmarshalText([]byte(s)); err != nil {
		d.problem(path, "= %q %v", s, err)
	}
}

func (d *decoder) table(path string, in any, out reflect.Value) {
	tree, ok := in.(map[string]any)
	if !ok {
		d.typed(path, in, false, "a table")
		return
	}
	fields := map[string]int{}
	var names []string
	for i := range out.NumField() {
		if name := keyOf(out.Type().Field(i)); name != "" {
			fields[name] = i
			names = append(names, name)
		}
	}
	for _, key := range sortedKeys(tree) {
		if i, ok := fields[key]; ok {
			d.value(join(path, key), tree[key], out.Field(i))
		} else {
			d.unknown(path, key, names)
		}
	}
}

// unknown reports a key that the schema does not have.
func (d *decoder) unknown(path, key string, names []string) {
	text := "is not a key of the configuration; "
	if meant := closest(key, names); meant != "" {
		text += "did you mean " + meant + "?"
	} else {
		sort.Strings(names)
		text += "allowed here: " + strings.Join(names, ", ")
	}
	path = join(path, key)
	d.bad[path] = true
	p := d.at(d.places.keys, path, text)
	if len(key) > 64 || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' }) {
		p.Key = "a key"
	}
	d.problems = append(d.problems, p)
}

// tables reads tables by name, such as [endpoints.NAME].
func (d *decoder) tables(path string, in any, out reflect.Value) {
	tree, ok := in.(map[string]any)
	if !ok {
		d.typed(path, in, false, "tables of the form ["+path+".NAME]")
		return
	}
	out.Set(reflect.MakeMap(out.Type()))
	for _, name := range sortedKeys(tree) {
		element := reflect.New(out.Type().Elem()).Elem()
		d.value(join(path, name), tree[name], element)
		out.SetMapIndex(reflect.ValueOf(name), element)
	}
}

func (d *decoder) list(path string, in any, out reflect.Value) {
	v := reflect.ValueOf(in)
	if in == nil || v.Kind() != reflect.Slice {
		want := "a list of texts"
		if out.Type().Elem().Kind() == reflect.Struct {
			want = "tables of the form [[" + path + "]]"
		}
		d.typed(path, in, false, want)
		return
	}
	list := reflect.MakeSlice(out.Type(), v.Len(), v.Len())
	for i := range v.Len() {
		if r, ok := list.Index(i).Addr().Interface().(*Replica); ok {
			*r = DefaultReplica()
		}
		d.value(index(path, i), v.Index(i).Interface(), list.Index(i))
	}
	if v.Len() > 0 {
		out.Set(list)
	}
}

// keyOf is the name of a field in the file; empty if it has none.
func keyOf(f reflect.StructField) string {
	if name := f.Tag.Get("toml"); name != "-" {
		return name
	}
	return ""
}

// kindOf names the type of a TOML value. The value itself is not repeated: it
// may be a password in the wrong place.
func kindOf(in any) string {
	switch in.(type) {
	case string:
		return "text"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case time.Time:
		return "a date or a time"
	case map[string]any:
		return "a table"
	}
	return "a list"
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
