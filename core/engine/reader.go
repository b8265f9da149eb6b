package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"tdreplica/config"
	"tdreplica/core"
)

const (
	// maxPollInterval is how long the server may wait for a poll before it
	// drops the consumer; maxUnpolled is when we give it up ourselves.
	maxPollInterval = 5 * time.Minute
	maxUnpolled     = 4 * time.Minute
	// settleTimeout covers the session time-out of a consumer that died
	// without leaving the group.
	settleTimeout = 60 * time.Second
	settlePause   = 500 * time.Millisecond
	// nudgeAfter is how long a consumer may go without the vgroups that a dead
	// one still holds, or that a second worker takes over, before it is polled:
	// a client hears of its vgroups while it polls and not otherwise.
	nudgeAfter = 1500 * time.Millisecond
	// quickRetries of a request that the server was too busy for are nobody's
	// business yet.
	quickRetries = 3
	// idleSampling is the pace of samples while the task has nothing to do. It
	// slows down to longSampling where each finds what the one before found.
	idleSampling = 4 * time.Second
	longSampling = 15 * time.Second
)

// worker is one reader and one writer. The writer's goroutine owns the sink and
// what is put aside, the reader's owns everything else.
type worker struct {
	p       *pump
	n       int
	q       *queue
	source  Source
	sink    Sink
	lost    bool // the sink's connection broke: its server may have been upgraded
	writes  lease
	landing *landing
	supers  superTags // see children.go

	probe      <-chan time.Time // nil: no look at the sink is planned
	lookTick   <-chan time.Time // nil: none is waited for; see idle
	writerDone chan struct{}
	taken      atomic.Uint64 // the last message that was applied, or put aside
	acked      atomic.Uint64 // everything up to this message is at the sink

	wake        chan struct{} // one slot: look again at what is put aside
	held        map[int32]bool
	parked      []*job // of the held vgroups, in the order they were handed over
	parkedBytes int64
	applying    item            // now
	before      map[int32]int64 // the offset of the last message that was applied, by vgroup
	tenure      *tenure         // of the vgroup whose message is being applied
	last        map[int32]*tenure

	tenures  map[int32]*tenure // of the vgroups that are read
	assigned []core.Assignment
	nudged   bool // polled before the vgroups were handed out
	vgroups  []int32
	begun    map[int32]bool // the vgroups that it began with
	lostAt   time.Time      // since when one of them is missing; zero: none is
	handed   uint64         // the last message handed to the writer
	polls    lease
	pace     pace
	polledAt []time.Time // when the last polls began that were answered
	quiet    bool        // the last one found nothing
	narrowBy time.Time   // when to end for smaller messages, or before; zero: never
	lastPoll time.Time
	marks    marks

	oneWayAt   time.Time
	sampledAt  time.Time
	sampledSeq uint64
	sampling   time.Duration // the pace while there is nothing to do
	unsettled  bool          // the last sample saw a difference, or a commit followed it
	covers     coverage
	keys       []int64 // of one message; its memory is used again
	progressed time.Time
	stands     map[int32]stood
	checked    time.Time // when the sink's database was looked at, last
	failures   int
	failing    time.Time // since when requests between two polls fail
}

func newWorker(p *pump, n int, queueBytes config.Bytes, workers int) *worker {
	now := p.e.clock.Now()
	return &worker{
		p: p, n: n, q: newQueue(max(1, int64(queueBytes)/int64(workers))), writerDone: make(chan struct{}),
		wake: make(chan struct{}, 1), held: map[int32]bool{}, before: map[int32]int64{}, begun: map[int32]bool{},
		pace:     pace{least: p.e.cfg.Engine.PollWaitMin.Duration, most: p.e.cfg.Engine.PollWaitMax.Duration, since: now},
		sampling: idleSampling, lastPoll: now, progressed: now, checked: now, marks: newMarks(),
		last: map[int32]*tenure{}, tenures: map[int32]*tenure{}, stands: map[int32]stood{},
		landing: newLanding(p.plan.sinkVersion),
	}
}

