package taos

import (
	"math/bits"
	"sync"
)

const (
	// smallFrame is the least that is asked for: shorter frames share it.
	smallFrame = 512
	// keptFrames is how many bytes of memory are kept for frames to come. A
	// worker that keeps up needs two or three frames; what a full queue gives
	// back beyond this the garbage collector takes.
	keptFrames = 16 << 20
)

// frames is shared by all connections.
var frames framePool

// framePool keeps the memory of frames that were written for those that are
// read next, in classes of the powers of two, up to keptFrames.
type framePool struct {
	mu    sync.Mutex
	free  [bits.UintSize][][]byte
	bytes int
}

// takeFrame returns memory for a frame of size bytes, empty, with a capacity of
// less than twice as much.
func takeFrame(size int64) []byte {
	class := bits.Len64(uint64(max(smallFrame, size) - 1))
	if b := frames.pop(class); b != nil {
		return b
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
	frames.push(bits.Len64(uint64(c-1)), b[:0])
}

func (p *framePool) pop(class int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remove(class)
}

func (p *framePool) remove(class int) []byte {
	list := p.free[class]
	if len(list) == 0 {
		return nil
	}
	last := len(list) - 1
	b := list[last]
	list[last] = nil
	p.free[class] = list[:last]
	p.bytes -= cap(b)
	return b
}

// push makes room at the cost of the class that holds most.
func (p *framePool) push(class int, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.bytes+cap(b) > keptFrames {
		most := class
		for i := range p.free {
			if len(p.free[i])<<i > len(p.free[most])<<most {
				most = i
			}
		}
		if p.remove(most) == nil || most == class {
			return
		}
	}
	p.free[class] = append(p.free[class], b)
	p.bytes += cap(b)
}
