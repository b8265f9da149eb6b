package embedded

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// insertion is the rows of one statement for one table.
type insertion struct {
	t    *table
	cols []column
	rows [][][]byte // cells of cols
}

// submitSet gathers what one statement or message writes, by vgroup, so that
// each vgroup's WAL gets one entry.
type submitSet struct {
	order   []*vgroup
	entries map[*vgroup]*entry
}

func (w *submitSet) entry(vg *vgroup) *entry {
	if w.entries == nil {
		w.entries = map[*vgroup]*entry{}
	}
	en := w.entries[vg]
	if en == nil {
		en = &entry{kind: kindSubmit}
		w.entries[vg] = en
		w.order = append(w.order, vg)
	}
	return en
}

func (w *submitSet) log(marked bool) {
	for _, vg := range w.order {
		en := w.entries[vg]
		en.marked = marked
		vg.append(*en)
	}
}

func (s *session) insert(p *parser) (*result, error) {
	var inserts []insertion
	var created []*table
	var db *database
	logged := false
	defer func() { // a statement that fails, by a panic of the parser too, creates nothing
		for _, t := range created {
			if !logged {
				t.vg.db.forget(t)
			}
		}
	}()
	for p.peek().kind == tokenIdent || p.peek().kind == tokenQuoted {
		dbName, name := p.qualified()
		var err error
		if db, err = s.writable(dbName); err != nil {
			return nil, err
		}
		in, err := s.insertion(p, db, dbName, name, &created)
		if err != nil {
			return nil, err
		}
		inserts = append(inserts, in)
		p.accept(",")
	}
	p.end()
	if len(inserts) == 0 {
		p.fail()
	}
	var set submitSet
	total := 0
	for _, t := range created {
		en := set.entry(t.vg)
		en.creates = append(en.creates, s.n.encodeCreateTable(t))
	}
	for _, in := range inserts {
		if err := db.checkAge(in.rows); err != nil {
			return nil, err
		}
	}
	for _, in := range inserts {
		total += len(in.rows)
		in.sortRows()
		in.t.rows.upsert(in.cols, in.rows)
		en := set.entry(in.t.vg)
		en.data = appendTableBlock(en.data, in.t.vg.db.prec, in.t.name, in.cols, in.rows)
		en.blocks++
		en.rows += len(in.rows)
	}
	set.log(s.marked)
	logged = true
	return &result{affected: total}, nil
}

// insertion takes `name [using …] [(cols)] values (…)…`. A table that it makes
// is added to created.
func (s *session) insertion(p *parser, db *database, dbName, name string, created *[]*table) (insertion, error) {
	in := insertion{t: db.tables[name]}
	var names []string
	columnNames := func() {
		if p.is("(") {
			p.list(func() { names = append(names, p.ident()) })
		}
	}
	columnNames()
	if p.is("using") {
		u, err := s.usingClause(p, dbName)
		if err != nil {
			return in, err
		}
		if in.t == nil {
			in.t = u.child(name)
			*created = append(*created, in.t)
		}
	}
	if in.t == nil {
		return in, errTableMissing
	}
	columnNames()
	in.cols = in.t.schema().cols
	if names != nil {
		in.cols = nil
		for _, c := range names {
			i := indexOf(in.t.schema().cols, c)
			if i < 0 {
				return in, failure(codeInvalidColumn, "Invalid column name: %s", c)
			}
			in.cols = append(in.cols, in.t.schema().cols[i])
		}
	}
	p.expect("values")
	for p.is("(") {
		row, err := p.row(in.cols, db.prec)
		if err != nil {
			return in, err
		}
		in.rows = append(in.rows, row)
		p.accept(",")
	}
	if len(in.rows) == 0 {
		p.fail()
	}
	if err := timeFirst(&in); err != nil {
		return in, err
	}
	if second := in.t.rows.second; second != nil && second.among(in.cols) < 0 {
		return in, failure(codeOperation, "Primary key column should not be none")
	}
	return in, checkKeys(in.t.rows.second, in.cols, len(in.rows), func(r, c int) []byte { return in.rows[r][c] })
}

func (p *parser) row(cols []column, prec precision) ([][]byte, error) {
	row := make([][]byte, 0, len(cols))
	var failed error
	p.list(func() {
		v := p.value()
		if failed != nil {
			return
		}
		if len(row) >= len(cols) {
			failed = failure(codeSyntax, "Illegal number of columns")
			return
		}
		if t, ok := v.(time.Time); ok {
			v = stamp{ticksOf(t, prec), prec}
		}
		cell, err := encodeCell(cols[len(row)], prec, v)
		failed = err
		row = append(row, cell)
	})
	if failed == nil && len(row) < len(cols) {
		failed = failure(codeSyntax, "Illegal number of columns")
	}
	return row, failed
}

