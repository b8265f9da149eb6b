package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// Codes of a sink whose tables are not those that the rows were written for.
const (
	codeMisfit       = 0x0118
	codeTableMissing = 0x2603
	codeTableGone    = 0x0618
)

// hasCode looks for a server's code in an error and its causes.
func hasCode(err error, codes ...int) bool {
	if err == nil {
		return false
	}
	var e *core.Error
	for errors.As(err, &e) {
		if slices.Contains(codes, e.Code) {
			return true
		}
		err = e.Err
	}
	return false
}

// mended counts the changes of the sink's tables, and the drops. A connection that
// was opened before keeps to the tables as it knows them: it would leave out the
// values of new columns, also of one that has the name of a dropped one, and write
// to the dropped table where another one was made under its name.
type mended struct {
	mu    sync.Mutex
	count int
	seen  map[int]int // by worker: the count when its sink was opened
}

func (d *mended) changed() {
	d.mu.Lock()
	d.count++
	d.mu.Unlock()
}

// missed reports whether something has changed since the worker last asked.
func (d *mended) missed(worker int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = map[int]int{}
	}
	missed := d.seen[worker] != d.count
	d.seen[worker] = d.count
	return missed
}

// writeRows writes rows as they are, and takes them apart only if the sink
// refuses them for its tables' sake.
func (w *worker) writeRows(ctx context.Context, m *core.Message) error {
	if w.p.mended.missed(w.n) {
		w.dropSink()
	}
	refusal := errDoubted
	if !w.landing.doubted {
		refusal = w.tryRows(ctx, m)
	}
	if !hasCode(refusal, codeMisfit, codeTableMissing) {
		return refusal
	}
	blocks, created, err := raw.Rows(m.RawType, m.Payload())
	if err != nil {
		return refusal // the sink's words say more than that these rows cannot be read
	}
	var fitted []raw.Block
	var create []raw.NewTable
	for i := range blocks {
		b := &blocks[i]
		request := slices.IndexFunc(created, func(t raw.NewTable) bool { return t.Name == b.Table })
		super := ""
		if request >= 0 {
			super = created[request].Super
		}
		fit, there, err := w.fitBlock(ctx, b, super, m)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		fitted = append(fitted, fit)
		if request >= 0 {
			create = append(create, created[request])
		}
	}
	if len(fitted) == 0 {
		return nil
	}
	w.dropSink() // it may have refused for what it remembered
	rawType, payload := raw.EncodeRows(fitted, create)
	err = w.tryRows(ctx, raw.Item{RawType: rawType, Payload: payload}.Message(m))
	if hasCode(err, codeTableMissing) {
		return w.inTheWay(ctx, fitted, m, err)
	}
	return err
}

func (w *worker) dropSink() {
	if w.sink != nil {
		w.sink.Close()
		w.sink = nil
	}
}

// fitBlock makes the rows of one table fit the sink, or the sink fit them where
// the source is as they are. It returns false if the source has dropped the
// table. super is the super table that the message would create the table in.
func (w *worker) fitBlock(ctx context.Context, b *raw.Block, super string, m *core.Message) (raw.Block, bool, error) {
	pl, db := w.p.plan, w.p.t.key.Database
	name := b.Table
	here, err := w.describe(ctx, pl.sinkCatalog, name)
	if err == nil && here == nil && super != "" {
		name = super
		here, err = w.describe(ctx, pl.sinkCatalog, name)
	}
	if err == nil && here == nil {
		if here, err = w.recreate(ctx, name); err == nil && here == nil {
			return w.leaveOut(b)
		}
	}
	if err != nil {
		return raw.Block{}, false, err
	}
	want := wanted(b)
	var there *core.Table
	gone := false
	if key := want.SecondKey(); key != here.SecondKey() || len(lacks(want, here)) > 0 {
		there, err = w.describe(ctx, pl.catalog, name)
		if gone = there == nil; err != nil {
			return raw.Block{}, false, err
		}
		if key != here.SecondKey() {
			return w.otherKey(b, key, there, here, m)
		}
		if here, err = w.mendOwner(ctx, name, want, here, there); err != nil {
			return raw.Block{}, false, err
		}
	}
	owner := super
	if t, known := w.landing.table(b.Table); known && t.owner != 0 {
		owner = w.landing.owners[t.owner]
	}
	rows := *b
	var past []string
	rows.Columns = slices.DeleteFunc(slices.Clone(b.Columns), func(c raw.ColumnData) bool {
		gone := outlived(c.Describe(), there, here) || w.p.t.isAnother(owner, c.Column)
		if gone {
			past = append(past, c.Name)
		}
		return gone
	})
	fit, left, err := rows.Fit(here.Columns)
	if err != nil && gone {
		return w.leaveOut(b)
	}
	if err != nil {
		return raw.Block{}, false, refused(w.p, m, clash(db, b.Table, there, here, err))
	}
	if left = append(past, left...); len(left) > 0 {
		w.p.t.say(core.LevelInfo, core.EventDDL, "columns %s of %s are left out of late rows: the source has dropped them since",
			strings.Join(left, ", "), b.Table)
	}
	return fit, true, nil
}

