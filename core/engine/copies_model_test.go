package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
	"tdreplica/core/store"
)

// copies is a pump of two workers, small enough to try every order in which
// their readers, their writers, samples and time can move. Changes and the way
// through the writers are the pump's own; the source and the sink are models.
// An entry of a WAL is 0 for rows, or the number of a change that destroys; the
// server logs a change in every vgroup, unless that was read in an earlier run.
type copies struct {
	*testing.T
	wals    map[int32][]int
	owner   map[int32]int          // the worker that reads a vgroup
	crossed bool                   // vgroups come to the changes in different orders, and one is early
	lie     func(*copies, *worker) // told with each sample
	hidden  int32                  // a vgroup that samples leave out

	clock   *stoppedClock
	pump    *pump
	pos     map[int32]int
	queues  [2][]*job
	handed  [2][]entry     // what each worker was handed, by sequence number
	written map[entry]bool // rows at the sink
	changed map[int]bool   // changes at the sink
	wrong   string
}

// entry is an entry of a WAL.
type entry struct {
	vgroup int32
	at     int
}

// modelSink is the sink of both workers, and judges what comes.
type modelSink struct{ c *copies }

func (modelSink) Close() error { return nil }

func (s modelSink) Write(_ context.Context, m *core.Message) error {
	b := m.Payload()
	if m.RawType == core.RawAlterSTB {
		s.c.change(int(b[0]))
	} else {
		s.c.rows(entry{int32(b[0]), int(b[1])})
	}
	return nil
}

// rows must come behind every change that their WAL holds before them.
func (c *copies) rows(p entry) {
	c.written[p] = true
	for i := range p.at {
		if !c.isThere(entry{p.vgroup, i}) {
			c.wrong = fmt.Sprintf("rows %d of vgroup %d are written before entry %d", p.at, p.vgroup, i)
		}
	}
}

// change must come once, and behind all rows that a WAL holds before its copy.
func (c *copies) change(n int) {
	if c.changed[n] {
		c.wrong = fmt.Sprintf("change %d is applied twice", n)
	}
	c.changed[n] = true
	for vg, wal := range c.wals {
		for i := range max(0, slices.Index(wal, n)) {
			if wal[i] == 0 && !c.written[entry{vg, i}] {
				c.wrong = fmt.Sprintf("change %d is applied before rows %d of vgroup %d", n, i, vg)
			}
		}
	}
}

// modelConnector opens nothing but model sinks.
type modelConnector struct {
	Connector
	c *copies
}

func (m modelConnector) Sink(context.Context, core.Endpoint, string) (Sink, error) {
	return modelSink{m.c}, nil
}

// begin makes everything anew.
func (c *copies) begin(e *Engine) {
	c.clock = &stoppedClock{time.Unix(1000, 0)}
	e.connector = modelConnector{c: c} // a change of columns has the sink opened anew
	t := newTask(e, newReplica(store.Replica{}), store.Task{})
	c.pump = newPump(t)
	c.pump.changes = newChanges(c.clock, func() {})
	none := &fakeCatalog{}
	c.pump.plan = &plan{catalog: none, sinkCatalog: none, sourceVersion: core.Version{3, 3, 7, 5}, sinkVersion: core.Version{3, 3, 7, 5}}
	c.pos, c.written, c.changed, c.wrong = map[int32]int{}, map[entry]bool{}, map[int]bool{}, ""
	c.queues, c.handed, c.pump.workers = [2][]*job{}, [2][]entry{}, nil
	for n := range 2 {
		w := newWorker(c.pump, n, 1<<20, 2)
		w.sink = modelSink{c}
		c.pump.workers = append(c.pump.workers, w)
		c.sample(n)
	}
}

func (c *copies) sample(n int) {
	w := c.pump.workers[n]
	if c.lie != nil {
		c.lie(c, w)
	}
	var assigned []core.Assignment
	at := map[int32]int64{}
	for _, vg := range slices.Sorted(maps.Keys(c.wals)) {
		if c.owner[vg] == n && vg != c.hidden {
			assigned = append(assigned, core.Assignment{Vgroup: vg, End: int64(len(c.wals[vg]))})
			at[vg] = int64(c.pos[vg])
		}
	}
	c.pump.changes.sampled(w, assigned, at, c.clock.now)
	w.handed = uint64(len(c.handed[n]))
}

