package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/raw"
	"tdreplica/core/store"
)

const (
	// replayTime is how long the sink may take to accept a message that is
	// replayed, with all retries.
	replayTime = time.Minute
	// replayer is the number of the worker that replays; a pump's own count
	// from 0.
	replayer = -1
)

// quarantines reports whether rows that failed like this are put in quarantine:
// the sink refuses them as they are, and the operator wants the task to go on.
func (w *worker) quarantines(err error) bool {
	return err != nil && w.n != replayer && w.p.e.cfg.Engine.OnPoison == config.PoisonQuarantine && core.ClassOf(err) == core.ClassData
}

// quarantine keeps a message of rows that the sink refused, unless a second try
// on a new connection finds the sink in another mood. read is the message as it
// was read, m what is to be written of it. Unless it returns an
// error the message may be committed: it is on the disk if kept, else applied.
func (w *worker) quarantine(ctx context.Context, read, m *core.Message) (kept bool, err error) {
	w.dropSink()
	if err := w.nap(ctx, w.p.e.cfg.Engine.RetryMin.Duration); err != nil {
		return false, errHalted
	}
	refusal := w.applyRows(ctx, m)
	if !w.quarantines(refusal) {
		return false, refusal
	}
	t := w.p.t
	record := t.describeRefused(read, refusal, w.p.plan.db.Precision)
	added, err := w.p.e.store.Quarantine(record, read.Payload(), int64(w.p.e.cfg.Engine.Quarantine))
	switch {
	case errors.Is(err, store.ErrQuarantineFull):
		return false, &core.Error{
			Class: core.ClassOperator, Op: "put a refused message in quarantine", Text: err.Error() + "; " + refusal.Error(), Err: refusal,
			Hint: "replay or discard what is in quarantine, or raise engine.quarantine_bytes; the message was not skipped, `restart` tries it again",
		}
	case err != nil:
		return false, &core.Error{
			Class: core.ClassOperator, Op: "put a refused message in quarantine", Err: err,
			Hint: "make room in the state directory, or mend it; the message was not skipped, `restart` tries it again",
		}
	}
	if added {
		t.say(core.LevelError, core.EventError, "rows were put in quarantine as %s: %s", record.ID, record.Error)
	}
	return true, nil
}

// describeRefused tells what is in a message and why it was refused.
func (t *task) describeRefused(m *core.Message, refusal error, precision string) core.Quarantined {
	q := core.Quarantined{
		Replica: t.key.Replica, Database: t.key.Database, Vgroup: m.Vgroup, Offset: m.Offset, Kind: m.Kind, RawType: m.RawType,
		At: t.e.clock.Now(), Rows: core.Unknown, Error: refusal.Error(),
	}
	var e *core.Error
	for err := refusal; errors.As(err, &e); err = e.Err {
		q.Error, q.Code = e.Error(), e.Code // the innermost is what the sink said
	}
	substance := m.Payload()
	if stats, err := raw.Stats(m.RawType, m.Payload()); err == nil {
		q.Rows = stats.Rows
		if stats.First <= stats.Last {
			q.From, q.To = instant(stats.First, precision), instant(stats.Last, precision)
		}
	}
	if blocks, created, err := raw.Rows(m.RawType, m.Payload()); err == nil {
		seen := map[string]bool{}
		for _, b := range blocks {
			if !seen[b.Table] && len(seen) < core.QuarantineTables {
				q.Tables = append(q.Tables, b.Table)
			}
			seen[b.Table] = true
		}
		q.TableCount = len(seen)
		// The message itself holds the offsets of its poll.
		_, substance = raw.EncodeRows(blocks, created)
	}
	digest := sha256.New()
	digest.Write([]byte(t.key.Database + "\x00"))
	digest.Write(substance)
	// No offset is a part of the id: it depends on where the poll began, and is
	// another one when the message is read again after a crash.
	q.ID = fmt.Sprintf("%s-%d-%s", t.key.Replica, m.Vgroup, hex.EncodeToString(digest.Sum(nil)[:6]))
	return q
}

// instant is a timestamp of a database.
func instant(ts int64, precision string) time.Time {
	switch precision {
	case "us":
		return time.UnixMicro(ts)
	case "ns":
		return time.Unix(0, ts)
	}
	return time.UnixMilli(ts)
}

// Quarantined lists the messages in quarantine.
func (e *Engine) Quarantined(context.Context) ([]core.Quarantined, error) {
	return e.store.Quarantined(), nil
}

