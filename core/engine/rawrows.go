package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// With raw_rows the source hands out rows as it stores them, and the sink stores
// them so: faster, and blind but for the tables' names. Columns are told by their
// ids. It is right only where both sides' ids are the same: where every table at the
// sink was made, and changed, by raw writing alone, and no change of schema overtakes
// rows of another vgroup.

// rawFrom and rawBelow bound the servers that this was measured on.
var (
	rawFrom  = core.Version{3, 3, 7, 0}
	rawBelow = core.Version{3, 4, 0, 0}
)

// oneWayEvery is how often it is looked whether the way back is still free.
const oneWayEvery = 30 * time.Second

// plainError ends a pump in order, so that the next one reads rows that can be
// looked into.
type plainError struct{ why string }

func (e plainError) Error() string { return "raw rows are not read any more: " + e.why }

// rawRefusal says why a replica cannot read raw rows; empty: it can.
func (e *Engine) rawRefusal(id, source, sink string) string {
	if other := e.otherWay(id, source, sink); other != "" {
		return fmt.Sprintf("replica %s copies the other way, and rows of a database that is written to by replication, too, would be left out", other)
	}
	return ""
}

// checkRaw refuses a replica that is to read raw rows and cannot, and one the
// other way of such a replica.
func (e *Engine) checkRaw(id, source, sink string, wants bool) error {
	const hint = "leave raw_rows out, or replicate one way only"
	if why := e.rawRefusal(id, source, sink); wants && why != "" {
		return &core.RefusedError{Text: "raw_rows is not possible: " + why, Hint: hint}
	}
	if other := e.otherWay(id, source, sink); other != "" {
		e.mu.Lock()
		reads := e.replicas[other].rec.RawRows
		e.mu.Unlock()
		if reads {
			return &core.RefusedError{Text: fmt.Sprintf("replica %s copies the other way and reads raw rows, which is only right one way", other), Hint: hint}
		}
	}
	return nil
}

// unfitForRaw says why a task reads rows that can be looked into although the
// replica asks for raw ones; empty: it may read these.
func (t *task) unfitForRaw(ctx context.Context, pl *plan) (string, error) {
	for _, v := range []core.Version{pl.sourceVersion, pl.sinkVersion} {
		if !v.AtLeast(rawFrom) || v.AtLeast(rawBelow) {
			return fmt.Sprintf("a server's version is %s; both must be from %s on and below %s", v, rawFrom, rawBelow), nil
		}
	}
	t.mu.Lock()
	plain, mended, began, pure := t.plain, t.rec.BySQL, t.rec.Group != "", t.rec.RawBorn
	t.mu.Unlock()
	switch why := t.e.rawRefusal(t.key.Replica, pl.sourceName, pl.sinkName); {
	case plain != "":
		return plain, nil
	case why != "":
		return why, nil
	case pl.shared:
		return "its consumer group is shared", nil
	case mended:
		return "tables at the sink were made or changed by SQL", nil
	case began && !pure:
		return "the sink's database was not empty when replication began", nil
	}
	if !began {
		empty, err := pl.sinkCatalog.Empty(ctx, t.key.Database)
		if err != nil || !empty {
			return "the sink's database is not empty", err
		}
		t.mu.Lock()
		t.rec.RawBorn, t.urgent = true, true
		t.mu.Unlock()
	}
	if why, err := t.readAtSink(ctx, pl); why != "" || err != nil {
		return why, err
	}
	return t.foreignTable(ctx, pl)
}

// readAtSink looks whether somebody subscribes to the sink's database: another
// instance may copy it the other way.
func (t *task) readAtSink(ctx context.Context, pl *plan) (string, error) {
	subs, err := pl.sinkCatalog.Subscriptions(ctx, pl.topic)
	if err != nil || len(subs) == 0 {
		return "", err
	}
	return fmt.Sprintf("the consumer group %s reads the database at the sink", subs[0].Group), nil
}

// foreignTable looks for a super table at the sink whose id is not what raw
// writing gives it.
func (t *task) foreignTable(ctx context.Context, pl *plan) (string, error) {
	there, err := pl.catalog.SuperTableIDs(ctx, t.key.Database)
	if err != nil {
		return "", err
	}
	here, err := pl.sinkCatalog.SuperTableIDs(ctx, t.key.Database)
	if err != nil {
		return "", err
	}
	for name, id := range here {
		if suid, both := there[name]; both && id != raw.SinkSUID(suid, t.key.Database) {
			return fmt.Sprintf("super table %s at the sink was not made by replication", name), nil
		}
	}
	return "", nil
}

// oneWay looks now and then whether a task may still read raw rows.
func (p *pump) oneWay(ctx context.Context) error {
	why := p.t.e.rawRefusal(p.t.key.Replica, p.plan.sourceName, p.plan.sinkName)
	if why == "" {
		var err error
		if why, err = p.t.readAtSink(ctx, p.plan); err != nil {
			return err
		}
	}
	if why == "" {
		return nil
	}
	return plainError{why}
}

// refusedRaw makes the refusal of a raw message the end of reading such ones:
// what is behind it is read again in a form that can be looked into.
func (w *worker) refusedRaw(m *core.Message, err error) error {
	if m.Kind != core.KindRaw || err == nil || core.ClassOf(err) != core.ClassData && !hasCode(err, codeMisfit, codeTableMissing) {
		return err
	}
	return plainError{"the sink refuses a message: " + err.Error()}
}

// readPlain is the fallback of a task.
func (t *task) readPlain(err error) bool {
	var plain plainError
	if !errors.As(err, &plain) {
		return false
	}
	t.mu.Lock()
	t.plain = plain.why
	t.mu.Unlock()
	t.say(core.LevelWarn, core.EventDrift, "raw rows are not read any more: %s", plain.why)
	return true
}

// bySQL notes that a table at the sink is not what raw writing has made of it.
// No raw row is written after that.
func (t *task) bySQL() {
	t.mu.Lock()
	if !t.rec.BySQL {
		t.rec.BySQL = true
		t.notes++
	}
	p := t.pump
	t.mu.Unlock()
	if p != nil && p.health().ready && p.plan.raw {
		p.halt(plainError{"a table at the sink was made or changed by SQL"})
	}
}
