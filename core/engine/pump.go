package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tdreplica/core"
)

const (
	// drainGrace is how long a graceful stop goes on writing what was already
	// read. A sink that keeps up needs milliseconds; the rest is read again.
	drainGrace = time.Second
	// readGrace is how long a stop waits for a request to the source that is
	// under way, before it gives that connection up. The longest poll is shorter,
	// unless poll_wait_max is longer.
	readGrace = longWait + 500*time.Millisecond
	// closeTimeout bounds the last commit and the unsubscription.
	closeTimeout = 10 * time.Second
	// steadyAfter is how long a pump must have run for its end to count as a
	// new trouble and not as the old one going on.
	steadyAfter = 5 * time.Second
)

// pump moves the data of one task until it is halted or something is wrong
// that it cannot get over by itself. A pump is used once.
//
// Each worker is a reader and a writer goroutine with a queue between them and
// connections of their own; all of them are members of one consumer group.
type pump struct {
	t *task
	e *Engine

	news    chan struct{} // one slot: health changed
	halting chan struct{} // closed by halt
	reads   context.Context
	done    chan struct{} // closed when nothing of the pump runs any more
	err     error         // why it ended; read it after done

	// ddl keeps rows and changes of schema apart, across workers: meta messages
	// hold it alone, rows share it.
	ddl     sync.RWMutex
	mended  mended
	changes *changes

	plan      *plan
	client    string          // what its consumers are called, but for their number
	members   *members        // nil: the group is not shared
	renewed   bool            // this pump has made the group anew
	goesOn    bool            // with all that came since the task began
	freshEnds map[int32]int64 // where the WALs ended before the group was made; nil: it was there
	gone      []int32         // vgroups that are remembered and were split since
	workers   []*worker
	replays   sync.WaitGroup // added to under mu, never after halted

	reshaped atomic.Int64 // changes of schema that were carried out
	lookPace atomic.Int64 // how long rows may wait for the look at the sink for its cost, in ns

	hurry  atomic.Int64 // positions are wanted that are younger than this time, in ns
	stepMu sync.Mutex
	step   core.Step

	mu         sync.Mutex
	halted     bool
	haltedAt   time.Time
	cause      error
	readyAt    time.Time     // zero before every worker was ready
	renewAt    time.Time     // when to end so that the group is made anew; zero: never
	renewAsked time.Time     // since when that is to be
	rest       time.Duration // of all workers, since loadAt
	loadAt     time.Time
	troubles   map[int]trouble
}

// trouble is a write that is being retried in place.
type trouble struct {
	err   error
	tries int
	next  time.Time
}

// health is a pump's account of itself.
type health struct {
	ready   bool
	trouble error
	tries   int
	next    time.Time
}

func newPump(t *task) *pump {
	p := &pump{
		t: t, e: t.e,
		news: make(chan struct{}, 1), halting: make(chan struct{}), done: make(chan struct{}),
		troubles: map[int]trouble{}, client: t.e.clients.next(),
	}
	p.changes = newChanges(t.e.clock, p.wakeWriters)
	return p
}

// run is the whole life of the pump. It ends at once when ctx does, and in
// order after halt.
func (p *pump) run(ctx context.Context) {
	defer close(p.done)
	reads, cancel := context.WithCancel(ctx)
	defer cancel()
	p.reads = reads
	released := make(chan struct{})
	var cutter sync.WaitGroup
	defer cutter.Wait()
	defer close(released)
	cutter.Go(func() { p.cutReads(cancel, released) })

	p.err = p.guard(func() error { return p.open() })
	if p.err == nil && !p.isHalted() {
		p.setReady()
		p.flow(ctx)
		p.mu.Lock()
		p.err = p.cause
		p.mu.Unlock()
	}
	p.close(ctx)
}

// cutReads gives a request to the source some time after a halt and then
// cancels it. While nothing flows yet there is nothing to wait for.
func (p *pump) cutReads(cancel context.CancelFunc, released <-chan struct{}) {
	select {
	case <-p.halting:
	case <-released:
		return
	}
	if p.health().ready {
		select {
		case <-p.e.clock.After(readGrace):
		case <-released:
		}
	}
	cancel()
}

// flow runs every worker's reader and writer until all of them have ended. The
// first that fails halts the others, which stop in order.
func (p *pump) flow(ctx context.Context) {
	if p.members != nil {
		defer p.keepMembers(ctx)()
	}
	defer p.scouting(ctx)()
	var wg sync.WaitGroup
	for _, w := range p.workers {
		wg.Go(func() {
			defer close(w.writerDone)
			if err := p.guard(func() error { return w.write(ctx) }); err != nil {
				p.halt(err)
			}
		})
		wg.Go(func() {
			err := p.guard(func() error { return w.read(p.reads) })
			if err != nil {
				p.halt(err)
			}
			w.q.close()
			<-w.writerDone
			if err := p.guard(func() error { w.finish(ctx, err == nil); return nil }); err != nil {
				p.halt(err)
			}
		})
	}
	wg.Wait()
}

