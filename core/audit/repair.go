package audit

import (
	"context"
	"errors"
	"fmt"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// batchBytes is about how large a message of rows gets.
const batchBytes = 1 << 20

// Codes of tables that are not there (any more).
const (
	codeTableMissing = 0x2603
	codeTableGone    = 0x0618
)

// repair undoes what was found: definitions first, then rows.
func (j *Job) repair(ctx context.Context, f *findings, suspects []suspect) error {
	j.step("mend tables and tags")
	kept := map[core.Difference]bool{}
	for _, d := range f.kept() {
		kept[d] = true
	}
	changed := false
	for _, m := range f.structure.mends {
		if !kept[m.of] {
			continue
		}
		done, err := j.mend(ctx, m)
		if err != nil {
			return err
		}
		changed = changed || done
	}
	if changed && !j.opts.Repair.DryRun {
		j.opts.Repair.Changed()
		j.dropWriter()
	}
	for i, s := range suspects {
		j.step("repair rows: window %d of %d", i+1, len(suspects))
		if err := j.repairRows(ctx, f, s); err != nil {
			return fmt.Errorf("repair the rows of %s: %w", s.table, err)
		}
	}
	return nil
}

// mend changes a definition or a tag at the sink, and reports whether it did.
func (j *Job) mend(ctx context.Context, m mend) (bool, error) {
	db, sink := j.opts.Database, j.sides[1]
	var what string
	var do func() error
	switch {
	case m.tag != nil:
		what = fmt.Sprintf("set tag %s of %s", m.tag.Name, m.of.Table)
		do = func() error { return sink.SetTag(ctx, db, m.of.Table, *m.tag, m.value) }
	case m.column != nil && m.widen:
		what = fmt.Sprintf("widen %s of %s to %s", m.column.Name, m.of.Table, m.column.SQLType())
		do = func() error { return sink.WidenColumn(ctx, db, m.of.Table, *m.column) }
	case m.column != nil:
		what = fmt.Sprintf("add %s %s to %s", m.column.Name, m.column.SQLType(), m.of.Table)
		do = func() error { return sink.AddColumn(ctx, db, m.of.Table, *m.column) }
	default:
		s, err := j.sides[0].CreateStatement(ctx, db, m.of.Table)
		if gone(err) {
			return false, nil // dropped at the source since
		}
		if err != nil {
			return false, fmt.Errorf("at the source: %w", err)
		}
		what = "create " + m.of.Table
		do = func() error { return sink.CreateTable(ctx, db, s) }
	}
	if !j.opts.Repair.DryRun {
		if err := do(); err != nil {
			return false, fmt.Errorf("at the sink: %w", err)
		}
	}
	j.update(func(d *core.DatabaseAudit) {
		if len(d.Changes) < core.MaxAuditChanges {
			d.Changes = append(d.Changes, what)
		}
	})
	return true, nil
}

// gone reports whether a table did not exist.
func gone(err error) bool {
	var e *core.Error
	return errors.As(err, &e) && (e.Code == codeTableMissing || e.Code == codeTableGone)
}

// batch is what is to be written next of one table.
type batch struct {
	block raw.Block // a page
	rows  []int     // of it

	run         int64
	first, last int64 // times to delete
	deletes     int64 // rows of them
}

// repairRows writes the source's rows of a window where they differ, and
// deletes those that only the sink has, if that is wanted. What changed at the
// last look is left alone.
func (j *Job) repairRows(ctx context.Context, f *findings, s suspect) error {
	s.group.Tables = []string{s.table}
	for _, c := range s.group.Columns {
		if c.Type == "BLOB" && !j.opts.Repair.Blobs {
			return &core.Error{
				Class: core.ClassOperator, Op: "write a value of type BLOB", Text: "the adapter of 3.3.7 and older crashes on it",
				Hint: "upgrade the sink",
			}
		}
	}
	var b batch
	err := j.differ(ctx, s, func(d *rowPair) error {
		if !f.decided(d.id(s.table), finding{d.kind, d.hash()}) {
			return j.flushDeletes(ctx, s, &b) // so that no range of deletes spans it
		}
		if d.kind == core.ExtraRow {
			return j.deleteRow(ctx, s, &b, d)
		}
		return j.copyRow(ctx, s, &b, d)
	})
	if err == nil {
		err = j.flushRows(ctx, s, &b)
	}
	if err == nil {
		err = j.flushDeletes(ctx, s, &b)
	}
	if gone(err) {
		return nil // dropped since: the next look sees it
	}
	return err
}

func (j *Job) copyRow(ctx context.Context, s suspect, b *batch, d *rowPair) error {
	p := d.sides[0]
	if len(b.rows) > 0 && (&b.block.Columns[0] != &p.Columns[0] || b.size() >= batchBytes) {
		if err := j.flushRows(ctx, s, b); err != nil {
			return err
		}
	}
	b.block = p.Block
	b.rows = append(b.rows, d.at[0])
	return nil
}

// size is about how many bytes the rows have.
func (b *batch) size() int {
	total := 0
	for _, c := range b.block.Columns {
		total += len(c.Data) + len(c.Index)
	}
	return total / max(1, b.block.Rows) * len(b.rows)
}

func (j *Job) flushRows(ctx context.Context, s suspect, b *batch) error {
	n := int64(len(b.rows))
	if n == 0 {
		return nil
	}
	block := b.block.Pick(b.rows)
	block.Table = s.table
	b.rows = b.rows[:0]
	rawType, payload := raw.EncodeRows([]raw.Block{block}, nil)
	if err := j.write(ctx, rawType, payload); err != nil {
		return err
	}
	j.update(func(d *core.DatabaseAudit) { d.Written += n })
	return nil
}

// deleteRow gathers rows in a row: nothing of the source lies between them.
func (j *Job) deleteRow(ctx context.Context, s suspect, b *batch, d *rowPair) error {
	if !j.opts.Repair.DeleteExtra {
		return nil
	}
	if b.deletes > 0 && (b.run != d.run || s.group.Keys == 2 && d.time != b.last) {
		if err := j.flushDeletes(ctx, s, b); err != nil {
			return err
		}
	}
	if b.deletes == 0 {
		b.run, b.first = d.run, d.time
	}
	b.last = d.time
	b.deletes++
	return nil
}

// flushDeletes deletes a range of times. Where the key has a second column, the
// source's rows of the same time go with it, and are written again at once.
func (j *Job) flushDeletes(ctx context.Context, s suspect, b *batch) error {
	n := b.deletes
	if n == 0 {
		return nil
	}
	b.deletes = 0
	del := raw.Delete{Table: s.table, TSColumn: s.group.Columns[0].Name, From: b.first, To: b.last, Affected: n}
	if err := del.Check(); err != nil {
		return err
	}
	if err := j.write(ctx, core.RawDeleteRows, raw.EncodeDelete(del)); err != nil {
		return err
	}
	j.update(func(d *core.DatabaseAudit) { d.Deleted += n })
	if s.group.Keys == 2 && !j.opts.Repair.DryRun {
		return j.restore(ctx, s, b.first)
	}
	return nil
}

// restore writes the source's rows of one time.
func (j *Job) restore(ctx context.Context, s suspect, at int64) error {
	s.window = Window{at, at + 1}
	c := &cursor{j: j, side: j.sides[0], suspect: s, next: at, limit: j.perPage(s.group)}
	if err := c.fill(ctx); err != nil || len(c.page.keys) == 0 {
		return err
	}
	block := c.page.Block
	block.Table = s.table
	rawType, payload := raw.EncodeRows([]raw.Block{block}, nil)
	return j.write(ctx, rawType, payload)
}

// write sends a message to the sink, again if the connection fails: the same
// twice changes nothing.
func (j *Job) write(ctx context.Context, t core.RawType, payload []byte) error {
	if j.opts.Repair.DryRun {
		return nil
	}
	m := &core.Message{
		Kind: core.KindData, RawType: t, Body: core.FrameHead,
		Frame: append(make([]byte, core.FrameHead, core.FrameHead+len(payload)), payload...),
	}
	return insist(ctx, func() error {
		err := j.send(ctx, m)
		if err != nil {
			j.dropWriter()
		}
		return err
	})
}

func (j *Job) send(ctx context.Context, m *core.Message) (err error) {
	if j.writer == nil {
		if j.writer, err = j.opts.Repair.Open(ctx); err != nil {
			return err
		}
	}
	return j.writer.Write(ctx, m)
}

func (j *Job) dropWriter() {
	if j.writer != nil {
		j.writer.Close()
		j.writer = nil
	}
}