func (w *worker) openSource(ctx context.Context) (err error) {
	pl := w.p.plan
	w.source, err = w.p.e.connector.Source(ctx, pl.source, Subscription{
		Topic: pl.topic, Group: pl.group,
		ClientID:        fmt.Sprintf("%s/%d", w.p.client, w.n),
		Latest:          pl.latest,
		Everything:      pl.raw, // with the exclusion the source would leave out more than it should
		RawRows:         pl.raw,
		MinRows:         w.p.t.rowsPerMessage(pl.raw),
		HoldWAL:         pl.holdWAL,
		MaxPollInterval: maxPollInterval,
	})
	return err
}

// nudge polls only so that the client hears of its vgroups. Whatever comes is
// dropped: begin goes back to where the group stands.
func (w *worker) nudge(ctx context.Context) error {
	w.nudged = true
	ctx, cancel := w.p.e.request(ctx)
	defer cancel()
	if _, err := w.source.Poll(ctx, 100*time.Millisecond); err != nil && core.ClassOf(err) != core.ClassRetry {
		return err
	}
	return nil
}

// position moves a vgroup to where the task stands: behind everything that is
// known to be applied, wherever the group's offset is. Without it a group that
// was dropped, or whose last commits were lost, would read again what the other
// direction may have changed since, and bring it back. After a nudge it also
// goes back to what was polled too early, and where a library commits by itself to
// the beginning if nothing is known: it may have committed what nobody has applied.
func (w *worker) position(ctx context.Context, a *core.Assignment, stored int64) error {
	at := a.Offset
	switch {
	case stored == core.Unknown && !w.p.plan.latest && (w.nudged || w.p.plan.commitsItself):
		at = a.Begin
	case stored != core.Unknown && w.nudged:
		at = stored
	}
	if applied, ok := w.p.t.remembered(w.p.plan, a.Vgroup); ok && applied <= a.End {
		if stored == core.Unknown {
			at = applied // a group that begins at the latest is not where the task stood
		}
		at = max(at, applied)
	}
	if at == a.Offset && !w.nudged || at < a.Begin {
		return nil // below the beginning there is a gap, which the caller is about to find
	}
	a.Offset = at
	return w.seek(ctx, *a)
}

// seek moves a vgroup to its offset in a.
func (w *worker) seek(ctx context.Context, a core.Assignment) error {
	ctx, cancel := w.p.e.request(ctx)
	defer cancel()
	return w.source.Seek(ctx, core.VgroupOffset{Vgroup: a.Vgroup, Offset: a.Offset})
}

// store makes an offset the group's.
func (w *worker) store(ctx context.Context, at core.VgroupOffset) error {
	ctx, cancel := w.p.e.request(ctx)
	defer cancel()
	return w.source.Commit(ctx, at)
}

// begin is the last step before the first poll.
func (w *worker) begin(ctx context.Context) error {
	for _, a := range w.assigned {
		w.vgroups = append(w.vgroups, a.Vgroup)
	}
	stored, err := w.offsets(ctx, w.source.Committed, w.vgroups)
	if err != nil {
		return err
	}
	for _, a := range w.assigned {
		offset, ok := stored[a.Vgroup]
		if !ok {
			offset = core.Unknown
		}
		if err := w.p.t.inherit(w.p.plan, a, offset, w.p.gone); err != nil {
			return err
		}
		trusted := offset
		if _, known := w.p.t.remembered(w.p.plan, a.Vgroup); w.p.plan.commitsItself && (known || !w.p.plan.latest) {
			trusted = core.Unknown // nobody knows who stored it, and whether it was applied
		}
		if err := w.position(ctx, &a, trusted); err != nil {
			return err
		}
		pass, err := w.p.t.checkStart(w.p.plan, a, trusted)
		if err == nil && pass {
			a.Offset = a.Begin
			err = w.seek(ctx, a)
		}
		if err != nil {
			return err
		}
		w.begun[a.Vgroup] = true
		w.marks.base(a.Vgroup, a.Offset)
		w.before[a.Vgroup] = a.Offset
		w.p.base(a)
		w.p.t.rereadEchoes(a.Vgroup, a.Offset)
		w.p.t.meter.start(a, offset)
	}
	w.p.changes.sampled(w, w.assigned, nil, time.Time{})
	return nil
}

