package engine

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

const (
	// changeWait is how long a change that destroys waits for the vgroups that
	// have not come to their copy of it.
	changeWait = 30 * time.Second
	// copiesSpread is how much later than the first copy a server may log the
	// others: only ends that the WAL had after it count.
	copiesSpread = time.Second
	// toldLate is how old what a server tells of other members may be: it hears
	// from them every three seconds.
	toldLate = 6 * time.Second
	// changesKept bounds how many changes are remembered as applied. A copy of
	// a forgotten one is applied again, which changes nothing.
	changesKept = 10000
)

// changes brings the copies of each super table's changes together. Every
// vgroup logs one, somewhere between its own rows, and the sink needs exactly
// one. A change that adds is applied at its first copy. One that destroys waits
// until every vgroup of the task has come to its copy, or has nothing older;
// the vgroups that are there already are held meanwhile. The first worker that
// asks when the wait is over applies it; for the others it is a copy.
//
// All workers of a pump share one. Its methods are safe for concurrent use; the
// answer of arrive holds as long as the pump's ddl lock is held.
type changes struct {
	clock Clock
	wake  func() // tells every writer to look again

	// strict is set before anything arrives where every change of columns waits
	// for all vgroups: rows are written raw.
	strict bool

	mu     sync.Mutex
	reader map[int32]*worker // who reads each vgroup
	others map[int32]bool    // vgroups that members of other instances read
	done   map[changeKey]bool
	waits  []*changeWaiting         // oldest first
	held   map[int32]*changeWaiting // by vgroup: what its writer is stopped at
}

// changeKey is the same for every copy of a change, and for no other change.
type changeKey struct {
	kind                       raw.Kind
	suid                       int64
	columnVersion, tagsVersion int32
}

// changeWaiting is one change that destroys, and who is missing.
type changeWaiting struct {
	key   changeKey
	what  string
	since time.Time
	here  map[int32]bool  // the vgroups that have come to their copy
	ends  map[int32]int64 // where their WALs ended when the wait had begun
	clear map[int32]place // where a vgroup without a copy had reached that end
	// passed are the vgroups of other members that have read up to that end. Most
	// of the time they have written what was in front of it by then.
	passed map[int32]bool
	early  string // why it is over although somebody is missing
	over   bool   // applied
}

// place is a message that a worker was handed.
type place struct {
	w   *worker
	seq uint64
}

// verdict is what to do with a meta now.
type verdict int

const (
	applyNow verdict = iota
	isCopy           // of a change that was applied: nothing is to be done
	mustNot          // rows that come late could not be written by column name
	mustWait         // and everything behind it in its vgroup, too
)

func newChanges(clock Clock, wake func()) *changes {
	return &changes{clock: clock, wake: wake, reader: map[int32]*worker{}, done: map[changeKey]bool{}, held: map[int32]*changeWaiting{}}
}

// keyOf returns false for what is no change of a super table.
func keyOf(meta *raw.Meta) (changeKey, bool) {
	switch {
	case meta.Super != nil:
		return changeKey{meta.Kind, meta.Super.SUID, meta.Super.ColumnVersion, meta.Super.TagVersion}, true
	case meta.Kind == raw.DropSuperTable && len(meta.Dropped) == 1:
		return changeKey{kind: meta.Kind, suid: meta.Dropped[0].SUID}, true
	}
	return changeKey{}, false
}

