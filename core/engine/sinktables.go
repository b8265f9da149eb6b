package engine

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

const (
	// maxKnown bounds the tables that are remembered, at 28 to 55 bytes each.
	maxKnown = 4_000_000
	// namesAtOnce is from how many tables on all of the database's are listed
	// instead of asking for these: a server looks through all of them anyway, and
	// takes 50 µs more for each name that it is asked for (3.3.7.5, 200,000 tables:
	// 0.4 s for 1,000 names, 1.4 s for 20,000, 0.5 s for all).
	namesAtOnce = 1_000
	// patientAsking is how long is spent on asking for tables by name before all of
	// them are listed.
	patientAsking = 2 * time.Second
	// listTime bounds one listing, in times of the longest that a request may take.
	listTime = 10
)

// listing is the first version that is known to list tables block by block.
var listing = core.Version{3, 3, 3, 0}

// sinkTables is what a worker knows of its sink's tables, by a hash of their names:
// a database may have millions. Two of four million have the same one once in two
// million times.
type sinkTables struct {
	seed    maphash.Seed
	known   map[uint64]landed
	dirty   int           // tables with rows since the last look
	written []string      // the names of the first namesAtOnce of these
	asking  time.Duration // spent on asking by name since all were listed

	fits // see columns.go
}

// landed is a table at the sink.
type landed struct {
	uid    int64 // 0: the rows were to create it, and it was not seen yet
	proven int32 // the connection through which a row was seen to arrive
	owner  int32 // whose columns it has, in fits.owners; 0: not known
	stale  bool  // it, or a super table, was dropped since; perhaps its own
	dirty  bool  // it has rows since the last look
	remade bool  // another table had its name before
}

// named is a table that rows are being written to.
type named struct {
	key  uint64
	name string // empty if nobody will ask for it
}

func newSinkTables() sinkTables {
	return sinkTables{seed: maphash.MakeSeed(), known: map[uint64]landed{}, fits: newFits()}
}

func (s *sinkTables) key(name []byte) uint64 { return maphash.Bytes(s.seed, name) }

// naming keeps a table's name only if the next look will ask for it.
func (s *sinkTables) naming(key uint64, t landed, name []byte) named {
	if t.dirty || s.dirty >= namesAtOnce {
		return named{key: key}
	}
	return named{key, string(name)}
}

// wrote takes note that rows were written to a table.
func (s *sinkTables) wrote(n named) landed {
	t := s.known[n.key]
	if !t.dirty {
		t.dirty = true
		s.known[n.key] = t
		if s.dirty++; s.dirty <= namesAtOnce {
			s.written = append(s.written, n.name)
		}
	}
	return t
}

// clean ends what wrote began.
func (s *sinkTables) clean() {
	s.dirty, s.written = 0, s.written[:0]
}

// table is what is known of a table by name.
func (s *sinkTables) table(name string) (landed, bool) {
	t, ok := s.known[s.key([]byte(name))]
	return t, ok
}

// makeRoom forgets tables before there are too many; not those that are to be
// looked at.
func (s *sinkTables) makeRoom(more int) {
	if len(s.known)+more > maxKnown {
		maps.DeleteFunc(s.known, func(_ uint64, t landed) bool { return !t.dirty })
	}
}

func (s *sinkTables) forgetAll() {
	clear(s.known)
	s.clean()
}

// doubt has a table looked up anew that was dropped, doubtAll all of them.
func (s *sinkTables) doubt(name string) {
	key := s.key([]byte(name))
	if t, ok := s.known[key]; ok {
		t.stale = true
		s.known[key] = t
	}
}

// madeAnew is called when a table was made here that was missing. The next look would
// find another one than is known, and take its rows for lost. Those that were written
// to the old one since the last look are.
func (s *sinkTables) madeAnew(name string) {
	if t, _ := s.table(name); !t.dirty {
		s.doubt(name)
	}
}

func (s *sinkTables) doubtAll() {
	for key, t := range s.known {
		t.stale = true
		s.known[key] = t
	}
}

