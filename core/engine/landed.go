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

// silentSkips is the first version whose raw writing leaves out the rows of a
// table that is not there and acknowledges the rest. Earlier ones refuse with
// codeTableMissing.
var silentSkips = core.Version{3, 4, 0, 0}

const (
	// lookPace is how long rows may wait for the look at their tables while more
	// are being written; without more to write there is no wait.
	lookPace = time.Second
	// maxRewrites is how often rows are written again in place because their
	// tables had gone, before the task begins anew.
	maxRewrites = 3
	// maxKnown bounds the tables that are remembered.
	maxKnown = 200_000
)

// landing makes sure that rows arrive at a sink that skips missing tables in
// silence. A table is looked up before the first rows are written to it, and
// again afterwards: only if it is the same one, by its id, was it there all the
// time. Rows are not acknowledged before that second look, which one statement
// makes for all messages since the last one. It belongs to one worker: all rows
// of a table come from one vgroup.
type landing struct {
	known   map[string]*landed
	next    []*landed // tables of the message that is being written
	written []*landed // tables with rows since the last look
	jobs    []*job    // written since the last look, in that order
	bytes   int64     // of jobs
	since   time.Time // when the first of jobs was written
	doubted bool      // jobs are being written again
}

func newLanding(sink core.Version) *landing {
	if !sink.AtLeast(silentSkips) {
		return nil
	}
	return &landing{known: map[string]*landed{}}
}

// landed is a table at the sink.
type landed struct {
	name  string
	uid   int64 // 0: the rows were to create it, and it was not seen yet
	dirty bool  // it is in landing.written
}

// errDoubted stands for the refusal of rows that may not have arrived.
var errDoubted error = &core.Error{Class: core.ClassReconnect, Code: codeTableMissing, Op: "write rows again"}

// tryRows writes rows. A missing table is the error of codeTableMissing at
// every sink.
func (w *worker) tryRows(ctx context.Context, m *core.Message) error {
	l := w.landing
	if l == nil {
		return w.insist(ctx, m)
	}
	if err := w.lookBefore(ctx, m); err != nil {
		return err
	}
	if err := w.insist(ctx, m); err != nil {
		return err
	}
	for _, t := range l.next {
		if !t.dirty {
			t.dirty = true
			l.written = append(l.written, t)
		}
	}
	return nil
}

// lookBefore finds the tables of a message among those that are known to be at
// the sink, and asks for the others.
func (w *worker) lookBefore(ctx context.Context, m *core.Message) error {
	l := w.landing
	l.next = l.next[:0]
	var unknown []string
	var created map[string]bool // most messages create nothing
	err := raw.Tables(m.RawType, m.Payload(), func(name []byte, creates bool) {
		if t := l.known[string(name)]; t != nil {
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
		w.p.t.drifted("the source's rows cannot be read here; tables that are missing at the sink are not noticed: " + err.Error())
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
		t := &landed{name: name, uid: id.UID}
		l.known[name] = t
		l.next = append(l.next, t)
	}
	return nil
}

func (w *worker) tableIDs(ctx context.Context, names []string) (ids map[string]core.TableID, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	err = w.ask(ctx, func(ctx context.Context) (err error) {
		ids, err = w.p.plan.sinkCatalog.TableIDs(ctx, w.p.t.key.Database, names)
		return err
	})
	return ids, err
}

// wrote is called for every message that was written. Its memory is kept until
// the look, and counts as queued.
func (w *worker) wrote(j *job) {
	l := w.landing
	if l == nil || j.it.m.Kind == core.KindMeta {
		w.finished(j)
		return
	}
	if len(l.jobs) == 0 {
		l.since = w.p.e.clock.Now()
	}
	l.jobs = append(l.jobs, j)
	l.bytes += j.it.size
}

// lookDue reports whether the second look is to be made now.
func (w *worker) lookDue() bool {
	l := w.landing
	return l != nil && len(l.jobs) > 0 && (l.bytes > w.q.limit/4 || w.p.e.clock.Now().Sub(l.since) >= lookPace)
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
		if err != nil {
			return err
		}
		if len(gone) == 0 {
			break
		}
		if tries == maxRewrites {
			return &core.Error{Class: core.ClassReconnect, Op: "write rows at " + w.p.plan.sinkName,
				Text: fmt.Sprintf("table %s goes again and again while rows are written to it", gone[0])}
		}
		w.p.t.say(core.LevelWarn, core.EventDrift, "tables went at the sink while rows were written to them, which are written again: %s",
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

// writeAgain writes all that was written since the last look, taken apart: so
// missing tables are made.
func (w *worker) writeAgain(ctx context.Context) error {
	l := w.landing
	clear(l.known)
	l.doubted = true
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
		clear(w.landing.known)
	default:
		for _, d := range meta.Dropped {
			delete(w.landing.known, d.Name)
		}
	}
}
