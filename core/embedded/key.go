package embedded

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// A table's rows have the time as their key, or the time and its second column.

const flagKey = 4 // of the second column of a composite key

// storeKey is the key of one row.
type storeKey struct {
	ts     int64
	second []byte // the cell; nil where the time alone is the key
}

// keyOf is the key of a row; second is where the second column is, or negative.
func keyOf(row [][]byte, second int) storeKey {
	k := storeKey{ts: leInt64(row[0])}
	if second >= 0 {
		k.second = row[second]
	}
	return k
}

// secondKey is the second column of the composite key of a table with these columns,
// or nil.
func secondKey(cols []column) *column {
	if len(cols) < 2 || cols[1].flags&flagKey == 0 {
		return nil
	}
	return &cols[1]
}

// among is where among some columns this one is, or negative, as for a nil one.
func (c *column) among(cols []column) int {
	return slices.IndexFunc(cols, func(o column) bool { return c != nil && o.id == c.id })
}

// compare tells whether row i is before a key, has it, or is behind it.
func (s *rowSet) compare(i int, k storeKey) int {
	if c := cmp.Compare(s.ts[i], k.ts); c != 0 || s.second == nil {
		return c
	}
	return s.second.compare(s.cell(i, s.second.id), k.second)
}

// compare puts two cells of a key's second column in their order. Rows that come as
// they are stored are not checked, and may have none, or one of another width.
func (c *column) compare(a, b []byte) int {
	le := binary.LittleEndian
	if width := typeInfos[c.typ].width; len(a) < width || len(b) < width {
		return bytes.Compare(a, b)
	}
	switch c.typ {
	case typeInt:
		return cmp.Compare(int32(le.Uint32(a)), int32(le.Uint32(b)))
	case typeUInt:
		return cmp.Compare(le.Uint32(a), le.Uint32(b))
	case typeBigint:
		return cmp.Compare(leInt64(a), leInt64(b))
	case typeUBigint:
		return cmp.Compare(le.Uint64(a), le.Uint64(b))
	}
	return bytes.Compare(a, b)
}

// mayBeKey reports whether a column of this type can be the second of a key.
func (t typeID) mayBeKey() bool {
	return slices.Contains([]typeID{typeInt, typeUInt, typeBigint, typeUBigint, typeVarchar}, t)
}

// keyMark is how a statement, and this version, marks the second column of a key.
func (v version) keyMark() string {
	if v.tellsComposite() {
		return "COMPOSITE KEY"
	}
	return "PRIMARY KEY"
}

// isKeyMark reports whether such a mark comes next.
func (p *parser) isKeyMark() bool {
	return p.is("primary") || p.version.tellsComposite() && p.is("composite")
}

// checkKeyMarks refuses columns of which another than the second is marked for a
// composite key, or one that cannot be.
func checkKeyMarks(cols []column) error {
	for i, c := range cols {
		switch {
		case c.flags&flagKey == 0:
		case i != 1:
			return failure(codeKeyPlace, "composite primary key must be second column")
		case !c.typ.mayBeKey():
			return failure(codeKeyType, "composite primary key column must be of type int, uint, bigint, ubigint, and varchar")
		}
	}
	return nil
}

// checkKeys refuses rows of cols that lack the second column of their table's key.
func checkKeys(second *column, cols []column, rows int, cell func(row, col int) []byte) error {
	at := second.among(cols)
	switch {
	case second == nil:
		return nil
	case at < 0:
		return failure(codeKeyNone, "Primary key column should not be none")
	}
	for r := range rows {
		if cell(r, at) == nil {
			return failure(codeKeyNull, "Primary key column should not be null")
		}
	}
	return nil
}
