package embedded

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"
)

// stamp is a time of a database's precision.
type stamp struct {
	ticks int64
	prec  precision
}

func (s stamp) time() time.Time {
	per := s.prec.perSecond()
	sec, rest := s.ticks/per, s.ticks%per
	return time.Unix(sec, rest*(1e9/per)).UTC()
}

func (s stamp) String() string {
	layout := [...]string{"2006-01-02T15:04:05.000Z", "2006-01-02T15:04:05.000000Z", "2006-01-02T15:04:05.000000000Z"}
	return s.time().Format(layout[s.prec])
}

func ticksOf(t time.Time, p precision) int64 {
	per := p.perSecond()
	return t.Unix()*per + int64(t.Nanosecond())/(1e9/per)
}

// jsonObject is the text of a JSON tag.
type jsonObject string

// decodeCell turns a cell into a value of Go: bool, int64, uint64, float32,
// float64, string, stamp, []byte, jsonObject, or nil for NULL.
func decodeCell(c column, p precision, v []byte) any {
	if v == nil {
		return nil
	}
	le := binary.LittleEndian
	switch c.typ {
	case typeBool:
		return v[0] != 0
	case typeTinyint:
		return int64(int8(v[0]))
	case typeSmallint:
		return int64(int16(le.Uint16(v)))
	case typeInt:
		return int64(int32(le.Uint32(v)))
	case typeBigint:
		return int64(le.Uint64(v))
	case typeUTinyint:
		return uint64(v[0])
	case typeUSmallint:
		return uint64(le.Uint16(v))
	case typeUInt:
		return uint64(le.Uint32(v))
	case typeUBigint:
		return le.Uint64(v)
	case typeFloat:
		return math.Float32frombits(le.Uint32(v))
	case typeDouble:
		return math.Float64frombits(le.Uint64(v))
	case typeTimestamp:
		return stamp{int64(le.Uint64(v)), p}
	case typeVarchar:
		return string(v)
	case typeNchar:
		return fromUCS4(v)
	case typeJSON:
		return jsonObject(v)
	case typeDecimal, typeDecimal64:
		return decimalText(v, c.scale)
	default:
		return v
	}
}

// encodeCell turns a literal into the cell of a column. Literals are what the
// parser yields: nil, bool, int64, uint64, float64, string, or stamp.
func encodeCell(c column, p precision, lit any) ([]byte, error) {
	if lit == nil {
		return nil, nil
	}
	switch {
	case c.typ == typeTimestamp:
		t, err := toTicks(lit, p)
		return binary.LittleEndian.AppendUint64(nil, uint64(t)), err
	case c.typ == typeJSON:
		s, ok := lit.(string)
		if !ok {
			return nil, badValue(c, lit)
		}
		return canonicalJSONTag(s)
	case c.typ.decimal():
		b, err := decimalBytes(c, literalText(lit))
		if err != nil {
			return nil, failure(codeInvalidPara, "%s", err)
		}
		return b, nil
	case c.typ.variable():
		return encodeText(c, lit)
	case c.typ == typeFloat || c.typ == typeDouble:
		return encodeFloat(c, lit)
	case c.typ == typeBool:
		return encodeBool(c, lit)
	default:
		return encodeInteger(c, lit)
	}
}

func badValue(c column, lit any) error {
	return failure(codeSyntax, "syntax error near %q (invalid %s data)", literalText(lit), strings.ToLower(typeInfos[c.typ].name))
}

func literalText(lit any) string {
	switch v := lit.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		return formatFloat(v, 64)
	case float32:
		return formatFloat(float64(v), 32)
	case number:
		return string(v)
	case stamp:
		return v.String()
	case jsonObject:
		return string(v)
	case []byte:
		return hex.EncodeToString(v)
	default:
		return ""
	}
}

func formatFloat(f float64, bits int) string { return strconv.FormatFloat(f, 'g', -1, bits) }

func encodeText(c column, lit any) ([]byte, error) {
	s := literalText(lit)
	v := []byte(s)
	switch c.typ {
	case typeNchar:
		v = toUCS4(s)
	case typeVarbinary, typeBlob:
		if rest, ok := strings.CutPrefix(s, `\x`); ok {
			b, err := hex.DecodeString(rest)
			if err != nil {
				return nil, failure(codeInvalidPara, "invalid varbinary data: %s", s)
			}
			v = b
		}
	case typeGeometry:
		b, err := encodeGeometry(s)
		if err != nil {
			return nil, failure(codeInvalidPara, "invalid geometry data: %s", s)
		}
		v = b
	}
	if c.typ != typeBlob && len(v) > c.bytes-2 {
		return nil, failure(codeValueTooLong, "Value too long for column/tag: %s", c.name)
	}
	if v == nil {
		v = []byte{}
	}
	return v, nil
}