// keepMembers looks after a shared group until the returned function is called.
func (p *pump) keepMembers(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.guard(func() error { return p.members.keep(ctx) }); err != nil {
			p.halt(err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// guard turns a panic of f into an error that fails the task.
func (p *pump) guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = p.t.panicked(v)
		}
	}()
	return f()
}

// halt makes the pump end in order. The first cause is kept; nil means that
// somebody asked for it.
func (p *pump) halt(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.halted {
		return
	}
	p.halted, p.cause, p.haltedAt = true, cause, p.e.clock.Now()
	close(p.halting)
}

func (p *pump) isHalted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.halted
}

// mayDrain reports whether a writer should still write what is queued.
func (p *pump) mayDrain() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.halted || (p.cause == nil || inOrder(p.cause)) && p.e.clock.Now().Sub(p.haltedAt) < drainGrace
}

func (p *pump) setReady() {
	p.mu.Lock()
	p.readyAt = p.e.clock.Now()
	p.loadAt = p.readyAt
	p.mu.Unlock()
	signal(p.news)
}

// wasSteady reports whether the pump ran well for a while. Call it after done.
func (p *pump) wasSteady() bool {
	return !p.readyAt.IsZero() && p.haltedAt.Sub(p.readyAt) >= steadyAfter
}

func (p *pump) inTrouble(worker int, t trouble) {
	p.mu.Lock()
	p.troubles[worker] = t
	p.mu.Unlock()
	signal(p.news)
}

func (p *pump) recovered(worker int) {
	p.mu.Lock()
	_, was := p.troubles[worker]
	delete(p.troubles, worker)
	p.mu.Unlock()
	if was {
		signal(p.news)
	}
}

// health tells of the worker that has been trying for longest.
func (p *pump) health() health {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := health{ready: !p.readyAt.IsZero()}
	for _, t := range p.troubles {
		if t.tries > h.tries {
			h.trouble, h.tries, h.next = t.err, t.tries, t.next
		}
	}
	return h
}

// doing says what the pump is at, before its workers speak for themselves.
func (p *pump) doing(step string) {
	now := p.e.clock.Now()
	p.stepMu.Lock()
	defer p.stepMu.Unlock()
	p.step = core.Step{Name: step, Since: now}
}

// at is what doing said last; its name is empty before.
func (p *pump) at() core.Step {
	p.stepMu.Lock()
	defer p.stepMu.Unlock()
	return p.step
}

// waitingFor says which change of a super table vgroups are held at.
func (p *pump) waitingFor(change string) {
	name := "wait for all vgroups to reach: " + change
	if p.at().Name != name {
		p.doing(name)
	}
}

// wakeWriters makes writers look again at what they have put aside.
func (p *pump) wakeWriters() {
	for _, w := range p.workers {
		signal(w.wake)
	}
}

// open makes everything ready up to the first poll.
func (p *pump) open() error {
	ctx, cancel := context.WithCancel(p.reads)
	defer cancel()
	p.doing("wait for other tasks to start")
	select {
	case p.e.starts <- struct{}{}:
		defer func() { <-p.e.starts }()
	case <-ctx.Done():
		return ctx.Err()
	}
	p.doing("check both sides")
	pl, err := p.t.preflight(ctx)
	if err != nil {
		return err
	}
	p.plan, p.changes.strict, p.goesOn = pl, pl.raw, p.t.goesOn(pl)
	for n := range pl.workers {
		p.doing("connect to the sink")
		w := newWorker(p, n, p.e.cfg.Engine.QueueBytes, pl.workers)
		p.workers = append(p.workers, w)
		if err := w.openSink(ctx); err != nil {
			return err
		}
	}
	if err := p.prepareGroup(ctx); err != nil {
		return err
	}
	for _, w := range p.workers {
		p.doing("subscribe")
		if err := w.openSource(ctx); err != nil {
			return err
		}
	}
	if p.members != nil {
		if err := p.joined(ctx); err != nil {
			return err
		}
	} else if err := p.settle(ctx); err != nil {
		return err
	}
	if err := p.holdWAL(ctx); err != nil {
		return err
	}
	p.doing("compare the super tables")
	return p.workers[0].compareSchemas(ctx)
}

// prepareGroup waits until nobody is in the group, unless it is shared, and
// makes it anew if that is due.
func (p *pump) prepareGroup(ctx context.Context) error {
	if p.plan.shared {
		p.members = newMembers(p)
		if !p.t.renewal {
			return nil
		}
	}
	exists, err := p.awaitFree(ctx)
	if err != nil {
		return err
	}
	err = p.renew(ctx, exists)
	if err != nil && p.plan.shared {
		// Another member has come in between: the change of tags is met again, for
		// no commit has gone beyond it.
		p.t.renewal = false
		return &core.Error{Class: core.ClassRetry, Op: "make the shared group anew", Err: err}
	}
	return err
}