// read hands the next entry of a vgroup to its writer.
func (c *copies) read(vg int32) {
	n, at := c.owner[vg], c.pos[vg]
	change := c.wals[vg][at]
	c.pos[vg]++
	c.handed[n] = append(c.handed[n], entry{vg, at})
	w := c.pump.workers[n]
	w.handed++
	j := &job{it: item{seq: w.handed, m: &core.Message{
		Vgroup: vg, Kind: core.KindData, RawType: core.RawData, Offset: int64(at), Frame: []byte{byte(vg), byte(at)}}}}
	if change != 0 {
		j.it.m.Kind, j.it.m.RawType = core.KindMeta, core.RawAlterSTB
		j.metas = []raw.Meta{{
			Kind: raw.AlterSuperTable, Super: &raw.SuperTable{SUID: int64(change), ColumnVersion: 2, TagVersion: 1},
			Item: raw.Item{RawType: core.RawAlterSTB, Payload: []byte{byte(change)}},
		}}
	}
	c.queues[n] = append(c.queues[n], j)
}

// move is one thing that happens: to a vgroup, or to a worker.
type move struct {
	what string
	n    int
}

// moves are all that can happen next.
func (c *copies) moves() []move {
	var moves []move
	for _, vg := range slices.Sorted(maps.Keys(c.wals)) {
		if c.pos[vg] < len(c.wals[vg]) {
			moves = append(moves, move{"read", int(vg)})
		}
	}
	for n, w := range c.pump.workers {
		if len(c.queues[n]) > 0 {
			moves = append(moves, move{"write", n})
		}
		if len(w.parked) > 0 {
			moves = append(moves, move{"resume", n})
		}
		moves = append(moves, move{"sample", n})
	}
	if len(c.pump.changes.waits) > 0 {
		moves = append(moves, move{what: "time"})
	}
	return moves
}

func (c *copies) move(m move) {
	var err error
	switch m.what {
	case "read":
		c.read(int32(m.n))
	case "write":
		j := c.queues[m.n][0]
		c.queues[m.n] = c.queues[m.n][1:]
		err = c.pump.workers[m.n].proceed(c.Context(), j)
	case "resume":
		err = c.pump.workers[m.n].resume(c.Context())
	case "sample":
		c.sample(m.n)
	case "time":
		c.clock.now = c.clock.now.Add(copiesSpread)
	}
	if err != nil {
		c.wrong = err.Error()
	}
	for n, w := range c.pump.workers {
		for _, p := range c.handed[n][:w.acked.Load()] {
			if !c.isThere(p) {
				c.wrong = fmt.Sprintf("worker %d acknowledges what is not at the sink: entry %d of vgroup %d", n, p.at, p.vgroup)
			}
		}
	}
}

func (c *copies) isThere(p entry) bool {
	if change := c.wals[p.vgroup][p.at]; change != 0 {
		return c.changed[change]
	}
	return c.written[p]
}

// key is the same for states that go on alike.
func (c *copies) key() string {
	var b strings.Builder
	fmt.Fprint(&b, c.pos, c.written, c.changed)
	for n, w := range c.pump.workers {
		fmt.Fprint(&b, "|", len(c.queues[n]), w.held, w.taken.Load(), w.acked.Load())
		for _, j := range w.parked {
			fmt.Fprint(&b, " ", j.it.seq)
		}
	}
	changes := c.pump.changes
	for _, wt := range changes.waits {
		fmt.Fprint(&b, "|", wt.key, wt.here, wt.ends, wt.early, c.clock.now.Sub(wt.since) >= copiesSpread)
		for _, vg := range slices.Sorted(maps.Keys(wt.clear)) {
			fmt.Fprint(&b, " ", vg, wt.clear[vg].w.n, wt.clear[vg].seq)
		}
	}
	for _, vg := range slices.Sorted(maps.Keys(changes.held)) {
		fmt.Fprint(&b, "|", vg, changes.held[vg].key, changes.held[vg].over)
	}
	return b.String()
}

