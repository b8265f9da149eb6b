package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// endAge is how old the end of a WAL may be that a poll found: a server that takes
// its time has looked some time before it answers.
const endAge = time.Second

// crossing is where the two directions of a database meet, if both belong to
// this instance: it finds the rows that were written on both sides before either
// side knew of the other's. It is safe for concurrent use.
//
// A row that is read here and written there is in conflict with one of the same
// table and timestamp that was written there before this one's copy arrived. The
// order of the two in the sink's WAL cannot be asked for: what replication wrote
// is not handed out. So each direction remembers the rows that it has read, until
// the other one has read everything that was in the sink's WAL when their copies
// were acknowledged. A row that is read while the other direction remembers its
// key counts. Reading and looking are one step under a lock: of two rows one sees
// the other, and never both.
type crossing struct {
	limit int64       // bytes that each direction may remember
	both  atomic.Bool // both directions are there

	mu    sync.Mutex
	sides [2]direction
}

// direction is what one of the two has read.
type direction struct {
	joined  bool
	batches []*batch // the oldest first
	first   int64    // the number of the oldest
	indexed int      // so many of them are in newest
	// newest is the last batch that has rows of a table; from there the others are
	// found one by one.
	newest  map[int64]spot
	rows    int64             // of all batches
	bytes   int64             // of all batches
	read    map[int]time.Time // by worker: everything written until then is read
	covered time.Time         // the same of all workers together
	lost    time.Time         // until when what was acknowledged may be forgotten too early
}

// batch is the rows of one message. Its cost in bytes counts what a lookup will
// need besides the keys.
type batch struct {
	keys  []int64 // as raw.AppendKeys has them
	rows  int64
	bytes int64
	acked time.Time // zero while it is not at the sink
	// older is, for each table in keys, where it was before: filled when the batch
	// is put into the index.
	older []older
}

// older is a table of a batch: where it begins in keys, and in which batch there
// are rows of it before that.
type older struct {
	at     int
	before spot
}

// spot is a table of a batch, by numbers: batches that are forgotten must not
// be held by those that came later. A number below the first leads nowhere.
type spot struct {
	batch int64
	table int // of its tables
}

// crossed is what a message has in common with what the other direction wrote.
type crossed struct {
	rows      int64 // in conflict
	unchecked int64 // that would be compared with what is forgotten
	table, at int64 // of the last row in conflict: its table's hash and its time
}

// eachTable walks through keys.
func eachTable(keys []int64, f func(table int64, times []int64)) {
	for len(keys) >= 2 {
		n := 2 + int(keys[1])
		f(keys[0], keys[2:n])
		keys = keys[n:]
	}
}

// read remembers the rows of a message that a direction has read, and compares
// them with the other's.
func (c *crossing) read(side int, now time.Time, keys []int64) (*batch, crossed) {
	b := &batch{keys: keys}
	eachTable(keys, func(_ int64, times []int64) {
		b.rows += int64(len(times))
		b.bytes += tableCost
	})
	b.bytes += 8 * int64(len(keys))
	c.mu.Lock()
	defer c.mu.Unlock()
	mine, other := &c.sides[side], &c.sides[1-side]
	var x crossed
	mine.batches = append(mine.batches, b)
	mine.rows, mine.bytes = mine.rows+b.rows, mine.bytes+b.bytes
	if len(other.batches) > 0 {
		mine.index() // makes each table come once
		other.index()
		x = other.common(b.keys)
	}
	if !other.lost.IsZero() && other.lost.Add(endAge).After(mine.covered) {
		x.unchecked = b.rows - x.rows
	}
	for mine.bytes > c.limit {
		until := mine.batches[0].acked
		if until.IsZero() {
			until = now
		}
		if until.After(mine.lost) {
			mine.lost = until
		}
		mine.forget()
	}
	return b, x
}

// written says that the sink has acknowledged a message.
func (c *crossing) written(b *batch, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.acked = now
}

// ended says that a pump has ended. What it read last may be at the sink or not,
// and is read again.
func (c *crossing) ended(side int, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.sides[side].batches {
		if b.acked.IsZero() {
			b.acked = now
		}
	}
	clear(c.sides[side].read)
}

// level says that a worker, one of so many, has read everything that was in the
// WALs of its vgroups at a time. What the other direction had written by then
// need not be remembered any longer.
func (c *crossing) level(side, worker, workers int, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine, other := &c.sides[side], &c.sides[1-side]
	mine.read[worker] = at
	if len(mine.read) < workers {
		return
	}
	for _, t := range mine.read {
		if t.Before(at) {
			at = t
		}
	}
	if !at.After(mine.covered) {
		return
	}
	mine.covered = at
	for len(other.batches) > 0 {
		if b := other.batches[0]; b.acked.IsZero() || b.acked.Add(endAge).After(at) {
			break
		}
		other.forget()
	}
}

// watched is how many rows a direction remembers.
func (c *crossing) watched(side int) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sides[side].rows
}

// tableCost is about what a table in a batch costs besides its keys.
const tableCost = 80