func encodeFloat(c column, lit any) ([]byte, error) {
	f, err := strconv.ParseFloat(literalText(lit), 64)
	if err != nil {
		return nil, badValue(c, lit)
	}
	if c.typ == typeFloat {
		return binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(f))), nil
	}
	return binary.LittleEndian.AppendUint64(nil, math.Float64bits(f)), nil
}

func encodeBool(c column, lit any) ([]byte, error) {
	switch s := strings.ToLower(literalText(lit)); s {
	case "true":
		return []byte{1}, nil
	case "false":
		return []byte{0}, nil
	default:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, badValue(c, lit)
		}
		if f != 0 {
			return []byte{1}, nil
		}
		return []byte{0}, nil
	}
}

func encodeInteger(c column, lit any) ([]byte, error) {
	text := literalText(lit)
	bits := c.bytes * 8
	var u uint64
	switch c.typ {
	case typeUTinyint, typeUSmallint, typeUInt, typeUBigint:
		v, err := strconv.ParseUint(text, 10, bits)
		if err != nil {
			f, ferr := strconv.ParseFloat(text, 64)
			if ferr != nil || f < 0 || f > math.Ldexp(1, bits)-1 {
				return nil, badValue(c, lit)
			}
			v = uint64(math.Round(f))
		}
		u = v
	default:
		v, err := strconv.ParseInt(text, 0, bits)
		if err != nil {
			f, ferr := strconv.ParseFloat(text, 64)
			if ferr != nil || math.Abs(f) > math.Ldexp(1, bits-1)-1 {
				return nil, badValue(c, lit)
			}
			v = int64(math.Round(f))
		}
		u = uint64(v)
	}
	return binary.LittleEndian.AppendUint64(nil, u)[:c.bytes], nil
}

var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999Z0700", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04", "2006-01-02",
}

// toTicks reads a time: an integer in ticks, a stamp, or text (UTC if it names
// no zone).
func toTicks(lit any, p precision) (int64, error) {
	switch v := lit.(type) {
	case int64:
		return v, nil
	case number:
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return 0, failure(codeSyntax, "invalid timestamp: %s", v)
		}
		return n, nil
	case stamp:
		return ticksOf(v.time(), p), nil
	case string:
		for _, layout := range timeLayouts {
			if t, err := time.Parse(layout, v); err == nil {
				return ticksOf(t, p), nil
			}
		}
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, failure(codeSyntax, "invalid timestamp: %s", literalText(lit))
}

// encodeGeometry turns well-known text into well-known binary: points,
// lines and polygons, or the binary itself as hex digits.
func encodeGeometry(text string) ([]byte, error) {
	if b, err := hex.DecodeString(text); err == nil && len(b) > 0 {
		return b, nil
	}
	open := strings.IndexByte(text, '(')
	if open < 0 || !strings.HasSuffix(text, ")") {
		return nil, strconv.ErrSyntax
	}
	kind := strings.ToUpper(strings.TrimSpace(text[:open]))
	body := text[open+1 : len(text)-1]
	e := encoder{}
	e.u8(1) // little endian
	switch kind {
	case "POINT":
		e.i32(1)
		err := appendPoint(&e, body)
		return e.b, err
	case "LINESTRING":
		e.i32(2)
		err := appendPoints(&e, body)
		return e.b, err
	case "POLYGON":
		e.i32(3)
		rings := strings.Split(body, "),")
		e.i32(int32(len(rings)))
		for _, ring := range rings {
			if err := appendPoints(&e, strings.Trim(ring, " ()")); err != nil {
				return nil, err
			}
		}
		return e.b, nil
	}
	return nil, strconv.ErrSyntax
}

func appendPoints(e *encoder, body string) error {
	points := strings.Split(body, ",")
	e.i32(int32(len(points)))
	for _, p := range points {
		if err := appendPoint(e, p); err != nil {
			return err
		}
	}
	return nil
}

func appendPoint(e *encoder, body string) error {
	xy := strings.Fields(body)
	if len(xy) != 2 {
		return strconv.ErrSyntax
	}
	for _, s := range xy {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return err
		}
		e.i64(int64(math.Float64bits(f)))
	}
	return nil
}
