package embedded

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"
)

// database is a database of the node.
type database struct {
	node    *Node
	name    string
	created time.Time
	prec    precision
	options map[string]string // of create database, by their names in upper case
	vgroups []*vgroup
	stables map[string]*stable
	tables  map[string]*table
}

// schema is the columns and tags of a super table, or the columns of a normal
// table.
type schema struct {
	cols   []column
	tags   []column
	colVer int32
	tagVer int32
	nextID int16
	ext    bool // columns have been added: the schema travels with type modifiers
}

// stable is a super table.
type stable struct {
	name    string
	uid     int64
	created time.Time
	updated time.Time
	schema
	children map[string]*table
}

// table is a child table, or, without a super table, a normal one.
type table struct {
	name    string
	uid     int64
	created time.Time
	vg      *vgroup
	super   *stable
	own     *schema          // of a normal table
	tags    map[int16][]byte // a child's cells by column id
	named   []string         // the tags that its creation named, in that order; nil: all
	rows    rowSet
}

func (t *table) schema() *schema {
	if t.super != nil {
		return &t.super.schema
	}
	return t.own
}

// clone copies a schema, so that a change can be refused half-way.
func (s schema) clone() schema {
	s.cols, s.tags = slices.Clone(s.cols), slices.Clone(s.tags)
	return s
}

func indexOf(cols []column, name string) int {
	return slices.IndexFunc(cols, func(c column) bool { return c.name == name })
}

// optionDefaults lists the options of a database in the order in which `show
// create database` prints them.
var optionDefaults = [...][2]string{
	{"BUFFER", "256"}, {"CACHESIZE", "1"}, {"CACHEMODEL", "'none'"}, {"COMP", "2"}, {"DURATION", "10d"},
	{"WAL_FSYNC_PERIOD", "3000"}, {"MAXROWS", "4096"}, {"MINROWS", "100"}, {"STT_TRIGGER", "2"},
	{"KEEP", "3650d,3650d,3650d"}, {"PAGES", "256"}, {"PAGESIZE", "4"}, {"PRECISION", "'ms'"},
	{"REPLICA", "1"}, {"WAL_LEVEL", "1"}, {"VGROUPS", "2"}, {"SINGLE_STABLE", "0"},
	{"TABLE_PREFIX", "0"}, {"TABLE_SUFFIX", "0"}, {"TSDB_PAGESIZE", "4"},
	{"WAL_RETENTION_PERIOD", "3600"}, {"WAL_RETENTION_SIZE", "0"}, {"KEEP_TIME_OFFSET", "0"},
	{"ENCRYPT_ALGORITHM", "'none'"}, {"SS_CHUNKPAGES", "131072"}, {"SS_KEEPLOCAL", "525600m"},
	{"SS_COMPACT", "1"}, {"COMPACT_INTERVAL", "0d"}, {"COMPACT_TIME_RANGE", "0d,0d"}, {"COMPACT_TIME_OFFSET", "0h"},
}

// otherOptions are accepted and forgotten: those of other versions.
var otherOptions = []string{"S3_CHUNKSIZE", "S3_CHUNKPAGES", "S3_KEEPLOCAL", "S3_COMPACT", "STRICT", "RETENTIONS", "SCHEMALESS", "WITH_ARBITRATOR", "DNODES"}

func (db *database) option(name string) string { return strings.Trim(db.options[name], "'") }

func (db *database) optionInt(name string) int64 {
	n, _ := strconv.ParseInt(db.option(name), 10, 64) // checked when it was set
	return n
}

func (db *database) walPeriod() int64 { return db.optionInt("WAL_RETENTION_PERIOD") }
func (db *database) walSizeKB() int64 { return db.optionInt("WAL_RETENTION_SIZE") }

// keep is the age beyond which rows are refused.
func (db *database) keep() time.Duration {
	first, _, _ := strings.Cut(db.option("KEEP"), ",")
	d, _ := parseDuration(first, 24*time.Hour)
	return d
}

// createSQL is what `show create database` tells.
func (db *database) createSQL() string {
	var b strings.Builder
	b.WriteString("CREATE DATABASE `" + db.name + "`")
	for _, o := range optionDefaults {
		b.WriteString(" " + o[0] + " " + db.options[o[0]])
	}
	return b.String()
}

func (n *Node) addDatabase(name string, options map[string]string) *database {
	db := &database{
		node: n, name: name, created: n.now(), options: map[string]string{},
		stables: map[string]*stable{}, tables: map[string]*table{},
	}
	for _, o := range optionDefaults {
		db.options[o[0]] = o[1]
	}
	for k, v := range options {
		db.options[k] = v
	}
	db.prec = precision(slices.Index(precisionNames[:], db.option("PRECISION")))
	count := db.optionInt("VGROUPS")
	for i := range count {
		vg := &vgroup{id: n.nextVgroup, db: db, from: uint32(i << 32 / count)}
		n.nextVgroup++
		db.vgroups = append(db.vgroups, vg)
		vg.append(entry{kind: kindNoop})
	}
	n.databases[name] = db
	return db
}

func (n *Node) nextUID() int64 {
	n.lastUID++
	return n.lastUID
}

