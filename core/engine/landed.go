package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// trusting is the first version at which rows of a table that is not there may be
// acknowledged and lost. 3.3.7 keeps the ids of tables that a connection has
// written to, by name, and does not look whether there is still such a table [M];
// 3.4 skips what is missing, by its source text. Earlier ones refuse with
// codeTableMissing.
var trusting = core.Version{3, 3, 7, 0}

const (
	// lookPace is how long rows may wait for the look at their tables while more
	// are being written, idleLook how long without.
	lookPace = time.Second
	idleLook = 100 * time.Millisecond
	// maxRewrites is how often rows are written again in place because they did
	// not arrive, before the task begins anew.
	maxRewrites = 3
	// maxKnown bounds the tables that are remembered, maxRemade those that were
	// dropped.
	maxKnown  = 200_000
	maxRemade = 10_000
	// tablesAtOnce is how many tables are asked for within one deadline.
	tablesAtOnce = 2_000
)

// landing makes sure that rows arrive at a sink that may acknowledge and lose
// them. A table is looked up before the first rows are written to it, and again
// afterwards: only if it is the same one, by its id, was it there all the time.
// Rows are not acknowledged before that second look, which one statement makes
// for all messages since the last one. Of tables whose name was another one's
// before, a row is looked for as well, once for each connection. A landing
// belongs to one worker: all rows of a table come from one vgroup.
type landing struct {
	known      map[string]*landed
	next       []*landed // tables of the message that is being written
	written    []*landed // tables with rows since the last look
	probes     []probe   // rows to look for
	jobs       []*job    // written since the last look, in that order
	bytes      int64     // of jobs
	first      uint64    // the least number of a message among jobs
	since      time.Time // when the first of jobs was written
	connection int       // counts the connections for writing
	doubted    bool      // jobs are being written again
	blind      bool      // it was told that messages cannot be read
}

func newLanding(sink core.Version) *landing {
	if !sink.AtLeast(trusting) {
		return nil
	}
	return &landing{known: map[string]*landed{}}
}

// landed is a table at the sink.
type landed struct {
	name   string
	uid    int64 // 0: the rows were to create it, and it was not seen yet
	stale  bool  // a super table was dropped since; perhaps its own
	dirty  bool  // it is in landing.written
	remade bool  // another table had its name before
	proven int   // the connection through which a row was seen to arrive
}

// probe is a row that was written to a table that was made anew.
type probe struct {
	table      *landed
	column     string // of the time
	at         int64
	connection int
}

// errDoubted stands for the refusal of rows that may not have arrived.
var errDoubted error = &core.Error{Class: core.ClassReconnect, Code: codeTableMissing, Op: "write rows again"}

// tryRows writes rows. A missing table is the error of codeTableMissing at
// every sink.
func (w *worker) tryRows(ctx context.Context, m *core.Message) error {
	l := w.landing
	if l == nil || m.RawType == core.RawRows { // which tables are in raw rows cannot be seen
		return w.insist(ctx, m)
	}
	if err := w.lookBefore(ctx, m); err != nil {
		return err
	}
	if err := w.insist(ctx, m); err != nil {
		return err
	}
	var doubtful []*landed
	for _, t := range l.next {
		if !t.dirty {
			t.dirty = true
			l.written = append(l.written, t)
		}
		if t.remade && t.proven != l.connection {
			doubtful = append(doubtful, t)
		}
	}
	if len(doubtful) > 0 {
		l.probe(m, doubtful)
	}
	return nil
}

// probe chooses a row of each table to look for.
func (l *landing) probe(m *core.Message, tables []*landed) {
	blocks, _, err := raw.Rows(m.RawType, m.Payload())
	if err != nil {
		return // lookBefore has told that they cannot be read
	}
	for i := range blocks {
		b := &blocks[i]
		t := slices.IndexFunc(tables, func(t *landed) bool { return t.name == b.Table })
		if at, ok := b.Time(b.Rows - 1); t >= 0 && ok {
			l.probes = append(l.probes, probe{table: tables[t], column: b.Columns[0].Name, at: at, connection: l.connection})
		}
	}
}

