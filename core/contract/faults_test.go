package contract

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tdreplica/core"
)

// allFaults makes TestFaults try every fault at every step, with and without a
// killed instance. Otherwise it tries those that are quick.
var allFaults = flag.Bool("faults", false, "let TestFaults try all of step × fault × kill, and print the table")

// hastyTimeout is how long the instances of TestFaults wait for a reply; it is
// the least that the configuration allows.
const hastyTimeout = time.Second

// holdTime is two commit intervals (see processTuning).
const holdTime = 400 * time.Millisecond

// step is a moment of the pump, as the connections see it.
type step struct {
	name   string
	side   string // whose connections are struck: a is the source, b the sink
	middle bool   // when half of the frame has passed
	hold   bool   // for longer than from one commit to the next, so that a wrong one is made
	at     func() func(frame) bool

	provoke func(*faultCase) // beside the load and the changes of schema
}

// faultSteps are in the order in which a message comes to them.
var faultSteps = []step{
	{name: "joining the group", side: "a", at: request("subscribe"), provoke: (*faultCase).restart},
	{name: "before a poll", side: "a", at: request("poll")},
	{name: "between poll and fetch", side: "a", at: request("fetch_raw_data")},
	{name: "in the middle of a message", side: "a", at: reply("fetch_raw_data"), middle: true},
	{name: "in the middle of a write", side: "b", at: request("write_raw"), middle: true, hold: true},
	{name: "after a write, before its reply", side: "b", at: reply("write_raw"), hold: true},
	{name: "before a commit", side: "a", at: request("commit_offset")},
	{name: "after a commit, before its reply", side: "a", at: reply("commit_offset")},
	{name: "a change waits for other vgroups", side: "a", at: changeWaits},
	{name: "a change is applied, before its reply", side: "b", at: changeApplied, hold: true},
	{name: "during a stop", side: "a", at: request("unsubscribe"), provoke: (*faultCase).stop},
}

func request(action string) func() func(frame) bool {
	return func() func(frame) bool {
		return func(f frame) bool { return f.up && f.action == action }
	}
}

func reply(action string) func() func(frame) bool {
	return func() func(frame) bool {
		return func(f frame) bool { return !f.up && f.action == action }
	}
}

// isChange reports whether a message holds changes of schema.
func isChange(raw core.RawType) bool {
	return raw != 0 && !slices.Contains([]core.RawType{core.RawData, core.RawMetadata, core.RawRows}, raw)
}

// changeWaits is true for the first request after one vgroup has handed out its
// copy of a change.
func changeWaits() func(frame) bool {
	handed := false
	return func(f frame) bool {
		if !f.up && isChange(f.raw) {
			handed = true
			return false
		}
		return handed && f.up
	}
}

func changeApplied() func(frame) bool {
	return func(f frame) bool { return !f.up && f.action == "write_raw" && isChange(f.raw) }
}

// TestFaults strikes both directions' connections to one server at one step of
// the first direction's pump, under load and changes of schema on both sides.
func TestFaults(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		tryFaults(t, hastyTimeout, func(t *testing.T, c *faultCase) {
			c.env = &env{T: t, session: 500 * time.Millisecond}
			if !c.kill {
				c.clock = newQuickClock(10)
			}
			c.a, c.b = c.startNode("a"), c.startNode("b")
			c.run()
		})
	})
	t.Run("real", func(t *testing.T) {
		if os.Getenv("TDREPLICA_TEST_A") == "" {
			t.Skip("TDREPLICA_TEST_A names no server")
		}
		// Such a server takes longer than a node when it is asked for much at once.
		tryFaults(t, 5*hastyTimeout, func(t *testing.T, c *faultCase) {
			onServers(t, options{}, func(e *env) {
				c.env = e
				c.run()
			})
		})
	})
}

// tryFaults makes each case happen, with engines that wait so long for a reply.
func tryFaults(t *testing.T, patient time.Duration, happen func(*testing.T, *faultCase)) {
	table := newFaultTable()
	t.Run("cases", func(t *testing.T) {
		for _, s := range faultSteps {
			for _, f := range []fault{cut, halfOpen, delay, trickle, narrow} {
				for _, kill := range []bool{false, true} {
					if !*allFaults && (f > halfOpen || kill && f != cut) {
						continue
					}
					name := fmt.Sprintf("%s/%s", s.name, table.column(f, kill))
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						defer table.note(t, s, f, kill)
						happen(t, &faultCase{step: s, fault: f, kill: kill, patient: patient})
					})
				}
			}
		}
	})
	if *allFaults {
		fmt.Print(table)
	}
}

// faultCase is one step, one fault, and what becomes of the instance.
type faultCase struct {
	step
	fault   fault
	kill    bool
	patient time.Duration

	*env
	in          *instance
	struck      <-chan struct{}
	db          string
	there, back string
}

