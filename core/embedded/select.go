package embedded

import (
	"slices"
	"strings"
)

// selection is a select statement.
type selection struct {
	items    []selectItem
	distinct bool
	tags     bool // one row of each table, whatever rows it has
	db, from string
	hasFrom  bool
	where    expr
	groups   []expr
	orders   []orderBy
	limit    int64 // -1: none
	offset   int64
}

type selectItem struct {
	e     expr
	alias string
	star  bool
}

type orderBy struct {
	e    expr
	desc bool
}

// source is the rows that a select reads.
type source struct {
	cols   []column // what * stands for
	own    int      // how many of them are not tags
	find   func(name string) (column, bool)
	tables []string // whose rows they are
	ts     string   // the time column; empty if there is none
	scan   func(yield func(row env) error) error
}

func (p *parser) selection() selection {
	q := selection{limit: -1, distinct: p.accept("distinct")}
	q.tags = p.is("tags") && p.toks[p.at+1].kind != tokenOp && !strings.EqualFold(p.toks[p.at+1].text, "from") && p.accept("tags")
	for {
		if p.accept("*") {
			q.items = append(q.items, selectItem{star: true})
		} else {
			it := selectItem{e: p.expression()}
			if p.accept("as") {
				it.alias = p.ident()
			} else if t := p.peek(); (t.kind == tokenIdent || t.kind == tokenQuoted) && !p.is("from") {
				it.alias = p.ident()
			}
			q.items = append(q.items, it)
		}
		if !p.accept(",") {
			break
		}
	}
	if p.accept("from") {
		q.hasFrom = true
		q.db, q.from = p.qualified()
	}
	if p.accept("where") {
		q.where = p.expression()
	}
	if p.accept("group", "by") || p.accept("partition", "by") {
		q.groups = p.expressions()
	}
	if p.accept("order", "by") {
		for {
			o := orderBy{e: p.sum(), desc: false}
			if !p.accept("asc") {
				o.desc = p.accept("desc")
			}
			q.orders = append(q.orders, o)
			if !p.accept(",") {
				break
			}
		}
	}
	if p.accept("limit") {
		q.limit = p.integer()
		if p.accept("offset") {
			q.offset = p.integer()
		} else if p.accept(",") {
			q.offset, q.limit = q.limit, p.integer()
		}
	}
	if q.offset < 0 {
		p.fail()
	}
	p.end()
	return q
}

func (p *parser) expressions() []expr {
	list := []expr{p.sum()}
	for p.accept(",") {
		list = append(list, p.sum())
	}
	return list
}

func (s *session) query(p *parser) (*result, error) {
	q := p.selection()
	src, err := s.source(&q)
	if err != nil {
		return nil, err
	}
	q.expandStars(src)
	res := &result{isQuery: true}
	aggregate := len(q.groups) > 0
	for _, it := range q.items {
		c, err := s.itemColumn(it, src)
		if err != nil {
			return nil, err
		}
		res.cols = append(res.cols, c)
		if call, ok := it.e.(exprCall); ok && aggregates[call.name] {
			aggregate = true
		}
	}
	run := plainRows
	if aggregate {
		run = groupedRows
	}
	keys, err := run(s, &q, src, res)
	if err != nil {
		return nil, err
	}
	q.arrange(res, keys)
	return res, nil
}

// source opens what the select reads from; the time range of its condition is
// used, the rest stays in q.where.
func (s *session) source(q *selection) (*source, error) {
	if !q.hasFrom {
		return &source{
			find: func(string) (column, bool) { return column{}, false },
			scan: func(yield func(env) error) error { return yield(noColumns) },
		}, nil
	}
	if q.db == "information_schema" || q.db == "performance_schema" {
		rel, err := s.systemTable(q.from)
		if err != nil {
			return nil, err
		}
		return rel.source(), nil
	}
	db, err := s.readable(q.db)
	if err != nil {
		return nil, err
	}
	return db.source(q)
}

