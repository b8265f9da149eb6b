package raw

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"slices"

	"tdreplica/core"
)

// keySeed makes the hashes of tables' names. They mean nothing to another
// process.
var keySeed = maphash.MakeSeed()

// AppendKeys appends what tells the rows of a message from others: table by table
// the hash of its name, how many timestamps follow, and these, ascending and each
// once. Neighbouring blocks of one table become one; a table may still come more
// than once. The second part of a composite key is not looked at. It also returns
// what Stats does. An error wraps ErrMalformed, and nothing is appended then.
func AppendKeys(dst []int64, t core.RawType, payload []byte) ([]int64, Stat, error) {
	s := Stat{First: math.MaxInt64, Last: math.MinInt64}
	begin, at := len(dst), -1 // at: where the last table begins
	w := walk(t, payload)
	for w.next() {
		h, err := decodeHead(w.body)
		var times []byte
		if err == nil {
			times, err = h.times()
		}
		w.refuse(err)
		w.skipToName()
		table := hashTable(w.blob())
		if w.err != nil {
			break
		}
		s.count(&h)
		if h.rows == 0 {
			continue
		}
		if at < 0 || dst[at] != table {
			dst = s.closeTable(dst, at)
			at = len(dst)
			dst = append(dst, table, 0)
		}
		n := len(dst)
		dst = slices.Grow(dst, h.rows)[:n+h.rows]
		for i := range dst[n:] {
			dst[n+i] = int64(binary.LittleEndian.Uint64(times[8*i:]))
		}
	}
	if w.err != nil {
		return dst[:begin], Stat{}, fmt.Errorf("find the keys of rows: %w", w.err)
	}
	return s.closeTable(dst, at), s, nil
}

// closeTable puts a table's timestamps, which reach to the end, in order.
func (s *Stat) closeTable(dst []int64, at int) []int64 {
	if at < 0 {
		return dst
	}
	times := dst[at+2:]
	ascend := true
	for i := 1; i < len(times); i++ {
		ascend = ascend && times[i-1] < times[i]
	}
	if !ascend {
		slices.Sort(times)
		times = slices.Compact(times)
	}
	s.First, s.Last = min(s.First, times[0]), max(s.Last, times[len(times)-1])
	dst[at+1] = int64(len(times))
	return dst[:at+2+len(times)]
}

// times are a block's timestamps as they are encoded.
func (h *blockHead) times() ([]byte, error) {
	if h.cols == 0 || Type(h.types[0]) != Timestamp {
		return nil, fmt.Errorf("%w: rows without timestamps", ErrMalformed)
	}
	bits, n := (h.rows+7)/8, h.rows*8
	if len(h.data) < bits+n {
		return nil, fmt.Errorf("%w: %d rows in %d bytes", ErrMalformed, h.rows, len(h.data))
	}
	return h.data[bits : bits+n], nil
}

// hashTable is the hash of a table's name, which may end with a NUL.
func hashTable(name []byte) int64 {
	return int64(maphash.Bytes(keySeed, bytes.TrimSuffix(name, []byte{0})))
}

// KeyTable is the name of a table in a message by its hash from AppendKeys; ""
// if there is none.
func KeyTable(t core.RawType, payload []byte, hash int64) string {
	found := ""
	_ = Tables(t, payload, func(ref TableRef) {
		if hashTable(ref.Name) == hash {
			found = string(ref.Name)
		}
	})
	return found
}
