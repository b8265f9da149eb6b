package raw

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"tdreplica/core"
)

// Keyed is a table and the columns of its rows' key: their time, and another one where
// the key is composite.
type Keyed struct {
	Table string
	Key   []Column
}

// ByTime is a table whose rows have no other key than their time.
func ByTime(table, column string) Keyed {
	return Keyed{table, []Column{{Name: column, Type: Timestamp, Bytes: 8, ID: 1}}}
}

// SchemaKey is the key among the columns of TableRef.Schema. An error wraps
// ErrMalformed.
func SchemaKey(schema []byte) ([]Column, error) {
	cols, err := SchemaColumns(schema)
	if err != nil {
		return nil, err
	}
	if len(cols) == 0 {
		return nil, fmt.Errorf("read the columns of rows: %w: there is none", ErrMalformed)
	}
	if len(cols) > 1 && cols[1].Flags&keyFlag != 0 {
		return cols[:2], nil
	}
	return cols[:1], nil
}

// keyFlag marks the second column of a composite key.
const keyFlag = 4

// EncodeTouch builds a message of rows that names tables without a row of them,
// and has one row of the last table, whose key is its time, at a time that every
// server refuses. Tables among them that are to be created come with their requests.
func EncodeTouch(tables []Keyed, last Keyed, create []NewTable) (core.RawType, []byte) {
	blocks := make([]Block, 0, len(tables)+1)
	for _, t := range tables {
		blocks = append(blocks, onlyKey(t, 0))
	}
	row := onlyKey(last, 1)
	binary.LittleEndian.PutUint64(row.Columns[0].Data, 1<<63) // the least of all
	return EncodeRows(append(blocks, row), create)
}

// onlyKey is a block with the columns of a key; without rows, or with some of nothing
// but a time, which is 0.
func onlyKey(t Keyed, rows int) Block {
	b := Block{Table: t.Table, Rows: rows, Precision: "ms"}
	for _, c := range t.Key {
		b.Columns = append(b.Columns, ColumnData{Column: c, Index: make([]byte, (rows+7)/8), Data: make([]byte, rows*c.Type.width()), stored: c.Bytes})
	}
	return b
}

// WithoutRequests is the payload of a core.RawMetadata message as one of
// core.RawData, without its requests to create tables. An error wraps ErrMalformed.
func WithoutRequests(payload []byte) ([]byte, error) {
	w := walk(core.RawMetadata, payload)
	w.passBlocks()
	if w.err != nil {
		return nil, w.err
	}
	return appendI64(bytes.Clone(payload[:len(payload)-len(w.b)]), 0), nil
}

// Parts divides a block into ones of about so many bytes, of at least eight rows
// each. They share its memory.
func (b *Block) Parts(size int) iter.Seq[*Block] {
	step := max(8, int(int64(b.Rows)*int64(size)/int64(1+b.bytes()))&^7) // NULLs are told eight rows to the byte
	return func(yield func(*Block) bool) {
		for at := 0; at < b.Rows; at += step {
			n := min(step, b.Rows-at)
			part := Block{Table: b.Table, Rows: n, Precision: b.Precision}
			for i := range b.Columns {
				part.Columns = append(part.Columns, b.Columns[i].part(at, n))
			}
			if !yield(&part) {
				return
			}
		}
	}
}

// Gathered joins the blocks of each table, one after the other, so that fewer have to
// be written. A block of about size bytes takes no more. Only what comes in the order
// of time is joined, in the same columns: of two rows of one time in a block nothing
// says which one a writer keeps.
func Gathered(blocks []Block, size int) iter.Seq[Block] {
	type group struct {
		blocks []Block
		bytes  int
	}
	var groups []group
	newest := map[string]int{}
	for _, b := range blocks {
		i, ok := newest[b.Table]
		if !ok || groups[i].bytes >= size || !b.follows(&groups[i].blocks[len(groups[i].blocks)-1]) {
			i = len(groups)
			newest[b.Table], groups = i, append(groups, group{})
		}
		groups[i].blocks = append(groups[i].blocks, b)
		groups[i].bytes += b.bytes()
	}
	return func(yield func(Block) bool) {
		for _, g := range groups {
			if !yield(Join(g.blocks)) {
				return
			}
		}
	}
}

// bytes is the size of all values.
func (b *Block) bytes() (n int) {
	for _, c := range b.Columns {
		n += len(c.Index) + len(c.Data)
	}
	return n
}

// follows reports whether all rows of a block are later than those of another one
// that has the same columns.
func (b *Block) follows(before *Block) bool {
	same := func(x, y ColumnData) bool { return x.Column == y.Column && x.stored == y.stored }
	_, end, ascends := before.span()
	start, _, goesOn := b.span()
	return ascends && goesOn && end < start && b.Precision == before.Precision && slices.EqualFunc(before.Columns, b.Columns, same)
}

// span is the times of the first and the last row, and whether they only ascend.
func (b *Block) span() (first, last int64, ascends bool) {
	for row := range b.Rows {
		at, ok := b.Time(row)
		if !ok || row > 0 && at <= last {
			return 0, 0, false
		}
		if row == 0 {
			first = at
		}
		last = at
	}
	return first, last, b.Rows > 0
}

// part is the column's rows from one on, which must be a multiple of eight.
func (c *ColumnData) part(at, rows int) ColumnData {
	out := *c
	if !c.Type.variable() {
		w := c.Type.width()
		out.Index = c.Index[at/8 : (at+rows+7)/8]
		if len(c.Data) > 0 {
			out.Data = c.Data[at*w : (at+rows)*w]
		} else { // all of them are NULL, see value
			out.Index, out.Data = bytes.Repeat([]byte{0xff}, len(out.Index)), make([]byte, rows*w)
		}
		return out
	}
	le := binary.LittleEndian
	first, end := len(c.Data), 0
	for row := at; row < at+rows; row++ {
		if v, ok := c.value(row); ok {
			place := int(le.Uint32(c.Index[4*row:]))
			first, end = min(first, place), max(end, place+c.Type.prefix()+len(v))
		}
	}
	out.Index = bytes.Clone(c.Index[4*at : 4*(at+rows)])
	for i := 0; i < len(out.Index); i += 4 {
		if place := int32(le.Uint32(out.Index[i:])); place >= 0 {
			le.PutUint32(out.Index[i:], uint32(int(place)-first))
		}
	}
	out.Data = c.Data[min(first, end):end]
	return out
}
