package embedded

import (
	"encoding/binary"
)

// block is rows of one table in columns, as they travel: in data messages, in
// fetch_block replies and in write_raw_block frames. A cell is the value's
// little-endian bytes, or the bytes of a variable value without its length;
// nil is NULL. Cells of a decoded block alias the frame.
type block struct {
	rows  int
	prec  precision
	cols  []column // names and ids come from the schema beside the block
	cells []blockColumn
}

type blockColumn struct {
	width  int    // 0: variable
	prefix int    // of variable values
	nulls  []byte // fixed: one bit a row, the most significant first
	offs   []byte // variable: one i32 a row, -1 is NULL
	data   []byte
}

func (c *blockColumn) cell(row int) []byte {
	if c.width > 0 {
		if c.nulls[row/8]&(0x80>>(row%8)) != 0 {
			return nil
		}
		return c.data[row*c.width : (row+1)*c.width]
	}
	off := int32(binary.LittleEndian.Uint32(c.offs[row*4:]))
	if off < 0 {
		return nil
	}
	v := c.data[off:]
	n := 0
	if c.prefix == 4 {
		n = int(binary.LittleEndian.Uint32(v))
	} else {
		n = int(binary.LittleEndian.Uint16(v))
	}
	return v[c.prefix : c.prefix+n : c.prefix+n]
}

// check verifies every offset and length of a variable column once, so that
// cell need not.
func (c *blockColumn) check(rows int) bool {
	if c.width > 0 {
		return true
	}
	for row := range rows {
		off := int32(binary.LittleEndian.Uint32(c.offs[row*4:]))
		if off < 0 {
			continue
		}
		if int(off)+c.prefix > len(c.data) {
			return false
		}
		v := c.data[off:]
		n := int(binary.LittleEndian.Uint16(v))
		if c.prefix == 4 {
			n = int(binary.LittleEndian.Uint32(v))
		}
		if n < 0 || c.prefix+n > len(v) {
			return false
		}
	}
	return true
}

const blockFlags = -0x80000000 // the block tells its column types

// appendBlock encodes rows, given as cells row by row. The block ends with one
// spare byte, as the server's do.
func appendBlock(dst []byte, version int32, cols []column, rows [][][]byte) []byte {
	e := encoder{dst}
	start := len(e.b)
	e.i32(version)
	e.i32(0) // length, set below
	e.i32(int32(len(rows)))
	e.i32(int32(len(cols)))
	e.i32(blockFlags)
	e.i64(0) // group
	for _, c := range cols {
		e.u8(uint8(c.typ))
		e.i32(c.blockSize())
	}
	lengths := len(e.b)
	e.zeros(4 * len(cols))
	for i, c := range cols {
		n := appendBlockColumn(&e, c, i, rows)
		e.setI32(lengths+4*i, n)
	}
	e.u8(0)
	e.setI32(start+4, len(e.b)-start)
	return e.b
}

func appendBlockColumn(e *encoder, c column, at int, rows [][][]byte) int {
	if c.typ.variable() {
		offs := len(e.b)
		e.zeros(4 * len(rows))
		data := len(e.b)
		for r, row := range rows {
			v := row[at]
			if v == nil {
				e.setI32(offs+4*r, -1)
				continue
			}
			e.setI32(offs+4*r, len(e.b)-data)
			if c.typ.prefix() == 4 {
				e.i32(int32(len(v)))
			} else {
				e.i16(int16(len(v)))
			}
			e.raw(v)
		}
		return len(e.b) - data
	}
	nulls := len(e.b)
	e.zeros((len(rows) + 7) / 8)
	data := len(e.b)
	for r, row := range rows {
		if v := row[at]; v != nil {
			e.raw(v)
		} else {
			e.b[nulls+r/8] |= 0x80 >> (r % 8)
			e.zeros(c.bytes)
		}
	}
	return len(e.b) - data
}

