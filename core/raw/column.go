package raw

import (
	"fmt"

	"tdreplica/core"
)

// Type is a data type of TDengine.
type Type uint8

// The data types.
const (
	Null       Type = 0
	Bool       Type = 1
	TinyInt    Type = 2
	SmallInt   Type = 3
	Int        Type = 4
	BigInt     Type = 5
	Float      Type = 6
	Double     Type = 7
	VarChar    Type = 8
	Timestamp  Type = 9
	NChar      Type = 10
	UTinyInt   Type = 11
	USmallInt  Type = 12
	UInt       Type = 13
	UBigInt    Type = 14
	JSON       Type = 15
	VarBinary  Type = 16
	Decimal    Type = 17
	Blob       Type = 18
	MediumBlob Type = 19
	Geometry   Type = 20
	Decimal64  Type = 21
)

var typeNames = [...]string{
	Null: "NULL", Bool: "BOOL", TinyInt: "TINYINT", SmallInt: "SMALLINT", Int: "INT",
	BigInt: "BIGINT", Float: "FLOAT", Double: "DOUBLE", VarChar: "VARCHAR",
	Timestamp: "TIMESTAMP", NChar: "NCHAR", UTinyInt: "TINYINT UNSIGNED",
	USmallInt: "SMALLINT UNSIGNED", UInt: "INT UNSIGNED", UBigInt: "BIGINT UNSIGNED",
	JSON: "JSON", VarBinary: "VARBINARY", Decimal: "DECIMAL", Blob: "BLOB",
	MediumBlob: "MEDIUMBLOB", Geometry: "GEOMETRY", Decimal64: "DECIMAL",
}

// String is the type's name in SQL.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("TYPE %d", uint8(t))
}

// width is how many bytes a value takes in a block; 0 for the types whose values
// differ in length and for unknown ones.
func (t Type) width() int {
	switch t {
	case Null, Bool, TinyInt, UTinyInt:
		return 1
	case SmallInt, USmallInt:
		return 2
	case Int, UInt, Float:
		return 4
	case BigInt, UBigInt, Double, Timestamp, Decimal64:
		return 8
	case Decimal:
		return 16
	}
	return 0
}

// variable reports whether values of the type differ in length.
func (t Type) variable() bool {
	switch t {
	case VarChar, NChar, JSON, VarBinary, Blob, MediumBlob, Geometry:
		return true
	}
	return false
}

func (t Type) decimal() bool { return t == Decimal || t == Decimal64 }

// prefix is the length of the length in front of each value of a variable type.
func (t Type) prefix() int {
	if t == Blob || t == MediumBlob {
		return 4
	}
	return 2
}

// Column is a column or a tag as a payload describes it.
type Column struct {
	Name  string
	Type  Type
	Flags uint8
	Bytes int32 // as stored: for strings with the length in front of them
	ID    int16 // the timestamp is 1; 0 where the payload does not tell
	// Precision and Scale are those of a DECIMAL; 0 where the payload (or its
	// server's version) does not tell.
	Precision, Scale uint8
}

// Length is what `describe` prints: bytes, for NCHAR and JSON characters.
func (c Column) Length() int {
	n := int(c.Bytes)
	switch {
	case c.Type == NChar || c.Type == JSON:
		n = (n - 2) / 4
	case c.Type.variable():
		n -= c.Type.prefix()
	}
	return max(n, 0)
}

// TypeName is the type as `describe` prints it, with a DECIMAL's digits.
func (c Column) TypeName() string {
	if c.Type.decimal() && c.Precision > 0 {
		return fmt.Sprintf("DECIMAL(%d, %d)", c.Precision, c.Scale)
	}
	return c.Type.String()
}

// SQL is the type as a CREATE or ALTER statement has it: VARCHAR(16).
func (c Column) SQL() string {
	if c.Type.variable() && c.Type != JSON && c.Type != Blob && c.Type != MediumBlob && c.Bytes > 0 {
		return fmt.Sprintf("%s(%d)", c.Type, c.Length())
	}
	return c.TypeName()
}

// Describe is the column in the words of a catalog, for comparison.
func (c Column) Describe() core.Column {
	d := core.Column{Name: c.Name, Type: c.TypeName(), Length: c.Length()}
	if c.Flags&keyFlag != 0 {
		d.Note = "COMPOSITE KEY"
	}
	return d
}

// schema reads a list of columns and its version.
func (r *reader) schema() ([]Column, int32) {
	n := r.varint32()
	version := r.varint32()
	cols := make([]Column, r.count(int64(n), 5))
	for i := range cols {
		c := &cols[i]
		c.Type = Type(r.u8())
		c.Flags = r.u8()
		c.Bytes = r.varint32()
		c.ID = int16(r.varint32())
		c.Name = r.cstr()
	}
	if r.err != nil {
		return nil, 0
	}
	return cols, version
}

func appendSchema(dst []byte, cols []Column, version int32) []byte {
	dst = appendVarint(dst, int64(len(cols)))
	dst = appendVarint(dst, int64(version))
	for _, c := range cols {
		dst = append(dst, byte(c.Type), c.Flags)
		dst = appendVarint(dst, int64(c.Bytes))
		dst = appendVarint(dst, int64(c.ID))
		dst = appendCStr(dst, c.Name)
	}
	return dst
}

// compression steps over the columns' compression settings.
func (r *reader) compression() {
	n := r.varint32()
	r.varint32() // version
	for range r.count(int64(n), 5) {
		r.varint32()
		r.i32()
	}
}

// typeMods reads what a type alone does not tell: a DECIMAL's digits.
func (r *reader) typeMods(cols []Column) {
	if r.u8() == 0 {
		return
	}
	for i := range cols {
		mod := r.varint32()
		if cols[i].Type.decimal() {
			cols[i].Precision, cols[i].Scale = uint8(mod>>8), uint8(mod)
		}
	}
}
