package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// trusting is the first version at which rows of a table that is not there may be
// acknowledged and lost. 3.3.7 keeps the ids of tables that a connection has
// written to, by name, and does not look whether there is still such a table [M];
// 3.4 skips what is missing, by its source text. 3.3.6.13 and 3.3.3.0 refuse with
// codeTableMissing [M]; of what came after 3.3.6.13 under that number nothing is known.
var trusting = core.Version{3, 3, 6, 14}

const (
	// lookPace is how long rows may wait for the look at their tables while more
	// are being written, idleLook how long without.
	lookPace = time.Second
	idleLook = 100 * time.Millisecond
	// maxRewrites is how often rows are written again in place because they did
	// not arrive, before the task begins anew.
	maxRewrites = 3
	// lookShare bounds the looks' share of the time, and maxLookPace how long rows
	// may wait for one for its sake: with a million tables a look takes seconds.
	lookShare   = 10
	maxLookPace = 30 * time.Second
	// maxRemade bounds the tables that are remembered as dropped.
	maxRemade = 10_000
)

// landing makes sure that rows arrive at a sink that may acknowledge and lose
// them. A table is looked up before the first rows are written to it, and again
// afterwards: only if it is the same one, by its id, was it there all the time.
// Rows are not acknowledged before that second look, which one statement makes
// for all messages since the last one. Of tables whose name was another one's
// before, a row is looked for as well, once for each connection. At a sink that
// refuses such rows itself only their columns are looked at (see columns.go). A
// landing belongs to one worker: all rows of a table come from one vgroup.
type landing struct {
	sinkTables
	trusts     bool      // the sink acknowledges rows and loses them
	next       []named   // tables of the message that is being written
	probes     []probe   // rows to look for
	jobs       []*job    // written since the last look, in that order
	bytes      int64     // of jobs
	first      uint64    // the least number of a message among jobs
	since      time.Time // when the first of jobs was written
	connection int32     // counts the connections for writing
	doubted    bool      // jobs are being written again
	blind      bool      // it was told that messages cannot be read
}

func newLanding(sink core.Version) *landing {
	return &landing{sinkTables: newSinkTables(), trusts: sink.AtLeast(trusting)}
}

// probe is a row that was written to a table that was made anew.
type probe struct {
	table      named
	column     string // of the time
	at         int64
	connection int32
}

// errDoubted stands for the refusal of rows that may not have arrived.
var errDoubted error = &core.Error{Class: core.ClassReconnect, Code: codeTableMissing, Op: "write rows again"}

// tryRows writes rows. A missing table is the error of codeTableMissing at
// every sink.
func (w *worker) tryRows(ctx context.Context, m *core.Message) error {
	l := w.landing
	if err := w.lookBefore(ctx, m); err != nil {
		return err
	}
	if m.RawType == core.RawRows && (l.blind || slices.ContainsFunc(l.next, func(n named) bool { return l.known[n.key].remade })) {
		return &core.Error{Class: core.ClassData, Op: "write rows at " + w.p.plan.sinkName,
			Text: "their tables cannot be seen, or were made anew, and nobody can look for one of the rows afterwards"}
	}
	if err := w.createFirst(ctx, m); err != nil {
		return err
	}
	if err := w.insist(ctx, m); err != nil || !l.trusts {
		return err
	}
	var doubtful []uint64
	for _, n := range l.next {
		if t := l.wrote(n); t.remade && t.proven != l.connection {
			doubtful = append(doubtful, n.key)
		}
	}
	if len(doubtful) > 0 {
		l.probe(m, doubtful)
	}
	return nil
}

// probe chooses a row of each table to look for.
func (l *landing) probe(m *core.Message, tables []uint64) {
	blocks, _, err := raw.Rows(m.RawType, m.Payload())
	if err != nil {
		return // lookBefore has told that they cannot be read
	}
	for i := range blocks {
		b := &blocks[i]
		n := named{l.key([]byte(b.Table)), b.Table}
		if at, ok := b.Time(b.Rows - 1); ok && slices.Contains(tables, n.key) {
			l.probes = append(l.probes, probe{table: n, column: b.Columns[0].Name, at: at, connection: l.connection})
		}
	}
}

