package raw

import (
	"encoding/binary"
	"fmt"
)

// Tag is a tag's value. A tag of type JSON comes as one Tag for each of its
// keys.
type Tag struct {
	ID    int16  // of the tag's column; 0 for a key of JSON
	Key   string // of JSON
	Type  Type
	Value []byte // as encoded; see String
}

// Flags of an encoded list of tags.
const (
	tagsAreJSON  = 0x40
	tagsAreLarge = 0x20 // places take two bytes instead of one
)

// tagsHead is in front of the places: flags, length, number and version.
const tagsHead = 9

// tags reads a list of tag values: a head, the places of the values, the values.
func (r *reader) tags() []Tag {
	f := &reader{b: r.blob(), err: r.err}
	flags := f.u8()
	f.u16() // its length
	n := f.count(int64(int16(f.u16())), 1)
	f.i32() // the version of the tags' schema
	place := 1
	if flags&tagsAreLarge != 0 {
		place = 2
	}
	f.take(n * place)
	var tags []Tag
	for range n {
		var t Tag
		if flags&tagsAreJSON != 0 {
			t.Key = f.cstr()
		} else {
			t.ID = int16(f.varint32())
		}
		t.Type = Type(f.u8())
		if t.Type.variable() {
			t.Value = f.blob()
		} else if w := t.Type.width(); w > 0 {
			t.Value = f.take(w)
		} else {
			f.fail(fmt.Sprintf("tag of type %d", t.Type))
		}
		if f.err != nil {
			break
		}
		tags = append(tags, t)
	}
	r.refuse(f.err)
	return tags
}

// String is the value as SQL would have it.
func (t Tag) String() string {
	if t.Type == Null {
		return "NULL"
	}
	return literal(t.Type, t.Value, 0)
}

// clip returns the first n bytes of b, or all of them.
func clip(b []byte, n int) []byte { return b[:min(n, len(b))] }

// little reads up to eight bytes as a little-endian number.
func little(b []byte) uint64 {
	var full [8]byte
	copy(full[:], clip(b, 8))
	return binary.LittleEndian.Uint64(full[:])
}
