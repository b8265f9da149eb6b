package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"sync"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

const (
	// pageRows is how many rows of a table are read at once, and held.
	pageRows  = 20_000
	pageBytes = 32 << 20
	// maxTracked is how many differing rows are remembered from one look to the
	// next. What is beyond counts without having been the same twice.
	maxTracked = 50_000
)

// findings are what one look found.
type findings struct {
	structure *structure
	rows      map[string]finding // by table and key
	before    *findings          // the look before; nil: the first
	beyond    map[core.DifferenceKind]int64
	examples  map[core.DifferenceKind][]example
}

// finding is a row that differs: in which way, and what its values were.
type finding struct {
	kind core.DifferenceKind
	hash uint64
}

type example struct {
	key string
	core.Difference
}

func newFindings(before *findings) *findings {
	if before != nil {
		before.before = nil
	}
	return &findings{
		rows: map[string]finding{}, before: before,
		beyond: map[core.DifferenceKind]int64{}, examples: map[core.DifferenceKind][]example{},
	}
}

// add takes note of a row that differs.
func (f *findings) add(key string, found finding, describe func() core.Difference) {
	if len(f.rows) >= maxTracked {
		f.beyond[found.kind]++
	} else {
		f.rows[key] = found
	}
	if len(f.examples[found.kind]) < 2*core.AuditExamples {
		f.examples[found.kind] = append(f.examples[found.kind], example{key, describe()})
	}
}

func (f *findings) clean() bool {
	return len(f.rows)+len(f.beyond)+len(f.structure.differences) == 0
}

// same reports whether a row differed in the same way at the look before, as far
// as that is remembered.
func (f *findings) same(key string) bool {
	if f.before == nil {
		return true
	}
	had, remembered := f.before.rows[key]
	return had == f.rows[key] || !remembered && len(f.before.beyond) > 0
}

// decided reports whether a row that differs may be repaired: it has been the
// same at the last two looks and is so now. Rows beyond those that are
// remembered may be, too.
func (f *findings) decided(key string, now finding) bool {
	if found, remembered := f.rows[key]; remembered {
		return found == now && f.same(key)
	}
	return f.beyond[now.kind] > 0
}

// kept lists the differences of definitions that were there at the look before.
func (f *findings) kept() []core.Difference {
	if f.before == nil {
		return f.structure.differences
	}
	had := map[core.Difference]bool{}
	for _, d := range f.before.structure.differences {
		had[d] = true
	}
	var out []core.Difference
	for _, d := range f.structure.differences {
		if had[d] {
			out = append(out, d)
		}
	}
	return out
}

// stable reports whether nothing is new since the look before.
func (f *findings) stable() bool {
	for key := range f.rows {
		if !f.same(key) {
			return false
		}
	}
	return len(f.kept()) == len(f.structure.differences)
}

// tell writes the differences into an account.
func (f *findings) tell(d *core.DatabaseAudit) {
	clear(d.Differences)
	d.Examples, d.Undecided = d.Examples[:0], 0
	for _, diff := range f.kept() {
		d.Differences[diff.Kind]++
		if d.Differences[diff.Kind] <= core.AuditExamples {
			d.Examples = append(d.Examples, diff)
		}
	}
	for key, found := range f.rows {
		if f.same(key) {
			d.Differences[found.kind]++
		} else {
			d.Undecided++
		}
	}
	for kind, n := range f.beyond {
		d.Differences[kind] += n
	}
	for _, kind := range core.DifferenceKinds() {
		told := 0
		for _, e := range f.examples[kind] {
			if _, tracked := f.rows[e.key]; told < core.AuditExamples && (!tracked || f.same(e.key)) {
				d.Examples = append(d.Examples, e.Difference)
				told++
			}
		}
	}
}

// look reads the rows of suspects, notes those that differ in f, and returns
// the windows that still have some.
func (j *Job) look(ctx context.Context, suspects []suspect, f *findings) ([]suspect, error) {
	var left []suspect
	for i, s := range suspects {
		if !f.structure.common[s.table] {
			continue // a table that is missing says it all
		}
		g, ok := f.structure.of[s.table]
		if !ok {
			continue
		}
		s.group = g
		s.group.Tables = []string{s.table}
		j.step("look at what differs: window %d of %d", i+1, len(suspects))
		found := Window{math.MaxInt64, math.MinInt64}
		err := j.differ(ctx, s, func(d *rowPair) error {
			found.From, found.To = min(found.From, d.time), max(found.To, d.time+1)
			f.add(d.id(s.table), finding{d.kind, d.hash()}, func() core.Difference { return d.describe(s) })
			return nil
		})
		if err != nil {
			return nil, err
		}
		if found.From < found.To {
			s.window = found
			left = append(left, s)
		}
	}
	return left, nil
}

