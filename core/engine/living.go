package engine

import (
	"context"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// What one member of a shared group has applied, another one does not know: it
// reads its own vgroup's copies of a super table's changes, earlier or later. So
// it asks the servers. A super table's id is never given again; the source lists
// those that live, and the sink's list tells which of them a name stands for
// there.

// livingFor is how long the source's list of super tables is good for.
const livingFor = time.Second

// living knows which super tables the source has. It belongs to one worker.
type living struct {
	at  time.Time
	ids map[int64]bool
}

// learnGone looks whether the super tables that a message would create, change
// or fill are still there, and notes those that are not: what it does under
// their names would be done to others. Their drop is on its way.
func (w *worker) learnGone(ctx context.Context, m *core.Message, metas []raw.Meta) error {
	if w.p.members == nil {
		return nil
	}
	var suids []int64
	if m.Kind == core.KindMetadata {
		if _, created, err := raw.Rows(m.RawType, m.Payload()); err == nil {
			for _, n := range created {
				suids = append(suids, n.SUID)
			}
		}
	}
	for _, meta := range metas {
		if meta.Super != nil {
			suids = append(suids, meta.Super.SUID)
		}
		for _, n := range meta.Tables {
			suids = append(suids, n.SUID)
		}
	}
	l := &w.living
	for _, suid := range suids {
		if suid == 0 || w.p.e.clock.Now().Sub(l.at) < livingFor && l.ids[suid] {
			continue
		}
		if err := w.listLiving(ctx); err != nil {
			return err
		}
		if !l.ids[suid] {
			w.p.t.noteGone(suid)
		}
	}
	return nil
}

func (w *worker) listLiving(ctx context.Context) error {
	asked := w.p.e.clock.Now()
	if asked.Sub(w.living.at) < livingFor/4 {
		return nil
	}
	return w.ask(ctx, func(ctx context.Context) error {
		list, err := w.p.plan.catalog.SuperTableIDs(ctx, w.p.t.key.Database)
		if err != nil {
			return err
		}
		w.living = living{at: asked, ids: make(map[int64]bool, len(list))}
		for _, suid := range list {
			w.living.ids[suid] = true
		}
		return nil
	})
}

// noteGone remembers a super table that another member may have dropped.
func (t *task) noteGone(suid int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.gone) >= maxDropped {
		t.gone = nil
	}
	if t.gone == nil {
		t.gone = map[int64]bool{}
	}
	t.gone[suid] = true
}

// isGone reports whether a super table is no longer there to be changed.
func (t *task) isGone(suid int64) bool {
	t.mu.Lock()
	gone := t.gone[suid]
	t.mu.Unlock()
	return gone || t.droppedBefore(suid)
}

// meansThis reports whether the drop of a super table is still to be carried out
// under its name at the sink. Another member may have done it, and created what
// has the name now.
func (w *worker) meansThis(ctx context.Context, d raw.Dropped) (yes bool, err error) {
	if w.p.members == nil {
		return true, nil
	}
	db := w.p.t.key.Database
	err = w.ask(ctx, func(ctx context.Context) error {
		here, err := w.p.plan.sinkCatalog.SuperTableIDs(ctx, db)
		if err != nil {
			return err
		}
		id, there := here[d.Name]
		if yes = !there || id == raw.SinkSUID(d.SUID, db); yes {
			return nil
		}
		// It was not made by replication, or is the next one of its name.
		source, err := w.p.plan.catalog.SuperTableIDs(ctx, db)
		_, anew := source[d.Name]
		yes = !anew
		return err
	})
	return yes, err
}

// droppedForGood reports whether the source is without a column now. In a shared
// group another member may have dropped it, and added one of its name again.
func (w *worker) droppedForGood(ctx context.Context, table string, c core.Column) (bool, error) {
	if w.p.members == nil {
		return true, nil
	}
	there, err := w.describe(ctx, w.p.plan.catalog, table)
	if there == nil || err != nil {
		return err == nil, err
	}
	_, has := find(there, c)
	return !has, nil
}