// lookBefore finds the tables of a message among those that are known to be at
// the sink, and asks for the others; and it sees to it that they have all of the
// rows' columns.
func (w *worker) lookBefore(ctx context.Context, m *core.Message) error {
	l := w.landing
	l.begin(w.p.e.clock.Now(), w.p.reshaped.Load())
	var unknown []string
	var created map[string]string // their super tables; most messages create nothing
	err := raw.Tables(m.RawType, m.Payload(), func(ref raw.TableRef) {
		key := l.key(ref.Name)
		t, ok := l.known[key]
		if !ref.Created && m.RawType != core.RawRows {
			l.wants(key, t, ref.Schema)
		}
		if ok && !t.stale {
			l.next = append(l.next, l.naming(key, t, ref.Name))
		} else if ref.Created {
			if created == nil {
				created = map[string]string{}
			}
			created[string(ref.Name)] = ref.Super
		} else {
			unknown = append(unknown, string(ref.Name))
		}
	})
	if err != nil {
		if !l.blind {
			l.blind = true // every message may have another error
			w.p.t.drifted("the source's rows cannot be read here; tables that are missing at the sink are not noticed: " + err.Error())
		}
		l.next = l.next[:0]
		return nil
	}
	if len(unknown) > 0 {
		if err := w.meet(ctx, unknown, created); err != nil {
			return err
		}
	}
	return w.fitting(ctx)
}

// meet makes tables known that are not, and adds them to the message's.
func (w *worker) meet(ctx context.Context, unknown []string, created map[string]string) error {
	l := w.landing
	l.makeRoom(len(unknown))
	err := w.learn(ctx, slices.DeleteFunc(slices.Clone(unknown), func(name string) bool {
		_, creates := created[name]
		return creates
	}))
	if err != nil {
		return err
	}
	for _, name := range unknown {
		key := l.key([]byte(name))
		if t, ok := l.known[key]; !ok || t.stale {
			super, creates := created[name]
			switch {
			case creates:
				w.found(name, super, 0)
			case !l.trusts:
				continue // the sink says so itself
			default:
				// Retryable: who cannot make the table begins anew.
				return &core.Error{Class: core.ClassReconnect, Code: codeTableMissing, Op: "write rows at " + w.p.plan.sinkName,
					Text: fmt.Sprintf("table %s is not there", name)}
			}
		}
		l.next = append(l.next, named{key, name})
	}
	return nil
}

// inTheWay says so where a super table has the name of a table that is missing
// although one was found, or made, a moment ago: no time mends that. Otherwise the
// sink has not heard of it yet, and the task begins anew.
func (w *worker) inTheWay(ctx context.Context, blocks []raw.Block, m *core.Message, missing error) error {
	var supers []string
	err := w.ask(ctx, func(ctx context.Context) (err error) {
		supers, err = w.p.plan.sinkCatalog.SuperTables(ctx, w.p.t.key.Database)
		return err
	})
	if err != nil {
		return err
	}
	for i := range blocks {
		if name := blocks[i].Table; slices.Contains(supers, name) {
			return refused(w.p, m, &core.Error{Class: core.ClassData, Op: "write rows", Text: fmt.Sprintf("at the sink %s is a super table", name)})
		}
	}
	return &core.Error{Class: core.ClassReconnect, Code: codeTableMissing, Op: "write rows at " + w.p.plan.sinkName,
		Text: "a table is missing that was there a moment ago", Err: missing}
}

// wrote is called for every message that was written. Its memory is kept until
// the look, and counts as queued.
func (w *worker) wrote(j *job) {
	l := w.landing
	if len(l.jobs)+l.dirty == 0 {
		w.finished(j)
		return
	}
	if len(l.jobs) == 0 {
		l.since, l.first = w.p.e.clock.Now(), j.it.seq
	}
	l.first = min(l.first, j.it.seq) // what was put aside comes later
	l.jobs = append(l.jobs, j)
	l.bytes += j.it.size
}

// concerns reports whether a change may be of tables with rows that were not looked
// after yet. Whoever creates or changes one child table after the other, or deletes
// from them, would wait for a look each time.
func (l *landing) concerns(meta raw.Meta) bool {
	switch meta.Kind {
	case raw.CreateTables:
		return false
	case raw.DeleteRows:
		t, known := l.table(meta.Delete.Table)
		return t.dirty || !known // else it may be a super table's
	case raw.AlterOneTable:
		t, _ := l.table(meta.Alter.Table)
		return t.dirty
	case raw.DropTables:
		return slices.ContainsFunc(meta.Dropped, func(d raw.Dropped) bool {
			t, _ := l.table(d.Name)
			return t.dirty
		})
	}
	return true
}

