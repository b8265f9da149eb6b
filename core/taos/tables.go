package taos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
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

// SuperTableIDs implements engine.Catalog.
func (c *catalog) SuperTableIDs(ctx context.Context, database string) (map[string]int64, error) {
	op := fmt.Sprintf("list the super tables of database %q", database)
	rows, err := c.query(ctx, op, "select stable_name, cast(uid as varchar(24)) as id from information_schema.ins_stables where db_name="+QuoteString(database))
	if err != nil {
		return nil, err
	}
	ids := make(map[string]int64, len(rows))
	for _, r := range rows {
		id, err := strconv.ParseInt(r.text("id"), 10, 64)
		if err != nil {
			return nil, c.ep.nonsense(op, fmt.Sprintf("the id %q", r.text("id")))
		}
		ids[r.text("stable_name")] = id
	}
	return ids, nil
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

// TableNames implements engine.Catalog. The uids travel as text: a JSON number
// would lose their last digits.
func (c *catalog) TableNames(ctx context.Context, database string, uids []int64) (map[int64]string, error) {
	wanted := make(map[int64]bool, len(uids))
	for _, uid := range uids {
		wanted[uid] = true
	}
	rows, err := c.query(ctx, fmt.Sprintf("find tables of database %q by uid", database),
		"select cast(uid as varchar(24)) as id, table_name from information_schema.ins_tables where db_name="+QuoteString(database))
	if err != nil {
		return nil, err
	}
	names := make(map[int64]string, len(uids))
	for _, r := range rows {
		uid, err := strconv.ParseInt(r.text("id"), 10, 64)
		if err == nil && wanted[uid] {
			names[uid] = r.text("table_name")
		}
	}
	return names, nil
}

// namesAtOnce is how many tables one statement asks about: names are up to 192
// bytes long, and a statement up to a megabyte.
const namesAtOnce = 500

// TableIDs implements engine.Catalog.
func (c *catalog) TableIDs(ctx context.Context, database string, names []string) (map[string]core.TableID, error) {
	ids := make(map[string]core.TableID, len(names))
	for some := range slices.Chunk(names, namesAtOnce) {
		quoted := make([]string, len(some))
		for i, name := range some {
			quoted[i] = QuoteString(name)
		}
		rows, err := c.query(ctx, fmt.Sprintf("look for tables of database %q", database),
			"select table_name, cast(uid as varchar(24)) as id, vgroup_id from information_schema.ins_tables where db_name="+
				QuoteString(database)+" and table_name in ("+strings.Join(quoted, ",")+")")
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			uid, err := strconv.ParseInt(r.text("id"), 10, 64)
			vgroup, ok := r.number("vgroup_id")
			if err == nil && ok {
				ids[r.text("table_name")] = core.TableID{UID: uid, Vgroup: int32(vgroup)}
			}
		}
	}
	return ids, nil
}

// HasRow implements engine.Catalog.
func (c *catalog) HasRow(ctx context.Context, database, table, timeColumn string, at int64) (bool, error) {
	rows, err := c.query(ctx, fmt.Sprintf("look for a row of table %q of database %q", table, database),
		fmt.Sprintf("select count(*) as n from %s where %s = %d", qualified(database, table), QuoteIdent(timeColumn), at))
	if err != nil || len(rows) == 0 {
		return false, unlessCode(err, codeTableMissing, codeTableGone)
	}
	n, _ := rows[0].number("n")
	return n > 0, nil
}

// Announce implements engine.Catalog. A table that does not exist, or that goes
// meanwhile, needs no mark.
func (c *catalog) Announce(ctx context.Context, database, table string, at int64) error {
	t, err := c.Describe(ctx, database, table)
	if err == nil && len(t.Columns) > 0 {
		err = c.exec(ctx, fmt.Sprintf("announce a change of %q at %s", table, c.ep),
			fmt.Sprintf("delete from %s where %s = %d", qualified(database, table), QuoteIdent(t.Columns[0].Name), at))
	}
	var e *core.Error
	if errors.As(err, &e) && (e.Code == codeTableMissing || e.Code == codeTableGone) {
		return nil
	}
	return err
}

// RenameTag implements engine.Catalog.
func (c *catalog) RenameTag(ctx context.Context, database, table, from, to string) error {
	t, err := c.Describe(ctx, database, table)
	if err != nil {
		return unlessCode(err, codeTableMissing, codeTableGone)
	}
	old := false
	for _, tag := range t.Tags {
		old = old || tag.Name == from
		if tag.Name == to {
			return nil
		}
	}
	if !old {
		return nil
	}
	return c.exec(ctx, fmt.Sprintf("rename tag %q of %q at %s", from, table, c.ep),
		fmt.Sprintf("alter stable %s rename tag %s %s %s", qualified(database, table), QuoteIdent(from), QuoteIdent(to), core.ChangeMark))
}