// lookBefore finds the tables of a message among those that are known to be at
// the sink, and asks for the others.
func (w *worker) lookBefore(ctx context.Context, m *core.Message) error {
	l := w.landing
	l.next = l.next[:0]
	var unknown []string
	var created map[string]bool // most messages create nothing
	err := raw.Tables(m.RawType, m.Payload(), func(name []byte, creates bool) {
		if t := l.known[string(name)]; t != nil && !t.stale {
			l.next = append(l.next, t)
		} else if creates {
			if created == nil {
				created = map[string]bool{}
			}
			created[string(name)] = true
		} else {
			unknown = append(unknown, string(name))
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
	ids, err := w.tableIDs(ctx, slices.DeleteFunc(slices.Clone(unknown), func(name string) bool { return created[name] }))
	if err != nil {
		return err
	}
	if len(l.known)+len(unknown) > maxKnown {
		clear(l.known)
	}
	for _, name := range unknown {
		id, there := ids[name]
		if !there && !created[name] {
			// Retryable: who cannot make the table begins anew.
			return &core.Error{Class: core.ClassReconnect, Code: codeTableMissing, Op: "write rows at " + w.p.plan.sinkName,
				Text: fmt.Sprintf("table %s is not there", name)}
		}
		t := l.known[name]
		if t == nil {
			t = &landed{name: name, uid: id.UID}
			l.known[name] = t
		}
		if t.stale && t.uid != id.UID {
			w.p.t.noteRemade(name)
		}
		t.uid, t.stale, t.remade = id.UID, false, w.p.t.wasRemade(name)
		l.next = append(l.next, t)
	}
	return nil
}

// inTheWay says so where a super table has the name of a table that is missing
// although one was found, or made, a moment ago: no time mends that. Otherwise the
// error stays what it is.
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
	return missing
}

// tableIDs finds tables at the sink. Each part of them has a deadline of its own:
// a second's rows may be of more tables than a server lists within one.
func (w *worker) tableIDs(ctx context.Context, names []string) (map[string]core.TableID, error) {
	if len(names) == 0 {
		return nil, nil
	}
	ids := make(map[string]core.TableID, len(names))
	for some := range slices.Chunk(names, tablesAtOnce) {
		err := w.ask(ctx, func(ctx context.Context) error {
			found, err := w.p.plan.sinkCatalog.TableIDs(ctx, w.p.t.key.Database, some)
			maps.Copy(ids, found)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// wrote is called for every message that was written. Its memory is kept until
// the look, and counts as queued.
func (w *worker) wrote(j *job) {
	l := w.landing
	if l == nil || j.it.m.Kind == core.KindMeta || len(l.jobs)+len(l.written) == 0 {
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

// lookDue reports whether the second look is to be made now; idle tells that
// there is nothing to write meanwhile.
func (w *worker) lookDue(idle bool) bool {
	l := w.landing
	if l == nil || len(l.jobs) == 0 {
		return false
	}
	waited := w.p.e.clock.Now().Sub(l.since)
	return l.bytes > w.q.limit/4 || waited >= lookPace || idle && waited >= idleLook
}

// lookAfter is the second look. What may not have arrived is written again; the
// rest is acknowledged.
func (w *worker) lookAfter(ctx context.Context) error {
	l := w.landing
	if l == nil || len(l.jobs) == 0 {
		return nil
	}
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
	w.acknowledge()
	return nil
}

// goneTables lists the tables that are not those any more that rows were
// written to since the last look.
func (w *worker) goneTables(ctx context.Context) (gone []string, err error) {
	l := w.landing
	if len(l.written) == 0 {
		return nil, nil
	}
	names := make([]string, len(l.written))
	for i, t := range l.written {
		names[i] = t.name
	}
	ids, err := w.tableIDs(ctx, names)
	if err != nil {
		return nil, err
	}
	for _, t := range l.written {
		id, there := ids[t.name]
		if !there || t.uid != 0 && t.uid != id.UID {
			gone = append(gone, t.name)
		}
		t.uid, t.dirty = id.UID, false
	}
	l.written = l.written[:0]
	return gone, nil
}

// lostRows lists the tables that were made anew and have not got a row that was
// written to them.
func (w *worker) lostRows(ctx context.Context) (lost []string, err error) {
	l := w.landing
	for _, p := range l.probes {
		if p.table.proven == p.connection {
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
		if there {
			p.table.proven = p.connection
		} else {
			lost = append(lost, p.table.name)
		}
	}
	l.probes = l.probes[:0]
	return lost, nil
}

// writeAgain writes all that was written since the last look, taken apart: so
// missing tables are made.
func (w *worker) writeAgain(ctx context.Context) error {
	l := w.landing
	clear(l.known)
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
	switch {
	case w.landing == nil:
	case meta.Kind == raw.DropSuperTable:
		for _, t := range w.landing.known {
			t.stale = true
		}
	default:
		for _, d := range meta.Dropped {
			delete(w.landing.known, d.Name)
			w.p.t.noteRemade(d.Name)
		}
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