// lookDue reports whether the second look is to be made now; idle tells that
// there is nothing to write meanwhile.
func (w *worker) lookDue(idle bool) bool {
	l := w.landing
	if len(l.jobs) == 0 {
		return false
	}
	pace := lookPace
	if idle {
		pace = idleLook
	}
	pace = max(pace, time.Duration(w.p.lookPace.Load()))
	return l.bytes > w.q.limit/4 || w.p.e.clock.Now().Sub(l.since) >= pace
}

// lookAfter is the second look. What may not have arrived is written again; the
// rest is acknowledged.
func (w *worker) lookAfter(ctx context.Context) error {
	l := w.landing
	if len(l.jobs) == 0 {
		return nil
	}
	began := w.p.e.clock.Now()
	for tries := 0; ; tries++ {
		gone, err := w.goneTables(ctx)
		if err == nil && len(gone) == 0 {
			gone, err = w.lostRows(ctx)
		}
		if err != nil {
			return err
		}
		if len(gone) == 0 {
			break
		}
		if tries == maxRewrites {
			return &core.Error{Class: core.ClassReconnect, Op: "write rows at " + w.p.plan.sinkName,
				Text: fmt.Sprintf("rows of table %s do not arrive although the sink acknowledges them", gone[0])}
		}
		w.p.t.noteRemade(gone...)
		w.p.t.say(core.LevelWarn, core.EventDrift, "rows that the sink acknowledged did not arrive and are written again: %s",
			strings.Join(gone[:min(len(gone), 10)], ", "))
		if err := w.writeAgain(ctx); err != nil {
			return err
		}
	}
	for i, j := range l.jobs {
		w.finished(j)
		l.jobs[i] = nil
	}
	l.jobs, l.bytes = l.jobs[:0], 0
	w.p.lookPace.Store(int64(min(lookShare*w.p.e.clock.Now().Sub(began), maxLookPace)))
	w.acknowledge()
	return nil
}

// lostRows lists the tables that were made anew and have not got a row that was
// written to them.
func (w *worker) lostRows(ctx context.Context) (lost []string, err error) {
	l := w.landing
	for _, p := range l.probes {
		t, known := l.known[p.table.key]
		if known && t.proven == p.connection {
			continue
		}
		there := false
		err := w.ask(ctx, func(ctx context.Context) (err error) {
			there, err = w.p.plan.sinkCatalog.HasRow(ctx, w.p.t.key.Database, p.table.name, p.column, p.at)
			return err
		})
		if err != nil {
			return nil, err
		}
		switch {
		case !there:
			lost = append(lost, p.table.name)
		case known:
			t.proven = p.connection
			l.known[p.table.key] = t
		}
	}
	l.probes = l.probes[:0]
	return lost, nil
}

// writeAgain writes all that was written since the last look, taken apart: so
// missing tables are made.
func (w *worker) writeAgain(ctx context.Context) error {
	l := w.landing
	l.forgetAll()
	l.probes, l.doubted = l.probes[:0], true
	w.dropSink()
	defer func() { l.doubted = false }()
	for _, j := range l.jobs {
		if _, err := w.apply(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// forgetDropped forgets the tables of a drop, whoever made it; of a super table
// it is not known which children it has.
func (w *worker) forgetDropped(meta *raw.Meta) {
	if meta.Kind == raw.DropSuperTable {
		w.landing.doubtAll()
		return
	}
	for _, d := range meta.Dropped {
		w.landing.doubt(d.Name)
		w.p.t.noteRemade(d.Name)
	}
}

// noteRemade remembers names that were another table's.
func (t *task) noteRemade(names ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		if len(t.remade) >= maxRemade {
			for old := range t.remade {
				delete(t.remade, old)
				break
			}
		}
		if t.remade == nil {
			t.remade = map[string]bool{}
		}
		t.remade[name] = true
	}
}

func (t *task) wasRemade(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.remade[name]
}
