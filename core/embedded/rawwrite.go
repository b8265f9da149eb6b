package embedded

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// The raw writer, with what the real one gets wrong.

// writeRaw applies one message.
func (s *session) writeRaw(kind uint16, payload []byte) error {
	if kind == kindCreateSTB || kind == kindAlterSTB {
		return s.rawStable(payload)
	}
	if kind == kindBatchMeta {
		metas, err := decodeBatchMeta(payload)
		if err != nil {
			return errInvalidPara
		}
		for _, m := range metas { // what was applied before an error stays
			if err := s.writeRaw(m.kind, m.payload); err != nil {
				return err
			}
		}
		return nil
	}
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	db, err := s.rawTarget()
	if err != nil {
		return err
	}
	switch kind {
	case kindSubmit, kindMetadata, kindRawRows:
		err = s.rawData(db, kind, payload)
	case kindCreateTable:
		err = s.rawCreateTables(db, payload)
	case kindAlterTable:
		err = s.rawAlterTable(db, payload)
	case kindDropTable:
		err = s.rawDropTables(db, payload)
	case kindDropSTB:
		err = s.rawDropStable(db, payload)
	case kindDelete:
		err = s.rawDelete(db, payload)
	default:
		return errInvalidPara
	}
	if err == errShortPayload {
		return errInvalidPara
	}
	return err
}

// rawTarget is the current database, if it may be written to.
func (s *session) rawTarget() (*database, error) {
	if s.n.serverDown {
		return nil, errUnreachable
	}
	return s.writable("")
}

// ddlTime is how long creating or altering a super table takes: long enough
// for two at once to get into each other's way.
const ddlTime = 2 * time.Millisecond

// rawStable creates or alters a super table. One that has another uid than
// replication would have given it is left as it is, and success is reported.
func (s *session) rawStable(payload []byte) error {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	db, err := s.rawTarget()
	if err != nil {
		return err
	}
	m, err := decodeStable(payload)
	if err != nil {
		return errInvalidPara
	}
	if needed, err := stableNeeded(db, m); !needed {
		return err
	}
	key := db.name + "." + m.name
	if s.n.ddl[key] {
		return failure(codeConflict, "Conflict transaction not completed")
	}
	s.n.ddl[key] = true
	s.n.mu.Unlock()
	time.Sleep(ddlTime)
	s.n.mu.Lock()
	delete(s.n.ddl, key)
	if db, err = s.rawTarget(); err != nil {
		return err
	}
	if needed, err := stableNeeded(db, m); !needed {
		return err
	}
	if st := db.stables[m.name]; st != nil {
		m.nextID = st.nextID
		m.renumber(m.cols, st.cols)
		m.renumber(m.tags, st.tags)
		db.changeStable(st, m.schema, m.alter, true)
		return nil
	}
	m.renumber(m.cols, m.cols)
	m.renumber(m.tags, m.tags)
	db.addStable(m.name, sinkUID(m.uid, db.name), m.schema, true)
	return nil
}

// renumber gives columns the ids that those of the same names have here, and
// new ids to the others: a tag that was renamed counts as new, so that its
// values are lost.
func (m *stableMeta) renumber(cols, here []column) {
	for i := range cols {
		if j := indexOf(here, cols[i].name); j >= 0 {
			cols[i].id = here[j].id
			m.nextID = max(m.nextID, cols[i].id)
			continue
		}
		m.nextID++
		cols[i].id = m.nextID
	}
}

// stableNeeded decides as the real mnode does what a create or alter comes to.
func stableNeeded(db *database, m *stableMeta) (bool, error) {
	st := db.stables[m.name]
	switch {
	case st == nil:
		return m.colVer == 1 && m.tagVer == 1, nil // else it counts as dropped already
	case st.uid != sinkUID(m.uid, db.name):
		return false, nil
	case m.colVer <= st.colVer && m.tagVer <= st.tagVer:
		return false, nil
	case m.colVer == st.colVer+1 || m.tagVer == st.tagVer+1 || st.colVer == 1 || st.tagVer == 1:
		return true, nil
	default:
		return false, failure(codeSchemaVersion, "Invalid schema version while alter stb")
	}
}

