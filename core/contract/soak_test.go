package contract

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tdreplica/core"
)

// The pace of a soak.
const (
	soakRate     = 52_000          // rows a second, of all writers together
	soakWriters  = 2               // of each side
	soakTables   = 8               // of each writer
	soakRows     = 125             // that a table gets with one statement
	soakChange   = 2 * time.Second // between two changes at one side
	soakColumns  = 30              // that are added to each super table
	soakPatience = 20 * time.Minute
	// soakDebt is how much of an outage the writers make up for afterwards.
	soakDebt = 20 * time.Second
)

// TestSoak writes on both sides of two real servers and replicates both ways
// for as long as TDREPLICA_TEST_SOAK says, while the servers, their adapters
// and the instance are killed in turn. Afterwards both sides hold the same, and
// exactly what was written.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("TDREPLICA_TEST_SOAK"))
	if err != nil {
		t.Skip("TDREPLICA_TEST_SOAK names no duration, for example 30m")
	}
	rate := soakRate
	if text := os.Getenv("TDREPLICA_TEST_SOAK_RATE"); text != "" {
		if rate, err = strconv.Atoi(text); err != nil || rate < 1 {
			t.Fatalf("TDREPLICA_TEST_SOAK_RATE is %q, and no number of rows", text)
		}
	}
	// One statement of each of both sides' writers makes up a round.
	round := time.Second * 2 * soakWriters * soakTables * soakRows / time.Duration(rate)
	onServers(t, options{restarts: true, patience: soakPatience}, func(e *env) { soak(e, length, round) })
}

func soak(e *env, length, round time.Duration) {
	db := e.create(database{vgroups: map[string]int{"a": 4, "b": 3}}, e.a, e.b)
	in := e.runProcess()
	ids := []string{in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)}
	ctx, cancel := context.WithCancel(e.Context())
	var running sync.WaitGroup
	e.Cleanup(func() { cancel(); running.Wait() })
	var parts []*soakSide
	for _, at := range []*side{e.a, e.b} {
		p := newSoakSide(e, at, db)
		parts = append(parts, p)
		running.Go(func() { p.change(ctx) })
		for _, w := range p.writers {
			running.Go(func() { w.write(ctx, round) })
		}
	}
	sum := soakResult{faults: map[string]int{}}
	e.Cleanup(func() { e.Log(sum.String(e.Failed())) })
	began := time.Now()
	soakFaults(e, in, length, parts, sum.faults)
	cancel()
	running.Wait()
	sum.ran = time.Since(began)
	sum.rows, sum.changes = totals(parts)
	stopped := time.Now()
	in.caughtUp(ids...)
	in.caughtUp(ids...)
	sum.caughtUp = time.Since(stopped)
	sum.tables, sum.compared = compareSoak(e, db, parts)
	// The program's own word on it; patience bounds how long it may take.
	in.expect(in.verify(ids[0], false), core.AuditEqual, nil)
	e.staysAtRest(db)
}

func totals(parts []*soakSide) (rows, changes int64) {
	for _, p := range parts {
		changes += p.changes.Load()
		for _, w := range p.writers {
			rows += w.rows.Load() * soakTables
		}
	}
	return rows, changes
}

// soakFaults kills one process after the other and brings it back some seconds
// later, until the time is over, and counts them by name. Everything runs when
// it returns.
func soakFaults(e *env, in *instance, length time.Duration, parts []*soakSide, faults map[string]int) {
	e.Helper()
	sides := map[string]*side{"a": e.a, "b": e.b}
	victims := []struct{ side, daemon string }{
		{"a", server}, {"b", adapter}, {"b", server}, {"a", adapter}, {"", "instance"},
	}
	end := time.Now().Add(length)
	for n := 0; ; n++ {
		pause(e.Context(), 20*time.Second+rand.N(25*time.Second))
		soakProgress(e, in, n, parts)
		if !time.Now().Before(end) || e.Failed() {
			return
		}
		v := victims[n%len(victims)]
		name := strings.TrimSpace(v.daemon + " " + v.side)
		faults[name]++
		e.Logf("killed: %s", name)
		down := time.Second + rand.N(7*time.Second)
		if v.side == "" {
			in.kill()
			pause(e.Context(), down)
			in.launch()
			continue
		}
		e.control(sides[v.side], "kill", v.daemon)
		pause(e.Context(), down)
		e.start(sides[v.side], v.daemon)
		e.start(sides[v.side], adapter) // it may have ended with its taosd, as nobody told it to
	}
}

