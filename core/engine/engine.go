// Package engine supervises replicas and tasks and moves the data: it reads a
// topic at the source, applies every message at the sink and commits the
// offset only after the sink has acknowledged the write.
//
// Who does what. An Engine owns replicas, a replica owns tasks and looks for
// new databases, a task has one supervisor goroutine, and the supervisor owns
// at most one pump. Commands only change what is wanted; the supervisor alone
// changes what is. Nothing here knows TDengine: that is behind the ports.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/store"
)

const (
	// checkTimeout bounds the checks that a request makes before anything is
	// created. It leaves room to answer the operator within five seconds.
	checkTimeout = 4500 * time.Millisecond
	// parallelStarts bounds how many tasks subscribe at the same time.
	parallelStarts = 16
	// housekeeping is the pace of rates, charts and the state file.
	housekeeping = time.Second
)

// Options are what an Engine is made of.
type Options struct {
	Config    *config.Config
	Store     *store.Store
	Connector Connector
	Clock     Clock        // nil: the real one
	Log       *slog.Logger // nil: nowhere
	Version   string
	Demo      bool
	ReadOnly  bool // every command is refused; replication goes on
	// GrowAfter is how long the one worker of a task with `workers = "auto"`
	// must have been too slow before there are more, and a 20th of how long it
	// must have been enough before they go again. 0 is 30 s.
	GrowAfter time.Duration
}

// Engine is an instance: a core.Controller that does the work. Its methods are
// safe for concurrent use.
type Engine struct {
	cfg       *config.Config
	store     *store.Store
	connector Connector
	clock     Clock
	probing   time.Duration // how long a sink may go unused before it is asked whether it is there
	clients   *clients
	growAfter time.Duration // when a busy task that may gets more workers
	cpus      int           // bounds their number
	log       *slog.Logger
	opts      Options
	since     time.Time

	// starts is a semaphore over the expensive part of a task's start.
	starts chan struct{}
	// creating serialises what creates or deletes replicas and tasks. It is a
	// channel so that waiting for it ends with the request's context.
	creating  chan struct{}
	poke      chan struct{} // wakes the housekeeper
	changes   chan struct{}
	snaps     snapshots
	events    eventLog
	crossings crossings
	holdPace  time.Duration // how often holds on WALs are looked after

	quit     chan struct{} // closed when Run begins to stop
	done     chan struct{} // closed when Shutdown was asked
	doneOnce sync.Once
	abort    context.CancelFunc
	hard     context.Context // ends with abort; every endpoint call is below it
	wg       sync.WaitGroup  // supervisors and discoverers
	// writing is held from before tasks are taken down until they are on disk: an
	// older record must not replace a newer one, whose notes a commit relies on, nor
	// one of a replica come back that is being deleted.
	writing sync.Mutex

	mu       sync.Mutex
	replicas map[string]*replica
	audits   map[string]*auditRun // by replica: the one that runs, or the last
	running  bool                 // between the start of Run and the start of its stop
}

// replica is one pair with its tasks. Its fields are guarded by Engine.mu.
type replica struct {
	rec   store.Replica
	tasks map[string]*task // by database
	// note is why the replica's databases are not known yet; empty otherwise.
	note string
	// wake makes the discoverer look now, or read its interval again.
	wake    chan struct{}
	gone    chan struct{} // closed when the replica was removed
	looking bool          // a discoverer goroutine exists
	limit   limit         // what its tasks may read; safe without Engine.mu
	sink    presence      // likewise

	// What its tasks ask for each other, safe without Engine.mu, too: where the
	// source's WALs end by vgroup, who reads them, and what the sink has.
	ends          answer[map[int32]int64]
	subscriptions answer[[]core.Subscription]
	sinkDatabases answer[[]core.Database]
}

