package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"tdreplica/config"
	"tdreplica/core"
)

const (
	// settleTimeout is how long the server may take to hand the vgroups over.
	settleTimeout = 60 * time.Second
	settlePause   = 200 * time.Millisecond
	// measureEvery and measureIdle are how often the ends of the WAL are asked
	// for, under traffic and without it.
	measureEvery = time.Second
	measureIdle  = 4 * time.Second
	// maxPollInterval keeps a consumer that cannot poll because its sink is
	// down. Servers before 3.3.3.0 do not know it: there the watchdog helps.
	maxPollInterval = 24 * time.Hour
)

// errHalted ends a writer that was told to stop while it was retrying.
var errHalted = errors.New("halted")

// worker is one consumer with a sink connection of its own. Its reader owns the
// source and everything without a comment, its writer owns the sink.
type worker struct {
	p *pump
	e *Engine
	n int

	q          *queue
	source     Source
	sink       Sink // the writer's, after open
	assigned   []core.Assignment
	vgroups    []int32
	writerDone chan struct{}
	acked      atomic.Uint64 // sequence number of the last message that the sink acknowledged

	handed     uint64 // sequence number of the last message handed to the writer
	ledger     ledger
	measuredAt time.Time
	movedAt    time.Time // when a position last moved, or there was nothing to move for
	lastSum    int64     // of the positions, for movedAt
	pollWait   time.Duration
}

func newWorker(p *pump, n int, queue config.Bytes, workers int) *worker {
	return &worker{
		p: p, e: p.e, n: n,
		q:          newQueue(max(1, int64(queue)/int64(workers))),
		writerDone: make(chan struct{}),
		pollWait:   p.e.cfg.Engine.PollWaitMin.Duration,
	}
}

func (w *worker) openSink(ctx context.Context) (err error) {
	w.sink, err = w.e.connector.Sink(ctx, w.p.plan.sinkEndpoint, w.p.t.key.Database)
	return err
}

func (w *worker) openSource(ctx context.Context) (err error) {
	w.source, err = w.e.connector.Source(ctx, w.p.plan.sourceEndpoint, Subscription{
		Topic: w.p.plan.topic, Group: w.p.plan.group,
		ClientID:        fmt.Sprintf("tdreplica-%s-%d", w.p.t.key.Replica, w.n),
		Latest:          w.p.plan.latest,
		MaxPollInterval: maxPollInterval,
	})
	return err
}

func (w *worker) assignment(ctx context.Context) ([]core.Assignment, error) {
	return w.source.Assignment(ctx)
}

// read polls until the pump is halted or the source fails.
func (w *worker) read(ctx context.Context) error {
	w.movedAt = w.e.clock.Now()
	for !w.p.isHalted() {
		if err := w.keepBooks(ctx); err != nil {
			return w.unlessHalted(err)
		}
		if !w.q.room() {
			w.waitForRoom()
			continue
		}
		m, err := w.source.Poll(ctx, w.pollWait)
		if err != nil {
			return w.unlessHalted(err)
		}
		if m == nil {
			w.pollWait = min(2*w.pollWait, w.e.cfg.Engine.PollWaitMax.Duration)
			continue
		}
		w.pollWait = w.e.cfg.Engine.PollWaitMin.Duration
		w.handed++
		w.q.put(item{m: m, seq: w.handed})
	}
	return nil
}

// unlessHalted drops an error that the halt itself may have caused.
func (w *worker) unlessHalted(err error) error {
	if w.p.isHalted() && w.p.reads.Err() != nil {
		return nil
	}
	return err
}

// waitForRoom waits for the writer, at most until the books are due again. The
// source is not to blame for the silence meanwhile.
func (w *worker) waitForRoom() {
	select {
	case <-w.q.freed:
	case <-w.p.halting:
	case <-w.e.clock.After(measureEvery):
	}
	w.movedAt = w.e.clock.Now()
}

// write applies what the reader read, one message after the other.
func (w *worker) write(ctx context.Context) error {
	for {
		it, ok, over := w.q.take()
		switch {
		case over:
			return nil
		case !ok:
			select {
			case <-w.q.more:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		case !w.p.mayDrain():
			return nil
		}
		if err := w.apply(ctx, it.m); err != nil {
			if errors.Is(err, errHalted) {
				return nil
			}
			return err
		}
		w.acked.Store(it.seq)
		w.q.written(it)
	}
}

// insist writes one message and goes on trying while trying may help. It
// returns nil only if the sink acknowledged the message, or says that it has
// what the message asks for.
func (w *worker) insist(ctx context.Context, m *core.Message) error {
	for tries := 1; ; tries++ {
		err := w.writeOnce(ctx, m)
		class := core.ClassOf(err)
		switch {
		case err == nil, class == core.ClassDone:
			w.p.recovered(w.n)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !class.Retryable():
			return refused(err, m)
		}
		if class != core.ClassRetry && w.sink != nil {
			w.sink.Close()
			w.sink = nil
		}
		pause := w.e.pause(err, tries)
		// A conflict of two transactions is over in a moment; an operator need
		// not hear of the first one.
		if class != core.ClassRetry || tries > 1 {
			w.p.inTrouble(w.n, trouble{err: err, tries: tries, next: w.e.clock.Now().Add(pause)})
		}
		w.p.t.meter.retried()
		select {
		case <-w.e.clock.After(pause):
		case <-w.p.halting:
			return errHalted
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *worker) writeOnce(ctx context.Context, m *core.Message) error {
	if w.sink == nil {
		if err := w.openSink(ctx); err != nil {
			return err
		}
	}
	if m.Kind == core.KindMeta {
		w.p.ddl.Lock()
		defer w.p.ddl.Unlock()
	} else {
		w.p.ddl.RLock()
		defer w.p.ddl.RUnlock()
	}
	return w.sink.Write(ctx, m)
}

// refused says which message it was that a task stops at.
func refused(err error, m *core.Message) error {
	hint := core.HintOf(err)
	if hint == "" {
		hint = "nothing behind this message was applied; mend the cause and `restart` the task"
	}
	return &core.Error{
		Class: core.ClassOf(err),
		Op:    fmt.Sprintf("apply a message (raw type %d, %d bytes) of vgroup %d, offset %d", m.RawType, len(m.Payload()), m.Vgroup, m.Offset),
		Err:   err, Hint: hint,
	}
}

// finish ends the reader's part: after an orderly end what was acknowledged is
// committed and the group is left at once.
func (w *worker) finish(ctx context.Context, orderly bool) {
	if !orderly {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if err := w.lastCommit(ctx); err != nil {
		w.e.log.Warn("the last commit failed; what it covered is applied again",
			"replica", w.p.t.key.Replica, "database", w.p.t.key.Database, "err", err)
	}
}

// close gives the connections back. The source leaves its group, so that the
// next start need not wait for the session to time out.
func (w *worker) close(ctx context.Context) {
	if w.sink != nil {
		w.sink.Close()
	}
	if w.source != nil {
		if err := w.source.Close(ctx); err != nil {
			w.e.log.Debug("leave the consumer group", "group", w.p.plan.group, "err", err)
		}
	}
}
