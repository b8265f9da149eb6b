package raw

import (
	"encoding/binary"
	"math/bits"
)

// SinkSUID is the id that a super table gets at a sink when raw writing creates
// it there: the source's, shifted by a hash (MurmurHash3, 32 bits) of the sink
// database's name.
func SinkSUID(suid int64, database string) int64 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	mix := func(k uint32) uint32 { return bits.RotateLeft32(k*c1, 15) * c2 }
	h, data := uint32(0x12345678), []byte(database)
	for ; len(data) >= 4; data = data[4:] {
		h = bits.RotateLeft32(h^mix(binary.LittleEndian.Uint32(data)), 13)*5 + 0xe6546b64
	}
	var tail uint32
	for i, b := range data {
		tail |= uint32(b) << (8 * i)
	}
	h ^= mix(tail) ^ uint32(len(database))
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return suid + int64(h^h>>16)
}
