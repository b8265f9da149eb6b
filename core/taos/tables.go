package taos

import (
	"context"
	"fmt"
	"strings"

	"tdreplica/core"
)

// SuperTables implements engine.Catalog.
func (c *catalog) SuperTables(ctx context.Context, database string) ([]string, error) {
	rows, err := c.query(ctx, fmt.Sprintf("list the super tables of database %q", database),
		"select * from information_schema.ins_stables where db_name="+QuoteString(database))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(rows))
	for _, r := range rows {
		names = append(names, r.text("stable_name"))
	}
	return names, nil
}

// Describe implements engine.Catalog. A table that does not exist is an error
// of class data.
func (c *catalog) Describe(ctx context.Context, database, table string) (*core.Table, error) {
	rows, err := c.query(ctx, fmt.Sprintf("describe table %q of database %q", table, database),
		"describe "+qualified(database, table))
	if err != nil {
		return nil, err
	}
	t := &core.Table{Name: table}
	for _, r := range rows {
		length, _ := r.number("length")
		column := core.Column{Name: r.text("field"), Type: r.text("type"), Length: int(length), Note: r.text("note")}
		if strings.Contains(strings.ToUpper(column.Note), "TAG") {
			t.Tags = append(t.Tags, column)
		} else {
			t.Columns = append(t.Columns, column)
		}
	}
	return t, nil
}
