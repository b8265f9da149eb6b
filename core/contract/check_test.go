package contract

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"tdreplica/core"
)

// patience is how long a scenario waits for what must come true. It is a bound
// against hanging, far above what anything takes, also with the race detector and on
// a machine that does other things, where a minute was too short.
const patience = 5 * time.Minute

// waitUntil asks until ok answers true, and fails with the last answer's words
// when patience has run out.
func (e *env) waitUntil(what string, ok func() (bool, string)) {
	e.Helper()
	patience := max(e.opts.patience, patience)
	deadline := time.Now().Add(patience)
	for {
		done, why := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			e.Fatalf("waited %s until %s; last seen: %s", patience, what, why)
		}
		select {
		case <-e.Context().Done():
			e.Fatalf("ended while waiting until %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// waitCaughtUp returns when every task of the replicas runs with a diff of 0
// that was measured after the call.
func (e *env) waitCaughtUp(c core.Controller, ids ...string) {
	e.Helper()
	asked := e.now()
	e.waitUntil("diff is 0", func() (bool, string) {
		snap, err := c.Snapshot(e.Context())
		if err != nil {
			return false, err.Error()
		}
		var open []string
		tasks := 0
		for i := range snap.Tasks {
			t := &snap.Tasks[i]
			if !slices.Contains(ids, t.Replica) {
				continue
			}
			tasks++
			if t.State == core.Failed {
				e.Fatalf("task %s failed: %s (%s)", t.Key(), t.Note, t.LastError)
			}
			if t.State != core.Running || t.Diff != 0 || !t.MeasuredAt.After(asked) {
				open = append(open, describeTask(t))
			}
		}
		if tasks == 0 {
			open = append(open, "no task of "+strings.Join(ids, ", "))
		}
		return len(open) == 0, strings.Join(open, "\n")
	})
}

// waitState returns when the only task of a database is in the state.
func (e *env) waitState(c core.Controller, key core.TaskKey, want core.State) *core.Task {
	e.Helper()
	var found *core.Task
	e.waitUntil(fmt.Sprintf("task %s is %s", key, want), func() (bool, string) {
		snap, err := c.Snapshot(e.Context())
		if err != nil {
			return false, err.Error()
		}
		if found = snap.Task(key); found == nil {
			return false, "there is no such task"
		}
		return found.State == want, describeTask(found)
	})
	return found
}

func describeTask(t *core.Task) string {
	s := fmt.Sprintf("%s %s diff %d", t.Key(), t.State, t.Diff)
	if t.Note != "" {
		s += " note: " + t.Note
	}
	if t.LastError != "" {
		s += " last error: " + t.LastError
	}
	for _, v := range t.Vgroups {
		s += fmt.Sprintf(" [%d: %d/%d]", v.ID, v.Current, v.Latest)
	}
	return s
}

// content is what a side holds of a database, as lines of text under headings:
// the schema of every super table, the kind, tags and rows of every table.
func (s *side) content(ctx context.Context, db string) (map[string][]string, error) {
	all := map[string][]string{}
	stables, err := s.sql.run(ctx, "select stable_name from information_schema.ins_stables where db_name='"+db+"'")
	if err != nil {
		return nil, err
	}
	tables, err := s.look(ctx, "select table_name, stable_name from information_schema.ins_tables where db_name='"+db+"'")
	if err != nil {
		return nil, err
	}
	describe := func(name string) error {
		cols, err := s.sql.run(ctx, fmt.Sprintf("describe %s.`%s`", db, name))
		if err != nil {
			return err
		}
		for _, c := range cols {
			all["schema of "+name] = append(all["schema of "+name], strings.Join(c[:4], " "))
		}
		return nil
	}
	for _, st := range stables {
		if err := describe(st[0]); err != nil {
			return nil, err
		}
	}
	for _, t := range tables {
		all["super table of "+t[0]] = []string{t[1]}
		if t[1] == "null" {
			if err := describe(t[0]); err != nil {
				return nil, err
			}
		}
		rows, err := s.sql.run(ctx, fmt.Sprintf("select * from %s.`%s` order by ts", db, t[0]))
		if err != nil {
			return nil, err
		}
		all["rows of "+t[0]] = lines(rows)
	}
	tags, err := s.look(ctx, "select table_name, tag_name, tag_type, tag_value from information_schema.ins_tags where db_name='"+db+"'")
	if err != nil {
		return nil, err
	}
	for _, t := range tags {
		all["tags of "+t[0]] = append(all["tags of "+t[0]], strings.Join(t[1:], " "))
	}
	return all, nil
}

// look asks for a list of tables or tags. A server looks for them in all vnodes, and
// 3.3.6.13 may come to one of another scenario's that is being dropped.
func (s *side) look(ctx context.Context, sql string) (rows [][]string, err error) {
	const vnodeClosed, tries = 0x0503, 5
	for range tries {
		rows, err = s.sql.run(ctx, sql)
		if e, ok := errors.AsType[*sqlError](err); !ok || e.Code != vnodeClosed {
			break
		}
		pause(ctx, time.Second)
	}
	return rows, err
}

func lines(rows [][]string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = strings.Join(r, " | ")
	}
	return out
}

// equal fails unless both sides hold the same tables, schemas, tags and rows.
func (e *env) equal(x, y *side, db string) {
	e.Helper()
	at, err := x.content(e.Context(), db)
	if err != nil {
		e.Fatalf("read %s at %s: %v", db, x.name, err)
	}
	bt, err := y.content(e.Context(), db)
	if err != nil {
		e.Fatalf("read %s at %s: %v", db, y.name, err)
	}
	headings := map[string]bool{}
	for h := range at {
		headings[h] = true
	}
	for h := range bt {
		headings[h] = true
	}
	var diff []string
	for h := range headings {
		diff = append(diff, difference(h, at[h], bt[h])...)
	}
	if len(diff) == 0 {
		return
	}
	sort.Strings(diff)
	if len(diff) > 40 {
		diff = append(diff[:40], fmt.Sprintf("… and %d more", len(diff)-40))
	}
	e.Fatalf("%s differs (- only at %s, + only at %s):\n%s", db, x.name, y.name, strings.Join(diff, "\n"))
}

// difference lists the lines that one side has and the other has not.
func difference(heading string, x, y []string) []string {
	count := map[string]int{}
	for _, l := range x {
		count[l]++
	}
	for _, l := range y {
		count[l]--
	}
	var out []string
	for l, n := range count {
		switch {
		case n > 0:
			out = append(out, heading+": - "+l)
		case n < 0:
			out = append(out, heading+": + "+l)
		}
	}
	return out
}

// rowsOf counts a database's rows at a side.
func (e *env) rowsOf(s *side, db string) int {
	e.Helper()
	c, err := s.content(e.Context(), db)
	if err != nil {
		e.Fatalf("read %s at %s: %v", db, s.name, err)
	}
	n := 0
	for h, l := range c {
		if strings.HasPrefix(h, "rows of ") {
			n += len(l)
		}
	}
	return n
}

// walEnds returns the end of each vgroup's WAL. Real servers tell it some
// seconds late, and not all versions do.
func (e *env) walEnds(s *side, db string) string {
	e.Helper()
	if s.node != nil {
		return fmt.Sprint(s.node.WALEnds(db))
	}
	rows := e.query(s, "select vgroup_id, `v1_applied/committed` from information_schema.ins_vgroups where db_name='"+db+"'")
	slices.SortFunc(rows, func(x, y []string) int { return strings.Compare(x[0], y[0]) })
	return fmt.Sprint(rows)
}

// staysAtRest fails if a WAL grows while nobody writes: a commit, an echo or a
// loop would show here.
func (e *env) staysAtRest(db string) {
	e.Helper()
	if e.real && !(e.atLeast(e.a, 6) && e.atLeast(e.b, 6)) {
		e.Log("these servers do not tell the ends of their WALs: nobody watched whether they rest")
		return
	}
	if e.opts.version != "" && !e.atLeast(e.a, 5) {
		e.Log("the library of this version commits by itself: its WALs never rest")
		return
	}
	settle, watch := 500*time.Millisecond, 3*time.Second
	if e.real {
		settle, watch = 5*time.Second, 10*time.Second
	}
	ends := func() string { return "a: " + e.walEnds(e.a, db) + " b: " + e.walEnds(e.b, db) }
	// The last commits may still be on their way when diff is 0.
	last, since := ends(), time.Now()
	e.waitUntil("the WALs rest", func() (bool, string) {
		if now := ends(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > settle+watch, last
	})
}
