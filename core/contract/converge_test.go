package contract

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tdreplica/core"
	"tdreplica/core/embedded"
)

// shards is how many pairs of nodes try schedules side by side: they mostly wait.
const shards = 8

// TestConvergence lets random schedules happen to two sides that replicate both
// ways: whatever it was, they must end equal. A failure prints the shortest
// schedule that was found to fail; it belongs into regressions. It runs where
// -rapid.checks says how many schedules each pair of nodes tries; `make soak`
// tries 10,000 in all.
func TestConvergence(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		t.Skip("-rapid.checks says not how many random schedules to try; `make soak` does")
	}
	var tried, executed atomic.Int64
	t.Cleanup(func() {
		if done, of := executed.Load(), tried.Load(); done*3 < of {
			t.Errorf("of %d statements the servers took only %d: the schedules try little", of, done)
		}
	})
	for n := range shards {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			e := quickEnv(t)
			rapid.Check(t, func(rt *rapid.T) {
				s := drawSchedule(rt)
				r := newRunner(e)
				r.schedule = s
				if err := r.run(); err != nil {
					rt.Fatalf("%v\n%v", err, s)
				}
				tried.Add(r.tried)
				executed.Add(r.executed)
			})
		})
	}
}

// quickEnv is two nodes and engines for which time flies, since schedules
// mostly wait. They are told apart by what they wait for and not by how long.
func quickEnv(t *testing.T) *env {
	t.Helper()
	e := &env{T: t, session: 100 * time.Millisecond, clock: newQuickClock(10)}
	e.a, e.b = e.startNode("a"), e.startNode("b")
	return e
}

// schedules is how many of the numbered ones are tried.
var schedules = flag.Int("schedules", 5*shards, "random schedules, the same in every run, that TestConvergenceNumbered tries")

// TestConvergenceNumbered lets schedules happen that are random and the same in
// every run, so that what fails for one person can be tried by another. On real
// servers the faults are ones of the lines between them.
func TestConvergenceNumbered(t *testing.T) {
	numbered := rapid.Custom(drawSchedule)
	try := func(r runner, shard int) {
		for n := shard; n < *schedules; n += shards {
			r.schedule = numbered.Example(n)
			if err := r.run(); err != nil {
				r.Errorf("schedule %d: %v\n%v", n, err, r.schedule)
			}
		}
	}
	for shard := range shards {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			t.Run("embedded", func(t *testing.T) {
				t.Parallel()
				try(newRunner(quickEnv(t)), shard)
			})
			t.Run("real", func(t *testing.T) {
				t.Parallel()
				onServers(t, options{}, func(e *env) { try(newRunner(e), shard) })
			})
		})
	}
}

// TestConvergenceRegressions repeats schedules that once ended differently.
func TestConvergenceRegressions(t *testing.T) {
	t.Parallel()
	for i, s := range regressions {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			scenario(t, options{}, func(e *env) {
				r := newRunner(e)
				r.schedule = s
				if err := r.run(); err != nil {
					e.Errorf("%v\n%v", err, s)
				}
			})
		})
	}
}

// runner makes one schedule happen.
type runner struct {
	*env
	schedule
	db              string
	instances       []*instance
	ids             []string // there and back
	tried, executed int64
	undo            []func()         // of faults that last
	lines           map[*side]*proxy // to real servers, for faults
}

// newRunner makes schedules happen quietly; to real servers over lines that faults
// can strike.
func newRunner(e *env) runner {
	e.quiet = true
	r := runner{env: e}
	if e.real {
		r.lines = map[*side]*proxy{e.a: e.startProxy(e.a), e.b: e.startProxy(e.b)}
	}
	return r
}

func (r *runner) run() (err error) {
	r.db = r.create(database{vgroups: map[string]int{"a": r.vgroups[0], "b": r.vgroups[1]}}, r.a, r.b)
	r.instances = []*instance{r.runInstance()}
	if r.apart {
		r.instances = append(r.instances, r.runInstance())
	}
	last := r.instances[len(r.instances)-1]
	r.ids = []string{r.instances[0].replicate(r.a, r.b, r.db), last.replicate(r.b, r.a, r.db)}
	defer func() {
		for _, in := range r.instances {
			in.shutdown()
		}
		for _, s := range []*side{r.a, r.b} {
			if r.real {
				r.dropDatabase(s, r.db)
				continue
			}
			_, _ = s.sql.run(r.Context(), "drop topic if exists tdr_"+r.db) // what is left over is in nobody's way
			_, _ = s.sql.run(r.Context(), "drop database if exists "+r.db)
		}
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, r.logs())
		}
	}()
	for _, step := range r.steps {
		if err := r.step(step); err != nil {
			return fmt.Errorf("at %q: %w", step, err)
		}
	}
	return r.settle()
}

