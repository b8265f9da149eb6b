package embedded

import (
	"fmt"
	"math/big"
	"strings"
)

// typeID is the number of a column type on the wire.
type typeID uint8

const (
	typeNull      typeID = 0
	typeBool      typeID = 1
	typeTinyint   typeID = 2
	typeSmallint  typeID = 3
	typeInt       typeID = 4
	typeBigint    typeID = 5
	typeFloat     typeID = 6
	typeDouble    typeID = 7
	typeVarchar   typeID = 8
	typeTimestamp typeID = 9
	typeNchar     typeID = 10
	typeUTinyint  typeID = 11
	typeUSmallint typeID = 12
	typeUInt      typeID = 13
	typeUBigint   typeID = 14
	typeJSON      typeID = 15
	typeVarbinary typeID = 16
	typeDecimal   typeID = 17
	typeBlob      typeID = 18
	typeGeometry  typeID = 20
	typeDecimal64 typeID = 21
)

// typeInfo describes a type: its name, the width of a fixed one (0 for those
// of variable length), and how a column of it is compressed, which nobody
// replays but `describe` shows.
type typeInfo struct {
	name     string
	width    int
	encode   string
	compress string
	algo     uint32 // the same two on the wire
}

var typeInfos = map[typeID]typeInfo{
	typeBool:      {"BOOL", 1, "bit-packing", "zstd", 0x03000302},
	typeTinyint:   {"TINYINT", 1, "simple8b", "zlib", 0x01000202},
	typeSmallint:  {"SMALLINT", 2, "simple8b", "zlib", 0x01000202},
	typeInt:       {"INT", 4, "simple8b", "lz4", 0x01000102},
	typeBigint:    {"BIGINT", 8, "simple8b", "lz4", 0x01000102},
	typeFloat:     {"FLOAT", 4, "delta-d", "lz4", 0x04000102},
	typeDouble:    {"DOUBLE", 8, "delta-d", "lz4", 0x04000102},
	typeVarchar:   {"VARCHAR", 0, "disabled", "zstd", 0xff000302},
	typeTimestamp: {"TIMESTAMP", 8, "delta-i", "lz4", 0x02000102},
	typeNchar:     {"NCHAR", 0, "disabled", "zstd", 0xff000302},
	typeUTinyint:  {"TINYINT UNSIGNED", 1, "simple8b", "zlib", 0x01000202},
	typeUSmallint: {"SMALLINT UNSIGNED", 2, "simple8b", "zlib", 0x01000202},
	typeUInt:      {"INT UNSIGNED", 4, "simple8b", "lz4", 0x01000102},
	typeUBigint:   {"BIGINT UNSIGNED", 8, "simple8b", "lz4", 0x01000102},
	typeJSON:      {"JSON", 0, "disabled", "disabled", 0},
	typeVarbinary: {"VARBINARY", 0, "disabled", "zstd", 0xff000302},
	typeDecimal:   {"DECIMAL", 16, "disabled", "zstd", 0xff000302},
	typeBlob:      {"BLOB", 0, "disabled", "lz4", 0xff000102},
	typeGeometry:  {"GEOMETRY", 0, "disabled", "lz4", 0xff000102},
	typeDecimal64: {"DECIMAL", 8, "disabled", "zstd", 0xff000302},
}

const jsonTagLength = 4095

// column is a column or a tag of a table.
type column struct {
	name  string
	typ   typeID
	bytes int   // as on the wire: fixed width, or the length prefix and the longest value
	id    int16 // never given twice in one table
	flags uint8
	prec  uint8 // of decimals
	scale uint8
}

func (t typeID) variable() bool { return typeInfos[t].width == 0 }
func (t typeID) decimal() bool  { return t == typeDecimal || t == typeDecimal64 }

// prefix is the size of the length that stands before a variable value.
func (t typeID) prefix() int {
	if t == typeBlob {
		return 4
	}
	return 2
}

// newColumn makes a column of length n, which is bytes, and characters for
// nchar; fixed types ignore it.
func newColumn(name string, t typeID, n int) column {
	c := column{name: name, typ: t}
	switch {
	case t == typeNchar:
		c.bytes = n*4 + 2
	case t == typeJSON:
		c.bytes = jsonTagLength*4 + 4
	case t == typeBlob:
		c.bytes = 5
	case t.variable():
		c.bytes = n + 2
	default:
		c.bytes = typeInfos[t].width
	}
	return c
}