// arrive says what to do with a meta that a vgroup has come to.
func (c *changes) arrive(t *task, vgroup int32, meta *raw.Meta) verdict {
	key, ok := keyOf(meta)
	if !ok {
		return applyNow
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if meta.Kind == raw.AlterSuperTable && meta.Destroys() && t.alteredBefore(meta.Super) {
		return isCopy
	}
	if c.done[key] {
		if meta.Kind == raw.DropSuperTable {
			return applyNow // each vgroup's copy ends an echo of its own
		}
		return isCopy
	}
	if !meta.Destroys() && !(c.strict && meta.Kind == raw.AlterSuperTable) || t.outlived(meta) || t.isOver(vgroup, meta) {
		return applyNow
	}
	i := slices.IndexFunc(c.waits, func(wt *changeWaiting) bool { return wt.key == key })
	if i < 0 {
		i = len(c.waits)
		c.waits = append(c.waits, &changeWaiting{
			key: key, what: raw.Describe(*meta), since: c.clock.Now(),
			here: map[int32]bool{}, ends: map[int32]int64{}, clear: map[int32]place{}, passed: map[int32]bool{},
		})
	}
	wt := c.waits[i]
	if !wt.here[vgroup] {
		wt.here[vgroup] = true
		defer c.wake()
	}
	if c.ready(wt) {
		if wt.early != "" && c.strict {
			return mustNot
		}
		if wt.early != "" {
			t.say(core.LevelWarn, core.EventDDL, "%s is applied although %s; rows that come late are written by column name", wt.what, wt.early)
		}
		return applyNow
	}
	c.held[vgroup] = wt
	return mustWait
}

// isOver reports whether a drop changes nothing any more at the sink: it is the
// echo of one of ours, or a copy of one that an earlier run applied.
func (t *task) isOver(vgroup int32, meta *raw.Meta) bool {
	if meta.Kind != raw.DropSuperTable || len(meta.Dropped) != 1 {
		return false
	}
	d := meta.Dropped[0]
	return t.droppedBefore(d.SUID) || t.echoDue(vgroup, d.Name)
}

// ready reports whether nobody is missing any more, or cannot be waited for.
// The caller holds the lock.
func (c *changes) ready(wt *changeWaiting) bool {
	if wt.early != "" {
		return true
	}
	var missing []string
	crossed := true
	for vg := range c.reader {
		if wt.here[vg] || c.isClear(wt, vg) {
			continue
		}
		missing = append(missing, fmt.Sprint(vg))
		at := c.held[vg]
		crossed = crossed && at != nil && !at.over
	}
	for vg := range c.others {
		if c.reader[vg] == nil && !wt.here[vg] && !wt.passed[vg] {
			missing, crossed = append(missing, fmt.Sprint(vg)), false
		}
	}
	switch {
	case len(missing) == 0:
		return true
	case crossed && wt == c.waits[0]:
		// Each waits for another one's vgroups: somebody must begin.
		wt.early = "vgroups came to several changes in different orders"
	case c.clock.Now().Sub(wt.since) >= changeWait:
		slices.Sort(missing)
		wt.early = fmt.Sprintf("vgroup %s has not come to it for %v", strings.Join(missing, ", "), changeWait)
	}
	return wt.early != ""
}

// isClear reports whether a vgroup has nothing older than a change although no
// copy of it came: it is behind the group's offset, from an earlier run.
func (c *changes) isClear(wt *changeWaiting, vgroup int32) bool {
	at, ok := wt.clear[vgroup]
	return ok && c.held[vgroup] == nil && at.w == c.reader[vgroup] && at.w.taken.Load() >= at.seq
}

// applied ends the wait for a change, if there was one.
func (c *changes) applied(meta *raw.Meta) {
	key, ok := keyOf(meta)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.done) >= changesKept {
		clear(c.done)
	}
	c.done[key] = true
	c.waits = slices.DeleteFunc(c.waits, func(wt *changeWaiting) bool {
		wt.over = wt.over || wt.key == key
		return wt.over
	})
	c.wake()
}

// released says that nothing of a vgroup is held any more.
func (c *changes) released(vgroup int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, vgroup)
	c.wake()
}

// overflow ends the waits of these vgroups: no more can be held.
func (c *changes) overflow(vgroups map[int32]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for vg := range vgroups {
		if wt := c.held[vg]; wt != nil && wt.early == "" {
			wt.early = "no more messages can be held in memory until all vgroups have come to it"
		}
	}
}

// waitingFor tells what one of these vgroups is held at, and whether one of
// them may go on.
func (c *changes) waitingFor(vgroups map[int32]bool) (what string, move bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for vg := range vgroups {
		if wt := c.held[vg]; wt == nil || wt.over || c.ready(wt) {
			move = true
		} else {
			what = wt.what
		}
	}
	return what, move
}

// waiting reports whether any change waits: then positions are of interest.
func (c *changes) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waits) > 0
}

// sampled takes a reader's view: which vgroups it reads, where it stands in
// them after the messages it has handed out, and where their WALs ended when the
// last of them was asked. A zero asked is not known.
func (c *changes) sampled(w *worker, assigned []core.Assignment, at map[int32]int64, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for vg, reader := range c.reader {
		if reader == w {
			delete(c.reader, vg)
		}
	}
	for _, a := range assigned {
		c.reader[a.Vgroup] = w
	}
	for _, wt := range c.waits {
		if asked.Sub(wt.since) < copiesSpread {
			continue
		}
		for _, a := range assigned {
			if _, known := wt.ends[a.Vgroup]; !known {
				wt.ends[a.Vgroup] = a.End
			}
			pos, ok := at[a.Vgroup]
			if was := wt.clear[a.Vgroup]; ok && pos >= wt.ends[a.Vgroup] && was.w != w {
				wt.clear[a.Vgroup] = place{w, w.handed}
			}
		}
	}
	if len(c.waits) > 0 {
		c.wake()
	}
}

// elsewhere takes the server's view of the vgroups that members of other
// instances read. They wait for nobody here: each applies its own copy.
func (c *changes) elsewhere(list []core.Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.others = map[int32]bool{}
	for _, s := range list {
		c.others[s.Vgroup] = true
	}
	now := c.clock.Now()
	for _, wt := range c.waits {
		if now.Sub(wt.since) < toldLate {
			continue
		}
		for _, s := range list {
			if _, known := wt.ends[s.Vgroup]; !known && s.End != core.Unknown {
				wt.ends[s.Vgroup] = s.End
			}
			if end, known := wt.ends[s.Vgroup]; known && s.Position >= end {
				wt.passed[s.Vgroup] = true
			}
		}
	}
	if len(c.waits) > 0 {
		c.wake()
	}
}