// Replay writes a message in quarantine to the sink. It is deleted only after
// the sink has acknowledged it: a crash in between leaves it to be replayed
// again, which changes nothing.
func (e *Engine) Replay(ctx context.Context, req core.QuarantineRequest) (*core.Quarantined, error) {
	if e.opts.ReadOnly {
		return nil, core.ErrReadOnly
	}
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	kept, payload, err := e.store.ReadQuarantined(req.ID)
	if err != nil {
		return nil, err
	}
	p, err := e.flowing(core.TaskKey{Replica: kept.Replica, Database: kept.Database})
	if err != nil {
		return nil, err
	}
	frame := append(make([]byte, core.FrameHead), payload...)
	m := &core.Message{Vgroup: kept.Vgroup, Kind: kept.Kind, RawType: kept.RawType, Offset: kept.Offset, Frame: frame, Body: core.FrameHead}
	if err := p.replay(ctx, m); err != nil {
		return nil, &core.Error{
			Class: core.ClassOf(err), Op: "replay " + req.ID, Err: err,
			Text: "it stays in quarantine: " + rootOf(err).Error(), Hint: "mend the cause at the sink and replay it again, or discard it",
		}
	}
	if _, err := e.store.Discard(req.ID); err != nil {
		return nil, fmt.Errorf("the sink has taken %s, but it could not be deleted here: %w", req.ID, err)
	}
	e.decided(kept, req.Actor, "replay: the sink has taken %s from quarantine", core.LevelInfo)
	return kept, nil
}

// Discard deletes a message in quarantine.
func (e *Engine) Discard(ctx context.Context, req core.QuarantineRequest) (*core.Quarantined, error) {
	if e.opts.ReadOnly {
		return nil, core.ErrReadOnly
	}
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	gone, err := e.store.Discard(req.ID)
	if err != nil {
		return nil, err
	}
	e.decided(gone, req.Actor, "discard: %s was deleted from quarantine, its rows never reached the sink", core.LevelWarn)
	return gone, nil
}

// decided makes known what became of a message in quarantine.
func (e *Engine) decided(m *core.Quarantined, by core.Actor, format string, level core.Level) {
	e.event(core.Event{
		Level: level, Kind: core.EventCommand, Actor: by, Replica: m.Replica, Database: m.Database, Text: fmt.Sprintf(format, m.ID),
	})
	e.changed()
}

// flowing returns the pump of a task that is running.
func (e *Engine) flowing(key core.TaskKey) (*pump, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.replicas[key.Replica]
	if r == nil {
		return nil, e.unknown(key.Replica)
	}
	t := r.tasks[key.Database]
	if t == nil {
		return nil, &core.RefusedError{Text: fmt.Sprintf("replica %s has no database `%s`", key.Replica, key.Database)}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pump == nil {
		return nil, notRunning(key)
	}
	return t.pump, nil
}

func notRunning(key core.TaskKey) error {
	return &core.RefusedError{
		Text: fmt.Sprintf("%s is not running: a message is replayed through its running task", key),
		Hint: fmt.Sprintf("`start -i %s %s`", key.Replica, key.Database),
	}
}

// replay writes a message beside the workers, on a connection of its own. Like
// any rows it never overlaps with a change of schema.
func (p *pump) replay(ctx context.Context, m *core.Message) error {
	p.mu.Lock()
	if p.readyAt.IsZero() || p.halted {
		p.mu.Unlock()
		return notRunning(p.t.key)
	}
	p.replays.Add(1)
	p.mu.Unlock()
	defer p.replays.Done()
	ctx, cancel := context.WithTimeout(ctx, replayTime)
	defer cancel()
	defer context.AfterFunc(p.reads, cancel)()
	w := newWorker(p, replayer, 1, 1)
	defer w.close(ctx)
	return p.guard(func() error {
		p.ddl.RLock()
		defer p.ddl.RUnlock()
		if m = w.livingRows(m); m == nil {
			return nil
		}
		if err := w.applyRows(ctx, m); err != nil || !w.landing.trusts {
			return err
		}
		gone, err := w.goneTables(ctx)
		if err == nil && len(gone) == 0 {
			gone, err = w.lostRows(ctx)
		}
		if err == nil && len(gone) > 0 {
			err = errDoubted
		}
		return err
	})
}

// rootOf is the innermost error that says what an endpoint answered.
func rootOf(err error) error {
	var e *core.Error
	for errors.As(err, &e) && e.Err != nil {
		err = e.Err
	}
	return err
}
