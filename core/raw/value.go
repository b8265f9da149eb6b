package raw

import (
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// longest is how many bytes of a value are shown.
const longest = 64

// literal shows an encoded value, without the length in front of it, as SQL
// would have it. Timestamps are numbers in the database's precision. What is too
// long is cut and ends with an ellipsis.
func literal(t Type, b []byte, scale uint8) string {
	switch t {
	case Null:
		return "NULL"
	case Bool:
		return strconv.FormatBool(little(b) != 0)
	case TinyInt:
		return strconv.FormatInt(int64(int8(little(b))), 10)
	case SmallInt:
		return strconv.FormatInt(int64(int16(little(b))), 10)
	case Int:
		return strconv.FormatInt(int64(int32(little(b))), 10)
	case BigInt, Timestamp:
		return strconv.FormatInt(int64(little(b)), 10)
	case UTinyInt, USmallInt, UInt, UBigInt:
		return strconv.FormatUint(little(b), 10)
	case Float:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(little(b)))), 'g', -1, 32)
	case Double:
		return strconv.FormatFloat(math.Float64frombits(little(b)), 'g', -1, 64)
	case Decimal64, Decimal:
		return decimal(b, scale)
	case NChar:
		return quoteText(ucs4(clip(b, 4*longest)), len(b) > 4*longest)
	case VarChar, JSON:
		return quoteText(string(clip(b, longest)), len(b) > longest)
	}
	return binaryLiteral(b)
}

func binaryLiteral(b []byte) string {
	s := `'\x` + hex.EncodeToString(clip(b, longest)) + "'"
	if len(b) > longest {
		s += "…"
	}
	return s
}

func quoteText(s string, cut bool) string {
	s = "'" + printable(strings.ReplaceAll(s, "'", "''")) + "'"
	if cut {
		s += "…"
	}
	return s
}

// ucs4 reads characters of four bytes each.
func ucs4(b []byte) string {
	var s []byte
	for ; len(b) >= 4; b = b[4:] {
		s = utf8.AppendRune(s, rune(little(b[:4])))
	}
	return string(s)
}

// decimal shows a whole number in two's complement, of 8 or 16 bytes, with its
// point.
func decimal(b []byte, scale uint8) string {
	n := new(big.Int)
	for i := len(b) - 1; i >= 0; i-- {
		n.Lsh(n, 8).Or(n, big.NewInt(int64(b[i])))
	}
	if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	digits := new(big.Int).Abs(n).String()
	if pad := int(scale) + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	if scale > 0 {
		cut := len(digits) - int(scale)
		digits = digits[:cut] + "." + digits[cut:]
	}
	if n.Sign() < 0 {
		return "-" + digits
	}
	return digits
}