// close gives every connection back. After an orderly end the sources were
// closed by their readers.
func (p *pump) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, w := range p.workers {
		wg.Go(func() { w.close(ctx) })
	}
	wg.Wait()
	p.replays.Wait()
	if c := p.t.crossing; c != nil {
		c.ended(p.t.side, p.e.clock.Now())
	}
	if p.plan != nil {
		p.plan.catalog.Close()
		p.plan.sinkCatalog.Close()
	}
}

// settle waits until the group's vgroups are handed to its workers, each to
// one, and checks for gaps. No worker polls before: a vgroup that moved from
// one worker to another later would be read from its last commit twice.
func (p *pump) settle(ctx context.Context) error {
	p.doing("wait for the vgroups")
	now := p.e.clock.Now()
	deadline, nudging := now.Add(settleTimeout), now.Add(nudgeAfter)
	for {
		owned, err := p.assignments(ctx)
		if err != nil {
			return err
		}
		// Servers that do not tell how many vgroups there are get the benefit
		// of the doubt as soon as one is there.
		if len(owned) > 0 && len(owned) >= p.plan.db.Vgroups {
			p.gone = p.t.goneVgroups(p.plan, owned)
			break
		}
		if p.e.clock.Now().After(nudging) {
			for _, w := range p.workers {
				if err := w.nudge(ctx); err != nil {
					return err
				}
			}
		}
		if p.e.clock.Now().After(deadline) {
			return &core.Error{
				Class: core.ClassRetry,
				Op:    fmt.Sprintf("subscribe to topic %s at %s", p.plan.topic, p.plan.sourceName),
				Text:  fmt.Sprintf("the server handed over %d of %d vgroups within %v", len(owned), p.plan.db.Vgroups, settleTimeout),
				Hint:  "somebody else may be in the consumer group " + p.plan.group + ", or a vgroup has no leader: see `show consumers` and `show vgroups`",
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.e.clock.After(settlePause):
		}
	}
	if w := p.workers[0]; len(p.workers) == 1 && w.nudged {
		// What was polled too early is read again by a consumer that begins at
		// the stored offsets. Seeking back is not enough: 3.3.3.0 went on behind
		// dropped messages were seen not to come again.
		return &core.Error{
			Class: core.ClassRetry,
			Op:    fmt.Sprintf("subscribe to topic %s at %s", p.plan.topic, p.plan.sourceName),
			Text:  "the vgroups of a consumer that died are free now; subscribing anew",
		}
	}
	for _, w := range p.workers {
		if err := w.begin(ctx); err != nil {
			return err
		}
	}
	p.t.bury(p.gone)
	p.t.began(p.plan)
	if p.t.rewindsLeft() {
		p.renewSoon()
	}
	return nil
}

// assignments collects which vgroups the workers own. A vgroup that two of
// them claim is still on its way and counts for none.
func (p *pump) assignments(ctx context.Context) (map[int32]bool, error) {
	owned, twice := map[int32]bool{}, map[int32]bool{}
	for _, w := range p.workers {
		assigned, err := w.assignment(ctx)
		if err != nil && core.ClassOf(err) != core.ClassRetry {
			return nil, err
		}
		w.assigned = assigned
		for _, a := range assigned {
			if owned[a.Vgroup] {
				twice[a.Vgroup] = true
			}
			owned[a.Vgroup] = true
		}
	}
	for vg := range twice {
		delete(owned, vg)
	}
	return owned, nil
}

// freeTimeout covers an adapter that still unsubscribes for a connection that
// was cut, and the session time-out of a consumer whose adapter died.
const freeTimeout = 20 * time.Second

// awaitFree waits until no consumer is left in the group. One that joins while
// the server still counts on a dead one is handed its vgroups late, and only
// while it polls. A group that stays taken is joined all the same: then settle
// says what is wrong. It reports whether there is such a group.
func (p *pump) awaitFree(ctx context.Context) (exists bool, err error) {
	p.doing("wait for the group to be free")
	deadline := p.e.clock.Now().Add(freeTimeout)
	for {
		subs, err := p.plan.catalog.Subscriptions(ctx, p.plan.topic)
		if err != nil {
			return false, err
		}
		exists, taken := false, false
		for _, s := range subs {
			if s.Group == p.plan.group {
				exists, taken = true, taken || s.Consumer != ""
			}
		}
		if !taken {
			p.forgetScout(ctx, subs)
			return exists, nil
		}
		if p.e.clock.Now().After(deadline) {
			return exists, p.stranger(ctx)
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-p.e.clock.After(settlePause):
		}
	}
}