func (c *faultCase) run() {
	c.env.patient = c.patient
	proxies := map[string]*proxy{"a": c.startProxy(c.a), "b": c.startProxy(c.b)}
	c.db = c.create(database{vgroups: map[string]int{"a": 4, "b": 3}}, c.a, c.b)
	c.in = c.newInstance(c.kill)
	c.there, c.back = c.in.replicate(c.a, c.b, c.db), c.in.replicate(c.b, c.a, c.db)
	c.prepare()

	la, lb := c.startLoad(c.a, c.db, "a", 3), c.startLoad(c.b, c.db, "b", 3)
	la.waitRows(6)
	blow := strike{at: c.at(), middle: c.middle, fault: c.fault}
	if c.hold {
		blow.hold = holdTime
	}
	if c.kill {
		blow.kill = c.in.slay
	}
	c.struck = proxies[c.side].arm(blow)
	c.change()
	if c.provoke != nil {
		c.provoke(c)
	}
	select {
	case <-c.struck:
	case <-time.After(patience):
		c.Fatal("the step was not reached")
	}
	if c.kill {
		c.in.kill()
		c.in.launch()
	}
	c.begin()
	la.waitRows(12)
	lb.waitRows(12)
	la.stop()
	lb.stop()
	c.in.caughtUp(c.there, c.back)
	for _, s := range []*side{c.a, c.b} {
		la.arrived(s)
		lb.arrived(s)
	}
	c.equal(c.a, c.b, c.db)
	c.noGap()
}

// prepare makes what the changes of schema are made to, and lets it arrive.
func (c *faultCase) prepare() {
	c.Helper()
	c.exec(c.a, loadSchema(c.db), fmt.Sprintf("create table %s.s(ts timestamp, v int, x int) tags(g int)", c.db))
	for i := range 6 {
		c.exec(c.a, fmt.Sprintf("insert into %[1]s.s%[2]d using %[1]s.s tags(%[2]d) values(%[3]d,%[2]d,1)", c.db, i, int64(loadEpoch)))
	}
	c.in.caughtUp(c.there, c.back)
}

// change drops a column and adds it again: done once more, or too late, the drop
// would take the new values along.
func (c *faultCase) change() {
	c.Helper()
	c.exec(c.a, "alter table "+c.db+".s drop column x", "alter table "+c.db+".s add column x int")
	for i := range 6 {
		c.exec(c.a, fmt.Sprintf("insert into %s.s%d values(%d,%d,2)", c.db, i, int64(loadEpoch)+1, i))
	}
	c.exec(c.a, "alter table "+c.db+".s add column y int", "drop table "+c.db+".s0")
}

func (c *faultCase) restart() {
	// A killed instance may not answer.
	res, err := c.in.Restart(c.Context(), core.TargetRequest{ID: c.there, Actor: testActor})
	if !c.kill {
		c.in.outcome(res, err, core.OutcomeRestarted)
	}
}

// stop stops the task until that has come to the step: one that happens to be
// interrupted has no group to leave.
func (c *faultCase) stop() {
	key := core.TaskKey{Replica: c.there, Database: c.db}
	for reached := false; !reached; {
		c.in.waitState(key, core.Running)
		res, err := c.in.Stop(c.Context(), core.TargetRequest{ID: c.there, Actor: testActor})
		if !c.kill {
			c.in.outcome(res, err, core.OutcomeStopped)
		}
		c.waitUntil("the stop comes to the step or to its end", func() (bool, string) {
			select {
			case <-c.struck:
				reached = true
				return true, ""
			default:
			}
			snap, err := c.in.Snapshot(c.Context())
			return err == nil && snap.Task(key).State == core.Stopped, fmt.Sprint(err)
		})
		if !reached {
			c.begin()
		}
	}
}

// begin has the task run again that a stop may have stopped.
func (c *faultCase) begin() {
	c.Helper()
	c.in.begin(core.StartRequest{ID: c.there})
}

// noGap fails if a gap was cried, or a task has given up meanwhile.
func (c *faultCase) noGap() {
	c.Helper()
	events, err := c.in.Events(c.Context(), 0, 1000)
	if err != nil {
		c.Fatal(err)
	}
	for _, ev := range events {
		if ev.Kind == core.EventGap || ev.Level == core.LevelError {
			c.Errorf("event %d: %s %s", ev.Seq, ev.Kind, ev.Text)
		}
	}
}

// faultTable is what came of each case.
type faultTable struct {
	mu      sync.Mutex
	results map[string]string // by step and column
	columns []string
}

func newFaultTable() *faultTable {
	t := &faultTable{results: map[string]string{}}
	for _, f := range []fault{cut, halfOpen, delay, trickle, narrow} {
		t.columns = append(t.columns, t.column(f, false), t.column(f, true))
	}
	return t
}

func (*faultTable) column(f fault, kill bool) string {
	if kill {
		return faultNames[f] + "+kill"
	}
	return faultNames[f]
}

func (t *faultTable) note(test *testing.T, s step, f fault, kill bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	verdict := "ok"
	switch {
	case test.Failed():
		verdict = "FAILED"
	case test.Skipped():
		verdict = "not run"
	}
	t.results[s.name+t.column(f, kill)] = verdict
}

func (t *faultTable) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	row := func(name string, cell func(column string) string) {
		fmt.Fprintf(&b, "| %-37s |", name)
		for _, c := range t.columns {
			fmt.Fprintf(&b, " %-*s |", max(len(c), len("FAILED")), cell(c))
		}
		b.WriteByte('\n')
	}
	row("step", func(c string) string { return c })
	row(strings.Repeat("-", 37), func(c string) string { return strings.Repeat("-", max(len(c), len("FAILED"))) })
	for _, s := range faultSteps {
		row(s.name, func(c string) string {
			if v := t.results[s.name+c]; v != "" {
				return v
			}
			return "not run"
		})
	}
	return b.String()
}