func (s *session) rawCreateTables(db *database, payload []byte) error {
	d := metaBody(payload)
	var made []*table
	for range d.count() {
		m, err := decodeCreateTable(d)
		if err != nil {
			return err
		}
		if t := s.rawTable(db, m); t != nil {
			made = append(made, t)
		}
	}
	if d.err != nil {
		return d.err
	}
	s.logCreated(made)
	return nil
}

// rawTable creates a table unless one of that name exists; a child whose super
// table is missing is skipped in silence.
func (s *session) rawTable(db *database, m *tableMeta) *table {
	if db.tables[m.name] != nil || db.stables[m.name] != nil {
		return nil
	}
	if m.super == "" {
		sch := m.schema
		for _, c := range sch.cols {
			sch.nextID = max(sch.nextID, c.id)
		}
		return db.newTable(m.name, nil, &sch, nil)
	}
	st := db.stables[m.super]
	if st == nil {
		return nil
	}
	return db.newTable(m.name, st, nil, m.tagsFor(st))
}

// tagsFor gives the tags of a child the ids that they have in this super table.
// A JSON tag travels without an id; others are matched by name unless some are
// NULL, for then the names cannot be told apart.
func (m *tableMeta) tagsFor(st *stable) map[int16][]byte {
	if text, ok := m.tags[0]; ok && len(st.tags) == 1 {
		return map[int16][]byte{st.tags[0].id: text}
	}
	if len(m.names) != len(m.tags) {
		return m.tags
	}
	ids := slices.Sorted(maps.Keys(m.tags))
	tags := map[int16][]byte{}
	for i, name := range m.names {
		if j := indexOf(st.tags, name); j >= 0 {
			tags[st.tags[j].id] = m.tags[ids[i]]
		}
	}
	return tags
}

func (s *session) rawAlterTable(db *database, payload []byte) error {
	a, err := decodeAlter(payload)
	if err != nil {
		return err
	}
	t := db.tables[a.table]
	if t == nil {
		return nil
	}
	switch a.action {
	case alterSetTag, alterSetTags, alterAddColumn, alterDropColumn, alterColumnLength, alterRenameColumn:
		return db.applyAlteration(t, *a, true)
	default:
		return nil // options are not replicated
	}
}

func (s *session) rawDropTables(db *database, payload []byte) error {
	names, err := decodeDropTable(payload)
	if err != nil {
		return err
	}
	for _, name := range names {
		if t := db.tables[name]; t != nil {
			db.dropTable(t, true)
		}
	}
	return nil
}

func (s *session) rawDropStable(db *database, payload []byte) error {
	d := metaBody(payload)
	name := d.name()
	if d.err != nil {
		return d.err
	}
	if st := db.stables[name]; st != nil {
		db.dropStable(st)
	}
	return nil
}

// rawDelete deletes a range by the name that the statement had: the tables it
// chose by their tags are forgotten, and so is that it may have chosen none.
func (s *session) rawDelete(db *database, payload []byte) error {
	d, err := decodeDelete(payload)
	if err != nil {
		return err
	}
	tables, _, err := db.tablesOf(d.table)
	if err != nil {
		return nil
	}
	st := db.stables[d.table]
	d.marked, d.suid = true, 0
	if st != nil {
		d.suid = st.uid
	} else if tables[0].super != nil {
		d.suid = tables[0].super.uid
	}
	db.remove(*d, tables, st != nil)
	return nil
}

