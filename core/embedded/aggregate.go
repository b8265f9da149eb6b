package embedded

// accumulator computes one aggregate over the rows of a group.
type accumulator struct {
	call  exprCall
	rows  int64
	sum   any
	value any // of min, max, first, last
	at    any // the time of value
	low   any // of spread
}

func (a *accumulator) add(row env, ts string) error {
	if a.call.star {
		a.rows++
		return nil
	}
	v, err := eval(a.call.args[0], row)
	if err != nil {
		return err
	}
	if v == nil && a.call.name != "last_row" {
		return nil
	}
	a.rows++
	switch a.call.name {
	case "sum", "avg":
		if a.sum == nil {
			a.sum = v
		} else {
			a.sum = arithmetic("+", a.sum, v)
		}
	case "min":
		if a.value == nil || compare(v, a.value) < 0 {
			a.value = v
		}
	case "max", "spread":
		if a.value == nil || compare(v, a.value) > 0 {
			a.value = v
		}
		if a.low == nil || compare(v, a.low) < 0 {
			a.low = v
		}
	case "first", "last", "last_row":
		at, err := row(ts)
		if err != nil {
			return err
		}
		if a.at == nil || a.call.name == "first" && compare(at, a.at) < 0 || a.call.name != "first" && compare(at, a.at) >= 0 {
			a.value, a.at = v, at
		}
	}
	return nil
}

func (a *accumulator) result() any {
	switch a.call.name {
	case "count":
		return a.rows
	case "sum":
		return a.sum
	case "avg":
		if a.rows == 0 {
			return nil
		}
		return arithmetic("/", a.sum, a.rows)
	case "spread":
		if a.rows == 0 {
			return nil
		}
		high, _ := toFloat(a.value)
		low, _ := toFloat(a.low)
		return high - low
	default:
		return a.value
	}
}

// bucket is one group of rows.
type bucket struct {
	keys   []any
	accs   []*accumulator // nil where the item is no aggregate
	plain  []any
	filled bool
}

func newBucket(q *selection, keys []any) *bucket {
	b := &bucket{keys: keys, accs: make([]*accumulator, len(q.items)), plain: make([]any, len(q.items))}
	for i, it := range q.items {
		if call, ok := it.e.(exprCall); ok && aggregates[call.name] {
			b.accs[i] = &accumulator{call: call}
		}
	}
	return b
}

// groupedRows makes one result row of each group; it returns the sort keys.
func groupedRows(s *session, q *selection, src *source, res *result) ([][]any, error) {
	buckets := map[string]*bucket{}
	var order []*bucket
	if len(q.groups) == 0 {
		buckets[""] = newBucket(q, nil)
		order = append(order, buckets[""])
	}
	for _, name := range q.emptyGroups(src) {
		b := newBucket(q, []any{name})
		for i, it := range q.items {
			if c, ok := it.e.(exprColumn); ok && c.name == "tbname" {
				b.plain[i] = name
			}
		}
		buckets[rowKey(b.keys)] = b
		order = append(order, b)
	}
	err := src.scan(func(row env) error {
		if ok, err := holds(q.where, row); !ok {
			return err
		}
		var keys []any
		for _, g := range q.groups {
			v, err := eval(g, row)
			if err != nil {
				return err
			}
			keys = append(keys, v)
		}
		b := buckets[rowKey(keys)]
		if b == nil {
			b = newBucket(q, keys)
			buckets[rowKey(keys)] = b
			order = append(order, b)
		}
		return s.fill(b, q, src, row)
	})
	if err != nil {
		return nil, err
	}
	var sortKeys [][]any
	for _, b := range order {
		if !b.filled && !q.counts() {
			continue
		}
		out := b.plain
		for i, a := range b.accs {
			if a != nil {
				out[i] = a.result()
			}
		}
		res.rows = append(res.rows, out)
		key, err := q.sortKey(res.cols, out, b.env(q))
		if err != nil {
			return nil, err
		}
		sortKeys = append(sortKeys, key)
	}
	return sortKeys, nil
}

// counts reports whether a group without rows still yields a row.
func (q *selection) counts() bool {
	for _, it := range q.items {
		if call, ok := it.e.(exprCall); ok && call.name == "count" {
			return true
		}
	}
	return false
}

// emptyGroups names the tables that have a group even if they have no row:
// those of a count by tbname.
func (q *selection) emptyGroups(src *source) []string {
	if len(q.groups) != 1 || q.where != nil || !q.counts() {
		return nil
	}
	if c, ok := q.groups[0].(exprColumn); !ok || c.name != "tbname" {
		return nil
	}
	return src.tables
}

func (s *session) fill(b *bucket, q *selection, src *source, row env) error {
	for i, it := range q.items {
		if b.accs[i] != nil {
			if err := b.accs[i].add(row, src.ts); err != nil {
				return err
			}
		} else if !b.filled {
			v, err := s.plainValue(it.e, row)
			if err != nil {
				return err
			}
			b.plain[i] = v
		}
	}
	b.filled = true
	return nil
}

// env gives the grouping columns.
func (b *bucket) env(q *selection) env {
	return func(name string) (any, error) {
		for i, g := range q.groups {
			if c, ok := g.(exprColumn); ok && c.name == name {
				return b.keys[i], nil
			}
		}
		return noColumns(name)
	}
}
