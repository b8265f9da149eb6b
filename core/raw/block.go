package raw

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"tdreplica/core"
)

// Block is rows of one table, column by column.
type Block struct {
	Table     string
	Rows      int
	Precision string // of timestamps: ms, us or ns
	Columns   []ColumnData
}

// ColumnData is one column of a block, with its values as they are encoded.
type ColumnData struct {
	Column
	// Index is where NULLs and places are told: for types of a fixed width one
	// bit a row, the highest first, set for NULL; for others four bytes a row,
	// the place of the value in Data, -1 for NULL.
	Index []byte
	Data  []byte
	// stored is the column's length as the block states it. It has a DECIMAL's
	// digits in it.
	stored int32
}

// Rows decodes a message of rows: core.RawData, or core.RawMetadata, which also
// has requests to create the tables that the rows were the first of. An error
// wraps ErrMalformed.
func Rows(t core.RawType, payload []byte) ([]Block, []NewTable, error) {
	var blocks []Block
	w := walk(t, payload)
	for w.next() {
		b, err := decodeBlock(w.body)
		w.refuse(err)
		b.name(&w.reader)
		blocks = append(blocks, b)
	}
	created := w.requests(t)
	if w.err != nil {
		return nil, nil, fmt.Errorf("decode rows: %w", w.err)
	}
	return blocks, created, nil
}

// Requests are the requests to create tables that come with a message of rows.
// Nothing else of it is decoded. An error wraps ErrMalformed.
func Requests(t core.RawType, payload []byte) ([]NewTable, error) {
	if t != core.RawMetadata {
		return nil, nil
	}
	w := walk(t, payload)
	w.passBlocks()
	created := w.requests(t)
	if w.err != nil {
		return nil, fmt.Errorf("find the tables that rows create: %w", w.err)
	}
	return created, nil
}

// requests reads what follows the blocks of a message of rows.
func (r *reader) requests(t core.RawType) (created []NewTable) {
	if t != core.RawMetadata || r.err != nil {
		return nil
	}
	for range r.count(int64(r.i32()), 5) {
		rec := &reader{b: r.blob()}
		nt := rec.newTable()
		if r.refuse(rec.err); r.err != nil {
			return nil
		}
		created = append(created, nt)
	}
	return created
}

// Stat is what a message of rows holds, all tables together.
type Stat struct {
	Blocks int
	Rows   int64
	// First and Last are the oldest and the newest timestamp, in the database's
	// precision. First is above Last if there are no rows.
	First, Last int64
	Precision   string
	Blobs       bool // a column of type BLOB is among them
	Decimals    bool // one of type DECIMAL
}

// Stats counts a message's rows and finds their range in time, without decoding
// anything else. An error wraps ErrMalformed.
func Stats(t core.RawType, payload []byte) (Stat, error) {
	s := Stat{First: math.MaxInt64, Last: math.MinInt64}
	w := walk(t, payload)
	for w.next() {
		h, err := decodeHead(w.body)
		if err == nil {
			err = s.add(&h)
		}
		w.refuse(err)
		w.skipToName()
		w.blob()
	}
	if w.err != nil {
		return Stat{}, fmt.Errorf("count rows: %w", w.err)
	}
	return s, nil
}

func (s *Stat) add(h *blockHead) error {
	s.count(h)
	if h.cols == 0 || Type(h.types[0]) != Timestamp {
		return nil // only the timestamp's place is certain
	}
	ts, err := h.times()
	if err != nil {
		return err
	}
	for ; len(ts) >= 8; ts = ts[8:] {
		v := int64(binary.LittleEndian.Uint64(ts))
		s.First, s.Last = min(s.First, v), max(s.Last, v)
	}
	return nil
}

// count adds a block, but for the times.
func (s *Stat) count(h *blockHead) {
	s.Blocks++
	s.Rows += int64(h.rows)
	s.Precision = precisionName(h.precision)
	const typeSize = 5 // a byte for the type, four for the length
	for i := 0; i < len(h.types); i += typeSize {
		t := Type(h.types[i])
		s.Blobs = s.Blobs || t == Blob || t == MediumBlob
		s.Decimals = s.Decimals || t.decimal()
	}
}

// TableRef is a table that a message has rows of, or asks to create. Name and Schema
// may share the message's memory. Raw rows have no Schema.
type TableRef struct {
	Name    []byte
	Schema  []byte // the rows' columns as they are encoded, see SchemaColumns
	Created bool   // asked to be created; Super is its super table, if it has one
	Super   string
	Record  []byte // of one to be created: its request, see NewTable
}