// learn looks up tables at the sink: by name, or all there are.
func (w *worker) learn(ctx context.Context, names []string) error {
	l := w.landing
	switch {
	case len(names) == 0:
		return nil
	case len(names) < namesAtOnce && l.asking < patientAsking || !w.p.plan.sinkVersion.AtLeast(listing):
		began := w.p.e.clock.Now()
		for some := range slices.Chunk(names, namesAtOnce) {
			ids, err := w.tableIDs(ctx, some)
			if err != nil {
				return err
			}
			for name, id := range ids {
				w.found(name, id.Super, id.UID)
			}
		}
		l.asking += w.p.e.clock.Now().Sub(began)
		return nil
	}
	l.asking = 0
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	return w.eachTable(ctx, func(name, super []byte, uid int64) {
		t, ok := l.known[l.key(name)]
		// What is known stays: whether it is the same table is for the next look.
		if !ok && (len(l.known) < maxKnown || wanted[string(name)]) || t.stale {
			w.found(string(name), string(super), uid)
		}
	})
}

// found takes note of a table at the sink; uid is 0 if rows are to create it.
func (w *worker) found(name, super string, uid int64) {
	l := w.landing
	key := l.key([]byte(name))
	t := l.known[key]
	if t.stale && t.uid != uid {
		w.p.t.noteRemade(name)
	}
	t.uid, t.stale, t.remade = uid, false, w.p.t.wasRemade(name)
	if t.owner = l.owner(super); super == "" {
		t.owner = l.owner(name)
	}
	l.known[key] = t
}

// tableIDs finds tables at the sink by name.
func (w *worker) tableIDs(ctx context.Context, names []string) (ids map[string]core.TableID, err error) {
	err = w.ask(ctx, func(ctx context.Context) (err error) {
		ids, err = w.p.plan.sinkCatalog.TableIDs(ctx, w.p.t.key.Database, names)
		return err
	})
	return ids, err
}

// eachTable lists the sink's tables. After a failure it begins anew.
func (w *worker) eachTable(ctx context.Context, each func(name, super []byte, uid int64)) error {
	return w.persist(ctx, func() error {
		limited, cancel := context.WithTimeout(ctx, listTime*w.p.e.cfg.Engine.RequestTimeout.Duration)
		defer cancel()
		return w.p.plan.sinkCatalog.EachTable(limited, w.p.t.key.Database, each)
	})
}

// goneTables lists the tables that are not those any more that rows were
// written to since the last look.
func (w *worker) goneTables(ctx context.Context) (gone []string, err error) {
	l := w.landing
	left := l.dirty
	see := func(name, _ []byte, uid int64) {
		key := l.key(name)
		t := l.known[key]
		if !t.dirty {
			return // nothing was written to it, or it was seen before a failure
		}
		if t.uid != 0 && t.uid != uid {
			gone = append(gone, string(name))
		}
		t.uid, t.dirty = uid, false
		l.known[key] = t
		left--
	}
	switch {
	case left == 0:
		return nil, nil
	case left > len(l.written):
		err = w.eachTable(ctx, see)
	default:
		var ids map[string]core.TableID
		ids, err = w.tableIDs(ctx, l.written)
		for name, id := range ids {
			see([]byte(name), nil, id.UID)
		}
	}
	if err != nil {
		return nil, err
	}
	if left > 0 {
		gone = append(gone, l.unseen()...)
	}
	l.clean()
	return gone, nil
}

// unseen lists the tables with rows that no look has seen.
func (l *landing) unseen() (names []string) {
	see := func(ref raw.TableRef) {
		key := l.key(ref.Name)
		if t := l.known[key]; t.dirty {
			names = append(names, string(ref.Name))
			t.uid, t.dirty = 0, false
			l.known[key] = t
		}
	}
	for _, name := range l.written {
		see(raw.TableRef{Name: []byte(name)})
	}
	for _, j := range l.jobs {
		_ = raw.Tables(j.it.m.RawType, j.it.m.Payload(), see) // it was read when it was written
	}
	return names
}