// logs are the ends of what the instances logged.
func (r *runner) logs() string {
	var b strings.Builder
	for _, in := range r.instances {
		text, err := os.ReadFile(filepath.Join(in.dir, "log"))
		if err != nil {
			return err.Error()
		}
		b.Write(text[max(0, len(text)-4000):])
		b.WriteByte('\n')
	}
	return b.String()
}

func (r *runner) step(step string) error {
	if sql, ok := strings.CutPrefix(step, "a: "); ok {
		return r.write(r.a, sql)
	}
	if sql, ok := strings.CutPrefix(step, "b: "); ok {
		return r.write(r.b, sql)
	}
	if step == "settle" {
		return r.settle()
	}
	what, name := step, ""
	if i := strings.LastIndexByte(step, ' '); i > 0 {
		what, name = step[:i], step[i+1:]
	}
	r.disturb(what, map[string]*side{"a": r.a, "b": r.b}[name])
	return nil
}

// write lets the server judge: a statement that it refuses does nothing. One that
// a fault cut off is sent again.
func (r *runner) write(s *side, sql string) error {
	r.tried++
	var err error
	for range 5 {
		_, err = s.sql.run(r.Context(), strings.ReplaceAll(sql, "DB", r.db))
		var refused *sqlError
		switch {
		case err == nil:
			r.executed++
			return nil
		case errors.As(err, &refused):
			return nil
		}
	}
	return err
}

// disturb does one thing that must not matter.
func (r *runner) disturb(what string, s *side) {
	once := func(f embedded.Fault) {
		f.Database, f.Count = r.db, 1
		r.undo = append(r.undo, s.node.Faults().Add(f))
	}
	switch line := r.lines[s]; {
	case line != nil:
		r.strike(what, line)
		return
	case r.real && s != nil:
		r.Fatalf("%s: there is no line to %s", what, s.name)
	}
	switch what {
	case "cut":
		once(embedded.Fault{CloseAll: true, DropBefore: true})
	case "lose reply":
		once(embedded.Fault{Action: "write_raw", DropAfter: true})
	case "refuse poll":
		once(embedded.Fault{Action: "poll", DropBefore: true})
	case "adapter", "server":
		daemon := map[string]string{"adapter": adapter, "server": server}[what]
		r.control(s, "stop", daemon)
		time.Sleep(20 * time.Millisecond) // the fault is the outage
		r.control(s, "start", daemon)
	case "restart", "crash":
		for _, in := range r.instances {
			in.halt(what == "restart")
			in.launch()
		}
	default:
		r.Fatalf("no such fault: %q", what)
	}
}

// strike is the same for a real server: what ends with the connection that is lost
// at that moment. Its daemons are left alone.
func (r *runner) strike(what string, line *proxy) {
	at := map[string]func(frame) bool{"lose reply": reply("write_raw")(), "refuse poll": request("poll")()}[what]
	if at == nil {
		line.reset()
		return
	}
	line.arm(strike{at: at, fault: cut})
	r.undo = append(r.undo, line.disarm)
}

// settle removes what lasts, waits until both directions rest and compares.
func (r *runner) settle() error {
	for _, undo := range r.undo {
		undo()
	}
	r.undo = nil
	const again = 5 * time.Millisecond
	asked, deadline := r.now(), time.Now().Add(patience)
	// The end of a WAL is as old as the last poll that came to that vgroup: only
	// if nothing was applied from one measurement to the next all was seen.
	for rests, before := 0, int64(-1); rests < 2; {
		open, applied, err := r.open(asked)
		switch {
		case err != nil:
			return err
		case open == "" && applied == before:
			rests, asked = rests+1, r.now()
		case open == "":
			rests, before, asked = 0, applied, r.now()
		case time.Now().After(deadline):
			return fmt.Errorf("not at rest after %v: %s", patience, open)
		}
		time.Sleep(again) // between two looks
	}
	return r.compare()
}

// open tells what is not at rest yet, and how many messages were applied.
func (r *runner) open(asked time.Time) (what string, applied int64, err error) {
	var open []string
	for i, id := range r.ids {
		snap, err := r.instances[i%len(r.instances)].Snapshot(r.Context())
		if err != nil {
			return "", 0, err
		}
		t := snap.Task(core.TaskKey{Replica: id, Database: r.db})
		switch {
		case t == nil:
			return "", 0, fmt.Errorf("there is no task %s", id)
		case t.State == core.Failed:
			return "", 0, fmt.Errorf("task %s failed: %s (%s)", t.Key(), t.Note, t.LastError)
		case t.State != core.Running || t.Diff != 0 || !t.MeasuredAt.After(asked):
			open = append(open, describeTask(t))
		}
		applied += t.Totals.Messages
	}
	return strings.Join(open, "; "), applied, nil
}