// forget drops the oldest batch.
func (d *direction) forget() {
	b := d.batches[0]
	d.batches[0] = nil
	d.batches = d.batches[1:]
	d.rows, d.bytes = d.rows-b.rows, d.bytes-b.bytes
	if d.indexed > 0 {
		d.indexed--
		for _, o := range b.older {
			if table := b.keys[o.at]; d.newest[table].batch == d.first {
				delete(d.newest, table)
			}
		}
	}
	d.first++
}

// index makes batches ready to be looked into. It is put off until somebody
// looks: where only one side writes, nobody does.
func (d *direction) index() {
	for ; d.indexed < len(d.batches); d.indexed++ {
		if !d.enter(d.batches[d.indexed]) {
			d.batches[d.indexed].gather()
			d.enter(d.batches[d.indexed])
		}
	}
}

// enter puts the next batch into the index. It reports false, and has done
// nothing, if a table comes in it more than once.
func (d *direction) enter(b *batch) bool {
	number := d.first + int64(d.indexed)
	for at := 0; at < len(b.keys); at += 2 + int(b.keys[at+1]) {
		table := b.keys[at]
		before, known := d.newest[table]
		if !known {
			before.batch = -1
		} else if before.batch == number {
			for _, o := range b.older {
				if d.newest[b.keys[o.at]] = o.before; o.before.batch < 0 {
					delete(d.newest, b.keys[o.at])
				}
			}
			b.older = nil
			return false
		}
		d.newest[table] = spot{number, len(b.older)}
		b.older = append(b.older, older{at, before})
	}
	return true
}

// common looks for keys among those that are remembered.
func (d *direction) common(keys []int64) crossed {
	var x crossed
	var hit []bool
	eachTable(keys, func(table int64, times []int64) {
		hit = hit[:0]
		at, known := d.newest[table]
		for known && at.batch >= d.first {
			b := d.batches[at.batch-d.first]
			o := b.older[at.table]
			theirs := b.keys[o.at+2:][:b.keys[o.at+1]]
			if theirs[0] <= times[len(times)-1] && theirs[len(theirs)-1] >= times[0] {
				if len(hit) == 0 {
					hit = append(hit, make([]bool, len(times))...)
				}
				intersect(hit, times, theirs)
			}
			at = o.before
		}
		for i, h := range hit {
			if h {
				x.rows++
				x.table, x.at = table, times[i]
			}
		}
	})
	return x
}

// intersect marks which of the timestamps in a are also in b. Both ascend.
func intersect(hit []bool, a, b []int64) {
	i, _ := slices.BinarySearch(a, b[0])
	k := 0
	if i < len(a) {
		k, _ = slices.BinarySearch(b, a[i])
	}
	for i < len(a) && k < len(b) {
		switch {
		case a[i] < b[k]:
			i++
		case a[i] > b[k]:
			k++
		default:
			hit[i] = true
			i, k = i+1, k+1
		}
	}
}

// gather makes each table come once. A message whose tables alternate has nearly
// as many of them as rows, and comparing two such messages would take the square
// of that.
func (b *batch) gather() {
	times := map[int64][]int64{}
	var order []int64
	eachTable(b.keys, func(table int64, more []int64) {
		if _, known := times[table]; !known {
			order = append(order, table)
		}
		times[table] = append(times[table], more...)
	})
	keys := make([]int64, 0, len(b.keys))
	for _, table := range order {
		all := times[table]
		slices.Sort(all)
		all = slices.Compact(all)
		keys = append(append(keys, table, int64(len(all))), all...)
	}
	b.keys = keys
}

// crossings are all crossings of an instance.
type crossings struct {
	limit int64 // of each direction; 0 is none at all

	mu  sync.Mutex
	all map[crossingKey]*crossing
}

type crossingKey struct{ low, high, database string }

// join makes a task one of the directions of its database; nil where conflicts
// are not looked for.
func (cs *crossings) join(source, sink, database string) (*crossing, int) {
	if cs.limit == 0 {
		return nil, 0
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	key, side := crossingOf(source, sink, database)
	c := cs.all[key]
	if c == nil {
		c = &crossing{limit: cs.limit, sides: [2]direction{newDirection(), newDirection()}}
		if cs.all == nil {
			cs.all = map[crossingKey]*crossing{}
		}
		cs.all[key] = c
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sides[side].joined = true
	c.both.Store(c.sides[1-side].joined)
	return c, side
}

// leave is for a task that is removed. What the other one wrote need not be
// remembered without it.
func (cs *crossings) leave(source, sink, database string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	key, side := crossingOf(source, sink, database)
	c := cs.all[key]
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.both.Store(false)
	joined := c.sides[1-side].joined
	c.sides = [2]direction{newDirection(), newDirection()}
	c.sides[1-side].joined = joined
	if !joined {
		delete(cs.all, key)
	}
}

func newDirection() direction {
	return direction{newest: map[int64]spot{}, read: map[int]time.Time{}}
}

func crossingOf(source, sink, database string) (crossingKey, int) {
	if source < sink {
		return crossingKey{source, sink, database}, 0
	}
	return crossingKey{sink, source, database}, 1
}
