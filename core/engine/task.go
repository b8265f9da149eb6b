package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"tdreplica/core"
	"tdreplica/core/store"
)

// intent is what is wanted of a task. Commands change it, the supervisor obeys.
type intent struct {
	desired core.Desired
	restart bool // once: stop, then go on as desired
	quit    bool // the instance ends; what is desired stays
	remove  bool
}

// run reports whether a pump should be running.
func (i intent) run() bool {
	return i.desired == core.WantRunning && !i.restart && !i.quit && !i.remove
}

// over reports whether the supervisor should end.
func (i intent) over() bool { return i.quit || i.remove }

// task replicates one database of a replica.
type task struct {
	e       *Engine
	replica *replica
	key     core.TaskKey
	meter   *meter
	// crossing is where the other direction is met, if conflicts are looked for;
	// side is which of the two this is.
	crossing *crossing
	side     int

	ended      chan struct{} // closed when the supervisor has ended
	supervised bool          // guarded by Engine.mu
	tries      int           // attempts in a row that ended soon; the supervisor's

	mu      sync.Mutex
	intent  intent
	turned  chan struct{} // closed and replaced when intent changes
	rec     store.Task    // rec.Last is stale; record() fills it
	state   core.State
	since   time.Time
	note    string
	lastErr string
	retry   core.Retry
	facts   facts
	pump    *pump
	audited *auditRun // the last verify or repair; nil: none since the instance started
	auditAt int       // its place in it
	urgent  bool      // to be persisted with the next flush, whatever kind it is
	// notes counts the changes of the notes in rec (Echoes and those below them),
	// saved how many of these are on disk.
	notes, saved uint64
	// reread is up to where vgroups had been applied that are read again, redropped
	// where tables of them have been dropped once more since.
	reread    map[int32]int64
	redropped map[int32]map[string]int64
	// tagged are fingerprints of the last changes of tags that were read.
	tagged    []uint64
	scaling   scaling
	conflicts conflictLog
	plain     string // why raw rows are not read any more; empty: they may be
	hold      hold
	// remade are tables that somebody dropped and that may be there again: old
	// connections, and new ones that reuse what these have kept, may take one for
	// the other.
	remade  map[string]bool
	stuckAt map[int32]int64 // where vgroups gave nothing, last (see alive.go)
	ahead   map[int32]int64 // up to where a scout knows the changes; nil: there is none
	// won and spent are what new groups were worth since the task was last caught
	// up, and the time that they took (see scout.go).
	won, spent time.Duration

	// Of the supervisor, and of the pump while there is one (see tagged.go).
	renewal bool        // the consumer group is to be made anew
	wide    atomic.Bool // rows are so wide that a message gets fewer of them
	renewed time.Time   // when it was, last
	scout   *scout      // see scout.go; nil: there is none
}

// facts are what the last preflight learned.
type facts struct {
	sourceVersion, sinkVersion string
	precision                  string
	walRetentionS              int64
	workers                    int
	auto                       bool // their number is the task's own choice
	raw                        bool // rows are read as they are stored
	warnings                   []string
}

// newTask makes a task from its record; rec.Last says what it last knew.
func newTask(e *Engine, r *replica, rec store.Task) *task {
	t := &task{
		e: e, replica: r, rec: rec,
		key:    core.TaskKey{Replica: rec.Replica, Database: rec.Database},
		meter:  newMeter(rec.Last),
		ended:  make(chan struct{}),
		turned: make(chan struct{}),
		intent: intent{desired: rec.Desired},
		state:  core.Stopped, since: rec.Last.Since,
		lastErr: rec.Last.LastError,
		facts: facts{
			sourceVersion: rec.Last.SourceVersion, sinkVersion: rec.Last.SinkVersion,
			precision: rec.Last.Precision, walRetentionS: rec.Last.WALRetentionS,
			workers: rec.Last.Workers, auto: rec.Last.AutoWorkers, warnings: rec.Last.Warnings,
		},
	}
	if t.since.IsZero() {
		t.since = e.clock.Now()
	}
	t.crossing, t.side = e.crossings.join(r.rec.Source, r.rec.Sink, rec.Database)
	return t
}

