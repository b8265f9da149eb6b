package engine

import (
	"context"
	"errors"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// Codes of the sink for a change of a normal table's columns that it has seen
// before: a replay after a restart.
const (
	codeColumnExists  = 0x0525
	codeColumnMissing = 0x0526
)

// apply brings one message to the sink. Rows travel as they are. A batch of
// metas is taken apart, because a sink stops at the first of its items that
// fails, and replays make some of them fail that are done already.
func (w *worker) apply(ctx context.Context, m *core.Message) error {
	if m.Kind != core.KindMeta {
		if err := w.insist(ctx, m); err != nil {
			return err
		}
		stats, err := raw.Stats(m.RawType, m.Payload())
		rows := core.Unknown
		if err == nil {
			rows = int64(stats.Rows)
		}
		w.p.t.meter.applied(m, rows, w.e.clock.Now())
		return nil
	}
	items := []raw.Item{{RawType: m.RawType, Payload: m.Payload()}}
	if m.RawType == core.RawBatchMeta {
		var err error
		if items, err = raw.SplitBatch(m.Payload()); err != nil {
			return refused(&core.Error{Class: core.ClassData, Op: "take a message apart", Err: err}, m)
		}
	}
	for _, it := range items {
		if err := w.applyMeta(ctx, it, m); err != nil {
			return err
		}
	}
	w.p.t.meter.applied(m, 0, w.e.clock.Now())
	return nil
}

func (w *worker) applyMeta(ctx context.Context, it raw.Item, m *core.Message) error {
	single := m
	if m.RawType == core.RawBatchMeta {
		single = it.Message(m)
	}
	err := w.insist(ctx, single)
	var e *core.Error
	if errors.As(err, &e) && it.RawType == core.RawAlterTbl {
		if code := serverCode(err); code == codeColumnExists || code == codeColumnMissing {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	w.told(it, m.Vgroup)
	return nil
}

// serverCode finds the server's code below whatever wraps it.
func serverCode(err error) int {
	for err != nil {
		var e *core.Error
		if !errors.As(err, &e) {
			return 0
		}
		if e.Code != 0 {
			return e.Code
		}
		err = e.Err
	}
	return 0
}

// told notes a change of schema in the history. A super table's change comes
// once from every vgroup; it is an event only once.
func (w *worker) told(it raw.Item, vgroup int32) {
	metas, err := raw.Metas(it.RawType, it.Payload)
	if err != nil || len(metas) != 1 || metas[0].Kind == raw.CreateTables || metas[0].Kind == raw.DeleteRows {
		return
	}
	t := w.p.t
	text := raw.Describe(metas[0])
	if t.meter.ddl(core.DDLRecord{At: w.e.clock.Now(), Vgroup: vgroup, Text: text}) {
		w.e.event(core.Event{Level: core.LevelInfo, Kind: core.EventDDL, Replica: t.key.Replica, Database: t.key.Database, Text: text})
	}
}