// New restores the instance that the store holds. Nothing runs before Run.
func New(o Options) (*Engine, error) {
	if o.Clock == nil {
		o.Clock = wallClock{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		cfg: o.Config, store: o.Store, connector: o.Connector, clock: o.Clock, log: o.Log, opts: o, probing: probeAfter, holdPace: holdPace,
		growAfter: o.GrowAfter, cpus: runtime.GOMAXPROCS(0),
		since:    o.Clock.Now(),
		starts:   make(chan struct{}, parallelStarts),
		creating: make(chan struct{}, 1),
		poke:     make(chan struct{}, 1),
		changes:  make(chan struct{}, 1),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
		replicas: map[string]*replica{},
		audits:   map[string]*auditRun{},
	}
	e.clients = newClients(e.instance().Name, e.store.InstanceID())
	if e.growAfter == 0 {
		e.growAfter = growAfter
	}
	e.crossings.limit = int64(o.Config.Engine.ConflictBytes)
	e.hard, e.abort = context.WithCancel(context.Background())
	if err := e.restore(); err != nil {
		e.abort()
		return nil, err
	}
	return e, nil
}

func (e *Engine) restore() error {
	last, err := e.store.LastEventSeq()
	if err != nil {
		return fmt.Errorf("restore the events: %w", err)
	}
	e.events.start(last)
	replicas, err := e.store.Replicas()
	if err != nil {
		return fmt.Errorf("restore the replicas: %w", err)
	}
	for _, rec := range replicas {
		rec.Note = ""
		e.replicas[rec.ID] = newReplica(rec)
	}
	tasks, err := e.store.Tasks("")
	if err != nil {
		return fmt.Errorf("restore the tasks: %w", err)
	}
	for _, rec := range tasks {
		// A task without a replica can only stem from a damaged file.
		if r := e.replicas[rec.Replica]; r != nil {
			r.tasks[rec.Database] = newTask(e, r, rec)
		}
	}
	return nil
}

func newReplica(rec store.Replica) *replica {
	r := &replica{
		rec: rec, tasks: map[string]*task{},
		wake: make(chan struct{}, 1), gone: make(chan struct{}),
		ends: newAnswer[map[int32]int64](), subscriptions: newAnswer[[]core.Subscription](), sinkDatabases: newAnswer[[]core.Database](),
	}
	r.limit.set(rec.MaxBytesPerS)
	return r
}

// Run applies the configuration, supervises until ctx ends, and then stops
// every task gracefully within the configured time. It returns when nothing
// of the engine runs any more. It must be called once.
func (e *Engine) Run(ctx context.Context) error {
	defer e.abort()
	if err := e.store.PutInstance(e.instance()); err != nil {
		return err
	}
	e.event(core.Event{Level: core.LevelInfo, Kind: core.EventInstance, Text: "the instance started"})
	err := e.declare()
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.running = true
	for _, r := range e.replicas {
		e.supervise(r)
	}
	e.mu.Unlock()

	stopKeeping := make(chan struct{})
	var keeper sync.WaitGroup
	keeper.Go(func() { e.keepHouse(stopKeeping) })
	keeper.Go(func() { e.keepHolds(ctx) })

	<-ctx.Done()
	e.stopAll()
	close(stopKeeping)
	keeper.Wait()
	e.event(core.Event{Level: core.LevelInfo, Kind: core.EventInstance, Text: "the instance stopped"})
	return errors.Join(e.flush(true), e.store.PutInstance(e.instance()))
}

// supervise starts what a replica needs: its tasks and its discoverer. The
// caller holds e.mu.
func (e *Engine) supervise(r *replica) {
	if !e.running {
		return
	}
	for _, t := range r.tasks {
		if !t.supervised {
			t.supervised = true
			e.wg.Go(func() { t.supervise(e.hard) })
		}
	}
	if !r.looking {
		r.looking = true
		e.wg.Go(func() { e.discover(r) })
	}
}

// stopAll lets every task finish its write in flight and commit. A task that
// takes longer than the configured time is cut off by its own supervisor.
func (e *Engine) stopAll() {
	e.mu.Lock()
	e.running = false
	for _, r := range e.replicas {
		for _, t := range r.tasks {
			t.want(func(i *intent) { i.quit = true })
		}
	}
	e.mu.Unlock()
	close(e.quit)
	e.wg.Wait()
}

// Abort ends everything at once, without waiting for writes in flight. What
// they did is applied again at the next start.
func (e *Engine) Abort() { e.abort() }

// Done is closed when Shutdown was asked.
func (e *Engine) Done() <-chan struct{} { return e.done }

// keepHouse computes rates, fills charts and writes what changed to the state
// file, until stop is closed.
func (e *Engine) keepHouse(stop <-chan struct{}) {
	next := e.clock.After(housekeeping)
	unwritten := false
	for {
		full := false
		select {
		case <-stop:
			return
		case <-next:
			full = true
			next = e.clock.After(housekeeping)
			e.tick(e.clock.Now())
		case <-e.poke:
		}
		err := e.flush(full)
		if (err != nil) == unwritten {
			continue // it was told; the next look is a second away
		}
		unwritten = err != nil
		if unwritten {
			e.event(core.Event{Level: core.LevelError, Kind: core.EventInstance, Text: "the state file cannot be written: " + err.Error()})
		} else {
			e.event(core.Event{Level: core.LevelInfo, Kind: core.EventInstance, Text: "the state file is written again"})
		}
	}
}

// tick computes every task's rates, fills its charts and looks at the number of
// its workers.
func (e *Engine) tick(now time.Time) {
	for _, t := range e.allTasks() {
		t.meter.tick(now)
		t.adapt(now)
		t.tellConflicts(now)
		t.holding(now)
	}
}

// flush writes events and tasks that changed. Numbers alone wait for a full
// flush; a change of state does not.
func (e *Engine) flush(full bool) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	err := e.events.flush(e.store.AppendEvents)
	var recs []store.Task
	var flushed []*task
	now := e.clock.Now()
	for _, t := range e.allTasks() {
		if rec, ok := t.record(now, full); ok {
			recs, flushed = append(recs, rec), append(flushed, t)
		}
	}
	if werr := e.store.PutTasks(recs...); werr != nil {
		for _, t := range flushed {
			t.markDirty()
		}
		return errors.Join(err, werr)
	}
	return err
}

func (e *Engine) allTasks() []*task {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*task
	for _, r := range e.replicas {
		for _, t := range r.tasks {
			out = append(out, t)
		}
	}
	return out
}

// changed tells that a snapshot would differ in more than its numbers.
func (e *Engine) changed() {
	e.snaps.stale()
	signal(e.changes)
	signal(e.poke)
}

func (e *Engine) instance() core.Instance {
	name := e.cfg.Instance.Name
	if name == "" {
		name, _ = os.Hostname()
	}
	return core.Instance{
		Name: name, ID: e.store.InstanceID(), Running: true, PID: os.Getpid(), Version: e.opts.Version,
		StateDir: e.store.Dir(), Since: e.since, ReadOnly: e.opts.ReadOnly, Demo: e.opts.Demo,
	}
}

// lock takes the right to create and delete; unlock gives it back.
func (e *Engine) lock(ctx context.Context) error {
	select {
	case e.creating <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for an earlier request: %w", ctx.Err())
	}
}

func (e *Engine) unlock() { <-e.creating }

// signal wakes the reader of a one-slot channel; a second signal before it
// looked is the same as one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

type wallClock struct{}

func (wallClock) Now() time.Time                         { return time.Now() }
func (wallClock) After(d time.Duration) <-chan time.Time { return time.After(d) }
