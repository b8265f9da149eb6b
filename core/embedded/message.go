package embedded

// Messages: what a poll finds and fetch_raw_data hands out.

// encodeDataMessage builds a data message (2), or a metadata message (4) if any
// submit creates tables, of the entries [from, to) of one vgroup.
func encodeDataMessage(from, to int64, entries []*entry) (kind uint16, payload []byte) {
	size, blocks := 0, 0
	var creates [][]byte
	for _, en := range entries {
		size += len(en.data)
		blocks += en.blocks
		creates = append(creates, en.creates...)
	}
	e := encoder{make([]byte, 0, size+64)}
	e.u8(100)
	e.i32(offsetsSize)
	e.offsets(from, to)
	e.i32(int32(blocks))
	if blocks > 0 {
		e.u8(1) // with table names
		e.u8(1) // with schemas
	}
	for _, en := range entries {
		e.raw(en.data)
	}
	if len(creates) == 0 {
		e.zeros(8)
		return kindSubmit, e.b
	}
	e.i32(int32(len(creates)))
	for _, c := range creates {
		e.binary(c)
	}
	return kindMetadata, e.b
}

const offsetsSize = 18

// offsets are where a message begins and ends in its WAL.
func (e *encoder) offsets(from, to int64) {
	for _, at := range []int64{from, to} {
		e.u8(0x11)
		e.i64(at)
	}
}

// encodeRawRows builds a message of raw rows (6). It has neither a version nor
// schemas; what stands for the rows of a table is our own, and nobody looks into it.
func encodeRawRows(from, to int64, entries []*entry) []byte {
	e, body, blocks := encoder{}, encoder{}, 0
	for _, en := range entries {
		for d := (&decoder{b: en.data}); len(d.b) > 0; blocks++ {
			before := d.b
			_, table, err := decodeTableBlock(d)
			if err != nil {
				panic(err) // the node encoded it
			}
			body.binary(before[:len(before)-len(d.b)])
			body.name(table)
		}
	}
	e.offsets(from, to)
	e.i32(int32(blocks))
	if blocks > 0 {
		e.u8(1) // with table names
		e.u8(0) // without schemas
	}
	e.raw(body.b)
	e.zeros(8)
	return e.b
}

// dataMessage is a message of rows taken apart.
type dataMessage struct {
	blocks  []rawTableBlock
	creates []*tableMeta
}

type rawTableBlock struct {
	table string
	*block
	encoded []byte // as it came
}

func decodeDataMessage(kind uint16, payload []byte) (*dataMessage, error) {
	d := &decoder{b: payload}
	switch {
	case kind == kindRawRows:
		d.take(offsetsSize)
	case d.u8() != 100:
		return nil, errInvalidPara
	default:
		d.take(int(d.i32()))
	}
	n := d.i32()
	if n > 0 {
		d.i16()
	}
	m := &dataMessage{}
	for i := int32(0); i < n && d.err == nil; i++ {
		b, err := d.rowsOfTable(kind)
		if err != nil {
			return nil, err
		}
		m.blocks = append(m.blocks, b)
	}
	if kind != kindMetadata || d.err != nil {
		return m, d.err
	}
	n = d.i32()
	for i := int32(0); i < n && d.err == nil; i++ {
		c, err := decodeCreateTable(&decoder{b: d.binary()})
		if err != nil {
			return nil, err
		}
		m.creates = append(m.creates, c)
	}
	return m, d.err
}

func (d *decoder) rowsOfTable(kind uint16) (rawTableBlock, error) {
	before := d.b
	if kind == kindRawRows {
		stored := d.binary()
		b, _, err := decodeTableBlock(&decoder{b: stored, err: d.err})
		return rawTableBlock{d.name(), b, stored}, err
	}
	b, table, err := decodeTableBlock(d)
	return rawTableBlock{table, b, before[:len(before)-len(d.b)]}, err
}

// batchMetaHead stands before each meta of a batch: offsets that are not set.
const batchMetaHead = 33

// encodeBatchMeta builds a batch-meta message (5).
func encodeBatchMeta(entries []*entry) []byte {
	e := encoder{}
	e.i32(int32(len(entries)))
	for _, en := range entries {
		item := encoder{}
		item.zeros(batchMetaHead)
		item.u8(0x10)
		item.i16(int16(en.kind))
		item.binary(en.data)
		e.binary(item.b)
	}
	return e.b
}

// rawMeta is one meta of a batch.
type rawMeta struct {
	kind    uint16
	payload []byte
}

func decodeBatchMeta(payload []byte) ([]rawMeta, error) {
	d := &decoder{b: payload}
	n := d.i32()
	var metas []rawMeta
	for i := int32(0); i < n && d.err == nil; i++ {
		item := &decoder{b: d.binary(), err: d.err}
		item.take(batchMetaHead)
		item.u8()
		metas = append(metas, rawMeta{uint16(item.i16()), item.binary()})
		if item.err != nil {
			return nil, item.err
		}
	}
	return metas, d.err
}
