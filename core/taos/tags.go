package taos

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tdreplica/core"
)

// tagValues returns the tags of the children of a super table, by table and tag,
// as a statement has them. Both `show create table` and ins_tags print only a few
// digits of numbers, and the former breaks texts, JSON and geometries; what a
// query for tags returns is whole. table chooses one child; "" is all of them.
func (c *catalog) tagValues(ctx context.Context, database, super, table string) (tags []core.Column, values map[string]map[string]string, err error) {
	t, err := c.Describe(ctx, database, super)
	if err != nil {
		return nil, nil, err
	}
	names := make([]string, len(t.Tags))
	for i, tag := range t.Tags {
		names[i] = QuoteIdent(tag.Name)
	}
	op := fmt.Sprintf("read the tags of %q of database %q", super, database)
	statement := fmt.Sprintf("select tags tbname as `table of these`, %s from %s", strings.Join(names, ", "), qualified(database, super))
	if table != "" {
		statement += " where tbname = " + QuoteString(table)
	}
	rows, err := c.query(ctx, op, statement)
	if err != nil {
		return nil, nil, err
	}
	values = make(map[string]map[string]string, len(rows))
	for _, r := range rows {
		of := make(map[string]string, len(t.Tags))
		for _, tag := range t.Tags {
			if of[tag.Name], err = tagLiteral(tag, r[tag.Name]); err != nil {
				return nil, nil, c.ep.nonsense(op, err.Error())
			}
		}
		values[r.text("table of these")] = of
	}
	return t.Tags, values, nil
}

// tagLiteral writes a tag's value as a statement has it.
func tagLiteral(tag core.Column, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "NULL", nil
	case bool:
		return strconv.FormatBool(v), nil
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case string:
		return QuoteString(v), nil
	case time.Time:
		return QuoteString(v.UTC().Format(time.RFC3339Nano)), nil
	case json.RawMessage:
		return tagLiteral(tag, []byte(v))
	case []byte:
		switch {
		case tag.Type == "GEOMETRY":
			text, err := geometryText(v)
			return QuoteString(text), err
		case tag.Type != "JSON":
			return fmt.Sprintf(`'\x%x'`, v), nil
		case string(v) == "null":
			return "NULL", nil
		}
		return QuoteString(string(v)), nil
	}
	if n, whole := (row{"v": v}).number("v"); whole {
		if u, ok := v.(uint64); ok {
			return strconv.FormatUint(u, 10), nil
		}
		return strconv.FormatInt(n, 10), nil
	}
	return "", fmt.Errorf("tag %s is a %T", tag.Name, v)
}

// tagClause is what follows the name of the super table in a statement that
// creates a child with the tags that it has.
func (c *catalog) tagClause(ctx context.Context, database, super, table string) (string, error) {
	tags, values, err := c.tagValues(ctx, database, super, table)
	if err != nil {
		return "", err
	}
	of, there := values[table]
	if !there {
		return "", &core.Error{
			Class: core.ClassData, Code: codeTableMissing,
			Op: fmt.Sprintf("read the tags of %q of database %q at %s", table, database, c.ep), Text: "it was dropped meanwhile",
		}
	}
	var names, literals []string
	for _, tag := range tags {
		names, literals = append(names, QuoteIdent(tag.Name)), append(literals, of[tag.Name])
	}
	return fmt.Sprintf(" (%s) TAGS (%s)", strings.Join(names, ", "), strings.Join(literals, ", ")), nil
}
