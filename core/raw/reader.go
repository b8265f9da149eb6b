package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrMalformed is wrapped by every error about a payload that does not have the
// layout of its raw type.
var ErrMalformed = errors.New("malformed payload")

// reader takes little-endian values off the front of b. The first failure sticks
// and empties the reader, so that callers check once, at the end of a record.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s with %d bytes left", ErrMalformed, what, len(r.b))
	}
	r.b = nil
}

func (r *reader) more() bool { return len(r.b) > 0 }

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail(fmt.Sprintf("%d bytes wanted", n))
		return nil
	}
	head := r.b[:n:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) i32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.LittleEndian.Uint32(b))
	}
	return 0
}

func (r *reader) i64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// uvarint reads seven bits a byte, low bits first.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("variable-length number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// varint reads a zigzag number.
func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) varint32() int32 {
	v := r.varint()
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.fail("32-bit number")
		return 0
	}
	return int32(v)
}

// count reads how many records follow, of which each takes at least min bytes.
func (r *reader) count(n int64, min int) int {
	if n < 0 || n > int64(len(r.b)/min) {
		r.fail(fmt.Sprintf("%d records", n))
		return 0
	}
	return int(n)
}

// blob reads a length and that many bytes.
func (r *reader) blob() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail(fmt.Sprintf("%d bytes wanted", n))
		return nil
	}
	return r.take(int(n))
}

// cstr reads a string whose length counts the NUL at its end.
func (r *reader) cstr() string {
	b := r.blob()
	if n := len(b); n > 0 && b[n-1] == 0 {
		b = b[:n-1]
	}
	return string(b)
}

// frame reads a record that begins with its length, and leaves the reader behind
// it, whatever a newer version has put at the record's end.
func (r *reader) frame() *reader {
	b := r.take(int(r.i32()))
	return &reader{b: b, err: r.err}
}

// refuse takes over the failure of a part, if it has one.
func (r *reader) refuse(err error) {
	if r.err == nil && err != nil {
		r.err, r.b = err, nil
	}
}

func appendVarint(dst []byte, v int64) []byte {
	return binary.AppendUvarint(dst, uint64(v)<<1^uint64(v>>63))
}

func appendBlob(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendCStr(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s))+1)
	return append(append(dst, s...), 0)
}

func appendI32(dst []byte, v int32) []byte {
	return binary.LittleEndian.AppendUint32(dst, uint32(v))
}

func appendI64(dst []byte, v int64) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(v))
}

// appendFrame appends a record with its length in front.
func appendFrame(dst []byte, fill func([]byte) []byte) []byte {
	at := len(dst)
	dst = fill(append(dst, 0, 0, 0, 0))
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}