// rawData writes the rows of a data or metadata message. Every block is looked
// at before the first is written, so that an error leaves nothing behind.
func (s *session) rawData(db *database, kind uint16, payload []byte) error {
	stored := kind == kindRawRows
	if stored {
		kind = kindSubmit
	}
	m, err := decodeDataMessage(kind, payload)
	if err != nil {
		return err
	}
	coming := map[string]*stable{}
	for _, c := range m.creates {
		coming[c.name] = db.stables[c.super]
	}
	var plans []blockPlan
	for _, b := range m.blocks {
		plan := blockPlan{rawTableBlock: b, stored: stored}
		switch t, st := db.tables[b.table], coming[b.table]; {
		case t != nil:
			err = s.plan(&plan, t.schema())
		case st != nil:
			err = s.plan(&plan, &st.schema)
		case s.n.version.skipsMissing(), !stored && s.believes(b.table):
			continue
		default:
			err = errTableMissing
		}
		if err == nil && plan.rows > 0 && plan.oldest < db.oldest() {
			err = errTooOld
		}
		if err != nil {
			return err
		}
		plans = append(plans, plan)
	}
	var set submitSet
	for _, c := range m.creates {
		// A writer looks up the request for a block's table: one that comes
		// without rows is not carried out.
		if !slices.ContainsFunc(m.blocks, func(b rawTableBlock) bool { return b.table == c.name }) {
			continue
		}
		if t := s.rawTable(db, c); t != nil {
			en := set.entry(t.vg)
			en.creates = append(en.creates, s.n.encodeCreateTable(t))
		}
	}
	for _, p := range plans {
		if t := db.tables[p.table]; s.reaches(t) {
			p.write(&set, t)
		}
	}
	set.log(true)
	return nil
}

// blockPlan is a block whose columns have been matched with a table's.
type blockPlan struct {
	rawTableBlock
	cols      []column
	cells     []blockColumn
	oldest    int64
	ascending bool
	stored    bool // the rows came as they are stored: by column id, and unchecked
}

// plan matches a block with a schema and checks what can be checked.
func (s *session) plan(p *blockPlan, own *schema) (err error) {
	if p.stored {
		p.cols, p.cells, p.encoded = matchIDs(own.cols, p.block), p.block.cells, nil
		p.oldest, p.ascending = timesOf(&p.cells[0], p.rows)
		return nil
	}
	if p.cols, p.cells, err = s.match(p.table, own.cols, p.block); err != nil || p.rows == 0 {
		return err
	}
	if err = checkCells(p.table, p.cols, p.cells, p.rows); err == nil {
		p.oldest, p.ascending = timesOf(&p.cells[0], p.rows)
	}
	return err
}

// write stores a block that has been planned.
func (p *blockPlan) write(set *submitSet, t *table) {
	if p.rows == 0 {
		return
	}
	whole := len(p.cols) == len(p.block.cols) && p.encoded != nil
	appends := p.ascending && (len(t.rows.ts) == 0 || p.oldest > t.rows.ts[len(t.rows.ts)-1])
	var rows [][][]byte
	if !whole || !appends {
		rows = cellRows(p.cells, p.rows)
	}
	if appends {
		t.rows.appendBlock(p.cols, p.cells, p.rows)
	} else {
		t.rows.upsert(p.cols, rows)
	}
	en := set.entry(t.vg)
	if whole {
		en.data = append(en.data, p.encoded...)
	} else {
		en.data = appendTableBlock(en.data, t.vg.db.prec, t.name, p.cols, rows)
	}
	en.blocks++
	en.rows += p.rows
}

// checkCells refuses rows without a time, and values longer than the column.
func checkCells(table string, cols []column, cells []blockColumn, rows int) error {
	for r := range rows {
		if cells[0].cell(r) == nil {
			return columnError(table, "primary timestamp is null")
		}
	}
	for i, c := range cols {
		if !c.typ.variable() || c.typ == typeBlob {
			continue
		}
		for r := range rows {
			if len(cells[i].cell(r)) > c.bytes-2 {
				return columnError(table, "column data bytes exceeds max limit, name:"+c.name)
			}
		}
	}
	return nil
}

// timesOf returns the oldest of a block's times, and whether they ascend.
func timesOf(c *blockColumn, rows int) (oldest int64, ascending bool) {
	oldest, ascending = leInt64(c.data), true
	last := oldest
	for r := 1; r < rows; r++ {
		ts := leInt64(c.data[r*8:])
		ascending = ascending && ts > last
		oldest, last = min(oldest, ts), ts
	}
	return oldest, ascending
}

// cellRows gives a block's cells row by row.
func cellRows(cells []blockColumn, n int) [][][]byte {
	rows := make([][][]byte, n)
	values := make([][]byte, n*len(cells))
	for r := range rows {
		row := values[r*len(cells) : (r+1)*len(cells) : (r+1)*len(cells)]
		for i := range cells {
			row[i] = cells[i].cell(r)
		}
		rows[r] = row
	}
	return rows
}

