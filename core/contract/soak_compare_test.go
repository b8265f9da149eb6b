package contract

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
)

// compareSoak fails unless both sides hold the same tables, schemas, tags and
// rows, and as many rows as were written. It tells how many tables and how many
// rows of both sides it looked at.
func compareSoak(e *env, db string, parts []*soakSide) (tables int, rows int64) {
	e.Helper()
	at, bt := e.digest(e.a, db), e.digest(e.b, db)
	headings := map[string]bool{}
	for h := range at {
		headings[h] = true
	}
	for h := range bt {
		headings[h] = true
	}
	for _, h := range slices.Sorted(maps.Keys(headings)) {
		diff := difference(h, at[h], bt[h])
		sort.Strings(diff)
		if len(diff) > 6 {
			diff = append(diff[:6], fmt.Sprintf("… and %d more", len(diff)-6))
		}
		if len(diff) > 0 {
			e.Errorf("the sides differ (- only at a, + only at b):\n%s", strings.Join(diff, "\n"))
		}
	}
	for _, s := range []*side{e.a, e.b} {
		for _, p := range parts {
			rows += p.compareCounts(s)
		}
	}
	return len(at) - len(parts), rows
}

// soakResult is what docs/reliability.md tells of a soak.
type soakResult struct {
	ran, caughtUp time.Duration
	rows, changes int64
	faults        map[string]int // by what was killed
	tables        int
	compared      int64
}

// String is a table in Markdown. What a soak that failed did not come to is 0.
func (r *soakResult) String(failed bool) string {
	total, by := 0, []string{}
	for _, name := range slices.Sorted(maps.Keys(r.faults)) {
		total += r.faults[name]
		by = append(by, fmt.Sprintf("%d %s", r.faults[name], name))
	}
	outcome := "no difference"
	if failed {
		outcome = "failed"
	}
	return fmt.Sprintf(`figures
| ran | rows written | rows/s, both sides | changes | faults | caught up after | compared | result |
|---|---|---|---|---|---|---|---|
| %s | %d | %.0f | %d | %d (%s) | %s | %d tables, %d rows of both sides | %s |`,
		r.ran.Round(time.Second), r.rows, float64(r.rows)/max(1, r.ran.Seconds()), r.changes,
		total, strings.Join(by, ", "), r.caughtUp.Round(time.Second), r.tables, r.compared, outcome)
}

// compareCounts fails unless a side has the number of rows that was written at
// p's side, and the further tables that were not dropped there.
func (p *soakSide) compareCounts(s *side) (rows int64) {
	p.Helper()
	for _, w := range p.writers {
		for _, t := range w.tables {
			want := w.rows.Load() - w.deleted[t]
			rows += want
			if got := p.query(s, fmt.Sprintf("select count(*) from %s.%s", p.db, t))[0][0]; got != fmt.Sprint(want) {
				p.Errorf("%s at %s has %s rows of %d", t, s.name, got, want)
			}
		}
	}
	kept := map[string]bool{}
	for _, r := range p.query(s, fmt.Sprintf(
		"select table_name from information_schema.ins_tables where db_name='%s' and table_name like 't%s%%'", p.db, p.at.name)) {
		kept[r[0]] = true
	}
	if !maps.Equal(kept, p.kept) {
		p.Errorf("at %s are the tables %v of %v", s.name, slices.Sorted(maps.Keys(kept)), slices.Sorted(maps.Keys(p.kept)))
	}
	return rows
}

// digest is content for tables with millions of rows: instead of the rows, it
// has counts and sums of all columns for every ten seconds of them.
func (e *env) digest(s *side, db string) map[string][]string {
	e.Helper()
	all := map[string][]string{}
	sums := map[string]string{}
	for _, st := range e.query(s, "select stable_name from information_schema.ins_stables where db_name='"+db+"'") {
		exprs := []string{"_wstart", "count(*)"}
		for i, c := range e.query(s, fmt.Sprintf("describe %s.%s", db, st[0])) {
			all["schema of "+st[0]] = append(all["schema of "+st[0]], strings.Join(c[:4], " "))
			switch {
			case i == 0 || c[3] == "TAG":
			case c[1] == "NCHAR":
				exprs = append(exprs, fmt.Sprintf("count(%s), sum(char_length(%s))", c[0], c[0]))
			default:
				exprs = append(exprs, fmt.Sprintf("count(%s), sum(%s), min(%s), max(%s)", c[0], c[0], c[0], c[0]))
			}
		}
		sums[st[0]] = strings.Join(exprs, ", ")
	}
	for _, t := range e.query(s, "select table_name, stable_name from information_schema.ins_tables where db_name='"+db+"'") {
		all["rows of "+t[0]] = lines(e.query(s, fmt.Sprintf("select %s from %s.%s interval(10s)", sums[t[1]], db, t[0])))
	}
	for _, t := range e.query(s, "select table_name, tag_name, tag_type, tag_value from information_schema.ins_tags where db_name='"+db+"'") {
		all["rows of "+t[0]] = append(all["rows of "+t[0]], strings.Join(t[1:], " "))
	}
	return all
}
