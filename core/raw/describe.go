package raw

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// listed is how many tables or columns a description names before it counts.
const listed = 3

// Describe is one line for an operator: what the change does, in words close to
// SQL. Names that are no plain identifiers are quoted and hold no control
// characters.
func Describe(m Meta) string {
	switch m.Kind {
	case CreateSuperTable:
		return fmt.Sprintf("create super table %s (%s) tags (%s)",
			quoted(m.Super.Name), columnList(m.Super.Columns), columnList(m.Super.Tags))
	case AlterSuperTable:
		if m.Alter == nil {
			return fmt.Sprintf("alter super table %s to (%s) tags (%s)",
				quoted(m.Super.Name), columnList(m.Super.Columns), columnList(m.Super.Tags))
		}
		return m.Alter.String()
	case AlterOneTable:
		return m.Alter.String()
	case CreateTables:
		return describeTables(m.Tables)
	case DropSuperTable:
		return "drop super table " + names(m.Dropped, func(d Dropped) string { return d.Name })
	case DropTables:
		return "drop table " + names(m.Dropped, func(d Dropped) string { return d.Name })
	case DeleteRows:
		return m.Delete.String()
	}
	return fmt.Sprintf("a change of raw type %d (%d bytes)", m.RawType, len(m.Payload))
}

// String is the delete as SQL would have it, and how many tables it concerns.
func (d *Delete) String() string {
	if len(d.UIDs) == 0 {
		return fmt.Sprintf("delete from %s: nothing in this vgroup", quoted(d.Table))
	}
	s := fmt.Sprintf("delete from %s where %s >= %d and %s <= %d",
		quoted(d.Table), quoted(d.TSColumn), d.From, quoted(d.TSColumn), d.To)
	return fmt.Sprintf("%s (%s)", s, plural(int64(len(d.UIDs)), "table"))
}

// String is the change as SQL would have it.
func (a *Alter) String() string {
	what := ""
	first := Column{}
	if len(a.Fields) > 0 {
		first = a.Fields[0]
	}
	name := quoted(first.Name)
	switch a.Change {
	case AddTag:
		what = "add tag " + name + " " + first.SQL()
	case DropTag:
		what = "drop tag " + name
	case RenameTag:
		what = "rename tag " + name + " " + quoted(a.NewName)
	case AddColumn, AddColumnCompress, AddColumnReference:
		what = "add column " + name + " " + first.SQL()
	case DropColumn:
		what = "drop column " + name
	case RenameColumn:
		what = "rename column " + name + " " + quoted(a.NewName)
	case ModifyColumn:
		what = "modify column " + name + " " + first.SQL()
	case ModifyTag:
		what = "modify tag " + name + " " + first.SQL()
	case SetTag, SetTags:
		what = "set tag " + names(a.Tags, func(t SetTagValue) string { return t.Name }, func(t SetTagValue) string {
			return " = " + t.Tag.String()
		})
	case SetOptions:
		what = "set options"
	case CompressColumn:
		what = "set compression of column " + name
	case AddTagIndex:
		what = "add index on tag " + name
	case DropTagIndex:
		what = "drop index on tag " + name
	default:
		what = fmt.Sprintf("(change %d)", a.Change)
		if a.Statement != "" {
			what = strconv.Quote(a.Statement)
		}
	}
	return "alter table " + quoted(a.Table) + " " + what
}

func describeTables(tables []NewTable) string {
	if len(tables) == 0 {
		return "create no table"
	}
	first := tables[0]
	s := "create table " + names(tables, func(t NewTable) string { return t.Name })
	same := true
	for _, t := range tables {
		same = same && t.Super == first.Super
	}
	switch {
	case first.Super != "" && same:
		s += " using " + quoted(first.Super)
		if len(tables) == 1 {
			s += tagList(first)
		}
	case len(tables) == 1:
		s += " (" + columnList(first.Columns) + ")"
	}
	return s
}

// tagList shows a child's tag values with their names where the request has as
// many of both; values come in the order of the tags' ids.
func tagList(t NewTable) string {
	if len(t.Tags) == 0 {
		return ""
	}
	named := len(t.TagNames) == len(t.Tags)
	i := -1
	return " tags (" + names(t.Tags, func(v Tag) string {
		i++
		switch {
		case v.Key != "":
			return v.Key
		case named:
			return t.TagNames[i]
		}
		return fmt.Sprintf("tag%d", v.ID)
	}, func(v Tag) string { return " = " + v.String() }) + ")"
}

func columnList(cols []Column) string {
	return names(cols, func(c Column) string { return c.Name }, func(c Column) string { return " " + c.SQL() })
}

// names lists things by name, the first few of them, each with what follow adds.
func names[T any](list []T, name func(T) string, follow ...func(T) string) string {
	var b strings.Builder
	for i, v := range list {
		if i == listed && len(list) > listed+1 {
			fmt.Fprintf(&b, ", … %d more", len(list)-listed)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoted(name(v)))
		for _, f := range follow {
			b.WriteString(f(v))
		}
	}
	return b.String()
}

// quoted is a name as SQL needs it, fit for a terminal: a backtick is doubled,
// and what does not print is escaped.
func quoted(name string) string {
	plain := name != ""
	for i, c := range name {
		if !(c == '_' || 'a' <= c && c <= 'z' || i > 0 && '0' <= c && c <= '9') {
			plain = false
			break
		}
	}
	if plain {
		return name
	}
	return "`" + printable(strings.ReplaceAll(name, "`", "``")) + "`"
}

// printable escapes whatever would not print as itself.
func printable(s string) string {
	clean := true
	for _, c := range s {
		if !unicode.IsPrint(c) || c == unicode.ReplacementChar {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
