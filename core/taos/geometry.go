package taos

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// geometries are the kinds in well-known binary, by their numbers.
var geometries = [...]string{1: "POINT", 2: "LINESTRING", 3: "POLYGON", 4: "MULTIPOINT", 5: "MULTILINESTRING", 6: "MULTIPOLYGON", 7: "GEOMETRYCOLLECTION"}

// maxNesting bounds how deep collections stand in each other.
const maxNesting = 16

// geometryText writes well-known binary as well-known text, which is the only
// form that a statement takes. The servers print six digits behind the point;
// here every number is whole.
func geometryText(wkb []byte) (string, error) {
	r := &wkbReader{b: wkb}
	text := r.geometry(true, 0)
	if r.bad || len(r.b) > 0 {
		return "", fmt.Errorf("a geometry of %d bytes that cannot be read", len(wkb))
	}
	return text, nil
}

type wkbReader struct {
	b     []byte
	order binary.ByteOrder
	bad   bool
}

func (r *wkbReader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *wkbReader) u32() uint32 { return r.order.Uint32(r.take(4)) }

// geometry reads one; within a MULTI… the members go without their kind.
func (r *wkbReader) geometry(named bool, depth int) string {
	r.order = binary.BigEndian
	if r.take(1)[0] == 1 {
		r.order = binary.LittleEndian
	}
	kind := r.u32()
	if kind == 0 || int(kind) >= len(geometries) || depth > maxNesting {
		r.bad, r.b = true, nil
		return ""
	}
	var body string
	switch kind {
	case 1:
		body = "(" + r.point() + ")"
	case 2:
		body = r.list(r.point)
	case 3:
		body = r.list(func() string { return r.list(r.point) })
	default:
		body = r.list(func() string { return r.geometry(kind == 7, depth+1) })
	}
	if !named {
		return body
	}
	return geometries[kind] + body
}

func (r *wkbReader) list(member func() string) string {
	n := r.u32()
	var parts []string
	for range n {
		if r.bad || len(r.b) == 0 {
			r.bad = true
			return ""
		}
		parts = append(parts, member())
	}
	if len(parts) == 0 {
		return " EMPTY"
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

func (r *wkbReader) point() string {
	number := func() string {
		return strconv.FormatFloat(math.Float64frombits(r.order.Uint64(r.take(8))), 'f', -1, 64)
	}
	x := number()
	return x + " " + number()
}