// Tables calls each with every table that a message has rows of, as often as it has
// blocks of it, and then with those that it asks to create. Of rows nothing else is
// decoded. Those of core.RawRows come without their columns. An error wraps
// ErrMalformed.
func Tables(t core.RawType, payload []byte, each func(TableRef)) error {
	var w walker
	if t == core.RawRows {
		w = walkStored(payload)
	} else {
		w = walk(t, payload)
	}
	for w.next() {
		before := w.b
		if t != core.RawRows {
			w.skipToName()
		}
		schema := before[:len(before)-len(w.b)]
		name := w.blob()
		if w.err == nil {
			each(TableRef{Name: bytes.TrimSuffix(name, []byte{0}), Schema: schema})
		}
	}
	for _, c := range w.requests(t) {
		each(TableRef{Name: []byte(c.Name), Created: true, Super: c.Super, Record: c.Record})
	}
	if w.err != nil {
		return fmt.Errorf("find the tables of rows: %w", w.err)
	}
	return nil
}

// SchemaColumns are the columns of TableRef.Schema. An error wraps ErrMalformed.
func SchemaColumns(schema []byte) ([]Column, error) {
	r := &reader{b: schema}
	cols, _ := r.schema()
	if r.err != nil {
		return nil, fmt.Errorf("read the columns of rows: %w", r.err)
	}
	return cols, nil
}

const dataVersion = 100

// walker steps through the blocks of a message of rows. Each pass reads the message
// once more, several times for each that is replicated, so that a walker is a value:
// it costs no memory.
type walker struct {
	reader        // behind body, at what tells the block's schema and table
	body   []byte // a block
	left   int    // blocks that are still to come
}

func walk(t core.RawType, payload []byte) walker {
	w := walker{reader: reader{b: payload}}
	if t != core.RawData && t != core.RawMetadata {
		w.fail(fmt.Sprintf("raw type %d has no rows", t))
		return w
	}
	if v := w.u8(); v != dataVersion {
		w.fail(fmt.Sprintf("version %d", v))
		return w
	}
	w.take(int(w.i32())) // the two offsets
	w.blocks(true)
	return w
}

// walkStored is the same for raw rows. A server sends them without a version, and
// without schemas.
func walkStored(payload []byte) walker {
	const log = 0x11
	w := walker{reader: reader{b: payload}}
	for range 2 {
		if kind := w.u8(); kind != log {
			w.fail(fmt.Sprintf("an offset of type %d", kind))
			return w
		}
		w.i64()
	}
	w.blocks(false)
	return w
}

// blocks reads how many there are, and what comes with them.
func (w *walker) blocks(schemas bool) {
	w.left = w.count(int64(w.i32()), 2)
	if w.left == 0 {
		return
	}
	withName, withSchema := w.u8(), w.u8()
	if withName == 0 || (withSchema != 0) != schemas {
		w.fail("rows without names, or with other columns than are told")
	}
}

// next takes the next block. Whoever calls it again has read the block's schema and
// table. It is false behind the last one and after a failure.
func (w *walker) next() bool {
	if w.left == 0 || w.err != nil {
		return false
	}
	w.left--
	w.body = w.blob()
	return w.err == nil
}

// passBlocks steps behind all blocks.
func (w *walker) passBlocks() {
	for w.next() {
		w.skipToName()
		w.blob()
	}
}

// skipToName steps over what stands between a block and its table's name.
func (r *reader) skipToName() {
	n := r.varint32()
	r.varint32()
	for range r.count(int64(n), 5) {
		r.u16()
		r.varint32()
		r.varint32()
		r.blob()
	}
}

// blockHead is a block with its columns not taken apart.
type blockHead struct {
	rows, cols int
	precision  uint8
	types      []byte // 5 bytes a column: type, length
	sizes      []byte // 4 bytes a column
	big        bool   // sizes are big-endian
	data       []byte
}

// Bytes in front of a block's columns: the reply's own head, and the block's.
const (
	replyHead = 18 // i64 version, i64 rows big-endian, i8 compressed, i8 precision
	rawHead   = 28 // i32 version, length, rows, columns, flags, u64 group
)