// sinkUID is the uid that a super table gets when the raw writer creates it:
// the source's, shifted by a hash (MurmurHash3) of the name of the database here.
func sinkUID(suid int64, db string) int64 {
	h := uint32(0x12345678)
	scramble := func(k uint32) uint32 {
		k *= 0xcc9e2d51
		return (k<<15 | k>>17) * 0x1b873593
	}
	n := len(db) / 4 * 4
	for i := 0; i < n; i += 4 {
		h ^= scramble(binary.LittleEndian.Uint32([]byte(db[i : i+4])))
		h = (h<<13|h>>19)*5 + 0xe6546b64
	}
	rest := make([]byte, 4)
	copy(rest, db[n:])
	h ^= scramble(binary.LittleEndian.Uint32(rest))
	h ^= uint32(len(db))
	for _, m := range []struct{ shift, factor uint32 }{{16, 0x85ebca6b}, {13, 0xc2b2ae35}, {16, 1}} {
		h = (h ^ h>>m.shift) * m.factor
	}
	return suid + int64(h)
}

// addStable creates a super table and logs it in every vgroup.
func (db *database) addStable(name string, uid int64, s schema, marked bool) *stable {
	st := &stable{name: name, uid: uid, created: db.node.now(), schema: s, children: map[string]*table{}}
	st.updated = st.created
	db.stables[name] = st
	db.log(kindCreateSTB, marked, func(vg *vgroup) []byte { return db.node.encodeStable(vg, st, nil, marked) })
	return st
}

// changeStable gives a super table a new schema. alter is the statement that
// asks for it as it will be logged.
func (db *database) changeStable(st *stable, s schema, alter []byte, marked bool) {
	for _, old := range st.cols {
		if !slices.ContainsFunc(s.cols, func(c column) bool { return c.id == old.id }) {
			for _, t := range st.children {
				delete(t.rows.cols, old.id)
			}
		}
	}
	for _, old := range st.tags {
		if !slices.ContainsFunc(s.tags, func(c column) bool { return c.id == old.id }) {
			for _, t := range st.children {
				delete(t.tags, old.id)
			}
		}
	}
	st.schema, st.updated = s, db.node.now()
	db.log(kindAlterSTB, marked, func(vg *vgroup) []byte { return db.node.encodeStable(vg, st, alter, marked) })
}

// dropStable removes a super table with its children. Drops carry no mark.
func (db *database) dropStable(st *stable) {
	for name, t := range st.children {
		delete(db.tables, name)
		t.vg.tables--
	}
	delete(db.stables, st.name)
	db.log(kindDropSTB, false, func(vg *vgroup) []byte { return encodeDropStable(vg, st) })
}

// newTable makes a table in its vgroup; logging it is the caller's.
func (db *database) newTable(name string, super *stable, own *schema, tags map[int16][]byte) *table {
	t := &table{name: name, uid: db.node.nextUID(), created: db.node.now(), vg: db.vgroupOf(name), super: super, own: own, tags: tags}
	t.rows.second = secondKey(t.schema().cols)
	db.tables[name] = t
	if super != nil {
		super.children[name] = t
	}
	t.vg.tables++
	return t
}

// forget takes back a table that no log has told of.
func (db *database) forget(t *table) {
	delete(db.tables, t.name)
	if t.super != nil {
		delete(t.super.children, t.name)
	}
	t.vg.tables--
}

// dropTable removes a table. Drops carry no mark; quiet is what the raw writer
// asks for.
func (db *database) dropTable(t *table, quiet bool) {
	db.forget(t)
	t.vg.append(entry{kind: kindDropTable, data: db.node.encodeDropTable(t, quiet)})
}

// tablesOf returns the table of a name alone, or the children of the super
// table of that name sorted by theirs.
func (db *database) tablesOf(name string) ([]*table, *schema, error) {
	if t := db.tables[name]; t != nil {
		return []*table{t}, t.schema(), nil
	}
	st := db.stables[name]
	if st == nil {
		return nil, nil, errTableMissing
	}
	return sortedTables(st.children), &st.schema, nil
}

func sortedTables(m map[string]*table) []*table {
	all := make([]*table, 0, len(m))
	for _, t := range m {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *table) int { return strings.Compare(a.name, b.name) })
	return all
}

// remove deletes the rows of the given tables from d.from through d.to, and
// logs an entry in each vgroup concerned; for a statement on a super table that
// is every vgroup: one without a match names no table.
func (db *database) remove(d deletion, tables []*table, super bool) int {
	total := 0
	for _, vg := range db.vgroups {
		part := d
		part.uids, part.rows = nil, 0
		found := false
		for _, t := range tables {
			if t.vg != vg {
				continue
			}
			part.uids = append(part.uids, t.uid)
			lo, hi := t.rows.span(d.from, d.to)
			if lo == hi {
				continue
			}
			first, last := t.rows.ts[lo], t.rows.ts[hi-1]
			if found {
				first, last = min(first, part.from), max(last, part.to)
			}
			part.from, part.to, found = first, last, true
			part.rows += hi - lo
			t.rows.cut(lo, hi)
		}
		if len(part.uids) == 0 && !super {
			continue
		}
		total += part.rows
		vg.append(entry{kind: kindDelete, marked: d.marked, data: encodeDelete(vg, part)})
	}
	return total
}

// oldest is the time before which rows are refused.
func (db *database) oldest() int64 { return ticksOf(db.node.now().Add(-db.keep()), db.prec) }

// checkAge refuses rows older than the database keeps.
func (db *database) checkAge(rows [][][]byte) error {
	oldest := db.oldest()
	for _, row := range rows {
		if leInt64(row[0]) < oldest {
			return errTooOld
		}
	}
	return nil
}
