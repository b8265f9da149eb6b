package raw

import (
	"fmt"
	"slices"

	"tdreplica/core"
)

// SuperTable is a super table as a create or alter carries it: whole.
type SuperTable struct {
	Name string
	SUID int64 // at the server that logged it
	// ColumnVersion and TagVersion grow by one with each change; 1 is a new
	// table. A sink applies an alter only at exactly one version more than its
	// own, and a create only at 1 and 1.
	ColumnVersion, TagVersion int32
	Columns, Tags             []Column
}

// Table is the description in a catalog's words, for comparison with what
// `describe` says.
func (s *SuperTable) Table() core.Table {
	t := AsTable(s.Name, s.Columns)
	for _, c := range s.Tags {
		d := c.Describe()
		d.Note = "TAG"
		t.Tags = append(t.Tags, d)
	}
	return t
}

// AsTable is a table of these columns in the words of a catalog.
func AsTable(name string, columns []Column) core.Table {
	t := core.Table{Name: name}
	for _, c := range columns {
		t.Columns = append(t.Columns, c.Describe())
	}
	return t
}

// NewTable is a request to create a child or a normal table.
type NewTable struct {
	Name string
	UID  int64 // at the server that logged it
	// Super is the super table of a child table and "" for a normal one. SUID
	// is its id at the server that logged it.
	Super string
	SUID  int64
	Tags  []Tag // a child's, in no particular order; those left out are NULL
	// TagNames are the tags that have a value, in the order of the statement.
	TagNames []string
	Columns  []Column // a normal table's
	TTL      int32    // days; 0 for ever
	Comment  string
	// Record is the request as it was encoded, without its length.
	Record []byte

	tagsAt, tagsEnd, namesAt int // where Tags and TagNames are in Record
}

// Table types in a request to create a table.
const (
	childTable         = 2
	normalTable        = 3
	virtualNormalTable = 8
	virtualChildTable  = 9
)

// Dropped names a table or a super table that is dropped.
type Dropped struct {
	Name string
	SUID int64 // of the super table; 0 for a normal table
	// UID is the table's at the server that logged the drop: it tells an echo
	// from a user's drop. 0 on servers that do not log it (3.3.3) and for super
	// tables.
	UID int64
	// IfExists tells that a missing table was no error: raw writing and `drop
	// table if exists` log it, a plain `drop table` does not.
	IfExists bool

	record    []byte // as it stands in the payload, with a uid in any case
	completed bool   // it had none
}

func (m *Meta) superTable(r *reader) {
	f := r.frame()
	s := &SuperTable{Name: f.cstr(), SUID: f.i64()}
	rollup := f.u8()
	s.Columns, s.ColumnVersion = f.schema()
	s.Tags, s.TagVersion = f.schema()
	if rollup != 0 {
		for range 2 {
			f.varint()
			f.varint()
			if f.varint32() > 0 {
				f.blob()
			}
		}
	}
	if f.i32() > 0 {
		m.Alter = alterSuper(&reader{b: f.blob()})
	}
	if f.more() {
		m.Marked = marked(f.u8())
	}
	if f.more() {
		f.u8() // whether compression settings are given
		f.compression()
	}
	if f.more() {
		f.i64() // keep
		if f.more() {
			f.typeMods(s.Columns)
		}
	}
	m.Super = s
	r.refuse(f.err)
}

func (m *Meta) createTables(r *reader) {
	f := r.frame()
	n := f.count(int64(f.varint32()), 4)
	for range n {
		t := f.newTable()
		if f.err != nil {
			break
		}
		m.Tables = append(m.Tables, t)
	}
	if f.more() {
		m.Marked = marked(f.u8())
	}
	r.refuse(f.err)
}

func (r *reader) newTable() NewTable {
	f := r.frame()
	t := NewTable{Record: f.b}
	f.varint32() // flags
	t.Name = f.cstr()
	t.UID = f.i64()
	f.i64() // time of creation, ms
	t.TTL = f.i32()
	kind := f.u8()
	if f.i32() > 0 {
		t.Comment = f.cstr()
	}
	switch kind {
	case childTable, virtualChildTable:
		t.Super = f.cstr()
		f.u8() // number of tags
		t.SUID = f.i64()
		t.tagsAt = len(t.Record) - len(f.b)
		t.Tags = f.tags()
		t.tagsEnd = len(t.Record) - len(f.b)
		t.TagNames = make([]string, f.count(int64(f.i32()), 1))
		t.namesAt = len(t.Record) - len(f.b)
		for i := range t.TagNames {
			t.TagNames[i] = f.cstr()
		}
	case normalTable, virtualNormalTable:
		t.Columns, _ = f.schema()
		if f.more() && f.i32() > 0 {
			f.blob() // the statement
		}
		if kind == normalTable && f.more() {
			f.compression()
			if f.more() {
				f.typeMods(t.Columns)
			}
		}
	default:
		f.fail(fmt.Sprintf("table type %d", kind))
	}
	r.refuse(f.err)
	return t
}

func (m *Meta) dropTables(r *reader) {
	f := r.frame()
	n := f.count(int64(f.varint32()), 4)
	for range n {
		it := f.frame()
		record := it.b
		d := Dropped{Name: it.cstr(), SUID: it.i64(), record: record}
		if rest := it.b; len(rest) >= 9 { // else only the flag that follows the uid
			d.UID = it.i64()
		} else if it.err == nil {
			d.record, d.completed = slices.Concat(record[:len(record)-len(rest)], make([]byte, 8), rest), true
		}
		if it.more() {
			d.IfExists = it.u8() != 0
		}
		f.refuse(it.err)
		if f.err != nil {
			break
		}
		m.Dropped = append(m.Dropped, d)
	}
	r.refuse(f.err)
}

// Drop is one of the drops of a meta, to be written on its own. A server that reads
// the uid of a table refuses one without (0x0118); which uid it is does not matter.
func (m Meta) Drop(i int) Item {
	if len(m.Dropped) == 1 && !m.Dropped[0].completed {
		return m.Item
	}
	return Item{core.RawDropTbl, withHead(func(dst []byte) []byte {
		return appendFrame(dst, func(dst []byte) []byte {
			dst = appendVarint(dst, 1)
			return appendFrame(dst, func(dst []byte) []byte { return append(dst, m.Dropped[i].record...) })
		})
	})}
}

// EncodeCreate builds the payload (core.RawCreateTbl) that creates tables from
// the requests in another payload, such as those that travel with rows.
func EncodeCreate(tables []NewTable) []byte {
	return withHead(func(dst []byte) []byte {
		return appendFrame(dst, func(dst []byte) []byte {
			dst = appendVarint(dst, int64(len(tables)))
			for _, t := range tables {
				dst = appendI32(dst, int32(len(t.Record)))
				dst = append(dst, t.Record...)
			}
			return append(dst, 0)
		})
	})
}

// withHead puts the head of a single meta in front of what fill appends.
func withHead(fill func([]byte) []byte) []byte {
	b := fill(make([]byte, messageHead, 128))
	copy(b, appendI32(nil, int32(len(b))))
	return b
}