// rowPair is a row of a key where the sides differ: the source's, the sink's, or
// both. It is good until the next one.
type rowPair struct {
	kind  core.DifferenceKind
	time  int64
	key   []byte // as it sorts
	sides [2]*page
	at    [2]int // -1: this side has no such row
	run   int64  // grows with each row of the source
}

// differ walks through the rows of a window on both sides, in the order of
// their keys, and hands over each that differs.
func (j *Job) differ(ctx context.Context, s suspect, each func(*rowPair) error) error {
	j.update(func(d *core.DatabaseAudit) { d.Windows++ })
	var cursors [2]*cursor
	for i := range cursors {
		cursors[i] = &cursor{j: j, side: j.sides[i], suspect: s, next: s.window.From, limit: j.perPage(s.group)}
	}
	if j.opts.Exact {
		defer func() {
			j.update(func(d *core.DatabaseAudit) {
				if d.Rounds == 1 {
					d.Rows += cursors[0].rows
				}
			})
		}()
	}
	for run := int64(0); ; {
		if err := fillBoth(ctx, cursors); err != nil {
			return err
		}
		a, b := cursors[0].key(), cursors[1].key()
		if a == nil && b == nil {
			return nil
		}
		d := rowPair{sides: [2]*page{&cursors[0].page, &cursors[1].page}, at: [2]int{cursors[0].at, cursors[1].at}, run: run}
		order := bytes.Compare(a, b)
		switch {
		case b == nil || a != nil && order < 0:
			d.kind, d.key, d.at[1] = core.MissingRow, a, -1
			cursors[0].at++
			run++
		case a == nil || order > 0:
			d.kind, d.key, d.at[0] = core.ExtraRow, b, -1
			cursors[1].at++
		default:
			cursors[0].at++
			cursors[1].at++
			run++
			if d.equal() {
				continue
			}
			d.kind, d.key = core.OtherValues, a
		}
		d.time = timeOf(d.key)
		if err := each(&d); err != nil {
			return err
		}
	}
}

// fillBoth reads the next pages of both sides at the same time.
func fillBoth(ctx context.Context, cursors [2]*cursor) error {
	if cursors[0].ready() && cursors[1].ready() {
		return nil
	}
	var errs [2]error
	var wg sync.WaitGroup
	for i, c := range cursors {
		wg.Go(func() { errs[i] = c.fill(ctx) })
	}
	wg.Wait()
	return oneOf(errs)
}

// ready reports whether a cursor need not read.
func (c *cursor) ready() bool { return c.at < len(c.page.keys) || c.over }

// perPage is how many rows are read at once: fewer where they may be wide.
func (j *Job) perPage(g Group) int {
	widest := 1
	for _, c := range g.Columns {
		widest += 8 + c.Length
	}
	return max(1, min(j.page, pageBytes/widest))
}

// cursor reads one side's rows of a window, page by page.
type cursor struct {
	j       *Job
	side    Side
	suspect suspect
	next    int64 // where the next page begins
	limit   int
	page    page
	at      int // in the page
	rows    int64
	over    bool
}

// page is rows that were read.
type page struct {
	raw.Block
	keys [][]byte
}

// fill reads the next page when the last one is used up.
func (c *cursor) fill(ctx context.Context) error {
	for !c.ready() {
		s := c.suspect
		began := time.Now()
		var b raw.Block
		err := insist(ctx, func() (err error) {
			b, err = c.side.Rows(ctx, c.j.opts.Database, s.table, s.group, Window{c.next, s.window.To}, c.limit)
			return err
		})
		if err != nil {
			return err
		}
		if err := core.Pause(ctx, time.Duration(c.j.opts.Rest*float64(time.Since(began)))); err != nil {
			return err
		}
		if c.page, err = newPage(b, s.group.Keys); err != nil {
			return fmt.Errorf("read the rows of %s: %w", s.table, err)
		}
		c.at = 0
		n := len(c.page.keys)
		if n < c.limit {
			c.over = true
			c.rows += int64(n)
			return nil
		}
		// The page may end among rows of one time; they begin the next one.
		last := timeOf(c.page.keys[n-1])
		keep := n
		for keep > 0 && timeOf(c.page.keys[keep-1]) == last {
			keep--
		}
		if keep == 0 {
			if s.group.Keys == 1 {
				return fmt.Errorf("read the rows of %s: %d rows of one time", s.table, n)
			}
			c.limit *= 2
			c.page.keys = nil
			continue
		}
		c.page.keys, c.next = c.page.keys[:keep], last
		c.rows += int64(keep)
	}
	return nil
}

