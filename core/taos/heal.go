package taos

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tdreplica/core"
)

// Codes of a change that was made before.
const (
	codeTagExists       = 0x0369
	codeColumnExists    = 0x036B
	codeTableExists     = 0x0603
	codeStableExists    = 0x0360
	codeVgroupColExists = 0x0525
	codeNoTag           = 0x036A
	codeNoColumn        = 0x036C
	codeVgroupNoColumn  = 0x0526
)

// CreateStatement implements engine.Catalog.
func (c *catalog) CreateStatement(ctx context.Context, database, table string) (core.CreateStatement, error) {
	op := fmt.Sprintf("ask how table %q of database %q was created", table, database)
	rows, err := c.query(ctx, op, "show create table "+qualified(database, table))
	if err != nil {
		return core.CreateStatement{}, err
	}
	if len(rows) != 1 {
		return core.CreateStatement{}, c.ep.nonsense(op, fmt.Sprintf("%d rows", len(rows)))
	}
	text := rows[0].text("Create Table")
	for _, verb := range []string{"CREATE TABLE ", "CREATE STABLE "} {
		rest, ok := strings.CutPrefix(text, verb+QuoteIdent(table))
		if !ok {
			continue
		}
		s := core.CreateStatement{Table: table, Rest: rest}
		if super, _, ok := cutUsing(rest); ok {
			s.Super = super
			s.Rest, err = c.tagClause(ctx, database, super, table)
		} else {
			s.Rest = everybodysKey(rest)
		}
		return s, err
	}
	return core.CreateStatement{}, c.ep.nonsense(op, fmt.Sprintf("the statement begins with %.40q", text))
}

// everybodysKey writes the mark of a composite key's second column as every version
// reads it. 3.3.7 tells COMPOSITE KEY, which is a syntax error for 3.3.3.
func everybodysKey(rest string) string {
	const theirs, ours = " COMPOSITE KEY", " PRIMARY KEY"
	quote := byte(0)
	for i := range len(rest) {
		switch c := rest[i]; {
		case c == quote:
			quote = 0
		case quote != 0:
		case c == '`' || c == '\'':
			quote = c
		case strings.HasPrefix(rest[i:], theirs):
			return rest[:i] + ours + rest[i+len(theirs):]
		}
	}
	return rest
}

// cutUsing takes the name of the super table off what follows a child's name.
func cutUsing(rest string) (super, tags string, ok bool) {
	rest, ok = strings.CutPrefix(rest, " USING `")
	if !ok {
		return "", "", false
	}
	for i := 0; i < len(rest); i++ {
		if rest[i] != '`' {
			continue
		}
		if i+1 < len(rest) && rest[i+1] == '`' {
			i++
			continue
		}
		return strings.ReplaceAll(rest[:i], "``", "`"), rest[i+1:], true
	}
	return "", "", false
}

// CreateTable implements engine.Catalog.
func (c *catalog) CreateTable(ctx context.Context, database string, s core.CreateStatement) error {
	statement := "create table if not exists " + qualified(database, s.Table)
	if s.Super != "" {
		statement += " using " + qualified(database, s.Super)
	}
	err := c.exec(ctx, fmt.Sprintf("create table %q of database %q", s.Table, database), statement+s.Rest)
	return unlessCode(err, codeTableExists, codeStableExists)
}

// AddColumn implements engine.Catalog.
func (c *catalog) AddColumn(ctx context.Context, database, table string, col core.Column) error {
	err := c.alter(ctx, database, table, "add", col)
	return unlessCode(err, codeColumnExists, codeTagExists, codeVgroupColExists)
}

// WidenColumn implements engine.Catalog.
func (c *catalog) WidenColumn(ctx context.Context, database, table string, col core.Column) error {
	return c.alter(ctx, database, table, "modify", col)
}

// DropColumn implements engine.Catalog.
func (c *catalog) DropColumn(ctx context.Context, database, table string, col core.Column) error {
	err := c.alter(ctx, database, table, "drop", col)
	return unlessCode(err, codeNoColumn, codeNoTag, codeVgroupNoColumn)
}

func (c *catalog) alter(ctx context.Context, database, table, verb string, col core.Column) error {
	kind, sqlType := "column", col.SQLType()
	if col.IsTag() {
		kind = "tag"
	}
	if verb == "drop" {
		sqlType = ""
	}
	return c.exec(ctx, fmt.Sprintf("%s %s %q of table %q of database %q", verb, kind, col.Name, table, database),
		fmt.Sprintf("alter table %s %s %s %s %s %s", qualified(database, table), verb, kind, QuoteIdent(col.Name), sqlType, core.ChangeMark))
}

// unlessCode forgives the refusals with these codes.
func unlessCode(err error, codes ...int) error {
	var e *core.Error
	if errors.As(err, &e) {
		for _, code := range codes {
			if e.Code == code {
				return nil
			}
		}
	}
	return err
}
