package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
	"tdreplica/core/store"
)

// From 3.3.5.0 on, setting a tag of a child table takes this table out of every
// subscription that exists: its rows are handed out no more, not even those from
// before that were not read yet (docs/protocol.md, section 9). A consumer group
// that is made after the change gets them all. So when a task comes to such a
// change it leaves its group, drops it, makes it anew and goes back, in that
// vgroup, to a position that it had reached before the change was made.
//
// Samples tell which position that is: each says that everything below Position
// had been read when the WAL ended at End. What is behind End was not there yet
// and cannot have kept back anything below Position.
//
// A change that replication makes at the sink does the same to whoever reads
// there, and is kept back from them. So it is announced in the sink's log, in
// front and behind, by deletes at instants that no row has.

const (
	// maxReadSamples bounds what is remembered of one vgroup. With fewer of them a
	// task that is far behind goes back further than it must.
	maxReadSamples = 64
	// renewAfter gathers changes that come together, renewPace keeps an
	// application that sets tags all the time from stopping the flow. A task that
	// is behind for longer than renewTell says that rows wait for it.
	renewAfter = time.Second
	renewTell  = 30 * time.Second
	// maxTagged covers a batch of changes (1,000) in every vgroup of a few.
	maxTagged = 4096
	renewPace = 5 * time.Second
)

// tagsEndRows is the first version whose subscriptions hand out no more rows of
// a child table once a tag of it was set.
var tagsEndRows = core.Version{3, 3, 5, 0}

// codeGroupInUse is what a server says whose group has a consumer for too long.
const codeGroupInUse = 0x03EC

// errRenew ends a pump whose subscription must be made anew.
var errRenew = errors.New("tags were set: the subscription is made anew")

// setTags writes the change of a child table's tags between its announcements.
func (w *worker) setTags(ctx context.Context, meta *raw.Meta, m *core.Message) error {
	t := w.p.t
	met, applied := t.metBefore(meta, m)
	if applied {
		return nil // read again because of what it did to the subscription
	}
	// What a change that was met before has done to the subscription is planned, or
	// over: where its message ends is no sign, for that moves on with the WAL's end.
	plan := func() {
		if !met {
			w.tagsWereSet(m, core.Unknown)
		}
	}
	here, err := w.describe(ctx, w.p.plan.sinkCatalog, meta.Alter.Table)
	if err != nil {
		return err
	}
	if here == nil {
		// The rows that made the table were kept back, or it was dropped since.
		// If it comes when the vgroup is read again, this is to follow.
		t.noteMissed(meta, m.Vgroup)
		plan()
		return nil
	}
	item, any, err := w.presentTags(ctx, meta, here)
	if err != nil {
		return err
	}
	announce := func(mark int64) error {
		if !w.p.plan.sinkVersion.AtLeast(tagsEndRows) {
			return nil
		}
		return w.ask(ctx, func(ctx context.Context) error {
			return w.p.plan.sinkCatalog.Announce(ctx, t.key.Database, meta.Alter.Table, mark)
		})
	}
	if any {
		if err := announce(tagsMark(w.p.plan.db.Precision, false)); err != nil {
			return err
		}
		if err := w.insist(ctx, item.Message(m)); err != nil {
			return err
		}
		if err := announce(tagsMark(w.p.plan.db.Precision, true)); err != nil {
			return err
		}
		t.changed(meta, m.Vgroup)
	}
	t.noteTagged(meta, m.Vgroup)
	plan()
	return nil
}

// takeTagsMark takes note of an announcement and reports whether it was one.
func (w *worker) takeTagsMark(meta *raw.Meta, m *core.Message) bool {
	d := meta.Delete
	if d.From != d.To {
		return false
	}
	precision := w.p.plan.db.Precision
	switch d.From {
	case tagsMark(precision, false):
		w.p.t.tagsAnnounced(m.Vgroup, w.p.t.unspoiled(m.Vgroup, w.before[m.Vgroup]))
	case tagsMark(precision, true):
		if met, _ := w.p.t.metBefore(meta, m); !met {
			w.p.t.noteTagged(meta, m.Vgroup)
			w.tagsWereSet(m, w.p.t.announced(m.Vgroup))
		}
		w.p.t.forgetAnnounced(m.Vgroup) // after what it was for is noted
	default:
		return false
	}
	return true
}

