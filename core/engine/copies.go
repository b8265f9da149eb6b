package engine

import (
	"context"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// What one member of a shared group has applied, another one does not know: it
// reads its own vgroups' copies of a super table's changes, earlier or later. A
// sink ignores the copy of a change of columns by its version; of a drop it does
// not, and changes that are made by SQL have no version. There the servers are
// asked: a super table's id is never given again.

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