// read polls until the pump is halted. Between two polls it looks after marks,
// commits and numbers.
func (w *worker) read(ctx context.Context) error {
	for !w.p.isHalted() {
		if owed := w.p.t.replica.limit.owed(w.p.e.clock.Now()); owed > 0 && !w.unpolled() {
			pause := min(owed, limitPause)
			w.p.rested(pause)
			if err := w.nap(ctx, pause); err != nil {
				return w.unlessHalted(err)
			}
		} else if w.narrows() {
			w.p.halt(errNarrow)
		} else if w.narrowBy.IsZero() && w.q.room() {
			if err := w.poll(ctx); err != nil {
				return w.unlessHalted(err)
			}
		} else if err := w.waitForRoom(); err != nil {
			return err
		}
		if w.p.isHalted() {
			return nil
		}
		if err := w.between(ctx); err != nil {
			return w.unlessHalted(err)
		}
	}
	return nil
}

// unlessHalted forgives an error that the halt itself brought about.
func (w *worker) unlessHalted(err error) error {
	if w.p.reads.Err() != nil && w.p.isHalted() {
		return nil
	}
	return err
}

func (w *worker) poll(ctx context.Context) error {
	c := &w.p.e.cfg.Engine
	idle := w.q.size() == 0
	if idle {
		w.p.doing("poll")
	}
	began := w.p.e.clock.Now()
	limited := w.polls.take(ctx, w.pace.deadline(c.RequestTimeout.Duration))
	w.pace.wanted = time.Unix(0, w.p.hurry.Load())
	m, err := w.source.Poll(limited, w.pace.wait(began))
	w.lastPoll = w.p.e.clock.Now()
	if err != nil {
		w.polledAt = w.polledAt[:0]
	} else {
		w.answered(began)
	}
	switch {
	case err != nil && core.ClassOf(err) == core.ClassRetry && w.failures < 10:
		w.failures++
		return w.nap(ctx, w.p.e.pause(err, w.failures))
	case err != nil && (core.ClassOf(err) == core.ClassOffset || core.ClassOf(err) == core.ClassData):
		// The next subscription looks at the offsets and says what is missing.
		return &core.Error{Class: core.ClassReconnect, Op: "read topic " + w.p.plan.topic, Err: err}
	case err != nil:
		return err
	case m == nil:
		w.failures, w.quiet = 0, true
		if idle { // a backlog of small messages fits into the queue: then only the writer is busy
			w.p.rested(w.lastPoll.Sub(began))
		}
		return nil
	}
	t, ok, err := w.given(m)
	if err != nil {
		return err
	}
	w.failures, w.quiet = 0, false
	w.pace.since = w.lastPoll
	if !ok {
		m.Release()
		return w.nap(ctx, awaitPause)
	}
	w.handed++
	w.marks.handed(m.Vgroup)
	w.p.t.replica.limit.spend(int64(len(m.Payload())))
	it := item{m: m, seq: w.handed, tenure: t}
	w.look(&it)
	if w.p.t.tooWide(m, w.q.limit) {
		w.narrowBy = w.lastPoll.Add(narrowWait)
	}
	w.q.put(it) // from here on the message is the writer's, which may release it
	return nil
}