// otherKey decides on rows with another key than their table has at the sink. Keys
// cannot be altered: if the source's table has another one by now, too, it is another
// table, and the rows went with the one before.
func (w *worker) otherKey(b *raw.Block, key string, there, here *core.Table, m *core.Message) (raw.Block, bool, error) {
	if there == nil || there.SecondKey() != key {
		return w.leaveOut(b)
	}
	return raw.Block{}, false, refused(w.p, m, clash(w.p.t.key.Database, b.Table, there, here, errOtherKey))
}

// errOtherKey is why rows would replace others at one side only.
var errOtherKey = errors.New("their keys are not of the same columns")

// leaveOut says that rows are not written because their table goes anyway.
func (w *worker) leaveOut(b *raw.Block) (raw.Block, bool, error) {
	w.p.t.say(core.LevelWarn, core.EventDDL, "%d rows of table %s are left out: the source has dropped it since", b.Rows, b.Table)
	return raw.Block{}, false, nil
}

// outlived reports whether the source has dropped a column since that the sink has
// got under its name: its values are gone at the source too. So it is if another one
// was added there, for a column becomes longer and never shorter; and if the sink's
// cannot take the values, which was not altered while the source's still was there.
// Columns of normal tables are renamed as well, and keep their values.
func outlived(c core.Column, there, here *core.Table) bool {
	if there == nil || holds(there, c) {
		return false
	}
	now, atSource := find(there, c)
	have, atSink := find(here, c)
	child := len(there.Tags) > 0
	return atSink && (atSource && now.Type == have.Type || child && !holds(here, c))
}

// wanted is a block's columns in a catalog's words.
func wanted(b *raw.Block) *core.Table {
	t := &core.Table{Name: b.Table}
	for _, c := range b.Columns {
		t.Columns = append(t.Columns, c.Describe())
	}
	return t
}

// describe returns nil if there is no such table.
func (w *worker) describe(ctx context.Context, c Catalog, name string) (t *core.Table, err error) {
	err = w.ask(ctx, func(ctx context.Context) (err error) {
		t, err = c.Describe(ctx, w.p.t.key.Database, name)
		return err
	})
	if hasCode(err, codeTableMissing, codeTableGone) {
		return nil, nil
	}
	return t, err
}

// created returns nil if the source has no such table.
func (w *worker) created(ctx context.Context, name string) (s *core.CreateStatement, err error) {
	err = w.ask(ctx, func(ctx context.Context) error {
		found, err := w.p.plan.catalog.CreateStatement(ctx, w.p.t.key.Database, name)
		s = &found
		return err
	})
	if hasCode(err, codeTableMissing, codeTableGone) {
		return nil, nil
	}
	return s, err
}

// recreate makes a table, and its super table, at the sink as they are at the
// source. It returns nil if the source has none.
func (w *worker) recreate(ctx context.Context, name string) (*core.Table, error) {
	pl, db := w.p.plan, w.p.t.key.Database
	s, err := w.created(ctx, name)
	if s == nil || err != nil {
		return nil, err
	}
	if err := w.ask(ctx, func(ctx context.Context) error { return w.checkSink(ctx, w.p.e.clock.Now(), 0) }); err != nil {
		return nil, err // it is not one table that is missing
	}
	if s.Super != "" {
		super, err := w.describe(ctx, pl.sinkCatalog, s.Super)
		if err == nil && super == nil {
			super, err = w.recreate(ctx, s.Super)
		}
		if super == nil || err != nil {
			return nil, err
		}
	}
	err = w.ask(ctx, func(ctx context.Context) error { return pl.sinkCatalog.CreateTable(ctx, db, *s) })
	if err != nil {
		return nil, err
	}
	w.p.mended.changed()
	w.landing.madeAnew(name)
	w.p.t.bySQL()
	w.p.t.say(core.LevelWarn, core.EventDrift, "table %s was missing at the sink and was created as it is at the source", name)
	return w.describe(ctx, pl.sinkCatalog, name)
}

// mendOwner mends the table that a table's columns belong to: of a child, its
// super table.
func (w *worker) mendOwner(ctx context.Context, name string, want, here, there *core.Table) (*core.Table, error) {
	if there == nil {
		return here, nil
	}
	s, err := w.created(ctx, name)
	if s == nil || err != nil {
		return here, err
	}
	owner := name
	if s.Super != "" {
		owner = s.Super
	}
	return w.mend(ctx, owner, want, here, there)
}

