package taos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
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

// emptyAnswers is how many answers in a row must have none of the tables that were
// asked for before they count as gone. While a database is dropped, a server may
// answer a statement about another one with success and leave out a vgroup's tables.
// The moment is shorter than emptyPause.
const (
	emptyAnswers = 3
	emptyPause   = 200 * time.Millisecond
)

// TableNames implements engine.Catalog. The uids travel as text: a JSON number
// would lose their last digits.
func (c *catalog) TableNames(ctx context.Context, database string, uids []int64) (map[int64]string, error) {
	numbers := make([]string, len(uids))
	for i, uid := range uids {
		numbers[i] = strconv.FormatInt(uid, 10)
	}
	names := make(map[int64]string, len(uids))
	for answer := 1; ; answer++ {
		err := c.tablesIn(ctx, database, "uid", numbers, func(name string, id core.TableID) { names[id.UID] = name })
		if err != nil || len(names) > 0 || answer == emptyAnswers {
			return names, err
		}
		if err := core.Pause(ctx, emptyPause); err != nil {
			return nil, err
		}
	}
}

// TableIDs implements engine.Catalog.
func (c *catalog) TableIDs(ctx context.Context, database string, names []string) (map[string]core.TableID, error) {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = QuoteString(name)
	}
	ids := make(map[string]core.TableID, len(names))
	err := c.tablesIn(ctx, database, "table_name", quoted, func(name string, id core.TableID) { ids[name] = id })
	return ids, err
}

// listBytes bounds the values that a statement asks about: it may be a megabyte
// long. A server looks through all of a database's tables for each statement, so
// few long ones are much better than many short ones.
const listBytes = 512 << 10

// tablesIn finds the child and normal tables with one of these values, as SQL
// writes them, in a column of ins_tables.
func (c *catalog) tablesIn(ctx context.Context, database, column string, values []string, found func(name string, id core.TableID)) error {
	for len(values) > 0 {
		n, size := 0, 0
		for n < len(values) && (n == 0 || size+len(values[n]) < listBytes) {
			size += len(values[n]) + 1
			n++
		}
		rows, err := c.query(ctx, fmt.Sprintf("look for tables of database %q", database),
			"select table_name, stable_name, cast(uid as varchar(24)) as id, vgroup_id from information_schema.ins_tables where db_name="+
				QuoteString(database)+" and "+column+" in ("+strings.Join(values[:n], ",")+")")
		if err != nil {
			return err
		}
		for _, r := range rows {
			uid, err := strconv.ParseInt(r.text("id"), 10, 64)
			vgroup, ok := r.number("vgroup_id")
			if err == nil && ok {
				found(r.text("table_name"), core.TableID{UID: uid, Vgroup: int32(vgroup), Super: r.text("stable_name")})
			}
		}
		values = values[n:]
	}
	return nil
}

// eachTable reads columns of ins_tables. It has a connection of its own, and takes the
// result as it comes: of a million tables it is 60 MB.
func (c *catalog) eachTable(ctx context.Context, database, columns string, each func(raw.Block) error) error {
	s, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return s.eachBlock(ctx, fmt.Sprintf("list the tables of database %q", database),
		"select "+columns+" from information_schema.ins_tables where db_name="+QuoteString(database), each)
}

// EachTable implements engine.Catalog.
func (c *catalog) EachTable(ctx context.Context, database string, each func(name, super []byte, uid int64)) error {
	return c.eachTable(ctx, database, "table_name, stable_name, uid", func(b raw.Block) error {
		if len(b.Columns) != 3 || b.Columns[2].Type != raw.BigInt {
			return errors.New("columns that are no names and no uid")
		}
		for row := range b.Rows {
			name, ok := b.Columns[0].Value(row)
			super, _ := b.Columns[1].Value(row)
			uid, known := b.Columns[2].Value(row)
			if ok && known {
				each(name, super, int64(binary.LittleEndian.Uint64(uid)))
			}
		}
		return nil
	})
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