// soakProgress tells how far everything is. A task that failed ends the soak.
func soakProgress(e *env, in *instance, faults int, parts []*soakSide) {
	e.Helper()
	snap, err := in.Snapshot(e.Context())
	if err != nil {
		e.Fatalf("ask the instance: %v", err)
	}
	var states []string
	for i := range snap.Tasks {
		t := &snap.Tasks[i]
		if t.State == core.Failed {
			e.Fatalf("a task failed: %s", describeTask(t))
		}
		states = append(states, fmt.Sprintf("%s diff %d", t.State, t.Diff))
	}
	rows, changes := totals(parts)
	e.Logf("%d faults, %d rows, %d changes; tasks: %s", faults, rows, changes, strings.Join(states, ", "))
}

// soakSide is what a soak does at one side: it owns a super table, which it
// alone writes to and alters.
type soakSide struct {
	*env
	at      *side
	db      string
	own     string
	writers []*soakWriter
	deletes bool         // 3.3.3.0 loses them by itself (docs/reliability.md)
	newest  atomic.Value // the column that was added last, a string
	changes atomic.Int64
	kept    map[string]bool // further children that exist, by name
}

func newSoakSide(e *env, at *side, db string) *soakSide {
	e.Helper()
	p := &soakSide{env: e, at: at, db: db, own: "m" + at.name, kept: map[string]bool{}}
	if p.deletes = !e.real || e.atLeast(at, 7); !p.deletes {
		e.Logf("this version of %s loses deletes by itself: none are made", at.name)
	}
	p.newest.Store("")
	e.exec(at, fmt.Sprintf("create table %s.%s(ts timestamp, n bigint, note nchar(24)) tags(site int)", db, p.own))
	for range soakWriters {
		w := &soakWriter{soakSide: p, deleted: map[string]int64{}}
		for range soakTables {
			name := fmt.Sprintf("%s%d", at.name, len(p.writers)*soakTables+len(w.tables))
			e.exec(at, fmt.Sprintf("create table %s.%s using %s.%s tags(%d)", db, name, db, p.own, len(w.tables)))
			w.tables = append(w.tables, name)
		}
		p.writers = append(p.writers, w)
	}
	return p
}

// finish sends a statement until it succeeds, so that an outage makes no hole.
// A change that is refused may have taken effect the time before: done, where
// given, looks.
func (p *soakSide) finish(sql string, done func() bool) bool {
	deadline := time.Now().Add(5 * time.Minute)
	for {
		_, err := p.at.sql.run(p.Context(), sql)
		if err == nil {
			return true
		}
		var refused *sqlError
		if done != nil && errors.As(err, &refused) && done() {
			return true
		}
		if p.Context().Err() != nil {
			return false
		}
		if time.Now().After(deadline) {
			p.Errorf("at %s, given up: %v", p.at.name, err)
			return false
		}
		pause(p.Context(), 200*time.Millisecond)
	}
}

// change makes one change of schema or one delete after the other.
func (p *soakSide) change(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		ok := true
		switch n % 8 {
		case 0:
			ok = n/8 >= soakColumns || p.addColumn(n/8)
		case 2, 5:
			ok = p.deleteRows(p.writers[n%soakWriters], n%soakTables)
		case 3:
			w := p.writers[n/8%soakWriters]
			ok = p.setTag(w.tables[n/8%soakTables], n)
		case 6: // of the table that was made before the delete
			table := p.child(n - 2)
			ok = p.setTag(table, n) &&
				p.finish(fmt.Sprintf("insert into %s.%s(ts,n,note) values(%d,3,'标签')", p.db, table, loadEpoch+n+2), nil)
		case 7:
			ok = n < 16 || p.dropChild(n-16)
		default:
			ok = p.createChild(n)
		}
		if !ok {
			return
		}
		p.changes.Add(1)
		pause(ctx, soakChange)
	}
}