// complete reports whether everything is at the sink and nothing is held.
func (c *copies) complete() bool {
	for vg, wal := range c.wals {
		for at := range wal {
			if !c.isThere(entry{vg, at}) {
				return false
			}
		}
	}
	return len(c.pump.workers[0].parked)+len(c.pump.workers[1].parked) == 0
}

// search visits every state that any order of moves can lead to. It returns how
// many there are and the first way to one that is wrong: rows and changes in the
// wrong order, an acknowledgement that comes too early, or a state from which no
// move leads to the end.
func (c *copies) search(e *Engine) (states int, wrong []string) {
	ways := map[string][]move{}
	from := map[string][]string{} // the states that lead to one
	var ends []string
	var visit func(way []move, before string)
	visit = func(way []move, before string) {
		c.begin(e)
		for _, m := range way {
			c.move(m)
		}
		for _, wt := range c.pump.changes.waits {
			if wt.early != "" && !c.crossed {
				c.wrong = wt.what + " is applied early: " + wt.early
			}
		}
		if c.wrong != "" && wrong == nil {
			wrong = []string{fmt.Sprint(way), c.wrong}
		}
		here := c.key()
		from[here] = append(from[here], before)
		if wrong != nil || ways[here] != nil {
			return
		}
		ways[here] = append([]move{}, way...)
		if c.complete() {
			ends = append(ends, here)
		}
		for _, m := range c.moves() {
			visit(append(way, m), here)
		}
	}
	visit(nil, "")
	if states = len(ways); wrong != nil {
		return states, wrong
	}
	for len(ends) > 0 { // go back from the ends; what is left leads to none
		here := ends[len(ends)-1]
		ends = ends[:len(ends)-1]
		if ways[here] != nil {
			delete(ways, here)
			ends = append(ends, from[here]...)
		}
	}
	for _, way := range ways {
		return states, []string{fmt.Sprint(way), "it never comes to an end"}
	}
	return states, nil
}

// TestEveryOrderOfCopies tries every order of what two workers can do with three
// vgroups that hold copies of changes that destroy.
func TestEveryOrderOfCopies(t *testing.T) {
	e := newDesk(t).task.e
	owner := map[int32]int{1: 0, 2: 0, 3: 1}
	total := 0
	for name, c := range map[string]copies{
		"one change":       {wals: map[int32][]int{1: {0, 1}, 2: {1, 0}, 3: {0, 1, 0}}},
		"two changes":      {wals: map[int32][]int{1: {1, 2}, 2: {1, 2}, 3: {1, 0, 2}}},
		"no copy in one":   {wals: map[int32][]int{1: {0, 1}, 2: {0, 1, 0}, 3: {0, 0}}},
		"different orders": {wals: map[int32][]int{1: {1, 2}, 2: {2}, 3: {2, 1}}, crossed: true},
	} {
		c.T, c.owner = t, owner
		states, wrong := c.search(e)
		if wrong != nil {
			t.Errorf("%s: %q", name, wrong)
		}
		total += states
	}
	t.Logf("%d states", total)
	if total < 10_000 {
		t.Errorf("only %d states were visited", total)
	}
}

// TestCopiesSearchFindsLies: the same search must find out who tells the pump
// what is not so.
func TestCopiesSearchFindsLies(t *testing.T) {
	e := newDesk(t).task.e
	for name, lie := range map[string]func(*copies, *worker){
		"what is queued counts as applied": func(_ *copies, w *worker) { w.handed = 0 },
		"a vgroup is not told of":          func(c *copies, _ *worker) { c.hidden = 3 },
	} {
		c := copies{T: t, owner: map[int32]int{1: 0, 2: 0, 3: 1}, wals: map[int32][]int{1: {1}, 2: {0, 1}, 3: {0, 0, 1}}, lie: lie}
		_, wrong := c.search(e)
		t.Logf("%s: %q", name, wrong)
		if wrong == nil {
			t.Errorf("%s: and nothing is found to be wrong", name)
		}
	}
}