// decodeBlock reads a raw block. Columns have types and widths, no names yet.
func decodeBlock(raw []byte) (*block, error) {
	d := &decoder{b: raw}
	d.i32() // version
	d.i32() // length
	rows, n := int(d.i32()), int(d.i32())
	flags := d.i32()
	d.i64() // group
	if d.err != nil || rows < 0 || n <= 0 || flags >= 0 || n*9 > len(d.b) {
		return nil, errShortPayload
	}
	b := &block{rows: rows, cols: make([]column, n), cells: make([]blockColumn, n)}
	for i := range b.cols {
		c := &b.cols[i]
		c.typ, c.bytes = typeID(d.u8()), int(d.i32())
		info, known := typeInfos[c.typ]
		if !known {
			return nil, errInvalidPara
		}
		if c.typ.decimal() {
			c.setTypeMod(int32(c.bytes))
		}
		if info.width > 0 {
			c.bytes = info.width
		}
		b.cells[i] = blockColumn{width: info.width, prefix: c.typ.prefix()}
	}
	lengths := d.take(4 * n)
	for i := range b.cells {
		c := &b.cells[i]
		if c.width > 0 {
			c.nulls = d.take((rows + 7) / 8)
		} else {
			c.offs = d.take(4 * rows)
		}
		if d.err != nil {
			return nil, d.err
		}
		c.data = d.take(int(int32(binary.LittleEndian.Uint32(lengths[4*i:]))))
		if d.err != nil || c.width > 0 && len(c.data) < rows*c.width || !c.check(rows) {
			return nil, errShortPayload
		}
	}
	return b, nil
}

// appendSchema encodes the schema that stands beside a block and in metas.
func appendSchema(e *encoder, cols []column, ver int32) {
	e.zigzag(int64(len(cols)))
	e.zigzag(int64(ver))
	for _, c := range cols {
		e.u8(uint8(c.typ))
		e.u8(c.flags)
		e.zigzag(int64(c.bytes))
		e.zigzag(int64(c.id))
		e.name(c.name)
	}
}

func decodeSchema(d *decoder) ([]column, int32) {
	n := d.count()
	ver := int32(d.zigzag())
	cols := make([]column, n)
	for i := range cols {
		c := &cols[i]
		c.typ, c.flags = typeID(d.u8()), d.u8()
		c.bytes, c.id = int(d.zigzag()), int16(d.zigzag())
		c.name = d.name()
		if _, known := typeInfos[c.typ]; !known && d.err == nil {
			d.err = errInvalidPara
		}
	}
	return cols, ver
}

// appendTableBlock encodes the rows of one table the way data messages carry
// them: the block with a head before it, its schema and the table's name.
func appendTableBlock(dst []byte, p precision, table string, cols []column, rows [][][]byte) []byte {
	raw := encoder{}
	raw.i64(1)
	raw.b = binary.BigEndian.AppendUint64(raw.b, uint64(len(rows)))
	raw.u8(0) // not compressed
	raw.u8(uint8(p))
	e := encoder{dst}
	inner := appendBlock(raw.b, 2, cols, rows)
	e.binary(inner)
	appendSchema(&e, cols, 0)
	e.name(table)
	return e.b
}

// decodeTableBlock reads one of those.
func decodeTableBlock(d *decoder) (*block, string, error) {
	h := decoder{b: d.binary(), err: d.err}
	h.i64()
	h.i64()
	h.u8() // compressed
	p := h.u8()
	if h.err != nil || p > 2 {
		return nil, "", errShortPayload
	}
	b, err := decodeBlock(h.b)
	if err != nil {
		return nil, "", err
	}
	cols, _ := decodeSchema(d)
	table := d.name()
	if d.err != nil || len(cols) != len(b.cols) {
		return nil, "", errShortPayload
	}
	for i, c := range cols {
		c.prec, c.scale = b.cols[i].prec, b.cols[i].scale
		b.cols[i].name, b.cols[i].id, b.cols[i].bytes = c.name, c.id, c.bytes
	}
	b.prec = precision(p)
	return b, table, nil
}
