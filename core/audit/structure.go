package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tdreplica/core"
)

// groupTables is how many children one query is about at most: it bounds the
// statement and the answer.
const groupTables = 500

// structure is what two sides have in common, and in what they differ, but for
// rows.
type structure struct {
	differences []core.Difference
	mends       []mend // what would undo them, the parents of tables first
	groups      []Group
	common      map[string]bool // tables of both sides
	of          map[string]Group
	total       int
}

// mend is a change at the sink that undoes a difference: a column or a tag, or,
// with neither, a table that is made as it is at the source. Nothing is done
// about what only the sink has.
type mend struct {
	of     core.Difference
	column *core.Column
	widen  bool
	tag    *core.Column
	value  string // as a statement has it
}

// structure compares definitions, tables and tags.
func (j *Job) structure(ctx context.Context) (*structure, error) {
	j.step("compare tables and tags")
	s := &structure{common: map[string]bool{}, of: map[string]Group{}}
	db := j.opts.Database
	sums, _, err := ask(ctx, j, func(side Side) (bool, error) { return side.Checksums(ctx) })
	if err != nil {
		return nil, err
	}
	supers, _, err := ask(ctx, j, func(side Side) ([]string, error) { return side.SuperTables(ctx, db) })
	if err != nil {
		return nil, err
	}
	tables, _, err := ask(ctx, j, func(side Side) (map[string]string, error) {
		list, err := side.Tables(ctx, db)
		byName := make(map[string]string, len(list))
		for _, t := range list {
			byName[t.Name] = t.Super
		}
		return byName, err
	})
	if err != nil {
		return nil, err
	}
	children := map[string][]string{} // of both sides, by super table
	for _, name := range union(tables[0], tables[1]) {
		s.table(name, tables, children)
	}
	for _, name := range union(index(supers[0]), index(supers[1])) {
		both, err := s.super(ctx, j, name, supers)
		if err != nil {
			return nil, err
		}
		if both == nil || len(children[name]) == 0 {
			continue
		}
		both.Checksums, both.Precision = sums[0] && sums[1], j.opts.Precision
		s.add(*both, children[name])
		if err := s.tags(ctx, j, both); err != nil {
			return nil, err
		}
	}
	for _, name := range children[""] {
		both, err := s.compareTable(ctx, j, name)
		if err != nil {
			return nil, err
		}
		if both != nil {
			both.Super, both.Checksums, both.Precision = "", sums[0] && sums[1], j.opts.Precision
			s.add(*both, []string{name})
		}
	}
	j.update(func(d *core.DatabaseAudit) { d.TablesTotal = int64(s.total) })
	return s, nil
}

func (s *structure) differ(kind core.DifferenceKind, table, format string, args ...any) core.Difference {
	d := core.Difference{Kind: kind, Table: table, Text: fmt.Sprintf(format, args...)}
	s.differences = append(s.differences, d)
	return d
}

// table compares where a child or normal table is.
func (s *structure) table(name string, tables [2]map[string]string, children map[string][]string) {
	s.total++
	source, there := tables[0][name]
	sink, here := tables[1][name]
	switch {
	case !here:
		s.mends = append(s.mends, mend{of: s.differ(core.MissingTable, name, "the sink has no such table")})
	case !there:
		s.differ(core.ExtraTable, name, "only the sink has it")
	case source != sink:
		s.differ(core.OtherSchema, name, "its super table is %q at the source and %q at the sink", source, sink)
	default:
		s.common[name] = true
		children[source] = append(children[source], name)
	}
}

// super compares a super table, and returns nil if only one side has it.
func (s *structure) super(ctx context.Context, j *Job, name string, supers [2][]string) (*Group, error) {
	switch {
	case !slices.Contains(supers[1], name):
		s.mends = slices.Insert(s.mends, 0, mend{of: s.differ(core.MissingTable, name, "the sink has no such super table")})
		return nil, nil
	case !slices.Contains(supers[0], name):
		s.differ(core.ExtraTable, name, "only the sink has this super table")
		return nil, nil
	}
	return s.compareTable(ctx, j, name)
}

// ColumnDifference is a column or tag that two definitions of a table differ in.
type ColumnDifference struct {
	Column core.Column // the source's; the sink's if Extra
	Text   string
	// At the sink it is missing, shorter, of another type or another part of the
	// key, or it is only there.
	Missing, Shorter, Type, Extra bool
}

