package raw

import (
	"encoding/binary"
	"fmt"
	"slices"

	"tdreplica/core"
)

// Fit returns the block as a table with these columns can take it, and the names
// of the columns that were left out because the table has none of that name. A
// column of text is declared as narrow as the table's, if its values are.
//
// It fails if a column has another type than the table's, if a value is longer
// than the table allows, or if no timestamp is left. The result shares memory
// with b.
func (b *Block) Fit(table []core.Column) (Block, []string, error) {
	out := Block{Table: b.Table, Rows: b.Rows, Precision: b.Precision}
	var left []string
	for _, c := range b.Columns {
		i := slices.IndexFunc(table, func(t core.Column) bool { return t.Name == c.Name })
		if i < 0 {
			left = append(left, c.Name)
			continue
		}
		if err := c.fit(table[i], b.Rows); err != nil {
			return Block{}, nil, fmt.Errorf("fit rows of %s: %w", quoted(b.Table), err)
		}
		out.Columns = append(out.Columns, c)
	}
	if len(out.Columns) == 0 || out.Columns[0].Type != Timestamp || out.Columns[0].Name != b.Columns[0].Name {
		return Block{}, nil, fmt.Errorf("fit rows of %s: the sink's table has no such timestamp", quoted(b.Table))
	}
	return out, left, nil
}

func (c *ColumnData) fit(to core.Column, rows int) error {
	if to.Type != c.TypeName() {
		return fmt.Errorf("column %s is %s here and %s at the sink", quoted(c.Name), c.TypeName(), to.Type)
	}
	if !c.Type.variable() || to.Length <= 0 || c.Length() <= to.Length {
		return nil
	}
	unit := 1
	if c.Type == NChar || c.Type == JSON {
		unit = 4
	}
	for row := range rows {
		if v, ok := c.value(row); ok && len(v) > to.Length*unit {
			return fmt.Errorf("column %s: a value is longer than the sink's %d", quoted(c.Name), to.Length)
		}
	}
	c.Bytes = int32(to.Length*unit + c.Type.prefix())
	c.stored = c.Bytes
	return nil
}

// AppendBlock appends the block as write_raw_block takes it.
func (b *Block) AppendBlock(dst []byte) []byte {
	at := len(dst)
	dst = appendI32(dst, 2) // sizes are little-endian
	dst = appendI32(dst, 0) // length: below
	dst = appendI32(dst, int32(b.Rows))
	dst = appendI32(dst, int32(len(b.Columns)))
	dst = append(dst, 0, 0, 0, 0x80) // types of columns follow
	dst = appendI64(dst, 0)
	for _, c := range b.Columns {
		dst = appendI32(append(dst, byte(c.Type)), c.stored)
	}
	for _, c := range b.Columns {
		dst = appendI32(dst, int32(len(c.Data)))
	}
	for _, c := range b.Columns {
		dst = append(append(dst, c.Index...), c.Data...)
	}
	dst = append(dst, 0)
	binary.LittleEndian.PutUint32(dst[at+4:], uint32(len(dst)-at))
	return dst
}

// Sizes of a field of write_raw_block_with_fields: the C struct's.
const (
	fieldName = 65
	fieldSize = 72
)

// AppendFields appends the block's columns as write_raw_block_with_fields takes
// them: 72 bytes each. A name is at most 64 bytes long.
func (b *Block) AppendFields(dst []byte) []byte {
	for _, c := range b.Columns {
		var f [fieldSize]byte
		copy(f[:fieldName-1], c.Name)
		f[fieldName] = byte(c.Type)
		binary.LittleEndian.PutUint32(f[fieldSize-4:], uint32(c.Bytes))
		dst = append(dst, f[:]...)
	}
	return dst
}

// AppendWrite appends what follows the 24-byte head of a frame of /ws action 5:
// the rows of one table, with their columns' names.
func (b *Block) AppendWrite(dst []byte) []byte {
	dst = appendI32(dst, int32(b.Rows))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(b.Table)))
	dst = append(dst, b.Table...)
	return b.AppendFields(b.AppendBlock(dst))
}

// EncodeRows builds a message of rows: core.RawData, or core.RawMetadata if
// there are tables to create with them. It is written as any raw message, at
// once for all its tables.
func EncodeRows(blocks []Block, create []NewTable) (core.RawType, []byte) {
	const log, offsetSize = 0x11, 9
	dst := appendI32([]byte{dataVersion}, 2*offsetSize)
	for range 2 {
		dst = appendI64(append(dst, log), 0)
	}
	dst = appendI32(dst, int32(len(blocks)))
	if len(blocks) > 0 {
		dst = append(dst, 1, 1) // with names and columns
	}
	for i := range blocks {
		b := &blocks[i]
		body := binary.LittleEndian.AppendUint64(nil, 1)
		body = binary.BigEndian.AppendUint64(body, uint64(b.Rows))
		body = append(body, 0, precisionCode(b.Precision))
		dst = appendBlob(dst, b.AppendBlock(body))
		cols := make([]Column, len(b.Columns))
		for j, c := range b.Columns {
			cols[j] = c.Column
		}
		dst = appendCStr(appendSchema(dst, cols, 0), b.Table)
	}
	if len(create) == 0 {
		return core.RawData, appendI64(dst, 0)
	}
	dst = appendI32(dst, int32(len(create)))
	for _, t := range create {
		rec := append(appendI32(nil, int32(len(t.Record))), t.Record...)
		dst = appendBlob(dst, rec)
	}
	return core.RawMetadata, dst
}
