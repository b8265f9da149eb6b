package engine

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// A server takes the values of rows in the order of their columns, but goes on to
// the next column's values only past a column that its table has, too. So where it
// lacks one, those behind get the values of others; if their types are alike it does
// not even refuse that (docs/protocol.md, section 9). Such rows come when a log is
// read again from before a column was dropped, or where a table at the sink was made
// by somebody else. Where the second column belongs to the key at one side alone, rows
// replace others that they do not replace at the source, or do not where they do there.
// So no rows are written as they are before it is known that their tables have all of
// their columns, and their key.

// fitFor is how long that is believed: somebody may change a table at the sink. With
// more than describedAtOnce tables that have columns of their own it is longer.
const (
	fitFor          = time.Second
	describedAtOnce = 20
	// spareOwners is how many super tables and normal tables are remembered at least
	// before those are forgotten that are not there any more.
	spareOwners = 1_000
)

// fits is what a worker knows of the columns of its sink's super tables and normal
// tables.
type fits struct {
	owners  []string // super tables and normal tables; the first is none
	numbers map[string]int32
	room    int // for owners, before it is looked which are still needed
	good    map[fit]bool
	since   time.Time // when good was empty
	shape   int64     // of the pump, then
	wanted  []wish    // of the message that is being written
}

// fit is a set of columns that a table has all of: the hash of how rows encode it.
type fit struct {
	owner  int32
	schema uint64
}

// wish is a table, and the columns that rows of it have.
type wish struct {
	key    uint64
	schema []byte
}

func newFits() fits {
	return fits{owners: []string{""}, numbers: map[string]int32{}, room: spareOwners, good: map[fit]bool{}}
}

// owner is the number of a table that has columns of its own.
func (f *fits) owner(name string) int32 {
	n, ok := f.numbers[name]
	if !ok {
		n = int32(len(f.owners))
		f.owners, f.numbers[name] = append(f.owners, name), n
	}
	return n
}

// forgetOwners gives new numbers to those that tables belong to which are known.
func (s *sinkTables) forgetOwners() {
	old := s.owners
	s.fits = newFits()
	for key, t := range s.known {
		if t.stale || t.owner == 0 {
			t.owner = 0 // it is looked up anew
		} else {
			t.owner = s.owner(old[t.owner])
		}
		s.known[key] = t
	}
	s.room = 2*len(s.owners) + spareOwners
}

// begin is called for each message, with the number of changes of schema that the
// pump has carried out so far.
func (l *landing) begin(now time.Time, shape int64) {
	l.next, l.wanted = l.next[:0], l.wanted[:0]
	if len(l.owners) > l.room {
		l.forgetOwners()
	}
	long := max(1, len(l.good)/describedAtOnce)
	if shape != l.shape || now.Sub(l.fits.since) >= time.Duration(long)*fitFor {
		clear(l.good)
		l.fits.since, l.shape = now, shape
	}
}

// wants takes note of the columns of a block, unless its table is known to have them.
func (s *sinkTables) wants(key uint64, t landed, schema []byte) {
	if t.owner == 0 || t.stale || !s.good[fit{t.owner, maphash.Bytes(s.seed, schema)}] {
		s.wanted = append(s.wanted, wish{key, schema})
	}
}

// fitting is the error of codeMisfit if a table lacks a column that a message's rows
// have, or has another key. Of a table that is not there its server decides. A table is described once
// for a message, however many children it has, or sets of columns their rows.
func (w *worker) fitting(ctx context.Context) error {
	l := w.landing
	described := map[int32]*core.Table{}
	for _, wish := range l.wanted {
		t := l.known[wish.key]
		f := fit{t.owner, maphash.Bytes(l.seed, wish.schema)}
		if t.owner == 0 || l.good[f] {
			continue
		}
		cols, err := raw.SchemaColumns(wish.schema)
		if err != nil {
			return nil // as of rows that cannot be read
		}
		here, known := described[t.owner]
		if !known {
			if here, err = w.describe(ctx, w.p.plan.sinkCatalog, l.owners[t.owner]); err != nil {
				return err
			}
			described[t.owner] = here
		}
		if here == nil {
			continue
		}
		if text := w.p.t.misfit(here, cols); text != "" {
			return &core.Error{Class: core.ClassData, Code: codeMisfit, Op: "write rows at " + w.p.plan.sinkName, Text: text}
		}
		l.good[f] = true
	}
	return nil
}

// misfit says why rows with these columns cannot be written to a table as they are;
// it is empty if they can.
func (t *task) misfit(here *core.Table, cols []raw.Column) string {
	if rows := raw.AsTable(here.Name, cols); rows.SecondKey() != here.SecondKey() {
		return fmt.Sprintf("rows of %s have another key there", here.Name)
	}
	for _, c := range cols {
		switch {
		case t.isAnother(here.Name, c):
			return fmt.Sprintf("column %s of %s is another one by now", c.Name, here.Name)
		case !slices.ContainsFunc(here.Columns, func(h core.Column) bool { return h.Name == c.Name }):
			return fmt.Sprintf("table %s has no column %s there", here.Name, c.Name)
		}
	}
	return ""
}
