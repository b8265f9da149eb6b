package taos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tdreplica/core"
	"tdreplica/core/audit"
	"tdreplica/core/engine"
	"tdreplica/core/raw"
)

// auditor is a catalog that also reads rows. It implements audit.Side.
type auditor struct {
	*catalog

	mu   sync.Mutex
	rows *socket // opened with the first rows; nil after a failure
	sums *bool   // whether the server computes checksums; nil: not asked yet
}

var _ audit.Side = (*auditor)(nil)

// Side connects for comparing. An adapter that is too old for it is an error of
// class operator.
func (c *Connector) Side(ctx context.Context, ep core.Endpoint) (audit.Side, error) {
	cat, err := c.Catalog(ctx, ep)
	if err != nil {
		return nil, err
	}
	side := &auditor{catalog: cat.(*catalog)}
	if err := side.versions.CheckCompare(side.ep.String()); err != nil {
		side.Close()
		return nil, err
	}
	return side, nil
}

var _ engine.Connector = (*Connector)(nil)

// Close implements audit.Side.
func (a *auditor) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rows != nil {
		a.rows.close()
		a.rows = nil
	}
	return a.catalog.Close()
}

// Tables implements audit.Side. Virtual tables hold no rows of their own.
func (a *auditor) Tables(ctx context.Context, database string) ([]audit.Table, error) {
	var out []audit.Table
	err := a.eachTable(ctx, database, "table_name, stable_name, `type`", func(b raw.Block) error {
		if len(b.Columns) != 3 {
			return errors.New("other columns than were asked for")
		}
		super := "" // most tables have the super table of the one before
		for row := range b.Rows {
			name, _ := b.Columns[0].Value(row)
			of, _ := b.Columns[1].Value(row)
			if kind, _ := b.Columns[2].Value(row); bytes.HasPrefix(kind, []byte("VIRTUAL")) {
				continue
			}
			if super != string(of) {
				super = string(of)
			}
			out = append(out, audit.Table{Name: string(name), Super: super})
		}
		return nil
	})
	return out, err
}

// Tags implements audit.Side.
func (a *auditor) Tags(ctx context.Context, database, super string) (map[string]map[string]string, error) {
	_, values, err := a.tagValues(ctx, database, super, "")
	return values, err
}

// SetTag implements audit.Side.
func (a *auditor) SetTag(ctx context.Context, database, table string, tag core.Column, literal string) error {
	return a.exec(ctx, fmt.Sprintf("set tag %q of table %q of database %q", tag.Name, table, database),
		fmt.Sprintf("alter table %s set tag %s = %s", qualified(database, table), QuoteIdent(tag.Name), literal))
}

// Checksums implements audit.Side. Which release brought crc32 nobody has to
// know: 3.3.3 has none, 3.3.7 has one.
func (a *auditor) Checksums(ctx context.Context) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sums == nil {
		_, err := a.query(ctx, "ask for a checksum", "select crc32('a')")
		if err != nil && (ctx.Err() != nil || codeOf(err) == 0) {
			return false, err
		}
		known := err == nil
		a.sums = &known
	}
	return *a.sums, nil
}

// from is what a query about a group reads: the table itself if it is one, else
// the super table, and the condition that names its children.
func from(database string, g audit.Group) (table, among string) {
	if len(g.Tables) == 1 {
		return qualified(database, g.Tables[0]), ""
	}
	names := make([]string, len(g.Tables))
	for i, t := range g.Tables {
		names[i] = QuoteString(t)
	}
	return qualified(database, g.Super), "tbname in (" + strings.Join(names, ",") + ")"
}

// Span implements audit.Side.
func (a *auditor) Span(ctx context.Context, database string, g audit.Group) (audit.Span, error) {
	table, among := from(database, g)
	at := QuoteIdent(g.Columns[0].Name)
	statement := fmt.Sprintf("select count(*) as n, first(%s) as f, last(%s) as l from %s", at, at, table)
	if among != "" {
		statement += " where " + among
	}
	rows, err := a.query(ctx, "count the rows of "+table, statement)
	if err != nil || len(rows) == 0 {
		return audit.Span{}, err
	}
	var s audit.Span
	s.Rows, _ = rows[0].number("n")
	first, fok := rows[0]["f"].(time.Time)
	last, lok := rows[0]["l"].(time.Time)
	if s.Rows > 0 && !(fok && lok) {
		return s, a.ep.nonsense("count the rows of "+table, "rows without a time")
	}
	s.First, s.Last = ticks(first, g.Precision), ticks(last, g.Precision)
	return s, nil
}

// digestColumns is how many columns one query sums up: with five results each
// they stay far below what a server selects at once.
const digestColumns = 200

// timesModulo keeps sums of times exact: the servers compute remainders and sums
// of them in double precision.
const timesModulo = 1_000_003

