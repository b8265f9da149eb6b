package embedded

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// A child table's tags travel as one value: a head, an index and the tags that
// are not NULL, by column id; a JSON tag's pairs take the same form, by key.

const (
	tagJSON  = 0x40
	tagLarge = 0x20 // the index has two bytes an entry
)

// encodeTags builds it from the cells of the tags, in the schema's order.
func encodeTags(tags []column, cells [][]byte, ver int32) []byte {
	if len(tags) == 1 && tags[0].typ == typeJSON {
		return encodeJSONTag(cells[0], ver)
	}
	var parts [][]byte
	for i, c := range tags {
		if cells[i] == nil {
			continue
		}
		e := encoder{}
		e.zigzag(int64(c.id))
		appendTagValue(&e, c.typ, cells[i])
		parts = append(parts, e.b)
	}
	return packTags(0, ver, parts)
}

func appendTagValue(e *encoder, t typeID, v []byte) {
	e.u8(uint8(t))
	if t.variable() {
		e.binary(v)
	} else {
		e.raw(v)
	}
}

func packTags(flags uint8, ver int32, parts [][]byte) []byte {
	body := bytes.Join(parts, nil)
	if 9+len(parts)+len(body) > math.MaxInt8 {
		flags |= tagLarge
	}
	e := encoder{}
	e.u8(flags)
	e.i16(0)
	e.i16(int16(len(parts)))
	e.i32(ver)
	off := 0
	for _, p := range parts {
		if flags&tagLarge != 0 {
			e.i16(int16(off))
		} else {
			e.u8(uint8(off))
		}
		off += len(p)
	}
	e.raw(body)
	binary.LittleEndian.PutUint16(e.b[1:], uint16(len(e.b)))
	return e.b
}

// decodeTags returns the cells of the tags by their ids, and these as they come; or
// under 0 the text of a JSON tag.
func decodeTags(raw []byte) (map[int16][]byte, []int16, error) {
	d := &decoder{b: raw}
	flags := d.u8()
	d.i16()
	n := int(d.i16())
	d.i32()
	width := 1
	if flags&tagLarge != 0 {
		width = 2
	}
	d.take(n * width)
	cells := map[int16][]byte{}
	var ids []int16
	var pairs []string
	for range n {
		key, id := "", int16(0)
		if flags&tagJSON != 0 {
			key = d.name()
		} else {
			id = int16(d.zigzag())
		}
		t := typeID(d.u8())
		v := decodeTagValue(d, t)
		if d.err != nil {
			return nil, nil, d.err
		}
		if flags&tagJSON != 0 {
			pairs = append(pairs, jsonText(key)+":"+jsonTagText(t, v))
		} else {
			cells[id], ids = v, append(ids, id)
		}
	}
	if flags&tagJSON != 0 && n > 0 {
		cells[0] = []byte("{" + strings.Join(pairs, ",") + "}")
	}
	return cells, ids, d.err
}

func decodeTagValue(d *decoder, t typeID) []byte {
	switch {
	case t == typeNull:
		return nil
	case t.variable():
		return d.binary()
	default:
		return d.take(typeInfos[t].width)
	}
}

func jsonText(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

func jsonTagText(t typeID, v []byte) string {
	switch t {
	case typeBool:
		return fmt.Sprint(v[0] != 0)
	case typeDouble:
		return formatFloat(math.Float64frombits(binary.LittleEndian.Uint64(v)), 64)
	case typeNchar:
		return jsonText(fromUCS4(v))
	default:
		return "null"
	}
}

// encodeJSONTag takes the text of a flat object that checkJSONTag has passed.
func encodeJSONTag(text []byte, ver int32) []byte {
	var object map[string]any
	if text == nil || json.Unmarshal(text, &object) != nil {
		return packTags(tagJSON, ver, nil)
	}
	keys := make([]string, 0, len(object))
	for k := range object {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var parts [][]byte
	for _, k := range keys {
		e := encoder{}
		e.name(k)
		switch v := object[k].(type) {
		case bool:
			e.u8(uint8(typeBool))
			e.u8(map[bool]uint8{true: 1}[v])
		case float64:
			e.u8(uint8(typeDouble))
			e.i64(int64(math.Float64bits(v)))
		case string:
			appendTagValue(&e, typeNchar, toUCS4(v))
		default:
			e.u8(uint8(typeNull))
		}
		parts = append(parts, e.b)
	}
	return packTags(tagJSON, ver, parts)
}

// canonicalJSONTag checks a JSON tag's literal and writes it as it will be
// shown: keys sorted, no spaces.
func canonicalJSONTag(text string) ([]byte, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		return nil, failure(codeInvalidPara, "json parse error: %s", text)
	}
	for k, v := range object {
		switch v.(type) {
		case map[string]any, []any:
			return nil, failure(codeInvalidPara, "invalid type of JSON tag value: %s", k)
		}
	}
	cells, _, err := decodeTags(encodeJSONTag([]byte(text), 1))
	return cells[0], err
}

func toUCS4(s string) []byte {
	b := make([]byte, 0, 4*len(s))
	for _, r := range s {
		b = binary.LittleEndian.AppendUint32(b, uint32(r))
	}
	return b
}

func fromUCS4(b []byte) string {
	var s strings.Builder
	for ; len(b) >= 4; b = b[4:] {
		s.WriteRune(rune(binary.LittleEndian.Uint32(b)))
	}
	return s.String()
}
