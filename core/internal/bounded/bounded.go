// Package bounded is for fuzz tests: whatever comes from outside must not make a
// decoder take more memory than a multiple of it.
package bounded

import (
	"runtime/metrics"
	"testing"
)

// times is how many bytes a decoder may take for each one that it is given.
const times = 200

// Memory fails a test if f allocates more than a multiple of the bytes of input
// that it was given, and spare bytes beyond that. The rest of the process must
// hardly allocate meanwhile.
func Memory(t testing.TB, input, spare int, f func()) {
	t.Helper()
	heap := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(heap)
	before := heap[0].Value.Uint64()
	f()
	metrics.Read(heap)
	if got := heap[0].Value.Uint64() - before; got > uint64(spare+times*input) {
		t.Errorf("%d bytes of input take %d of memory", input, got)
	}
}
