package raw

import "strings"

// Change is what an alter does. The numbers are those of the payload.
type Change uint8

// The changes.
const (
	AddTag             Change = 1
	DropTag            Change = 2
	RenameTag          Change = 3
	SetTag             Change = 4
	AddColumn          Change = 5
	DropColumn         Change = 6
	ModifyColumn       Change = 7 // its length
	ModifyTag          Change = 8
	SetOptions         Change = 9
	RenameColumn       Change = 10
	AddTagIndex        Change = 11
	DropTagIndex       Change = 12
	CompressColumn     Change = 13
	AddColumnCompress  Change = 14
	SetTags            Change = 15 // several
	AlterColumnRef     Change = 16
	RemoveColumnRef    Change = 17
	AddColumnReference Change = 18
)

// Destroys reports whether rows that were written before the change no longer
// fit the table after it.
func (c Change) Destroys() bool {
	switch c {
	case DropTag, RenameTag, DropColumn, RenameColumn:
		return true
	}
	return false
}

// Alter is one change of a table.
type Alter struct {
	Table  string
	Change Change
	// Fields are the columns or tags concerned. Type and Bytes are set where the
	// change gives them.
	Fields []Column
	// NewName is that of a renamed column or tag.
	NewName string
	Tags    []SetTagValue // SetTag and SetTags
	// Statement is the SQL as it was written, where the payload has it (alters
	// of super tables).
	Statement string
}

// SetTagValue is a new value for a child table's tag.
type SetTagValue struct {
	Name string
	Tag
}

// alterSuper decodes the description of itself that an alter of a super table
// carries. The table's new definition does not depend on it, so what cannot be
// read here is nil and no error.
func alterSuper(r *reader) *Alter {
	f := r.frame()
	a := &Alter{Table: f.cstr(), Change: Change(f.u8())}
	if i := strings.LastIndexByte(a.Table, '.'); i >= 0 && strings.Count(a.Table, ".") == 2 {
		a.Table = a.Table[i+1:] // account.database.table
	}
	for range f.count(int64(f.i32()), 6) {
		c := Column{Type: Type(f.u8()), Bytes: f.i32(), Name: f.cstr()}
		if a.Change == AddColumnCompress {
			f.i32()
		}
		a.Fields = append(a.Fields, c)
	}
	f.i32() // ttl
	if f.i32() > 0 {
		f.cstr() // comment
	}
	if f.err != nil {
		return nil
	}
	if (a.Change == RenameTag || a.Change == RenameColumn) && len(a.Fields) == 2 {
		a.NewName, a.Fields = a.Fields[1].Name, a.Fields[:1]
	}
	a.Statement = statement(f.b)
	if a.Statement == "" && len(f.b) > 8 {
		a.Statement = statement(f.b[8:]) // 3.3.7 has keep in front of it
	}
	return a
}

// statement reads a 4-byte length and the same length again with the SQL; "" if
// there is none at that place.
func statement(b []byte) string {
	r := &reader{b: b}
	n := r.i32()
	sql := r.blob()
	if r.err != nil || n <= 0 || int(n) != len(sql) {
		return ""
	}
	return string(sql)
}

func (m *Meta) alterTable(r *reader) {
	f := r.frame()
	a := &Alter{Table: f.cstr(), Change: Change(f.u8())}
	m.Alter = a
	id := f.i32()
	switch a.Change {
	case AddColumn, AddColumnCompress, AddColumnReference:
		c := Column{Name: f.cstr(), Type: Type(f.u8()), Flags: f.u8(), Bytes: f.varint32()}
		a.Fields = []Column{c}
	case ModifyColumn:
		a.Fields = []Column{{Name: f.cstr(), Type: Type(f.u8()), Bytes: f.varint32()}}
	case DropColumn, CompressColumn, AlterColumnRef, RemoveColumnRef:
		a.Fields = []Column{{Name: f.cstr()}}
	case RenameColumn:
		a.Fields = []Column{{Name: f.cstr()}}
		a.NewName = f.cstr()
	case SetTag:
		a.Tags = []SetTagValue{f.newTagValue(int16(id))}
	case SetTags:
		for range f.count(int64(f.varint32()), 4) {
			a.Tags = append(a.Tags, f.newTagValue(int16(f.varint32())))
		}
	case SetOptions:
		if f.u8() != 0 {
			f.varint32() // ttl
		}
		if f.varint32() > 0 {
			f.cstr() // comment
		}
	default:
		r.refuse(f.err)
		return // what follows is not known
	}
	f.alterTail(m)
	r.refuse(f.err)
}

// alterTail reads what is behind the change itself.
func (f *reader) alterTail(m *Meta) {
	a := m.Alter
	switch a.Change {
	case AddColumnCompress, CompressColumn:
		f.i32() // compression
	case AddColumnReference, AlterColumnRef:
		for range 3 {
			f.cstr() // database, table, column
		}
	}
	if f.more() {
		f.i64() // time of the change, ms
	}
	if f.more() {
		m.Marked = marked(f.u8())
	}
	if f.more() && (a.Change == AddColumn || a.Change == AddColumnCompress) {
		mod := f.i32()
		if a.Fields[0].Type.decimal() {
			a.Fields[0].Precision, a.Fields[0].Scale = uint8(mod>>8), uint8(mod)
		}
	}
}

func (f *reader) newTagValue(id int16) SetTagValue {
	v := SetTagValue{Name: f.cstr()}
	null := f.u8() != 0
	v.ID, v.Type = id, Type(f.u8())
	if null {
		v.Type = Null
	} else {
		v.Value = f.blob()
	}
	return v
}

// RenameTags is a change of a child's tags with the names that rename gives them; it
// returns false for one that is to be left out. The result is false if none is left.
func RenameTags(m Meta, rename func(SetTagValue) (string, bool)) (Item, bool) {
	r := &reader{b: m.Payload}
	r.take(messageHead)
	f := r.frame()
	record := f.b
	f.cstr()
	f.take(5) // the change, and a column's id
	head := record[:len(record)-len(f.b)]
	if m.Alter.Change == SetTags {
		f.varint32()
	}
	var values []byte
	left := 0
	for _, v := range m.Alter.Tags {
		if m.Alter.Change == SetTags {
			f.varint32()
		}
		f.cstr()
		from := f.b
		if f.take(2); v.Type != Null {
			f.blob()
		}
		name, keep := rename(v)
		if !keep {
			continue
		}
		if left++; m.Alter.Change == SetTags {
			values = appendVarint(values, int64(v.ID))
		}
		values = append(appendCStr(values, name), from[:len(from)-len(f.b)]...)
	}
	return Item{m.RawType, withHead(func(dst []byte) []byte {
		return appendFrame(dst, func(dst []byte) []byte {
			if dst = append(dst, head...); m.Alter.Change == SetTags {
				dst = appendVarint(dst, int64(left))
			}
			return append(append(dst, values...), f.b...)
		})
	})}, left > 0
}