// CompareColumns compares two definitions of a table by the names of their
// columns and tags; in which order they come does not matter.
func CompareColumns(source, sink *core.Table) []ColumnDifference {
	var out []ColumnDifference
	for _, c := range slices.Concat(source.Columns, source.Tags) {
		have := find(sink, c)
		d := ColumnDifference{Column: c}
		switch {
		case have == nil:
			d.Missing, d.Text = true, fmt.Sprintf("the sink lacks %s %s", c.Name, c.SQLType())
		case have.Type != c.Type || have.IsKey() != c.IsKey():
			d.Type, d.Text = true, fmt.Sprintf("%s is %s %s at the source and %s %s at the sink", c.Name, c.SQLType(), c.Note, have.SQLType(), have.Note)
		case have.Length != c.Length:
			d.Shorter = have.Length < c.Length
			d.Text = fmt.Sprintf("%s is %s at the source and %s at the sink", c.Name, c.SQLType(), have.SQLType())
		default:
			continue
		}
		out = append(out, d)
	}
	for _, c := range slices.Concat(sink.Columns, sink.Tags) {
		if find(source, c) == nil {
			out = append(out, ColumnDifference{Column: c, Extra: true, Text: fmt.Sprintf("only the sink has %s %s", c.Name, c.SQLType())})
		}
	}
	return out
}

// compareTable compares columns and tags, and returns what can be compared of
// the rows: the columns that both have with one type.
func (s *structure) compareTable(ctx context.Context, j *Job, name string) (*Group, error) {
	described, _, err := ask(ctx, j, func(side Side) (*core.Table, error) { return side.Describe(ctx, j.opts.Database, name) })
	if gone(err) {
		return nil, nil // dropped since it was listed
	}
	if err != nil {
		return nil, err
	}
	source := described[0]
	apart := map[string]bool{}
	for _, d := range CompareColumns(source, described[1]) {
		apart[d.Column.Name] = d.Missing || d.Type
		told := s.differ(core.OtherSchema, name, "%s", d.Text)
		if d.Missing || d.Shorter {
			s.mends = append(s.mends, mend{of: told, column: &d.Column, widen: d.Shorter})
		}
	}
	common := func(list []core.Column) (out []core.Column) {
		for _, c := range list {
			if !apart[c.Name] {
				out = append(out, c)
			}
		}
		return out
	}
	g := &Group{Super: name, Columns: common(source.Columns), Tags: common(source.Tags), Keys: 1}
	if len(g.Columns) == 0 || g.Columns[0].Name != source.Columns[0].Name || g.Columns[0].Type != "TIMESTAMP" {
		s.differ(core.OtherSchema, name, "its rows cannot be compared: the first column is not the same time on both sides")
		return nil, nil
	}
	if len(g.Columns) > 1 && g.Columns[1].IsKey() {
		g.Keys = 2
	}
	return g, nil
}

// find is a column or tag by its name.
func find(t *core.Table, c core.Column) *core.Column {
	list := t.Columns
	if c.IsTag() {
		list = t.Tags
	}
	for i := range list {
		if list[i].Name == c.Name {
			return &list[i]
		}
	}
	return nil
}

// add makes groups of a bounded size.
func (s *structure) add(g Group, tables []string) {
	for part := range slices.Chunk(tables, groupTables) {
		g.Tables = part
		s.groups = append(s.groups, g)
		for _, t := range part {
			s.of[t] = g
		}
	}
}

// tags compares the tags of all children of a super table.
func (s *structure) tags(ctx context.Context, j *Job, g *Group) error {
	values, _, err := ask(ctx, j, func(side Side) (map[string]map[string]string, error) {
		return side.Tags(ctx, j.opts.Database, g.Super)
	})
	if err != nil {
		return err
	}
	for _, table := range union(values[0], values[1]) {
		if !s.common[table] || values[0][table] == nil || values[1][table] == nil {
			continue // of one side, or dropped since it was listed
		}
		for _, tag := range g.Tags {
			source, sink := values[0][table][tag.Name], values[1][table][tag.Name]
			if source == sink {
				continue
			}
			d := s.differ(core.OtherTag, table, "tag %s is %s at the source and %s at the sink", tag.Name, shown(source), shown(sink))
			s.mends = append(s.mends, mend{of: d, tag: &tag, value: source})
		}
	}
	return nil
}

// shown is a value that may be long.
func shown(literal string) string {
	if len(literal) > 64 {
		return strings.ToValidUTF8(literal[:64], "") + "…"
	}
	return literal
}

// index is a list as a map, for union.
func index(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// union is the sorted keys of two maps.
func union[V any](a, b map[string]V) []string {
	all := slices.Collect(maps.Keys(a))
	for k := range b {
		if _, ok := a[k]; !ok {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return all
}