// tagsWereSet plans to read a vgroup again, unless a scout has. from is where, or
// Unknown.
func (w *worker) tagsWereSet(m *core.Message, from int64) {
	if w.p.t.knewBefore(m) {
		return
	}
	if from == core.Unknown {
		from = w.p.t.unspoiled(m.Vgroup, w.before[m.Vgroup])
	}
	w.p.tagsWereSet(m, from)
}

// tagsWereSet plans to read a vgroup again from there, unless the group was made
// after the change.
func (p *pump) tagsWereSet(m *core.Message, from int64) {
	t := p.t
	if !p.plan.sourceVersion.AtLeast(tagsEndRows) || t.subscribedSince(m) {
		return
	}
	t.mu.Lock()
	if at, ok := t.rec.Rewinds[m.Vgroup]; !ok || from < at {
		t.rec.Rewinds = with(t.rec.Rewinds, m.Vgroup, from)
		t.notes++
	}
	t.mu.Unlock()
	t.meter.owes(m.Vgroup, from)
	p.renewSoon()
}

func (t *task) tagsAnnounced(vgroup int32, from int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.rec.Announced[vgroup]; !ok {
		t.rec.Announced = with(t.rec.Announced, vgroup, from)
		t.notes++
	}
}

// announced is from where a vgroup would be read again for the change that was
// announced last; Unknown if none was.
func (t *task) announced(vgroup int32) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if from, ok := t.rec.Announced[vgroup]; ok {
		return from
	}
	return core.Unknown
}

func (t *task) forgetAnnounced(vgroup int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.rec.Announced[vgroup]; ok {
		delete(t.rec.Announced, vgroup)
		t.notes++
	}
}

func with(m map[int32]int64, vgroup int32, v int64) map[int32]int64 {
	if m == nil {
		m = map[int32]int64{}
	}
	m[vgroup] = v
	return m
}

// sampled remembers that a vgroup was read up to position when its WAL ended at
// end.
func (t *task) sampled(vgroup int32, position, end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.rec.Samples[vgroup]
	n := len(list)
	switch {
	case n > 0 && list[n-1].End >= end:
		list[n-1].Position = max(list[n-1].Position, position)
		return
	case n == maxReadSamples:
		for i := 1; i < n/2; i++ {
			list[i] = list[2*i]
		}
		list = list[:n/2]
	}
	if t.rec.Samples == nil {
		t.rec.Samples = map[int32][]store.Sample{}
	}
	t.rec.Samples[vgroup] = append(list, store.Sample{Position: position, End: end})
}

// subscribed begins the samples of a vgroup with those of a group that was made
// when its WAL ended at end, or later.
func (t *task) subscribed(vgroup int32, position, end int64) {
	t.mu.Lock()
	delete(t.rec.Samples, vgroup)
	t.mu.Unlock()
	t.sampled(vgroup, position, end)
}

// passedSamples forgets what only concerns changes below a committed offset.
func (t *task) passedSamples(vgroup int32, committed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.rec.Samples[vgroup]
	for len(list) > 1 && list[1].End <= committed {
		list = list[1:]
	}
	if t.rec.Samples != nil {
		t.rec.Samples[vgroup] = list
	}
}

// unspoiled is a position up to which a change at or behind version has kept
// nothing back.
func (t *task) unspoiled(vgroup int32, version int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := version
	for i, s := range t.rec.Samples[vgroup] {
		if i > 0 && s.End > version {
			break
		}
		at = s.Position
	}
	return at
}

// lowest is the lowest position that a vgroup may have to go back to by what is
// known of a change that comes, or was read; otherwise its position.
func (t *task) lowest(vgroup int32, position int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if list := t.rec.Samples[vgroup]; len(list) > 0 {
		position = min(position, list[0].Position)
	}
	for _, planned := range []map[int32]int64{t.rec.Rewinds, t.rec.Announced} {
		if from, ok := planned[vgroup]; ok {
			position = min(position, from)
		}
	}
	return position
}

// subscribedSince reports whether the group was made after this message, which
// therefore has done nothing to it.
func (t *task) subscribedSince(m *core.Message) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.rec.Samples[m.Vgroup]
	return len(list) > 0 && m.Offset <= list[0].End
}

// metBefore reports whether a change is one that is read again, and whether it is
// applied. Changes come in batches, and where a batch ends is another place each time;
// so the last ones are also recognised by what they hold, which is when they were made.
func (t *task) metBefore(meta *raw.Meta, m *core.Message) (met, applied bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mark := fingerprint(meta, m.Vgroup)
	met = m.Offset <= t.reread[m.Vgroup] || slices.Contains(t.tagged, mark)
	applied = met && !slices.Contains(t.rec.Missed, mark)
	if meta.Alter != nil {
		behind, dropped := t.redropped[m.Vgroup][meta.Alter.Table]
		applied = applied && !(dropped && m.Offset > behind)
	}
	return met, applied
}