func columnError(table, text string) error {
	return failure(codeInvalidPara, "Invalid parameters,detail:table:%s, err:%s", table, text)
}

// match finds for each of the block's columns the table's of that name. The
// cursor over the block's types and data moves only on a match, as in the real
// writer: past a column that the table lacks, the next ones meet the wrong
// data, and one at the end is lost in silence.
func (s *session) match(table string, own []column, b *block) ([]column, []blockColumn, error) {
	if !s.n.version.newLayout() && len(b.cols) > len(own) {
		return nil, nil, failure(codeInvalidPara, "Invalid parameters,detail:table:%s, err:numFields:%d bigger than num of bound cols:%d", table, len(b.cols), len(own))
	}
	var cols []column
	var cells []blockColumn
	for _, c := range b.cols {
		i := indexOf(own, c.name)
		if i < 0 {
			continue
		}
		data := b.cols[len(cols)]
		if data.typ != own[i].typ {
			return nil, nil, columnError(table, "column type not equal, name:"+c.name+", schema type:"+typeInfos[own[i].typ].name+", data type:"+typeInfos[data.typ].name)
		}
		if data.typ.variable() && data.typ != typeBlob && data.bytes > own[i].bytes {
			name := typeInfos[data.typ].name
			return nil, nil, columnError(table, fmt.Sprintf("column var data bytes error, name:%s, schema type:%s, bytes:%d, data type:%s, bytes:%d", c.name, name, own[i].bytes, name, data.bytes))
		}
		cols = append(cols, own[i])
		cells = append(cells, b.cells[len(cells)])
	}
	if len(cols) == 0 || cols[0].id != 1 {
		return nil, nil, columnError(table, "primary timestamp column missing")
	}
	return cols, cells, nil
}

// matchIDs takes the block's values for those of the columns that have their ids
// here, whatever these are called. One that there is none of is kept by nobody.
func matchIDs(own []column, b *block) []column {
	cols := make([]column, len(b.cols))
	for i, c := range b.cols {
		cols[i] = c
		for _, o := range own {
			if o.id == c.id {
				cols[i] = o
			}
		}
	}
	return cols
}

// writeRawBlock is write_raw_block, and with fields its form that names the
// block's columns. What they write carries the mark too.
func (s *session) writeRawBlock(frame []byte, fields bool) error {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	db, err := s.rawTarget()
	if err != nil {
		return err
	}
	d := &decoder{b: frame}
	rows := d.i32()
	name := string(d.take(int(uint16(d.i16()))))
	raw := d.b
	if d.err != nil || len(raw) < 28 {
		return errInvalidPara
	}
	b, err := decodeBlock(raw)
	if err != nil || int(rows) > b.rows || rows < 0 {
		return errInvalidPara
	}
	b.rows = int(rows)
	t := db.tables[name]
	if t == nil {
		return errTableMissing
	}
	if fields {
		d.take(blockLength(raw))
		for i := range b.cols {
			text, _, _ := bytes.Cut(d.take(65), []byte{0})
			b.cols[i].name = strings.ToLower(string(text))
			if t.schema() != nil && indexOf(t.schema().cols, string(text)) >= 0 {
				b.cols[i].name = string(text)
			}
			d.take(7)
		}
		if d.err != nil {
			return errInvalidPara
		}
	} else {
		for i, c := range t.schema().cols {
			if i < len(b.cols) {
				b.cols[i].name = c.name
			}
		}
	}
	plan := blockPlan{rawTableBlock: rawTableBlock{table: name, block: b}}
	if err := s.plan(&plan, t.schema()); err != nil {
		return err
	}
	if plan.rows > 0 && plan.oldest < db.oldest() {
		return errTooOld
	}
	var set submitSet
	plan.write(&set, t)
	set.log(true)
	return nil
}

// blockLength is the number of bytes that a raw block says it has.
func blockLength(raw []byte) int {
	d := &decoder{b: raw}
	d.i32()
	n := d.i32()
	if n < 0 {
		return math.MaxInt
	}
	return int(n)
}