// want changes the intent and reports what it was before.
func (t *task) want(change func(*intent)) intent {
	t.mu.Lock()
	before := t.intent
	change(&t.intent)
	if t.intent != before {
		close(t.turned)
		t.turned = make(chan struct{})
	}
	if t.intent.desired != t.rec.Desired {
		t.rec.Desired, t.urgent = t.intent.desired, true
	}
	t.mu.Unlock()
	t.e.changed()
	return before
}

// wanted returns the intent, and a channel that is closed when it changes.
func (t *task) wanted() (intent, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.intent, t.turned
}

// stateFunc is one state: it runs until the state ends and returns the next
// one, or nil when the task is over.
type stateFunc func(context.Context) stateFunc

// supervise is the task's one goroutine of decisions.
func (t *task) supervise(ctx context.Context) {
	defer close(t.ended)
	defer t.callBack()
	for next := t.stopped; next != nil; {
		next = t.survive(ctx, next)
	}
}

// survive runs one state; a panic in it fails this task and no other.
func (t *task) survive(ctx context.Context, f stateFunc) (next stateFunc) {
	defer func() {
		if v := recover(); v != nil {
			next = t.failing(t.panicked(v))
		}
	}()
	return f(ctx)
}

// panicked turns a panic into an error and keeps its stack in the log.
func (t *task) panicked(v any) error {
	t.e.log.Error("panic", "replica", t.key.Replica, "database", t.key.Database, "value", v, "stack", string(debug.Stack()))
	return &core.Error{
		Class: core.ClassOperator, Op: "internal error", Text: fmt.Sprint(v),
		Hint: "the stack is in the log; `restart` tries again",
	}
}

func (t *task) stopped(ctx context.Context) stateFunc {
	t.mu.Lock()
	first := t.state == core.Stopped
	t.mu.Unlock()
	if !first {
		t.enter(core.Stopped, "", core.Retry{})
	}
	for {
		want, turned := t.wanted()
		switch {
		case want.over() || ctx.Err() != nil:
			return nil
		case want.restart:
			t.restarted()
		case want.run():
			return t.starting
		}
		if want.restart {
			continue
		}
		select {
		case <-turned:
		case <-ctx.Done():
		}
	}
}

func (t *task) starting(context.Context) stateFunc {
	t.tries = 0
	t.enter(core.Starting, "", core.Retry{})
	return t.live
}

// live is starting, running and interrupted alike: one pump from its preflight
// to its end. What is shown follows the pump's own account.
func (t *task) live(ctx context.Context) stateFunc {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := newPump(t)
	t.setPump(p)
	defer t.setPump(nil)
	go p.run(ctx)
	for {
		want, turned := t.wanted()
		if !want.run() {
			return t.stopping(p, cancel)
		}
		select {
		case <-turned:
		case <-p.news:
			t.show(p.health())
		case <-p.done:
			return t.after(p)
		}
	}
}

// show makes a pump's account of itself the state of the task.
func (t *task) show(h health) {
	switch {
	case h.trouble != nil:
		t.enter(core.Interrupted, explain(h.trouble), core.Retry{Tries: h.tries, Next: h.next})
	case h.ready:
		t.enter(core.Running, "", core.Retry{})
	}
}

// stopping waits for the write in flight and the commit, at most as long as
// configured.
func (t *task) stopping(p *pump, cancel context.CancelFunc) stateFunc {
	t.enter(core.Stopping, "", core.Retry{})
	p.halt(nil)
	select {
	case <-p.done:
	case <-t.e.clock.After(t.e.cfg.Engine.StopTimeout.Duration):
		t.e.log.Warn("the task did not stop in time and is cut off; what was not committed is applied again",
			"replica", t.key.Replica, "database", t.key.Database)
		cancel()
		<-p.done
	}
	if err := p.err; err != nil && !errors.Is(err, context.Canceled) && !inOrder(err) {
		t.remember(err)
	}
	t.callBack()
	want, _ := t.wanted()
	if want.remove {
		t.enter(core.Removing, "", core.Retry{})
		return nil
	}
	return t.stopped
}

