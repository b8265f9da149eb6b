package embedded

import (
	"encoding/binary"
	"slices"
	"time"
)

// Metas as they travel: a head of eight bytes (the length of the whole, the
// vgroup's id), then, but for deletes, the length of what follows and that.

func metaPayload(vg *vgroup, body []byte) []byte {
	e := encoder{make([]byte, 0, 12+len(body))}
	e.i32(int32(12 + len(body)))
	e.i32(vg.id)
	e.i32(int32(len(body)))
	e.raw(body)
	return e.b
}

// metaBody is the other way round.
func metaBody(payload []byte) *decoder {
	d := &decoder{b: payload}
	d.i64()
	return d.sized()
}

func leInt64(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) }

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

const markByte = 1 // the source byte of requests that the raw writer made

// encodeStable is the payload of create (alter nil) and alter super table.
func (n *Node) encodeStable(vg *vgroup, st *stable, alter []byte, marked bool) []byte {
	e := encoder{}
	e.name(st.name)
	e.i64(st.uid)
	e.u8(0) // roll-up
	appendSchema(&e, st.cols, st.colVer)
	appendSchema(&e, st.tags, st.tagVer)
	e.i32(int32(len(alter)))
	if len(alter) > 0 {
		e.binary(alter)
	}
	e.u8(flag(marked) * markByte)
	e.u8(1) // compression follows
	appendCompression(&e, st.cols, st.colVer)
	if n.version.newLayout() {
		e.i64(-1) // keep
		ext := st.ext || slices.ContainsFunc(st.cols, func(c column) bool { return c.typ.decimal() })
		e.u8(flag(ext))
		if ext {
			for _, c := range st.cols {
				e.zigzag(int64(c.typeMod()))
			}
		}
		e.u8(0) // not virtual
	}
	return metaPayload(vg, e.b)
}

func appendCompression(e *encoder, cols []column, ver int32) {
	e.zigzag(int64(len(cols)))
	e.zigzag(int64(ver))
	for _, c := range cols {
		e.zigzag(int64(c.id))
		e.i32(int32(typeInfos[c.typ].algo))
	}
}

func skipCompression(d *decoder) {
	n := d.count()
	d.zigzag()
	for range n {
		d.zigzag()
		d.i32()
	}
}

// stableMeta is what a payload says of a super table.
type stableMeta struct {
	name  string
	uid   int64
	alter []byte
	schema
}

func decodeStable(payload []byte) (*stableMeta, error) {
	d := metaBody(payload)
	m := &stableMeta{name: d.name(), uid: d.i64()}
	d.u8()
	m.cols, m.colVer = decodeSchema(d)
	m.tags, m.tagVer = decodeSchema(d)
	if d.i32() > 0 {
		m.alter = d.binary()
	}
	d.u8()
	if d.u8() == 1 {
		skipCompression(d)
	}
	if d.err == nil && len(d.b) > 0 { // type modifiers, where the version has them
		d.i64()
		if m.ext = d.u8() == 1; m.ext {
			for i := range m.cols {
				m.cols[i].setTypeMod(int32(d.zigzag()))
			}
		}
	}
	return m, d.err
}

// alterStatement is the statement that alters a super table, as it is logged
// beside the new schema: what the real server calls the original request.
func (n *Node) alterStatement(db, name string, action uint8, fields []column, sql string) []byte {
	e := encoder{}
	e.sized(func() {
		e.name("1." + db + "." + name)
		e.u8(action)
		e.i32(int32(len(fields)))
		for _, c := range fields {
			e.u8(uint8(c.typ))
			e.i32(int32(c.bytes))
			e.name(c.name)
		}
		if n.version.newLayout() {
			e.zeros(8)
		}
		e.zeros(8)
		e.i32(int32(len(sql)))
		e.binary([]byte(sql))
		if n.version.newLayout() && action == alterAddColumn {
			e.u8(1)
			e.i32(fields[0].typeMod())
		}
	})
	return e.b
}

func encodeDropStable(vg *vgroup, st *stable) []byte {
	e := encoder{}
	e.name(st.name)
	e.i64(st.uid)
	return metaPayload(vg, e.b)
}

