package embedded

import (
	"encoding/binary"
	"errors"
)

// The primitives that payloads are made of: little-endian numbers, varints,
// zigzag varints, and names with their length (which counts a closing NUL).

type encoder struct{ b []byte }

func (e *encoder) u8(v uint8)         { e.b = append(e.b, v) }
func (e *encoder) i16(v int16)        { e.b = binary.LittleEndian.AppendUint16(e.b, uint16(v)) }
func (e *encoder) i32(v int32)        { e.b = binary.LittleEndian.AppendUint32(e.b, uint32(v)) }
func (e *encoder) i64(v int64)        { e.b = binary.LittleEndian.AppendUint64(e.b, uint64(v)) }
func (e *encoder) uvarint(v uint64)   { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) zigzag(v int64)     { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) raw(v []byte)       { e.b = append(e.b, v...) }
func (e *encoder) zeros(n int)        { e.b = append(e.b, make([]byte, n)...) }
func (e *encoder) binary(v []byte)    { e.uvarint(uint64(len(v))); e.raw(v) }
func (e *encoder) name(s string)      { e.uvarint(uint64(len(s) + 1)); e.b = append(append(e.b, s...), 0) }
func (e *encoder) setI32(at, v int)   { binary.LittleEndian.PutUint32(e.b[at:], uint32(v)) }
func (e *encoder) sized(write func()) { at := len(e.b); e.i32(0); write(); e.setI32(at, len(e.b)-at-4) }

var errShortPayload = errors.New("payload ends early")

// decoder reads what encoder writes. After the first error it yields zeros;
// look at err when done.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.b) {
		d.err = errShortPayload
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u8() uint8 {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) i16() int16 {
	if v := d.take(2); v != nil {
		return int16(binary.LittleEndian.Uint16(v))
	}
	return 0
}

func (d *decoder) i32() int32 {
	if v := d.take(4); v != nil {
		return int32(binary.LittleEndian.Uint32(v))
	}
	return 0
}

func (d *decoder) i64() int64 {
	if v := d.take(8); v != nil {
		return int64(binary.LittleEndian.Uint64(v))
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.err = errShortPayload
		return 0
	}
	d.take(n)
	return v
}

func (d *decoder) zigzag() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.err = errShortPayload
		return 0
	}
	d.take(n)
	return v
}

func (d *decoder) binary() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.err = errShortPayload
		return nil
	}
	return d.take(int(n))
}

func (d *decoder) name() string {
	v := d.binary()
	if len(v) == 0 || v[len(v)-1] != 0 {
		d.err = errShortPayload
		return ""
	}
	return string(v[:len(v)-1])
}

// sized returns a decoder of the next i32-length item.
func (d *decoder) sized() *decoder {
	v := d.take(int(d.i32()))
	return &decoder{b: v, err: d.err}
}

// count reads a zigzag count of items that take at least one byte each.
func (d *decoder) count() int {
	n := d.zigzag()
	if n < 0 || n > int64(len(d.b)) {
		d.err = errShortPayload
		return 0
	}
	return int(n)
}