// nap waits, but not longer than until the halt.
func (w *worker) nap(ctx context.Context, d time.Duration) error {
	select {
	case <-w.p.e.clock.After(d):
	case <-w.p.halting:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// unpolled reports whether the source was left alone for almost too long.
func (w *worker) unpolled() bool { return w.p.e.clock.Now().Sub(w.lastPoll) >= maxUnpolled }

// waitForRoom waits until the writer has made room, for a moment at most. The
// source stays subscribed but unpolled, until the server would drop it.
func (w *worker) waitForRoom() error {
	select {
	case <-w.q.freed:
	case <-w.p.halting:
	case <-w.p.e.clock.After(250 * time.Millisecond):
	}
	if !w.unpolled() {
		return nil
	}
	if h := w.p.health(); h.trouble != nil {
		return &core.Error{Class: core.ClassReconnect, Op: "write at " + w.p.plan.sinkName, Err: h.trouble}
	}
	return &core.Error{
		Class: core.ClassReconnect, Op: "write at " + w.p.plan.sinkName,
		Text: fmt.Sprintf("the sink has made no room for %v", maxUnpolled),
	}
}

// between does what is due between two polls, when the position covers exactly
// the messages handed out.
func (w *worker) between(ctx context.Context) error {
	now := w.p.e.clock.Now()
	if w.p.members != nil {
		if err := w.tolerate(w.moved(ctx)); err != nil {
			return err
		}
	}
	acked := w.acked.Load()
	w.resolve(acked)
	if w.sampleDue(now, acked) {
		if err := w.tolerate(w.sample(ctx, now)); err != nil {
			return err
		}
	}
	if w.p.plan.raw && w.n == 0 && now.Sub(w.oneWayAt) >= oneWayEvery {
		w.oneWayAt = now
		if err := w.tolerate(w.p.oneWay(ctx)); err != nil {
			return err
		}
	}
	if w.p.renewDue(now) && w.p.mayRenew(now) {
		w.p.halt(errRenew)
		return nil
	}
	if w.marks.due(now, &w.p.e.cfg.Engine) {
		return w.tolerate(w.commit(ctx, false))
	}
	return nil
}

func (w *worker) sampleDue(now time.Time, acked uint64) bool {
	c := &w.p.e.cfg.Engine
	pace := min(time.Second, max(100*time.Millisecond, c.CommitInterval.Duration))
	if w.handed-w.sampledSeq >= uint64(max(1, c.CommitMessages)) && !w.marks.pendingAt(acked) {
		return true
	}
	if w.sampledAt.UnixNano() < w.p.hurry.Load() {
		return true
	}
	age := now.Sub(w.sampledAt)
	if age >= 100*time.Millisecond && w.p.changes.waiting() {
		return true
	}
	return age >= w.sampling || age >= pace && (w.handed != w.sampledSeq || w.unsettled || w.awaited())
}

// tolerate lets a request that the server was too busy for be made again in
// the next round, but not for ever.
func (w *worker) tolerate(err error) error {
	switch {
	case err == nil:
		w.failing = time.Time{}
		return nil
	case w.failingFor() > max(time.Minute, w.p.e.cfg.Engine.StallTimeout.Duration):
		return &core.Error{Class: core.ClassReconnect, Op: "follow topic " + w.p.plan.topic, Err: err}
	case core.ClassOf(err) == core.ClassRetry, core.ClassOf(err) == core.ClassWait, core.ClassOf(err) == core.ClassOffset && !isGap(err):
		w.p.e.log.Debug("a request between two polls is put off", "err", err)
		w.unsettled = true
		return nil
	}
	return err
}

// failingFor is how long requests between two polls have failed in a row.
func (w *worker) failingFor() time.Duration {
	now := w.p.e.clock.Now()
	if w.failing.IsZero() {
		w.failing = now
	}
	return now.Sub(w.failing)
}

// request bounds one small request, or a few in a row.
func (e *Engine) request(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 2*e.cfg.Engine.RequestTimeout.Duration)
}

func (w *worker) assignment(ctx context.Context) ([]core.Assignment, error) {
	ctx, cancel := w.p.e.request(ctx)
	defer cancel()
	return w.source.Assignment(ctx)
}

func (w *worker) offsets(ctx context.Context, ask func(context.Context, []int32) ([]core.VgroupOffset, error), vgroups []int32) (map[int32]int64, error) {
	ctx, cancel := w.p.e.request(ctx)
	defer cancel()
	list, err := ask(ctx, vgroups)
	if err != nil {
		return nil, err
	}
	out := make(map[int32]int64, len(list))
	for _, o := range list {
		out[o.Vgroup] = o.Offset
	}
	return out, nil
}

// close is for connections that no goroutine uses any more.
func (w *worker) close(ctx context.Context) {
	w.polls.end()
	w.writes.end()
	if w.sink != nil {
		w.sink.Close()
		w.sink = nil
	}
	if w.source != nil {
		if err := w.source.Close(ctx); err != nil {
			w.p.e.log.Debug("the source was not left in order", "err", err)
		}
		w.source = nil
	}
}