// encodeCreateTable is one request to create a table, as create-table batches
// and metadata messages carry it.
func (n *Node) encodeCreateTable(t *table) []byte {
	e := encoder{}
	e.sized(func() {
		e.zigzag(0) // flags
		e.name(t.name)
		e.i64(t.uid)
		e.i64(t.created.UnixMilli())
		e.i32(0) // ttl
		e.u8(map[bool]uint8{true: 2, false: 3}[t.super != nil])
		e.i32(-1) // no comment
		if t.super != nil {
			e.name(t.super.name)
			e.u8(uint8(len(t.super.tags)))
			e.i64(t.super.uid)
			cells := make([][]byte, len(t.super.tags))
			for i, c := range t.super.tags {
				cells[i] = t.tags[c.id]
			}
			e.binary(encodeTags(t.super.tags, cells, 1))
			names := t.namesOfTags()
			e.i32(int32(len(names)))
			for _, name := range names {
				e.name(name)
			}
		} else {
			appendSchema(&e, t.own.cols, t.own.colVer)
		}
		e.i32(0) // no statement
		if t.super == nil {
			appendCompression(&e, t.own.cols, 0)
		}
		if n.version.newLayout() {
			n.appendTableExt(&e, t)
		}
	})
	return e.b
}

// namesOfTags are those that have a value, in the order of the statement.
func (t *table) namesOfTags() (names []string) {
	add := func(c column) {
		if t.tags[c.id] != nil {
			names = append(names, c.name)
		}
	}
	if t.named == nil {
		for _, c := range t.super.tags {
			add(c)
		}
		return names
	}
	for _, name := range t.named {
		add(t.super.tags[indexOf(t.super.tags, name)])
	}
	return names
}

func (n *Node) appendTableExt(e *encoder, t *table) {
	ext := t.own != nil && slices.ContainsFunc(t.own.cols, func(c column) bool { return c.typ.decimal() })
	e.u8(flag(ext))
	if ext {
		for _, c := range t.own.cols {
			e.zigzag(int64(c.typeMod()))
		}
	}
}

// encodeCreateBatch is the payload of create table.
func encodeCreateBatch(vg *vgroup, requests [][]byte, marked bool) []byte {
	e := encoder{}
	e.zigzag(int64(len(requests)))
	for _, r := range requests {
		e.raw(r)
	}
	e.u8(flag(marked) * markByte)
	return metaPayload(vg, e.b)
}

// tableMeta is what a payload says of a table to be created.
type tableMeta struct {
	name  string
	super string // of a child
	tags  map[int16][]byte
	ids   []int16  // of the tags, in the order of the values; none of a JSON tag
	names []string // of the tags that have values
	schema
}

func decodeCreateTable(d *decoder) (*tableMeta, error) {
	m := &tableMeta{}
	d = d.sized()
	d.zigzag()
	m.name = d.name()
	d.i64()
	d.i64()
	d.i32()
	kind := d.u8()
	if d.i32() > 0 {
		d.name() // comment
	}
	if kind == 2 {
		m.super = d.name()
		d.u8()
		d.i64()
		raw := d.binary()
		n := d.i32()
		for i := int32(0); i < n && d.err == nil; i++ {
			m.names = append(m.names, d.name())
		}
		if d.err != nil {
			return nil, d.err
		}
		var err error
		m.tags, m.ids, err = decodeTags(raw)
		return m, err
	}
	m.cols, m.colVer = decodeSchema(d)
	d.take(int(d.i32()))
	skipCompression(d)
	if d.err == nil && len(d.b) > 0 && d.u8() == 1 {
		for i := range m.cols {
			m.cols[i].setTypeMod(int32(d.zigzag()))
		}
	}
	return m, d.err
}

// encodeDropTable is the payload of drop table; it tells the uid that the table
// had here on servers that do.
func (n *Node) encodeDropTable(t *table, quiet bool) []byte {
	e := encoder{}
	e.zigzag(1)
	e.sized(func() {
		e.name(t.name)
		if t.super != nil {
			e.i64(t.super.uid)
		} else {
			e.i64(0)
		}
		if n.version.newLayout() {
			e.i64(t.uid)
		}
		e.u8(flag(quiet))
		if n.version.newLayout() {
			e.u8(0) // not virtual
		}
	})
	return metaPayload(t.vg, e.b)
}

// decodeDropTable returns the names of the tables to be dropped. With uids it fails
// where these are missing.
func decodeDropTable(payload []byte, uids bool) ([]string, error) {
	d := metaBody(payload)
	var names []string
	for range d.count() {
		t := d.sized()
		names = append(names, t.name())
		if t.i64(); uids { // behind the super table's
			t.i64()
		}
		if t.err != nil {
			return nil, failure(codeInvalidPara, "Invalid parameters")
		}
	}
	return names, d.err
}