// after decides what follows a pump that ended by itself.
func (t *task) after(p *pump) stateFunc {
	err := p.err
	if !inOrder(err) {
		t.callBack()
	}
	switch {
	case t.e.hard.Err() != nil:
		return t.stopped
	case t.readPlain(err):
		return t.live
	case inOrder(err):
		t.renewal = t.renewal || errors.Is(err, errRenew)
		return t.live
	case err == nil:
		// Nobody asked it to stop: cannot happen, and must not spin.
		err = errors.New("the pump ended without a reason")
	case !core.ClassOf(err).Retryable():
		return t.failing(err)
	}
	return t.interrupted(err, p.wasSteady())
}

// interrupted waits before the next attempt.
func (t *task) interrupted(err error, steady bool) stateFunc {
	return func(ctx context.Context) stateFunc {
		if steady {
			t.tries = 0
		}
		t.tries++
		tries := t.tries
		t.meter.retried()
		pause := t.e.pause(err, tries)
		due := t.e.clock.After(pause)
		t.enter(core.Interrupted, explain(err), core.Retry{Tries: tries, Next: t.e.clock.Now().Add(pause)})
		for {
			want, turned := t.wanted()
			if !want.run() {
				return t.stopped
			}
			select {
			case <-turned:
			case <-due:
				t.attempting()
				return t.live
			case <-ctx.Done():
				return t.stopped
			}
		}
	}
}

// attempting keeps the state interrupted while a retry is under way: it is
// over only when data flows again.
func (t *task) attempting() {
	t.mu.Lock()
	t.retry.Next = time.Time{}
	t.mu.Unlock()
	t.e.changed()
}

// failing waits for a person.
func (t *task) failing(err error) stateFunc {
	return func(ctx context.Context) stateFunc {
		t.enter(core.Failed, explain(err), core.Retry{})
		for {
			want, turned := t.wanted()
			switch {
			case want.over() || ctx.Err() != nil:
				return nil
			case want.restart:
				t.restarted()
				return t.stopped
			case want.desired == core.WantStopped:
				return t.stopped
			}
			select {
			case <-turned:
			case <-ctx.Done():
			}
		}
	}
}

// restarted takes note that a restart is being carried out. Raw rows are tried
// again then.
func (t *task) restarted() {
	t.mu.Lock()
	t.plain = ""
	t.mu.Unlock()
	t.want(func(i *intent) { i.restart = false })
}

// enter makes a state known. Entering the state one is in with other words is
// an update of the words.
func (t *task) enter(s core.State, note string, retry core.Retry) {
	now := t.e.clock.Now()
	t.mu.Lock()
	was, said := t.state, t.note
	if was != s {
		t.state, t.since = s, now
	}
	t.note, t.retry = note, retry
	if s == core.Interrupted || s == core.Failed {
		t.lastErr = note
	}
	t.urgent = true
	t.mu.Unlock()
	if was == s && said == note {
		t.e.changed()
		return
	}
	ev := core.Event{Level: core.LevelInfo, Kind: core.EventState, Replica: t.key.Replica, Database: t.key.Database, Text: string(s)}
	switch s {
	case core.Interrupted:
		ev.Level = core.LevelWarn
	case core.Failed:
		ev.Level = core.LevelError
	}
	if note != "" {
		ev.Text += ": " + note
	}
	t.e.event(ev)
}

func (t *task) remember(err error) {
	t.mu.Lock()
	t.lastErr = explain(err)
	t.mu.Unlock()
}

func (t *task) setPump(p *pump) {
	t.mu.Lock()
	t.pump = p
	t.mu.Unlock()
}

func (t *task) markDirty() {
	t.mu.Lock()
	t.urgent = true
	t.mu.Unlock()
}

func (t *task) current() core.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// explain is an error as a note: what happened, and what to do about it.
func explain(err error) string {
	text := err.Error()
	if hint := core.HintOf(err); hint != "" {
		text += "; " + hint
	}
	return text
}
