package audit

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"tdreplica/core"
)

const (
	// firstWindow is how many rows the first window of a group has, about. Later
	// ones are as wide as what one query does in goodTime.
	firstWindow = 500_000
	goodTime    = time.Second
	// fewRows is how many rows of a table are read instead of halving further.
	fewRows = 5_000
	// maxSuspects bounds the list of windows to look at again. Beyond it windows
	// are not halved, so that there are at most a few for each query.
	maxSuspects = 50_000
)

// suspect is a window of one table that differed.
type suspect struct {
	table  string
	group  Group
	window Window
}

// scanAll compares the rows of all tables once and returns what differs.
func (j *Job) scanAll(ctx context.Context) ([]suspect, error) {
	s, err := j.structure(ctx)
	if err != nil {
		return nil, err
	}
	return j.scanNew(ctx, s, nil)
}

// scanNew compares once what was not compared yet, and adds what differs to
// what is known: all tables at first, later those that both sides have, or have
// more columns of, since replication or a repair brought them.
func (j *Job) scanNew(ctx context.Context, s *structure, known []suspect) ([]suspect, error) {
	for _, g := range s.groups {
		columns := make(map[string]bool, len(g.Columns))
		for _, c := range g.Columns {
			columns[c.Name+" "+c.Type] = true
		}
		again := map[string]bool{}
		g.Tables = slices.DeleteFunc(slices.Clone(g.Tables), func(table string) bool {
			before := j.scanned[table]
			if covers(before, columns) {
				return true
			}
			again[table] = before != nil
			return false
		})
		if len(g.Tables) == 0 {
			continue
		}
		j.step("compare the rows of %s", cmp.Or(g.Super, g.Tables[0]))
		known = slices.DeleteFunc(known, func(k suspect) bool { return again[k.table] })
		var err error
		if known, err = j.scan(ctx, g, known); err != nil {
			return nil, err
		}
		for table, before := range again {
			j.scanned[table] = columns
			if !before {
				j.update(func(d *core.DatabaseAudit) { d.Tables++ })
			}
		}
	}
	return known, nil
}

// covers reports whether the columns that were compared hold all of these.
func covers(compared, columns map[string]bool) bool {
	for c := range columns {
		if !compared[c] {
			return false
		}
	}
	return true
}

// spans asks both sides for a group's extent and returns what covers both.
func (j *Job) spans(ctx context.Context, g Group) (w Window, rows [2]int64, err error) {
	spans, _, err := ask(ctx, j, func(side Side) (Span, error) { return side.Span(ctx, j.opts.Database, g) })
	w = Window{math.MaxInt64, math.MinInt64}
	for i, s := range spans {
		if rows[i] = s.Rows; s.Rows > 0 {
			w.From, w.To = min(w.From, s.First), max(w.To, s.Last+1)
		}
	}
	return w, rows, err
}

// scan compares a group window by window and appends what differs to out.
func (j *Job) scan(ctx context.Context, g Group, out []suspect) ([]suspect, error) {
	all, rows, err := j.spans(ctx, g)
	if err != nil || rows[0]+rows[1] == 0 {
		return out, err
	}
	if j.opts.Exact {
		for _, t := range g.Tables {
			out = append(out, suspect{t, g, all})
		}
		return out, nil
	}
	width := max(1, int64(float64(all.To-all.From)*min(1, firstWindow/float64(max(rows[0], rows[1])))))
	for at := all.From; at < all.To; {
		w := Window{at, min(at+width, all.To)}
		digests, took, err := j.digests(ctx, g, w)
		if err != nil {
			if !errors.Is(err, ErrTooLong) || width == 1 {
				return out, err
			}
			width = max(1, width/8)
			continue
		}
		for _, t := range union(digests[0], digests[1]) {
			if a, b := digests[0][t], digests[1][t]; !a.Equal(b) {
				if out, err = j.narrow(ctx, suspect{t, g, w}, [2]Digest{a, b}, out); err != nil {
					return out, err
				}
			}
			if j.scanned[t] == nil {
				j.update(func(d *core.DatabaseAudit) { d.Rows += digests[0][t].Rows })
			}
		}
		at = w.To
		switch {
		case took < goodTime/4 && width < math.MaxInt64/4:
			width *= 2
		case took > 2*goodTime:
			width = max(1, width/2)
		}
	}
	return out, nil
}

func (j *Job) digests(ctx context.Context, g Group, w Window) ([2]map[string]Digest, time.Duration, error) {
	j.update(func(d *core.DatabaseAudit) { d.Windows++ })
	return ask(ctx, j, func(side Side) (map[string]Digest, error) { return side.Digests(ctx, j.opts.Database, g, w) })
}

// narrow halves a window that differs until it has few rows, or all rows of one
// side are missing, and appends what is left to out.
func (j *Job) narrow(ctx context.Context, s suspect, d [2]Digest, out []suspect) ([]suspect, error) {
	few := max(d[0].Rows, d[1].Rows) <= fewRows || d[0].Rows == 0 || d[1].Rows == 0
	if few || s.window.To-s.window.From < 2 || len(out) >= maxSuspects {
		return merge(out, s), nil
	}
	s.group.Tables = []string{s.table}
	half := s.window.From + (s.window.To-s.window.From)/2
	for _, w := range []Window{{s.window.From, half}, {half, s.window.To}} {
		digests, _, err := j.digests(ctx, s.group, w)
		if err != nil {
			return out, err
		}
		a, b := digests[0][s.table], digests[1][s.table]
		if a.Equal(b) {
			continue
		}
		if out, err = j.narrow(ctx, suspect{s.table, s.group, w}, [2]Digest{a, b}, out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// merge appends a suspect, or widens the last one if it goes on there.
func merge(out []suspect, s suspect) []suspect {
	if n := len(out); n > 0 && out[n-1].table == s.table && out[n-1].window.To == s.window.From {
		out[n-1].window.To = s.window.To
		return out
	}
	return append(out, s)
}