// dropsAgain takes note of the drop of a table whose vgroup is read again, somewhere
// behind a version. The table that is made next has seen none of the changes that
// follow.
func (t *task) dropsAgain(m *core.Message, table string, behind int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if behind >= t.reread[m.Vgroup] {
		return
	}
	if t.redropped == nil {
		t.redropped = map[int32]map[string]int64{}
	}
	if t.redropped[m.Vgroup] == nil {
		t.redropped[m.Vgroup] = map[string]int64{}
	}
	t.redropped[m.Vgroup][table] = behind
}

// noteMissed remembers a change of a table that the sink did not have.
func (t *task) noteMissed(meta *raw.Meta, vgroup int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mark := fingerprint(meta, vgroup)
	t.rec.Missed, t.tagged = appendPrint(slices.Clone(t.rec.Missed), mark), appendPrint(t.tagged, mark)
	t.notes++
}

// noteTagged remembers a change whose consequence is drawn.
func (t *task) noteTagged(meta *raw.Meta, vgroup int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mark := fingerprint(meta, vgroup)
	if i := slices.Index(t.rec.Missed, mark); i >= 0 {
		t.rec.Missed = slices.Delete(slices.Clone(t.rec.Missed), i, i+1)
		t.notes++
	}
	t.tagged = appendPrint(t.tagged, mark)
}

// appendPrint forgets the oldest beyond maxTagged.
func appendPrint(list []uint64, mark uint64) []uint64 {
	if slices.Contains(list, mark) {
		return list
	}
	if n := len(list); n >= maxTagged {
		list = slices.Delete(list, 0, n-maxTagged+1)
	}
	return append(list, mark)
}

func fingerprint(meta *raw.Meta, vgroup int32) uint64 {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint32(nil, uint32(vgroup)))
	h.Write(meta.Item.Payload)
	return h.Sum64()
}

// base is the first sample of a vgroup that is about to be read.
func (p *pump) base(a core.Assignment) {
	t := p.t
	switch end, ok := p.freshEnds[a.Vgroup]; {
	case !p.plan.sourceVersion.AtLeast(tagsEndRows):
	case p.freshEnds != nil && ok:
		t.subscribed(a.Vgroup, a.Offset, end)
	case p.freshEnds != nil:
		t.subscribed(a.Vgroup, a.Offset, max(a.Offset, t.meter.latest(a.Vgroup)))
	default:
		t.resumed(a.Vgroup, a.Offset)
	}
}

// resumed goes on with the samples of a group that was there before. What was read
// beyond position, and not applied, is read again, and a change that was made since
// keeps it back then.
func (t *task) resumed(vgroup int32, position int64) {
	t.mu.Lock()
	list := t.rec.Samples[vgroup]
	for i := range list {
		list[i].Position = min(list[i].Position, position)
	}
	t.mu.Unlock()
	if len(list) == 0 {
		t.sampled(vgroup, position, position)
	}
}

// tagsMark is the instant of the deletes that announce, in front and behind,
// that tags of a child table are set.
func tagsMark(precision string, behind bool) int64 {
	if behind {
		return noRowsAt(precision, 2)
	}
	return noRowsAt(precision, 1)
}

// rewind goes back to a position below the one that was reached, and returns
// the latter.
func (m *meter) rewind(vgroup int32, to int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.vgroup(vgroup)
	was := v.current
	v.rewind = core.Unknown
	if to < was {
		v.current, m.changed = to, true
	}
	return was
}

// latest is where a vgroup's WAL was seen to end; Unknown if it was not.
func (m *meter) latest(vgroup int32) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.vg[vgroup]; v != nil {
		return v.latest
	}
	return core.Unknown
}

// owes shows a vgroup as behind by what is to be read again.
func (m *meter) owes(vgroup int32, from int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.vgroup(vgroup); v.rewind == core.Unknown || from < v.rewind {
		v.rewind, m.changed, m.level = from, true, false
	}
}

// near reports whether nothing that is read here waits for longer than what is
// on its way usually does, and for the look at the sink.
func (m *meter) near(now time.Time, look time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.vg {
		if !v.foreign && v.lag(now) >= (levelLag+look).Milliseconds() {
			return false
		}
	}
	return true
}