func (db *database) source(q *selection) (*source, error) {
	tables, sch, err := db.tablesOf(q.from)
	if err != nil {
		return nil, err
	}
	super := db.stables[q.from] != nil
	from, to, rest, err := timeRange(q.where, sch.cols[0].name, db.prec)
	if err != nil {
		return nil, err
	}
	q.where = nil
	for _, c := range rest {
		if q.where == nil {
			q.where = c
		} else {
			q.where = exprBinary{"and", q.where, c}
		}
	}
	src := &source{cols: slices.Clone(sch.cols), own: len(sch.cols), ts: sch.cols[0].name}
	if super {
		src.cols = append(src.cols, sch.tags...)
	}
	for _, t := range tables {
		src.tables = append(src.tables, t.name)
	}
	tbname := newColumn("tbname", typeVarchar, 270)
	src.find = func(name string) (column, bool) {
		for _, list := range [][]column{sch.cols, sch.tags} {
			if i := indexOf(list, name); i >= 0 {
				return list[i], true
			}
		}
		return tbname, name == "tbname"
	}
	if q.tags {
		src.scan = db.scanTags(tables)
	} else {
		src.scan = db.scanRows(tables, sch, from, to)
	}
	return src, nil
}

func (db *database) scanTags(tables []*table) func(yield func(env) error) error {
	return func(yield func(env) error) error {
		for _, t := range tables {
			if err := yield(func(name string) (any, error) { return t.tagValue(name, db.prec) }); err != nil {
				return err
			}
		}
		return nil
	}
}

