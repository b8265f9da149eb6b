package taos

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	// fragmentSize is how much of a message goes out in one piece: in one call of
	// the system, and under one deadline. It is a multiple of the mask's length.
	fragmentSize = 256 << 10
	patternSize  = 1 << 10
)

// fragments sends WebSocket messages without a copy: a client has to mask what
// it sends, and here that is done where the message lies, and undone afterwards.
// One goroutine at a time writes; mu keeps control frames, which others send,
// between two fragments.
type fragments struct {
	conn net.Conn
	mu   sync.Mutex

	// Kept from one fragment to the next, so that none is allocated.
	head    [14]byte
	pattern [patternSize]byte // the mask, over and over
	both    [2][]byte
	parts   net.Buffers
}

// write sends one message, and has it as it was when it returns. Each fragment
// may take as long as timeout. After an error the connection is of no use.
func (f *fragments) write(ctx context.Context, kind int, data []byte, timeout time.Duration) error {
	for first := true; first || len(data) > 0; first = false {
		n := min(len(data), fragmentSize)
		op := byte(kind)
		if !first {
			op = 0 // goes on with the one before
		}
		if n == len(data) {
			op |= 0x80 // the last
		}
		if err := f.fragment(ctx, op, data[:n], timeout); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (f *fragments) fragment(ctx context.Context, op byte, data []byte, timeout time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	// Looked at after the deadline was set: who ends ctx later sets another.
	if err := ctx.Err(); err != nil {
		return err
	}
	key := rand.Uint32()
	f.both[0], f.both[1] = f.header(op, len(data), key), data
	f.parts = f.both[:]
	f.fill(key, len(data))
	f.mask(data)
	_, err := f.parts.WriteTo(f.conn)
	f.mask(data)
	f.both[1] = nil
	return err
}

// header is that of a frame by a client (RFC 6455, section 5.2).
func (f *fragments) header(op byte, size int, key uint32) []byte {
	h := append(f.head[:0], op)
	switch {
	case size < 126:
		h = append(h, 0x80|byte(size))
	case size < 1<<16:
		h = binary.BigEndian.AppendUint16(append(h, 0x80|126), uint16(size))
	default:
		h = binary.BigEndian.AppendUint64(append(h, 0x80|127), uint64(size))
	}
	return binary.LittleEndian.AppendUint32(h, key)
}

// fill makes as much of the pattern as size bytes need.
func (f *fragments) fill(key uint32, size int) {
	for i := 0; i < min(size, patternSize); i += 4 {
		binary.LittleEndian.PutUint32(f.pattern[i:], key)
	}
}

// mask masks, and the second time unmasks.
func (f *fragments) mask(data []byte) {
	for len(data) > 0 {
		n := subtle.XORBytes(data, data, f.pattern[:min(len(data), patternSize)])
		data = data[n:]
	}
}
