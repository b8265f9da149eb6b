package taos

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"

	"tdreplica/core"
)

// catalog is the SQL side of an endpoint. It implements engine.Catalog.
type catalog struct {
	db       *sql.DB
	ep       endpoint
	opts     Options
	versions core.Versions
	connect  func(context.Context) (*socket, error) // logs in for results that are long
}

// Versions implements engine.Catalog.
func (c *catalog) Versions() core.Versions { return c.versions }

// Close implements engine.Catalog.
func (c *catalog) Close() error { return c.db.Close() }

// serverVersion asks for the server's version and refuses one that is too old.
func (c *catalog) serverVersion(ctx context.Context) (string, error) {
	op := "ask for the server's version"
	rows, err := c.query(ctx, op, "select server_version()")
	if err != nil {
		return "", err
	}
	if len(rows) != 1 {
		return "", c.ep.nonsense(op, "no version")
	}
	text := rows[0].text("server_version()")
	v, err := core.ParseVersion(text)
	if err != nil {
		return "", c.ep.nonsense(op, err.Error())
	}
	if !v.AtLeast(core.MinServer) {
		return "", &core.Error{
			Class: core.ClassOperator,
			Op:    "connect to " + c.ep.String(),
			Text:  fmt.Sprintf("the server is TDengine %s; the oldest that can be replicated is %s", text, core.MinServer),
			Hint:  "upgrade TDengine there",
		}
	}
	// The adapter's client library answers server_version() from memory while
	// taosd is down; the system tables need the server.
	_, err = c.query(ctx, op, "select * from information_schema.ins_databases where name='information_schema'")
	return text, err
}

// row is one row of a result, by column name: the system tables have gained
// columns over the versions, so they are never read by position.
type row map[string]any

// text is a text column, or "" if it is NULL or missing.
func (r row) text(name string) string {
	s, _ := r[name].(string)
	return s
}

// number is an integer column, and false if it is NULL, missing or no number.
func (r row) number(name string) (int64, bool) {
	v := reflect.ValueOf(r[name])
	switch {
	case v.CanInt():
		return v.Int(), true
	case v.CanUint():
		return int64(v.Uint()), true
	}
	return 0, false
}

// query returns all rows of a statement. op says in a failure what was being
// done, as "list the databases".
func (c *catalog) query(ctx context.Context, op, statement string) ([]row, error) {
	rows, err := c.db.QueryContext(ctx, statement)
	if err != nil {
		return nil, c.fail(op, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, c.fail(op, err)
	}
	var out []row
	values := make([]any, len(names))
	targets := make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, c.fail(op, err)
		}
		r := make(row, len(names))
		for i, name := range names {
			r[name] = values[i]
		}
		out = append(out, r)
	}
	return out, c.fail(op, rows.Err())
}

func (c *catalog) exec(ctx context.Context, op, statement string) error {
	_, err := c.db.ExecContext(ctx, statement)
	return c.fail(op, err)
}

// fail says in a server's refusal what was being done. Failures to connect or
// to log in speak for themselves.
func (c *catalog) fail(op string, err error) error {
	var e *core.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	if e.Code != 0 && e.Code != codeAuthFailure {
		named := *e
		named.Op = op + " at " + c.ep.String()
		return &named
	}
	return err
}

// codeOf is the server's code of an error, 0 if it has none.
func codeOf(err error) int {
	var e *core.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}