func (p *soakSide) addColumn(i int) bool {
	column := fmt.Sprintf("x%s%d", p.at.name, i)
	exists := func() bool {
		rows, err := p.at.sql.run(p.Context(), fmt.Sprintf("describe %s.%s", p.db, p.own))
		return err == nil && strings.Contains(fmt.Sprint(rows), "["+column+" ")
	}
	if !p.finish(fmt.Sprintf("alter table %s.%s add column %s int", p.db, p.own, column), exists) {
		return false
	}
	p.newest.Store(column)
	return true
}

// setTag sets the tag of a child table. Servers hand out no more rows of it to
// the subscriptions that exist (docs/protocol.md, section 9).
func (p *soakSide) setTag(table string, value int) bool {
	return p.finish(fmt.Sprintf("alter table %s.%s set tag site = %d", p.db, table, value), nil)
}

// child names the table that change number n made.
func (p *soakSide) child(n int) string { return fmt.Sprintf("t%s%d", p.at.name, n) }

// createChild makes a table with some rows, which later may be dropped again.
func (p *soakSide) createChild(n int) bool {
	name := p.child(n)
	p.kept[name] = true
	return p.finish(fmt.Sprintf("create table if not exists %s.%s using %s.%s tags(%d)", p.db, name, p.db, p.own, n), nil) &&
		p.finish(fmt.Sprintf("insert into %s.%s(ts,n,note) values(%d,1,'电表')(%d,2,null)", p.db, name, loadEpoch+n, loadEpoch+n+1), nil)
}

// dropChild drops the table that change number n or the one before it made.
func (p *soakSide) dropChild(n int) bool {
	for ; n > 0; n-- {
		name := p.child(n)
		if !p.kept[name] {
			continue
		}
		delete(p.kept, name)
		gone := func() bool {
			rows, err := p.at.sql.run(p.Context(), fmt.Sprintf(
				"select table_name from information_schema.ins_tables where db_name='%s' and table_name='%s'", p.db, name))
			return err == nil && len(rows) == 0
		}
		return p.finish(fmt.Sprintf("drop table %s.%s", p.db, name), gone)
	}
	return true
}

// deleteRows deletes the next hundred rows of a writer's table, far behind what
// it writes now.
func (p *soakSide) deleteRows(w *soakWriter, table int) bool {
	const step, some, distance = 2000, 100, 10000
	if !p.deletes {
		return true
	}
	name := w.tables[table]
	from := w.deleted[name]/some*step + 1
	if from+step > w.rows.Load()-distance {
		return true
	}
	w.deleted[name] += some
	return p.finish(fmt.Sprintf("delete from %s.%s where ts >= %d and ts < %d",
		p.db, name, loadEpoch+from, loadEpoch+from+some), nil)
}

// soakWriter fills its tables with rows numbered 1, 2, 3, ….
type soakWriter struct {
	*soakSide
	tables  []string
	rows    atomic.Int64     // of each table
	deleted map[string]int64 // of each table; belongs to change until it ends
}

// write sends one statement a round.
func (w *soakWriter) write(ctx context.Context, round time.Duration) {
	for next := time.Now(); ctx.Err() == nil; next = next.Add(round) {
		from := w.rows.Load() + 1
		if !w.finish(w.statement(from), nil) {
			return
		}
		w.rows.Store(from + soakRows - 1)
		if behind := time.Since(next); behind > soakDebt {
			next = next.Add(behind - soakDebt)
		}
		pause(ctx, time.Until(next.Add(round)))
	}
}

func (w *soakWriter) statement(from int64) string {
	var b strings.Builder
	b.WriteString("insert into")
	column, value := w.newest.Load().(string), ""
	if column != "" {
		column = "," + column
	}
	for _, t := range w.tables {
		fmt.Fprintf(&b, " %s.%s(ts,n,note%s) values", w.db, t, column)
		for n := from; n < from+soakRows; n++ {
			if column != "" {
				value = fmt.Sprint(",", n%1000)
			}
			fmt.Fprintf(&b, "(%d,%d,'第%d'%s)", loadEpoch+n, n, n, value)
		}
	}
	return b.String()
}