// key is that of the row the cursor is at; nil behind the last.
func (c *cursor) key() []byte {
	if c.at >= len(c.page.keys) {
		return nil
	}
	return c.page.keys[c.at]
}

// newPage makes the keys of rows: so many first columns, in a form that sorts
// as the server does.
func newPage(b raw.Block, columns int) (page, error) {
	p := page{Block: b, keys: make([][]byte, b.Rows)}
	for row := range p.keys {
		at, ok := b.Time(row)
		if !ok {
			return p, fmt.Errorf("row %d has no time", row)
		}
		key := binary.BigEndian.AppendUint64(nil, uint64(at)^1<<63)
		if columns == 2 {
			v, _ := b.Columns[1].Value(row)
			key = append(key, sortable(b.Columns[1].Type, v)...)
		}
		p.keys[row] = key
	}
	return p, nil
}

// sortable makes of a value of a key's second column what sorts by bytes: whole
// numbers are little-endian and may be signed, texts sort by bytes already.
func sortable(t raw.Type, v []byte) []byte {
	switch t {
	case raw.VarChar:
		return v
	case raw.Int, raw.BigInt, raw.UInt, raw.UBigInt:
		out := make([]byte, len(v))
		for i, b := range v {
			out[len(v)-1-i] = b
		}
		if len(out) > 0 && (t == raw.Int || t == raw.BigInt) {
			out[0] ^= 0x80
		}
		return out
	}
	return v
}

func timeOf(key []byte) int64 { return int64(binary.BigEndian.Uint64(key) ^ 1<<63) }

func (d *rowPair) equal() bool {
	a, b := d.sides[0], d.sides[1]
	for i := range a.Columns {
		v, vok := a.Columns[i].Value(d.at[0])
		w, wok := b.Columns[i].Value(d.at[1])
		if vok != wok || !bytes.Equal(v, w) {
			return false
		}
	}
	return true
}

func (d *rowPair) id(table string) string { return table + "\x00" + string(d.key) }

// hash is of the values of both sides.
func (d *rowPair) hash() uint64 {
	h := fnv.New64a()
	for i, p := range d.sides {
		if d.at[i] < 0 {
			continue
		}
		for c := range p.Columns {
			v, ok := p.Columns[c].Value(d.at[i])
			fmt.Fprintf(h, "%d.%v.%d:", i, ok, len(v))
			h.Write(v)
		}
	}
	return h.Sum64()
}

// describe tells a row for people: of values only those that differ.
func (d *rowPair) describe(s suspect) core.Difference {
	out := core.Difference{Kind: d.kind, Table: s.table, Time: clock(d.time, s.group.Precision)}
	for i, p := range d.sides {
		if s.group.Keys == 2 && d.at[i] >= 0 {
			out.Time += ", " + p.Columns[1].Text(d.at[i])
			break
		}
	}
	switch d.kind {
	case core.MissingRow:
		out.Text = "the sink has no such row"
	case core.ExtraRow:
		out.Text = "only the sink has it"
	default:
		a, b := d.sides[0], d.sides[1]
		var parts []string
		for i := range a.Columns {
			if v, w := a.Columns[i].Text(d.at[0]), b.Columns[i].Text(d.at[1]); v != w {
				parts = append(parts, fmt.Sprintf("%s is %s at the source and %s at the sink", a.Columns[i].Name, v, w))
			}
		}
		if len(parts) == 0 {
			parts = []string{"a long value differs behind its first bytes"}
		}
		out.Text = strings.Join(parts[:min(len(parts), 5)], "; ")
	}
	return out
}

// clock shows a time of a database.
func clock(ts int64, precision string) string {
	per := map[string]int64{"us": 1e6, "ns": 1e9}[precision]
	per = cmp.Or(per, 1000)
	sec := ts / per
	if ts%per < 0 {
		sec--
	}
	return time.Unix(sec, (ts-sec*per)*(1e9/per)).UTC().Format(time.RFC3339Nano)
}
