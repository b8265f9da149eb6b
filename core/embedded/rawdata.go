package embedded

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Rows as the raw writer takes them.

// rawData writes the rows of a data or metadata message. Every block is looked
// at before the first is written, so that an error leaves nothing behind.
func (s *session) rawData(db *database, kind uint16, payload []byte) error {
	stored := kind == kindRawRows
	m, err := decodeDataMessage(kind, payload)
	if err != nil {
		return err
	}
	if s.n.version.misleads() {
		m.mislead()
	}
	if err := s.lookUp(db, m); err != nil {
		return err
	}
	coming, err := s.coming(db, m)
	if err != nil {
		return err
	}
	var plans []blockPlan
	for _, b := range m.blocks {
		plan := blockPlan{rawTableBlock: b, stored: stored}
		if there, err := s.planBlock(&plan, db, coming[b.table]); err != nil {
			return err
		} else if there {
			plans = append(plans, plan)
		}
	}
	var set submitSet
	for _, c := range m.creates {
		// A writer looks up the request for a block's table: one that comes
		// without rows is not carried out.
		if !slices.ContainsFunc(m.blocks, func(b rawTableBlock) bool { return b.table == c.name }) {
			continue
		}
		if t := s.rawTable(db, c, (*tableMeta).tagsAsTheyCome); t != nil {
			en := set.entry(t.vg)
			en.creates = append(en.creates, s.n.encodeCreateTable(t))
		}
	}
	for _, p := range plans {
		t := p.to
		if t == nil {
			t = db.tables[p.table]
		}
		p.write(&set, t)
	}
	set.log(true)
	return nil
}

// coming are the tables that a message asks to create, with their super tables.
func (s *session) coming(db *database, m *dataMessage) (map[string]*stable, error) {
	coming := map[string]*stable{}
	for _, c := range m.creates {
		_, known := s.recall().tables[c.name]
		rows := slices.ContainsFunc(m.blocks, func(b rawTableBlock) bool { return b.table == c.name })
		if known && rows && s.n.version.keepsTables() && db.tables[c.name] != nil {
			// The request then holds the source's id of the super table.
			return nil, failure(codeOtherSuper, "Table already exists in other stables")
		}
		coming[c.name] = db.stables[c.super]
	}
	return coming, nil
}

// planBlock plans a block whose table is there or is to be made in a super table.
// It returns false if the rows get nowhere.
func (s *session) planBlock(p *blockPlan, db *database, super *stable) (bool, error) {
	oldest := db.oldest()
	var err error
	switch t, cols := s.target(db, &p.rawTableBlock, super); {
	case t != nil:
		p.to, oldest = t, t.vg.db.oldest()
		err = s.plan(p, cols)
	case cols != nil && (!p.stored || db.tables[p.table] != nil):
		return false, nil
	case super != nil:
		err = s.plan(p, super.cols)
	case s.n.version.skipsMissing():
		return false, nil
	default:
		err = errTableMissing
	}
	if err == nil && p.rows > 0 && p.oldest < oldest {
		err = errTooOld
	}
	return true, err
}

// mislead does to rows what writers before 3.3.7 do: when a table that is to be
// created comes a second time, the request for it is left over, and the next table
// that is not to be created is taken for it.
func (m *dataMessage) mislead() {
	made, left := map[string]bool{}, ""
	for i := range m.blocks {
		b := &m.blocks[i]
		if slices.ContainsFunc(m.creates, func(c *tableMeta) bool { return c.name == b.table }) {
			if left = ""; made[b.table] {
				left = b.table
			}
			made[b.table] = true
		} else if left != "" {
			b.table = left
		}
	}
}

// blockPlan is a block whose columns have been matched with a table's.
type blockPlan struct {
	rawTableBlock
	cols      []column
	cells     []blockColumn
	oldest    int64
	ascending bool
	to        *table // nil: one that the message makes
	stored    bool   // the rows came as they are stored: by column id, and unchecked
}

// plan matches a block with columns and checks what can be checked.
func (s *session) plan(p *blockPlan, own []column) (err error) {
	if p.stored {
		p.cols, p.cells, p.encoded = matchIDs(own, p.block), p.block.cells, nil
		p.oldest, p.ascending = timesOf(&p.cells[0], p.rows)
		return nil
	}
	if p.cols, p.cells, err = s.match(p.table, own, p.block); err != nil || p.rows == 0 {
		return err
	}
	if err = checkCells(p.table, p.cols, p.cells, p.rows); err != nil {
		return err
	}
	p.oldest, p.ascending = timesOf(&p.cells[0], p.rows)
	return checkKeys(secondKey(own), p.cols, p.rows, func(r, c int) []byte { return p.cells[c].cell(r) })
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
	if err := s.plan(&plan, t.schema().cols); err != nil {
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