// timeFirst moves the time to the front of the columns of an insertion.
func timeFirst(in *insertion) error {
	at := slices.IndexFunc(in.cols, func(c column) bool { return c.id == 1 })
	if at < 0 {
		return failure(codeSyntax, "Primary timestamp column should not be null")
	}
	for _, row := range in.rows {
		if row[at] == nil {
			return failure(codeSyntax, "Primary timestamp should not be null")
		}
	}
	if at == 0 {
		return nil
	}
	in.cols = slices.Clone(in.cols)
	in.cols[0], in.cols[at] = in.cols[at], in.cols[0]
	for _, row := range in.rows {
		row[0], row[at] = row[at], row[0]
	}
	return nil
}

// sortRows puts rows in the order of their keys; of several with one key the last
// stays.
func (in *insertion) sortRows() {
	second := in.t.rows.second.among(in.cols)
	compare := func(a, b [][]byte) int {
		if c := cmp.Compare(leInt64(a[0]), leInt64(b[0])); c != 0 || second < 0 {
			return c
		}
		return in.cols[second].compare(a[second], b[second])
	}
	slices.SortStableFunc(in.rows, compare)
	kept := in.rows[:0]
	for i, row := range in.rows {
		if i+1 < len(in.rows) && compare(row, in.rows[i+1]) == 0 {
			continue
		}
		kept = append(kept, row)
	}
	in.rows = kept
}

// delete removes a range of time from a table, or from the children of a super
// table whose tags meet the rest of the condition.
func (s *session) delete(p *parser) (*result, error) {
	dbName, name := p.qualified()
	db, err := s.writable(dbName)
	if err != nil {
		return nil, err
	}
	tables, sch, err := db.tablesOf(name)
	if err != nil {
		return nil, err
	}
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	var rest []expr
	if p.accept("where") {
		cond := p.expression()
		if from, to, rest, err = timeRange(cond, sch.cols[0].name, db.prec); err != nil {
			return nil, err
		}
	}
	p.end()
	var chosen []*table
	for _, t := range tables {
		ok, err := t.meets(rest, db.prec)
		if err != nil {
			return nil, err
		}
		if ok {
			chosen = append(chosen, t)
		}
	}
	d := deletion{table: name, tsName: sch.cols[0].name, from: from, to: to, marked: s.marked}
	st := db.stables[name]
	if st != nil {
		d.suid = st.uid
	} else if tables[0].super != nil {
		d.suid = tables[0].super.uid
	}
	return &result{affected: db.remove(d, chosen, st != nil)}, nil
}

// meets reports whether a child's tags and name meet every condition.
func (t *table) meets(conds []expr, p precision) (bool, error) {
	for _, c := range conds {
		v, err := eval(c, func(name string) (any, error) { return t.tagValue(name, p) })
		if err != nil {
			return false, err
		}
		if ok, _ := v.(bool); !ok {
			return false, nil
		}
	}
	return true, nil
}

// tagValue is the value of a tag, or of the pseudo column tbname.
func (t *table) tagValue(name string, p precision) (any, error) {
	if name == "tbname" {
		return t.name, nil
	}
	if t.super != nil {
		if i := indexOf(t.super.tags, name); i >= 0 {
			c := t.super.tags[i]
			return decodeCell(c, p, t.tags[c.id]), nil
		}
	}
	return noColumns(name)
}

// timeRange splits a condition into the range of time that its conjuncts on
// the time column allow, and the other conjuncts.
func timeRange(cond expr, ts string, p precision) (from, to int64, rest []expr, err error) {
	from, to = math.MinInt64, math.MaxInt64
	for _, c := range conjuncts(cond) {
		b, ok := c.(exprBinary)
		if !ok {
			rest = append(rest, c)
			continue
		}
		col, left := b.left.(exprColumn)
		if !left || col.name != ts || !slices.Contains([]string{"=", "<", "<=", ">", ">="}, b.op) {
			rest = append(rest, c)
			continue
		}
		v, err := eval(b.right, noColumns)
		if err != nil {
			return 0, 0, nil, err
		}
		if t, ok := v.(time.Time); ok {
			v = stamp{ticksOf(t, p), p}
		}
		n, err := toTicks(v, p)
		if err != nil {
			return 0, 0, nil, err
		}
		switch b.op {
		case "=":
			from, to = max(from, n), min(to, n)
		case "<":
			to = min(to, n-1)
		case "<=":
			to = min(to, n)
		case ">":
			from = max(from, n+1)
		case ">=":
			from = max(from, n)
		}
	}
	return from, to, rest, nil
}

func conjuncts(e expr) []expr {
	if e == nil {
		return nil
	}
	if b, ok := e.(exprBinary); ok && b.op == "and" {
		return append(conjuncts(b.left), conjuncts(b.right)...)
	}
	return []expr{e}
}
