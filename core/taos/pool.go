package taos

import (
	"math/bits"
	"sync"
)

// framePools keep the memory of frames that were written for those that are
// read next, one pool for each power of two. What nobody asks for again the
// garbage collector takes.
var framePools [bits.UintSize]sync.Pool

// smallFrame is the least that is asked for: shorter frames share it.
const smallFrame = 512

// takeFrame returns memory for a frame of size bytes, empty, with a capacity of
// less than twice as much.
func takeFrame(size int64) []byte {
	class := bits.Len64(uint64(max(smallFrame, size) - 1))
	if b, ok := framePools[class].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 1<<class)
}

// giveFrame takes memory back that takeFrame returned. Nobody may hold on to
// it; memory of another origin is left alone.
func giveFrame(b []byte) {
	c := cap(b)
	if c < smallFrame || c > exactFrame || c&(c-1) != 0 {
		return
	}
	b = b[:0]
	framePools[bits.Len64(uint64(c-1))].Put(&b)
}