func decodeHead(body []byte) (blockHead, error) {
	r := &reader{b: body}
	r.take(replyHead - 2)
	var h blockHead
	if r.u8() != 0 {
		r.fail("compressed rows")
	}
	h.precision = r.u8()
	version := r.i32()
	r.i32() // length
	rows, cols := r.i32(), r.i32()
	r.take(12)
	// A row takes at least one bit, a column at least nine bytes.
	h.rows = r.count(int64(rows)/8, 1)*8 + int(rows%8)
	h.cols = r.count(int64(cols), 9)
	h.types = r.take(5 * h.cols)
	h.sizes = r.take(4 * h.cols)
	h.big = version == 1 // the client library turns them round and says 2
	h.data = r.b
	if r.err == nil && (rows < 0 || version < 1 || version > 2) {
		r.fail(fmt.Sprintf("block version %d", version))
	}
	return h, r.err
}

func (h *blockHead) size(col int) int {
	b := h.sizes[4*col:]
	if h.big {
		return int(int32(binary.BigEndian.Uint32(b)))
	}
	return int(int32(binary.LittleEndian.Uint32(b)))
}

func decodeBlock(body []byte) (Block, error) {
	h, err := decodeHead(body)
	if err != nil {
		return Block{}, err
	}
	return h.columns()
}

// columns takes a block apart.
func (h *blockHead) columns() (Block, error) {
	b := Block{Rows: h.rows, Precision: precisionName(h.precision), Columns: make([]ColumnData, h.cols)}
	r := &reader{b: h.data}
	for i := range b.Columns {
		c := &b.Columns[i]
		c.Type = Type(h.types[5*i])
		c.stored = int32(binary.LittleEndian.Uint32(h.types[5*i+1:]))
		c.Bytes = c.stored
		if c.Type.decimal() {
			c.Bytes, c.Precision, c.Scale = c.stored>>24, uint8(c.stored>>8), uint8(c.stored)
		}
		if c.Type.variable() {
			c.Index = r.take(4 * h.rows)
		} else {
			c.Index = r.take((h.rows + 7) / 8)
		}
		c.Data = r.take(h.size(i))
		if w := c.Type.width(); w > 0 && len(c.Data) != 0 && len(c.Data) != w*h.rows {
			r.fail(fmt.Sprintf("%d bytes for %d rows of %s", len(c.Data), h.rows, c.Type))
		}
	}
	return b, r.err
}

// name gives a block the names that come behind it.
func (b *Block) name(r *reader) {
	cols, _ := r.schema()
	if r.err == nil && len(cols) != len(b.Columns) {
		r.fail(fmt.Sprintf("%d names for %d columns", len(cols), len(b.Columns)))
	}
	if r.err != nil {
		return
	}
	for i, s := range cols {
		c := &b.Columns[i]
		c.Name, c.ID, c.Flags = s.Name, s.ID, s.Flags
	}
	b.Table = r.cstr()
}

func precisionName(p uint8) string {
	switch p {
	case 0:
		return "ms"
	case 1:
		return "us"
	case 2:
		return "ns"
	}
	return "?"
}

func precisionCode(name string) uint8 {
	switch name {
	case "us":
		return 1
	case "ns":
		return 2
	}
	return 0
}

// value returns a row's encoded value, without the length in front of it, and
// false for NULL or for a value that is not all there.
func (c *ColumnData) value(row int) ([]byte, bool) {
	if !c.Type.variable() {
		w := c.Type.width()
		null := c.Index[row/8]&(0x80>>(row%8)) != 0
		if null || w == 0 || len(c.Data) < (row+1)*w {
			return nil, false
		}
		return c.Data[row*w : (row+1)*w], true
	}
	at := int(int32(binary.LittleEndian.Uint32(c.Index[4*row:])))
	n := c.Type.prefix()
	if at < 0 || at > len(c.Data)-n {
		return nil, false
	}
	size := int64(little(c.Data[at : at+n]))
	if size > int64(len(c.Data)-at-n) {
		return nil, false
	}
	return c.Data[at+n:][:size], true
}

// Text shows a value as SQL would have it; timestamps are numbers.
func (c *ColumnData) Text(row int) string {
	v, ok := c.value(row)
	if !ok {
		return "NULL"
	}
	return literal(c.Type, v, c.Scale)
}

// Time is a row's timestamp in the block's precision, if its first column is
// one.
func (b *Block) Time(row int) (int64, bool) {
	if len(b.Columns) == 0 || b.Columns[0].Type != Timestamp {
		return 0, false
	}
	v, ok := b.Columns[0].value(row)
	return int64(little(v)), ok
}