// mend adds to a table at the sink what is wanted there and still so at the
// source, and returns how it is then. Nothing is ever taken away. The change
// comes back to the source, where it is known already.
func (w *worker) mend(ctx context.Context, name string, want, here, there *core.Table) (*core.Table, error) {
	sink, db := w.p.plan.sinkCatalog, w.p.t.key.Database
	missing := lacks(want, here)
	var done []string
	for _, c := range missing {
		old, has := find(here, c)
		var change func(context.Context, string, string, core.Column) error
		switch {
		case !holds(there, c) || has && old.Type != c.Type:
			continue
		case has:
			change = sink.WidenColumn
		default:
			change = sink.AddColumn
		}
		if err := w.ask(ctx, func(ctx context.Context) error { return change(ctx, db, name, c) }); err != nil {
			return here, err
		}
		done = append(done, c.Name+" "+c.SQLType())
	}
	if len(done) == 0 {
		return here, nil
	}
	err := w.ask(ctx, func(ctx context.Context) (err error) {
		here, err = sink.Describe(ctx, db, name)
		return err
	})
	w.p.mended.changed()
	w.p.t.bySQL()
	w.p.t.say(core.LevelWarn, core.EventDrift, "table %s at the sink lacked %s and was given it", name, strings.Join(done, ", "))
	return here, err
}

// lacks lists the columns and tags that a table has not, has shorter, or has
// with another type.
func lacks(want, here *core.Table) []core.Column {
	var out []core.Column
	for _, c := range slices.Concat(want.Columns, want.Tags) {
		if !holds(here, c) {
			out = append(out, c)
		}
	}
	return out
}

// holds reports whether a table has a column or tag as it is wanted, or a longer one.
func holds(t *core.Table, c core.Column) bool {
	have, ok := find(t, c)
	return ok && have.Type == c.Type && (!widens(c.Type) || have.Length >= c.Length)
}

// widens reports whether columns of a type can be made longer.
func widens(sqlType string) bool {
	return slices.Contains([]string{"VARCHAR", "NCHAR", "VARBINARY"}, sqlType)
}

// find looks for a column among columns, for a tag among tags.
func find(t *core.Table, c core.Column) (core.Column, bool) {
	columns := t.Columns
	if c.IsTag() {
		columns = t.Tags
	}
	i := slices.IndexFunc(columns, func(x core.Column) bool { return x.Name == c.Name })
	if i < 0 {
		return core.Column{}, false
	}
	return columns[i], true
}

// clash is the error of two tables that only a person can bring together.
func clash(db, name string, there, here *core.Table, cause error) error {
	source := "no such table any more"
	if there != nil {
		source = there.String()
	}
	text := fmt.Sprintf("table `%s`.`%s` differs; at the source: %s; at the sink: %s", db, name, source, here)
	if cause != nil {
		text = cause.Error() + "; " + text
	}
	return &core.Error{Class: core.ClassData, Op: "compare both sides", Text: text, Hint: "make the sink's table like the source's", Err: cause}
}

// extends reports whether a changed super table may be written over the sink's.
// A sink takes the whole definition: it would drop what only it has, and a
// server does not survive columns that change their places.
func (w *worker) extends(ctx context.Context, meta *raw.Meta) (bool, error) {
	here, err := w.describe(ctx, w.p.plan.sinkCatalog, meta.Super.Name)
	if here == nil || err != nil {
		return err == nil, err
	}
	dropped := func(c core.Column) bool {
		a := meta.Alter
		return a != nil && (a.Change == raw.DropColumn || a.Change == raw.DropTag) && len(a.Fields) > 0 && a.Fields[0].Name == c.Name
	}
	want := meta.Super.Table()
	return isPrefix(slices.DeleteFunc(here.Columns, dropped), want.Columns) &&
		isPrefix(slices.DeleteFunc(here.Tags, dropped), want.Tags), nil
}

// isPrefix compares names.
func isPrefix(short, long []core.Column) bool {
	if len(short) > len(long) {
		return false
	}
	for i, c := range short {
		if c.Name != long[i].Name {
			return false
		}
	}
	return true
}

// afterSuper compares a super table with what a change that was just applied
// has made of it at the source: a sink takes some of these changes and does
// nothing. Where the source has gone on since, later changes decide.
func (w *worker) afterSuper(ctx context.Context, super *raw.SuperTable, m *core.Message) error {
	want := super.Table()
	here, err := w.describe(ctx, w.p.plan.sinkCatalog, super.Name)
	if err != nil {
		return err
	}
	w.p.t.undrift(onlyAtSink(super.Name))
	if here != nil && want.SecondKey() == here.SecondKey() && len(lacks(&want, here)) == 0 && len(lacks(here, &want)) == 0 {
		return nil
	}
	there, err := w.describe(ctx, w.p.plan.catalog, super.Name)
	if there == nil || err != nil {
		return err
	}
	if here == nil {
		_, err := w.recreate(ctx, super.Name)
		return err
	}
	if key := want.SecondKey(); key != here.SecondKey() && key == there.SecondKey() {
		return refused(w.p, m, clash(w.p.t.key.Database, super.Name, there, here, errOtherKey))
	}
	if here, err = w.mend(ctx, super.Name, &want, here, there); err != nil {
		return err
	}
	for _, c := range lacks(&want, here) {
		if holds(there, c) {
			return refused(w.p, m, clash(w.p.t.key.Database, super.Name, there, here, nil))
		}
	}
	w.tellExtra(super.Name, there, here)
	return nil
}
