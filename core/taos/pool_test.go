package taos

import "testing"

func TestFramesAreReusedInTheirClass(t *testing.T) {
	for _, size := range []int64{0, 1, 511, 512, 513, 4096, 90_000, exactFrame} {
		b := takeFrame(size)
		if len(b) != 0 || int64(cap(b)) < size || int64(cap(b)) > max(smallFrame, 2*size) {
			t.Errorf("%d bytes: length %d, capacity %d", size, len(b), cap(b))
		}
		giveFrame(append(b, 1))
		if again := takeFrame(size); len(again) != 0 || int64(cap(again)) < size {
			t.Errorf("%d bytes, reused: length %d, capacity %d", size, len(again), cap(again))
		}
	}
	kept := frames.bytes
	giveFrame(make([]byte, 0, 2*exactFrame))
	if frames.bytes != kept {
		t.Errorf("the memory of a huge frame is kept")
	}
	giveFrame(nil)
	giveFrame(make([]byte, 700))
	if b := takeFrame(700); cap(b) != 1024 {
		t.Errorf("memory of another origin was taken: capacity %d", cap(b))
	}
}

func TestFramesKeptAreBounded(t *testing.T) {
	var p framePool
	const small, big = 10, 20
	for range 2 * keptFrames >> small {
		p.push(small, make([]byte, 0, 1<<small))
	}
	if p.bytes > keptFrames {
		t.Errorf("%d bytes are kept, the bound is %d", p.bytes, keptFrames)
	}
	p.push(big, make([]byte, 0, 1<<big))
	if p.pop(big) == nil {
		t.Error("what many small frames hold is not given up for a big one")
	}
	for p.pop(small) != nil {
	}
	if p.bytes != 0 {
		t.Errorf("%d bytes are counted in an empty pool", p.bytes)
	}
}
