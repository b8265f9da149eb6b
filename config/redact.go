package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
)

// Redacted renders the configuration in force as TOML, with every password in
// a URL replaced by ***.
func (c *Config) Redacted() string {
	var b strings.Builder
	render(&b, "", reflect.ValueOf(*c))
	return strings.TrimPrefix(b.String(), "\n")
}

// render writes a table: first its values, then the tables in it.
func render(b *strings.Builder, path string, table reflect.Value) {
	var tables []int
	for i := range table.NumField() {
		name, field := keyOf(table.Type().Field(i)), table.Field(i)
		switch {
		case name == "":
		case isTable(field):
			tables = append(tables, i)
		default:
			fmt.Fprintf(b, "%s = %s\n", name, renderValue(field, name == "url" || name == "source" || name == "sink"))
		}
	}
	for _, i := range tables {
		renderTables(b, join(path, keyOf(table.Type().Field(i))), table.Field(i))
	}
}

func renderTables(b *strings.Builder, path string, field reflect.Value) {
	switch field.Kind() {
	case reflect.Struct:
		fmt.Fprintf(b, "\n[%s]\n", path)
		render(b, path, field)
	case reflect.Map:
		for _, name := range sortedKeys(field.Interface().(map[string]Endpoint)) {
			fmt.Fprintf(b, "\n[%s.%s]\n", path, name)
			render(b, join(path, name), field.MapIndex(reflect.ValueOf(name)))
		}
	case reflect.Slice:
		for i := range field.Len() {
			fmt.Fprintf(b, "\n[[%s]]\n", path)
			render(b, path, field.Index(i))
		}
	}
}

// isTable reports whether a field is written under a header of its own.
func isTable(field reflect.Value) bool {
	if _, ok := field.Interface().(encoding.TextMarshaler); ok {
		return false
	}
	t := field.Type()
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Map ||
		t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

func renderValue(field reflect.Value, url bool) string {
	switch v := field.Interface().(type) {
	case fmt.Stringer:
		return quote(v.String())
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case string:
		if url {
			v = redactURL(v)
		}
		return quote(v)
	}
	return fmt.Sprint(field.Interface())
}

// redactURL keeps everything of a URL but its password, and nothing of what
// only looks like one.
func redactURL(s string) string {
	if s == "" || endpointName.MatchString(s) {
		return s
	}
	address, user, err := ParseAddress(s)
	if err != nil {
		return "***"
	}
	if user == nil {
		return address.String()
	}
	scheme, rest, _ := strings.Cut(address.String(), "://")
	name := user.Username()
	if _, ok := user.Password(); ok {
		name += ":***"
	}
	return scheme + "://" + name + "@" + rest
}

// quote writes a text as TOML does; Go's own quotes have escapes that TOML lacks.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