// Digests implements audit.Side.
func (a *auditor) Digests(ctx context.Context, database string, g audit.Group, w audit.Window) (map[string]audit.Digest, error) {
	out := map[string]audit.Digest{}
	for part := range slices.Chunk(g.Columns, digestColumns) {
		began := time.Now()
		err := a.digest(ctx, database, g, part, w, out)
		if err != nil && ctx.Err() == nil && time.Since(began) >= a.opts.RequestTimeout {
			err = errors.Join(audit.ErrTooLong, err)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *auditor) digest(ctx context.Context, database string, g audit.Group, columns []core.Column, w audit.Window, out map[string]audit.Digest) error {
	table, among := from(database, g)
	at := QuoteIdent(g.Columns[0].Name)
	exprs := []string{"count(*) as n"}
	kinds := make([]bool, 0, 4*len(columns)) // whether an expression is of a floating-point column
	for _, c := range columns {
		list, float := sums(c, at, g.Checksums)
		for _, e := range list {
			exprs = append(exprs, fmt.Sprintf("%s as e%d", e, len(kinds)))
			kinds = append(kinds, float)
		}
	}
	where := fmt.Sprintf(" where %s >= %d and %s < %d", at, w.From, at, w.To)
	statement := "select " + strings.Join(exprs, ", ") + " from " + table + where
	if among != "" {
		statement = "select tbname as t, " + strings.Join(exprs, ", ") + " from " + table + where + " and " + among + " partition by tbname"
	}
	rows, err := a.query(ctx, "sum up the rows of "+table, statement)
	if err != nil {
		return err
	}
	for _, r := range rows {
		name := g.Tables[0]
		if among != "" {
			name = r.text("t")
		}
		d := out[name]
		add(&d, r, kinds)
		out[name] = d
	}
	return nil
}

// placesModulo bounds what a value and its row's time weigh in a sum that tells
// where values stand; see timesModulo.
const placesModulo = 997

// sums are the expressions that a column's values are compared by; at is the
// column of the rows' time. Values that have changed places between rows leave
// all sums as they are but those in which each weighs as much as its time. Sums of
// floating-point values come last, and depend on the order of the rows.
func sums(c core.Column, at string, checksums bool) (exprs []string, float bool) {
	name := QuoteIdent(c.Name)
	e := func(format string) string { return strings.ReplaceAll(format, "?", name) }
	placed := func(value string) string {
		return fmt.Sprintf("sum(%s %% %d * (cast(%s as bigint) %% %d))", e(value), placesModulo, at, placesModulo)
	}
	exprs = []string{e("count(?)")}
	switch kind, _, _ := strings.Cut(c.Type, "("); {
	case kind == "TIMESTAMP":
		return append(exprs, e(fmt.Sprintf("sum(cast(? as bigint) %% %d)", timesModulo)), placed("cast(? as bigint)")), false
	case strings.Contains(kind, "INT"):
		return append(exprs, e("min(?)"), e("max(?)"), e("sum(?)"), placed("cast(? as bigint)")), false
	case kind == "BOOL":
		return append(exprs, e("sum(cast(? as int))"), placed("cast(? as int)")), false
	case kind == "BLOB" || kind == "MEDIUMBLOB":
		return exprs, false
	case checksums:
		return append(exprs, e("sum(crc32(?))"), placed("crc32(?)")), false
	case kind == "FLOAT" || kind == "DOUBLE":
		return append(exprs, e("min(?)"), e("max(?)"), e("sum(?)")), true
	case kind == "VARCHAR" || kind == "BINARY" || kind == "NCHAR":
		return append(exprs, e("sum(length(?))")), false
	}
	return exprs, false
}

// slack is how much sums of so many values may differ by the order in which
// they were added, relative to the greatest of them.
const slack = 1e-12

// add takes a row of sums into a digest.
func add(d *audit.Digest, r row, floats []bool) {
	d.Rows, _ = r.number("n")
	h := fnv.New64a()
	fmt.Fprintf(h, "%d;", d.Exact)
	for i := 0; i < len(floats); i++ {
		if !floats[i] {
			fmt.Fprintf(h, "%s;", shown(r[fmt.Sprintf("e%d", i)]))
			continue
		}
		value := func(n int) float64 {
			v, _ := strconv.ParseFloat(shown(r[fmt.Sprintf("e%d", i+n)]), 64)
			return v
		}
		low, high, count := value(1), value(2), value(0)
		fmt.Fprintf(h, "%g;%g;%g;", count, low, high)
		d.Sums = append(d.Sums, value(3))
		d.Slack = append(d.Slack, slack*count*max(math.Abs(low), math.Abs(high)))
		i += 3
	}
	d.Exact = h.Sum64()
}

// shown is a sum as text: a whole number looks the same, whether the server
// computed it as an integer or not.
func shown(v any) string {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32)
	}
	return fmt.Sprint(v)
}

// Rows implements audit.Side.
func (a *auditor) Rows(ctx context.Context, database, table string, g audit.Group, w audit.Window, limit int) (raw.Block, error) {
	names := make([]string, len(g.Columns))
	for i, c := range g.Columns {
		names[i] = QuoteIdent(c.Name)
	}
	statement := fmt.Sprintf("select %s from %s where %s >= %d and %s < %d order by %s limit %d", strings.Join(names, ", "),
		qualified(database, table), names[0], w.From, names[0], w.To, strings.Join(names[:g.Keys], ", "), limit)
	a.mu.Lock()
	defer a.mu.Unlock()
	op := fmt.Sprintf("read rows of table %q of database %q at %s", table, database, a.ep)
	if a.rows == nil {
		s, err := a.connect(ctx)
		if err != nil {
			return raw.Block{}, err
		}
		a.rows = s
	}
	b, err := a.rows.queryRows(ctx, op, statement)
	if err != nil {
		a.rows.close()
		a.rows = nil
		return raw.Block{}, err
	}
	if b == nil {
		return raw.Block{}, nil
	}
	for i := range b.Columns {
		b.Columns[i].Name = g.Columns[i].Name
	}
	b.Precision = g.Precision
	return *b, nil
}
