package raw

import (
	"encoding/binary"
	"fmt"
)

// DecodeQuery decodes a block of a query's result, as /ws hands it out. It holds
// neither names nor a precision: those of the query are given. The result shares
// memory with block. An error wraps ErrMalformed.
func DecodeQuery(block []byte, names []string, precision string) (Block, error) {
	head := make([]byte, replyHead, replyHead+len(block))
	head[replyHead-1] = precisionCode(precision)
	h, err := decodeHead(append(head, block...))
	if err != nil {
		return Block{}, fmt.Errorf("decode a result: %w", err)
	}
	h.big = false // the client library turns these round whatever the version says
	b, err := h.columns()
	if err != nil {
		return Block{}, fmt.Errorf("decode a result: %w", err)
	}
	if len(names) != len(b.Columns) {
		return Block{}, fmt.Errorf("decode a result: %w: %d names for %d columns", ErrMalformed, len(names), len(b.Columns))
	}
	for i := range b.Columns {
		// Nobody looks at the ids of rows that are written by name.
		b.Columns[i].Name, b.Columns[i].ID, b.Columns[i].Flags = names[i], int16(i+1), 1
	}
	return b, nil
}

// Value returns a row's value as it is encoded, without the length in front of
// it, and false for NULL. It shares memory with the block.
func (c *ColumnData) Value(row int) ([]byte, bool) { return c.value(row) }

// Pick returns the given rows as a block of their own.
func (b *Block) Pick(rows []int) Block {
	out := b.like(len(rows))
	for i := range b.Columns {
		for n, row := range rows {
			out.Columns[i].append(n, &b.Columns[i], row)
		}
	}
	return out
}

// Join makes one block of those of one result, of which there is at least one.
func Join(blocks []Block) Block {
	if len(blocks) == 1 {
		return blocks[0]
	}
	total := 0
	for i := range blocks {
		total += blocks[i].Rows
	}
	out := blocks[0].like(total)
	n := 0
	for _, b := range blocks {
		for i := range out.Columns {
			for row := range b.Rows {
				out.Columns[i].append(n+row, &b.Columns[i], row)
			}
		}
		n += b.Rows
	}
	return out
}

// like is a block with the same columns and room for rows.
func (b *Block) like(rows int) Block {
	out := Block{Table: b.Table, Rows: rows, Precision: b.Precision, Columns: make([]ColumnData, len(b.Columns))}
	for i, c := range b.Columns {
		out.Columns[i] = ColumnData{Column: c.Column, stored: c.stored}
		if !c.Type.variable() {
			out.Columns[i].Index = make([]byte, (rows+7)/8)
			out.Columns[i].Data = make([]byte, 0, c.Type.width()*rows)
		}
	}
	return out
}

// append appends a value of another column as the n-th.
func (c *ColumnData) append(n int, from *ColumnData, row int) {
	v, ok := from.value(row)
	if !c.Type.variable() {
		if !ok {
			c.Index[n/8] |= 0x80 >> (n % 8)
			v = make([]byte, c.Type.width())
		}
		c.Data = append(c.Data, v...)
		return
	}
	if !ok {
		c.Index = appendI32(c.Index, -1)
		return
	}
	c.Index = appendI32(c.Index, int32(len(c.Data)))
	if c.Type.prefix() == 4 {
		c.Data = appendI32(c.Data, int32(len(v)))
	} else {
		c.Data = binary.LittleEndian.AppendUint16(c.Data, uint16(len(v)))
	}
	c.Data = append(c.Data, v...)
}
