package engine

import (
	"context"
	"fmt"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// job is a message that is being applied. A meta message may stop at one of its
// metas for a while.
type job struct {
	it    item
	metas []raw.Meta // once it was taken apart
	next  int        // the first that is not applied

	quarantined bool
	gone        bool // its vgroup has moved to another member of the group
}

// write applies what the reader hands over, one message at a time, until the
// queue is closed or there is no time left to drain it. What belongs to a
// vgroup that waits for others (see changes) is put aside meanwhile.
func (w *worker) write(ctx context.Context) error {
	for {
		it, ok, over := w.q.take()
		if !w.p.mayDrain() {
			return nil
		}
		var err error
		if over || w.lookDue(!ok) {
			err = w.lookAfter(ctx)
		}
		if over || err != nil {
			return err
		}
		if ok {
			err = w.proceed(ctx, &job{it: it})
		} else {
			err = w.idle(ctx)
		}
		if err == nil && len(w.parked) > 0 {
			err = w.resume(ctx)
		}
		if err != nil {
			return err
		}
		if w.p.isHalted() && !w.p.mayDrain() {
			return nil
		}
	}
}

// proceed applies a message, or puts it aside.
func (w *worker) proceed(ctx context.Context, j *job) error {
	done := false
	if !w.held[j.it.m.Vgroup] {
		var err error
		if done, err = w.apply(ctx, j); err != nil {
			return err
		}
	}
	if done {
		w.wrote(j)
	} else {
		w.held[j.it.m.Vgroup] = true
		w.parked = append(w.parked, j)
		w.parkedBytes += j.it.m.Size()
		if w.parkedBytes > w.q.limit/2 {
			w.p.changes.overflow(w.held)
		}
	}
	w.taken.Store(j.it.seq)
	w.acknowledge()
	return nil
}

// resume goes on with the vgroups that need not wait any more.
func (w *worker) resume(ctx context.Context) error {
	what, move := w.p.changes.waitingFor(w.held)
	if !move {
		w.p.waitingFor(what)
		return nil
	}
	still := map[int32]bool{}
	parked := w.parked[:0]
	for _, j := range w.parked {
		vg := j.it.m.Vgroup
		if !still[vg] {
			done, err := w.apply(ctx, j)
			if err != nil {
				return err
			}
			if done {
				w.parkedBytes -= j.it.m.Size()
				w.wrote(j)
				continue
			}
			still[vg] = true
		}
		parked = append(parked, j)
	}
	clear(w.parked[len(parked):])
	w.parked = parked
	for vg := range w.held {
		if !still[vg] {
			delete(w.held, vg)
			w.p.changes.released(vg)
		}
	}
	w.acknowledge()
	return nil
}

// finished gives back what an applied message has held.
func (w *worker) finished(j *job) {
	switch {
	case j.gone:
	case j.quarantined:
		w.p.t.meter.passed(j.it.m)
	default:
		w.p.t.applied(j.it)
	}
	if j.it.keys != nil {
		w.p.t.crossing.written(j.it.keys, w.p.e.clock.Now())
	}
	w.before[j.it.m.Vgroup] = j.it.m.Offset
	w.q.written(j.it)
	j.it.m.Release()
}

// acknowledge tells the reader up to where everything is applied.
func (w *worker) acknowledge() {
	acked := w.taken.Load()
	if len(w.parked) > 0 {
		acked = w.parked[0].it.seq - 1
	}
	if l := w.landing; len(l.jobs) > 0 {
		acked = min(acked, l.first-1)
	}
	w.acked.Store(acked)
}

// insist writes one message, however many tries that takes. It returns an error
// if the message was not applied: then nothing behind it may be either.
func (w *worker) insist(ctx context.Context, m *core.Message) error {
	err := w.persist(ctx, func() error {
		err := w.attempt(ctx, m)
		switch {
		case err == nil || isDone(err, m):
			return nil
		case core.ClassOf(err) == core.ClassReconnect && w.sink != nil:
			w.dropSink()
			w.lost = true
		}
		return err
	})
	if err != nil && !core.ClassOf(err).Retryable() {
		return refused(w.p, m, err)
	}
	return err
}

// ask makes a small request in SQL as persistently as a message is written.
func (w *worker) ask(ctx context.Context, request func(context.Context) error) error {
	return w.persist(ctx, func() error {
		limited, cancel := context.WithTimeout(ctx, w.p.e.cfg.Engine.RequestTimeout.Duration)
		defer cancel()
		return request(limited)
	})
}

// persist tries until it succeeds, an error comes that no time will mend, or
// the pump is halted: then it returns errHalted.
func (w *worker) persist(ctx context.Context, try func() error) error {
	defer w.p.recovered(w.n)
	for tries := 1; ; tries++ {
		if tries > 1 && !w.p.mayDrain() {
			return errHalted
		}
		if w.tenure != nil {
			if err := w.p.members.await(ctx, w.tenure); err != nil {
				return err
			}
		}
		err := try()
		if err == nil {
			return nil
		}
		class := core.ClassOf(err)
		switch {
		case !class.Retryable():
			return err
		case w.p.isHalted() || ctx.Err() != nil:
			return errHalted
		}
		w.p.t.meter.retried()
		pause := w.p.e.pause(err, tries)
		if class != core.ClassRetry || tries > quickRetries {
			w.p.t.remember(err)
			w.p.inTrouble(w.n, trouble{err: err, tries: tries, next: w.p.e.clock.Now().Add(pause)})
		}
		if err := w.nap(ctx, pause); err != nil {
			return errHalted
		}
	}
}

// errHalted ends a writer whose message is not applied because of a halt. The
// message is read again.
var errHalted = &core.Error{Class: core.ClassRetry, Op: "write", Text: "stopped before the sink had taken the message"}

func (w *worker) attempt(ctx context.Context, m *core.Message) error {
	if w.sink == nil {
		if err := w.openSink(ctx); err != nil {
			return err
		}
	}
	w.p.doing("write")
	err := w.sink.Write(w.writes.take(ctx, w.p.e.cfg.Engine.WriteTimeout.Duration), m)
	if err == nil {
		w.p.t.replica.sink.answered(w.p.e.clock.Now())
	}
	return err
}

func (w *worker) openSink(ctx context.Context) (err error) {
	ctx, cancel := w.p.e.request(ctx)
	defer cancel()
	sink, err := w.p.e.connector.Sink(ctx, w.p.plan.sink, w.p.t.key.Database)
	if err != nil {
		return err
	}
	w.sink = sink
	w.landing.connection++
	if w.lost {
		if err := w.checkVersion(ctx); err != nil {
			w.dropSink()
			return err
		}
		w.lost = false
	}
	return nil
}

// Codes of a sink that has seen a change of a normal table's columns before: it
// is replayed after a restart. The first one also stands for changes that are no
// good at all, and means this of a column that is to be made longer.
const (
	codeTableAction   = 0x0524
	codeColumnExists  = 0x0525
	codeColumnMissing = 0x0526
)

// isDone reports whether a refusal means that the message was applied before.
func isDone(err error, m *core.Message) bool {
	if core.ClassOf(err) == core.ClassDone {
		return true
	}
	if m.RawType != core.RawAlterTbl {
		return false
	}
	if hasCode(err, codeColumnExists, codeColumnMissing) {
		return true
	}
	metas, bad := raw.Metas(m.RawType, m.Payload())
	return bad == nil && len(metas) == 1 && metas[0].Alter != nil && metas[0].Alter.Change == raw.ModifyColumn && hasCode(err, codeTableAction)
}

// refused is the end of a task at a message that the sink does not take. The
// message is not skipped: it is the first one when the task goes on.
func refused(p *pump, m *core.Message, err error) error {
	hint := core.HintOf(err)
	if hint == "" {
		hint = "mend the cause at the sink"
	}
	return &core.Error{
		Class: core.ClassOf(err),
		Op:    fmt.Sprintf("apply %s of vgroup %d, read at offset %d, at %s", describe(m), m.Vgroup, m.Offset, p.plan.sinkName),
		Text:  err.Error(),
		Hint:  hint + "; the message was not skipped, `restart` tries it again",
		Err:   err,
	}
}

// describe says what a message is.
func describe(m *core.Message) string {
	switch m.RawType {
	case core.RawCreateSTB:
		return "the creation of a super table"
	case core.RawAlterSTB:
		return "the change of a super table"
	case core.RawDropSTB:
		return "the drop of a super table"
	case core.RawCreateTbl:
		return "the creation of tables"
	case core.RawAlterTbl:
		return "the change of a table"
	case core.RawDropTbl:
		return "the drop of a table"
	case core.RawDeleteRows:
		return "a deletion of rows"
	case core.RawBatchMeta:
		return "a batch of schema changes and deletions"
	}
	return fmt.Sprintf("%d bytes of rows", len(m.Payload()))
}