// scanRows yields the rows from one instant up to another.
func (db *database) scanRows(tables []*table, sch *schema, from, to int64) func(yield func(env) error) error {
	return func(yield func(env) error) error {
		for _, t := range tables {
			lo, hi := t.rows.span(from, to)
			row := 0
			e := func(name string) (any, error) {
				if i := indexOf(sch.cols, name); i == 0 {
					return stamp{t.rows.ts[row], db.prec}, nil
				} else if i > 0 {
					return decodeCell(sch.cols[i], db.prec, t.rows.cell(row, sch.cols[i].id)), nil
				}
				return t.tagValue(name, db.prec)
			}
			for row = lo; row < hi; row++ {
				if err := yield(e); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// expandStars puts the columns in the place of * and of first(*) and the like.
func (q *selection) expandStars(src *source) {
	var items []selectItem
	for _, it := range q.items {
		call, isCall := it.e.(exprCall)
		switch {
		case it.star:
			for _, c := range src.cols {
				items = append(items, selectItem{e: exprColumn{c.name}})
			}
		case isCall && call.star && call.name != "count":
			for _, c := range src.cols[:src.own] {
				items = append(items, selectItem{e: exprCall{name: call.name, args: []expr{exprColumn{c.name}}, text: call.name + "(" + c.name + ")"}})
			}
		default:
			items = append(items, it)
		}
	}
	q.items = items
}

var aggregates = map[string]bool{"count": true, "sum": true, "avg": true, "min": true, "max": true, "first": true, "last": true, "last_row": true, "spread": true}

// itemColumn is the result's column for an item.
func (s *session) itemColumn(it selectItem, src *source) (column, error) {
	c := newColumn("", typeBigint, 0)
	switch e := it.e.(type) {
	case exprColumn:
		found, ok := src.find(e.name)
		if !ok {
			return c, failure(codeInvalidColumn, "Invalid column name: %s", e.name)
		}
		c = found
	case exprCall:
		var err error
		if c, err = s.callColumn(e, src); err != nil {
			return c, err
		}
		c.name = e.text
	case exprCast:
		c = e.to
		c.name = e.text
	case exprLiteral:
		switch v := e.value.(type) {
		case string:
			c = newColumn(v, typeVarchar, max(len(v), 1))
		case bool:
			c = newColumn(literalText(v), typeBool, 0)
		default:
			c.name = literalText(v)
		}
	default:
		c = newColumn("expr", typeDouble, 0)
	}
	if it.alias != "" {
		c.name = it.alias
	}
	return c, nil
}

func (s *session) callColumn(e exprCall, src *source) (column, error) {
	switch e.name {
	case "server_version", "client_version":
		return newColumn("", typeVarchar, len(s.n.opts.Version)), nil
	case "current_user", "user", "database":
		return newColumn("", typeVarchar, 64), nil
	case "crc32":
		if s.n.version.checksums() {
			return newColumn("", typeUInt, 0), nil
		}
	}
	countAll := e.name == "count" && e.star
	if !aggregates[e.name] || len(e.args) != 1 && !countAll {
		return column{}, failure(codeFunction, "Invalid function name : %s", e.name)
	}
	switch e.name {
	case "count":
		return newColumn("", typeBigint, 0), nil
	case "avg", "spread":
		return newColumn("", typeDouble, 0), nil
	}
	col, ok := e.args[0].(exprColumn)
	if !ok {
		return newColumn("", typeDouble, 0), nil
	}
	c, found := src.find(col.name)
	if !found {
		return c, failure(codeInvalidColumn, "Invalid column name: %s", col.name)
	}
	if e.name == "sum" {
		switch {
		case c.typ == typeFloat || c.typ == typeDouble:
			c = newColumn("", typeDouble, 0)
		case c.typ >= typeUTinyint && c.typ <= typeUBigint:
			c = newColumn("", typeUBigint, 0)
		default:
			c = newColumn("", typeBigint, 0)
		}
	}
	return c, nil
}

// plainRows makes one result row of each row; it returns the sort keys.
func plainRows(s *session, q *selection, src *source, res *result) ([][]any, error) {
	var keys [][]any
	seen := map[string]bool{}
	err := src.scan(func(row env) error {
		if ok, err := holds(q.where, row); !ok {
			return err
		}
		out := make([]any, len(q.items))
		for i, it := range q.items {
			v, err := s.plainValue(it.e, row)
			if err != nil {
				return err
			}
			out[i] = v
		}
		if q.distinct {
			k := rowKey(out)
			if seen[k] {
				return nil
			}
			seen[k] = true
		}
		res.rows = append(res.rows, out)
		k, err := q.sortKey(res.cols, out, row)
		keys = append(keys, k)
		return err
	})
	return keys, err
}

func (s *session) plainValue(e expr, row env) (any, error) {
	if call, ok := e.(exprCall); ok {
		switch call.name {
		case "server_version", "client_version":
			return s.n.opts.Version, nil
		case "current_user", "user":
			return s.user.name + "@localhost", nil
		case "database":
			if s.db == "" {
				return nil, nil
			}
			return s.db, nil
		}
	}
	v, err := eval(e, row)
	if n, ok := v.(number); ok {
		if i, whole := toInt(n); whole {
			return i, err
		}
		f, _ := toFloat(n)
		return f, err
	}
	return v, err
}

func holds(cond expr, row env) (bool, error) {
	if cond == nil {
		return true, nil
	}
	v, err := eval(cond, row)
	ok, _ := v.(bool)
	return ok && err == nil, err
}

func rowKey(values []any) string {
	var b strings.Builder
	for _, v := range values {
		if v == nil {
			b.WriteString("N")
		} else {
			b.WriteString("V" + literalText(v))
		}
		b.WriteByte(0)
	}
	return b.String()
}

// sortKey computes what a result row is ordered by: names of the result first,
// then columns of the row.
func (q *selection) sortKey(cols []column, out []any, row env) ([]any, error) {
	var key []any
	for _, o := range q.orders {
		v, err := eval(asColumn(o.e), func(name string) (any, error) {
			if i := indexOf(cols, name); i >= 0 {
				return out[i], nil
			}
			return row(name)
		})
		if err != nil {
			return nil, err
		}
		key = append(key, v)
	}
	return key, nil
}

// asColumn lets `order by count(*)` name a column of the result.
func asColumn(e expr) expr {
	if c, ok := e.(exprCall); ok {
		return exprColumn{c.text}
	}
	return e
}

// arrange sorts and cuts the result.
func (q *selection) arrange(res *result, keys [][]any) {
	if len(q.orders) > 0 {
		perm := make([]int, len(res.rows))
		for i := range perm {
			perm[i] = i
		}
		slices.SortStableFunc(perm, func(a, b int) int {
			for i, o := range q.orders {
				c := compareNulls(keys[a][i], keys[b][i])
				if o.desc {
					c = -c
				}
				if c != 0 {
					return c
				}
			}
			return 0
		})
		rows := make([][]any, len(perm))
		for i, p := range perm {
			rows[i] = res.rows[p]
		}
		res.rows = rows
	}
	res.rows = res.rows[min(int64(len(res.rows)), q.offset):]
	if q.limit >= 0 {
		res.rows = res.rows[:min(int64(len(res.rows)), q.limit)]
	}
}

// compareNulls orders NULL before everything.
func compareNulls(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	default:
		return compare(a, b)
	}
}