// length is what `describe` shows.
func (c column) length() int {
	switch {
	case c.typ == typeNchar:
		return (c.bytes - 2) / 4
	case c.typ == typeJSON:
		return jsonTagLength
	case c.typ == typeBlob:
		return 4194304
	case c.typ.variable():
		return c.bytes - 2
	default:
		return c.bytes
	}
}

// describe names the type as `describe` does; sep stands between precision and
// scale of a decimal, which differs from place to place.
func (c column) describe(sep string) string {
	if c.typ.decimal() {
		return fmt.Sprintf("DECIMAL(%d%s%d)", c.prec, sep, c.scale)
	}
	return typeInfos[c.typ].name
}

// declare writes the type as a statement would.
func (c column) declare() string {
	if c.typ.variable() && c.typ != typeJSON && c.typ != typeBlob {
		return fmt.Sprintf("%s(%d)", typeInfos[c.typ].name, c.length())
	}
	return c.describe(",")
}

// typeMod is precision and scale of a decimal as they travel in schemas; it is
// 0 for other types.
func (c column) typeMod() int32 { return int32(c.prec)<<8 | int32(c.scale) }

// blockSize is a column's size as a block has it, which for decimals tells
// precision and scale too.
func (c column) blockSize() int32 {
	if c.typ.decimal() {
		return int32(c.bytes)<<24 | c.typeMod()
	}
	return int32(c.bytes)
}

const flagTypeMod = 0x80 // of a column whose schema travels with type modifiers

// columnFlags are those of a column that was there from the beginning.
func (c column) columnFlags() uint8 {
	if c.typ.decimal() {
		return 1 | flagTypeMod
	}
	return 1
}

func (c *column) setTypeMod(mod int32) {
	if c.typ.decimal() {
		c.prec, c.scale = uint8(mod>>8), uint8(mod)
	}
}

// typeByName finds a type by the words of a statement: "INT UNSIGNED".
func typeByName(name string) (typeID, bool) {
	switch name = strings.ToUpper(name); name {
	case "BINARY":
		return typeVarchar, true
	case "INTEGER":
		return typeInt, true
	case "DECIMAL":
		return typeDecimal64, true
	}
	for id, info := range typeInfos {
		if info.name == name {
			return id, true
		}
	}
	return typeNull, false
}

// precision is a database's: 0 ms, 1 us, 2 ns, as on the wire.
type precision uint8

var precisionNames = [...]string{"ms", "us", "ns"}

func (p precision) String() string { return precisionNames[p] }

// perSecond is how many ticks a second has.
func (p precision) perSecond() int64 {
	return [...]int64{1e3, 1e6, 1e9}[p]
}

// decimalText writes the little-endian two's complement number b with scale
// digits after the point.
func decimalText(b []byte, scale uint8) string {
	n := decimalInt(b)
	neg := n.Sign() < 0
	digits := new(big.Int).Abs(n).String()
	if scale > 0 {
		for len(digits) <= int(scale) {
			digits = "0" + digits
		}
		cut := len(digits) - int(scale)
		digits = digits[:cut] + "." + digits[cut:]
	}
	if neg {
		return "-" + digits
	}
	return digits
}

func decimalInt(b []byte) *big.Int {
	be := make([]byte, len(b))
	for i, x := range b {
		be[len(b)-1-i] = x
	}
	n := new(big.Int).SetBytes(be)
	if len(be) > 0 && be[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(be))))
	}
	return n
}

// decimalBytes rounds the text of a number to the column's scale, half away
// from zero.
func decimalBytes(c column, text string) ([]byte, error) {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("invalid decimal data: %s", text)
	}
	r.Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.scale)), nil)))
	twice := new(big.Int).Mul(new(big.Int).Abs(r.Num()), big.NewInt(2))
	twice.Add(twice, r.Denom())
	n := twice.Quo(twice, new(big.Int).Mul(r.Denom(), big.NewInt(2)))
	if len(n.String()) > int(c.prec) {
		return nil, fmt.Errorf("decimal value overflow: %s", text)
	}
	if r.Sign() < 0 {
		n.Neg(n)
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*c.bytes)))
	}
	be := n.FillBytes(make([]byte, c.bytes+1))
	out := make([]byte, c.bytes)
	for i := range out {
		out[i] = be[len(be)-1-i]
	}
	return out, nil
}