func (r *runner) compare() error {
	at, err := r.a.content(r.Context(), r.db)
	if err != nil {
		return err
	}
	bt, err := r.b.content(r.Context(), r.db)
	if err != nil {
		return err
	}
	var diff []string
	for h := range at {
		diff = append(diff, difference(h, at[h], bt[h])...)
	}
	for h := range bt {
		if _, both := at[h]; !both {
			diff = append(diff, difference(h, nil, bt[h])...)
		}
	}
	if len(diff) == 0 {
		return nil
	}
	sort.Strings(diff)
	return fmt.Errorf("the sides differ (- only at a, + only at b):\n%s", strings.Join(diff[:min(len(diff), 20)], "\n"))
}

// regressions are schedules that once failed, as TestConvergence printed them.
var regressions = []schedule{
	// The echo of a tag's renaming came to a table that was dropped meanwhile.
	{[2]int{1, 4}, false, []string{
		"a: create table DB.s0(ts timestamp, v int, s varchar(8)) tags(g int, h varchar(8))",
		"a: alter table DB.s0 rename tag h hh",
		"a: drop table DB.s0",
	}},
	// A column is dropped by the side that has not created the super table.
	{[2]int{4, 1}, false, []string{
		"b: create table DB.s1(ts timestamp, v int, s varchar(8)) tags(g int, h varchar(8))",
		"settle",
		"a: insert into DB.s1c2 using DB.s1(g) tags(2) (ts,v) values(1735689600003,50)",
		"a: alter table DB.s1 drop column s",
		"settle",
		"a: alter table DB.s1 add column s varchar(8)",
		"a: insert into DB.s1c2(ts,s) values(1735689600004,'again')",
	}},
	// The other direction starts while the drop of a column is on its way.
	{[2]int{2, 2}, true, []string{
		"b: create table DB.s1(ts timestamp, v int, s varchar(8)) tags(g int, h varchar(8))",
		"b: insert into DB.s1c0 using DB.s1(g) tags(1) (ts,v,s) values(1735689600006,220,'r22')",
		"settle",
		"restart",
		"b: alter table DB.s1 drop column s",
		"b: alter table DB.s1 add column x1 int",
		"b: insert into DB.s1c0(ts,x1) values(1735689600007,7)",
	}},
	// Tables are renamed back and forth faster than the echoes come.
	{[2]int{2, 2}, true, []string{
		"a: create table DB.s0(ts timestamp, v int, s varchar(8)) tags(g int, h varchar(8))",
		"a: insert into DB.s0c0 using DB.s0(g,h) tags(1,'kept') (ts,v) values(1735689600006,220)",
		"a: alter table DB.s0 rename tag h hh",
		"a: alter table DB.s0 rename tag hh h",
		"a: alter table DB.s0 rename tag h hh",
	}},
	// A task goes back twice, to before the drop of a table that was made anew and had
	// a tag set since.
	{[2]int{1, 1}, false, []string{
		"a: create table DB.s0(ts timestamp, v int, s varchar(8)) tags(g int, h varchar(8))",
		"b: create table DB.s1(ts timestamp, v int, s varchar(8)) tags(g int, h varchar(8))",
		"b: insert into DB.s1c0 using DB.s1(h,g) tags('h16',1) (ts,v) values(1735689600003,160)",
		"a: insert into DB.s0c1 using DB.s0(g) tags(1) (ts,v) values(1735689600005,80)",
		"a: drop table DB.s0c1",
		"a: insert into DB.s0c1 using DB.s0(g) tags(0) (ts,v) values(1735689600015,210)",
		"b: alter table DB.s1c0 set tag h = 'set 29'",
		"a: alter table DB.s0c1 set tag h = 'set 40'",
	}},
	// A column that the sink refused to make longer is dropped before its long values
	// have arrived.
	{[2]int{2, 2}, true, []string{
		"b: create table DB.s1(ts timestamp, v int, s varchar(8)) tags(g int, h varchar(8))",
		"settle",
		"adapter b",
		"a: alter table DB.s1 modify column s varchar(24)",
		"a: insert into DB.s1c0 using DB.s1(g) tags(2) (ts,v,s) values(1735689600003,20,'a longer r20')",
		"a: alter table DB.s1 drop column s",
		"a: insert into DB.s1c0(ts,v) values(1735689600004,21)",
	}},
}