// The actions of alter table and alter super table.
const (
	alterAddTag       = 1
	alterDropTag      = 2
	alterRenameTag    = 3
	alterSetTag       = 4
	alterAddColumn    = 5
	alterDropColumn   = 6
	alterColumnLength = 7
	alterTagLength    = 8
	alterRenameColumn = 10
	alterSetTags      = 15
)

// alteration is a change of one table: a normal one's columns or a child's
// tags.
type alteration struct {
	table  string
	action uint8
	col    column // which, and for a new or longer one what it becomes
	rename string
	tags   []tagChange
}

type tagChange struct {
	col  column
	cell []byte // nil is NULL
}

func (n *Node) encodeAlter(vg *vgroup, a alteration, marked bool) []byte {
	e := encoder{}
	e.name(a.table)
	e.u8(a.action)
	e.i32(int32(a.col.id))
	switch a.action {
	case alterAddColumn:
		e.name(a.col.name)
		e.u8(uint8(a.col.typ))
		e.u8(a.col.columnFlags())
		e.zigzag(int64(a.col.bytes))
	case alterDropColumn:
		e.name(a.col.name)
	case alterColumnLength:
		e.name(a.col.name)
		e.u8(uint8(a.col.typ))
		e.zigzag(int64(a.col.bytes))
	case alterRenameColumn:
		e.name(a.col.name)
		e.name(a.rename)
	case alterSetTag:
		appendTagChange(&e, a.tags[0])
	case alterSetTags:
		e.zigzag(int64(len(a.tags)))
		for _, t := range a.tags {
			e.zigzag(int64(t.col.id))
			appendTagChange(&e, t)
		}
	}
	e.i64(time.Now().UnixMilli())
	e.u8(flag(marked) * markByte)
	if n.version.newLayout() && a.action == alterAddColumn {
		e.i32(a.col.typeMod())
	}
	return metaPayload(vg, e.b)
}

func appendTagChange(e *encoder, t tagChange) {
	e.name(t.col.name)
	e.u8(flag(t.cell == nil))
	e.u8(uint8(t.col.typ))
	if t.cell != nil {
		e.binary(t.cell)
	}
}

func decodeAlter(payload []byte) (*alteration, error) {
	d := metaBody(payload)
	a := &alteration{table: d.name(), action: d.u8()}
	a.col.id = int16(d.i32())
	switch a.action {
	case alterAddColumn:
		a.col.name = d.name()
		a.col.typ, a.col.flags = typeID(d.u8()), d.u8()
		a.col.bytes = int(d.zigzag())
		d.i64()
		d.u8()
		if d.err == nil && len(d.b) >= 4 {
			a.col.setTypeMod(d.i32())
		}
	case alterDropColumn:
		a.col.name = d.name()
	case alterColumnLength:
		a.col.name = d.name()
		a.col.typ = typeID(d.u8())
		a.col.bytes = int(d.zigzag())
	case alterRenameColumn:
		a.col.name = d.name()
		a.rename = d.name()
	case alterSetTag:
		a.tags = []tagChange{decodeTagChange(d)}
	case alterSetTags:
		for range d.count() {
			d.zigzag()
			a.tags = append(a.tags, decodeTagChange(d))
		}
	}
	return a, d.err
}

func decodeTagChange(d *decoder) tagChange {
	t := tagChange{}
	t.col.name = d.name()
	null := d.u8() != 0
	t.col.typ = typeID(d.u8())
	if !null {
		t.cell = d.binary()
	}
	return t
}

// deletion is the payload of a delete.
type deletion struct {
	suid     int64
	uids     []int64
	from, to int64
	rows     int
	table    string // as written in the statement
	tsName   string
	marked   bool
}

func encodeDelete(vg *vgroup, del deletion) []byte {
	e := encoder{}
	e.i32(0)
	e.i32(vg.id)
	e.i64(del.suid)
	e.zigzag(int64(len(del.uids)))
	for _, u := range del.uids {
		e.i64(u)
	}
	e.i64(del.from)
	e.i64(del.to)
	e.zigzag(int64(del.rows))
	e.name(del.table)
	e.name(del.tsName)
	e.i64(time.Now().UnixMilli())
	e.u8(flag(del.marked) * markByte)
	e.setI32(0, len(e.b))
	return e.b
}

func decodeDelete(payload []byte) (*deletion, error) {
	d := &decoder{b: payload}
	d.i64()
	del := &deletion{suid: d.i64()}
	for range d.count() {
		del.uids = append(del.uids, d.i64())
	}
	del.from, del.to = d.i64(), d.i64()
	del.rows = int(d.zigzag())
	del.table, del.tsName = d.name(), d.name()
	return del, d.err
}
