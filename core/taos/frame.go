package taos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"tdreplica/core"
)

// Sizes of the parts of binary frames (docs/protocol.md §3).
const (
	newHeadSize  = 56 // fetch_raw_data up to the payload, without an error text
	newErrorSize = 50 // fetch_raw_data of an error, without its text
	oldHeadSize  = 38 // fetch_raw up to the payload
	actionFetch  = 8  // fetch_raw_data

	actionFetchBlock = 7  // of a query's result
	blockHeadSize    = 55 // in front of the block, without an error text
	actionWrite      = 3  // write_raw
	newFrameMark     = ^uint64(0)
)

// exactFrame is the size up to which a frame's memory is allocated at once, on
// the word of its header, and kept for the next one. A larger one is believed up
// to trust times what has really arrived: its memory is not copied again and
// again as it grows, and a header alone does not get it.
const (
	exactFrame = 16 << 20
	trust      = 8
)

// rawFrame is a decoded reply to fetch_raw_data or fetch_raw. The payload is
// frame[body:].
type rawFrame struct {
	reqID     uint64
	messageID uint64
	code      int
	text      string
	rawType   core.RawType
	body      int
}

// frameReqID finds the request that a binary frame answers.
func frameReqID(frame []byte) (uint64, error) {
	if len(frame) < 16 {
		return 0, fmt.Errorf("a binary frame of %d bytes", len(frame))
	}
	if binary.LittleEndian.Uint64(frame) != newFrameMark {
		return binary.LittleEndian.Uint64(frame[8:]), nil
	}
	if len(frame) < 34 {
		return 0, fmt.Errorf("a binary frame of %d bytes", len(frame))
	}
	return binary.LittleEndian.Uint64(frame[26:]), nil
}

// parseRawFrame decodes a whole reply of either style. Every length is checked
// against the frame's; a frame with bytes missing or left over is refused.
func parseRawFrame(frame []byte) (rawFrame, error) {
	if len(frame) >= 8 && binary.LittleEndian.Uint64(frame) == newFrameMark {
		return parseNewFrame(frame)
	}
	return parseOldFrame(frame)
}

func parseNewFrame(frame []byte) (rawFrame, error) {
	le := binary.LittleEndian
	if len(frame) < newErrorSize {
		return rawFrame{}, fmt.Errorf("a frame of %d bytes, too short for its header", len(frame))
	}
	if action := le.Uint64(frame[8:]); action != actionFetch {
		return rawFrame{}, fmt.Errorf("a frame of action %d where %d was asked for", action, actionFetch)
	}
	if v := le.Uint16(frame[16:]); v != 1 {
		return rawFrame{}, fmt.Errorf("a frame of version %d", v)
	}
	f := rawFrame{reqID: le.Uint64(frame[26:]), code: int(le.Uint32(frame[34:]) & 0xffff)}
	textLen := int64(le.Uint32(frame[38:]))
	if int64(len(frame)) < newErrorSize+textLen {
		return rawFrame{}, fmt.Errorf("a frame of %d bytes with an error text of %d", len(frame), textLen)
	}
	n := int(textLen)
	f.text = string(frame[42 : 42+n])
	f.messageID = le.Uint64(frame[42+n:])
	if f.code != 0 {
		return f, nil
	}
	if len(frame) < newHeadSize+n {
		return rawFrame{}, fmt.Errorf("a frame of %d bytes without a payload", len(frame))
	}
	f.rawType = core.RawType(le.Uint16(frame[50+n:]))
	f.body = newHeadSize + n
	return f, checkPayload(frame, f.body, le.Uint32(frame[52+n:]))
}

func parseOldFrame(frame []byte) (rawFrame, error) {
	le := binary.LittleEndian
	if len(frame) < oldHeadSize {
		return rawFrame{}, fmt.Errorf("a frame of %d bytes, too short for its header", len(frame))
	}
	f := rawFrame{
		reqID:     le.Uint64(frame[8:]),
		messageID: le.Uint64(frame[16:]),
		rawType:   core.RawType(le.Uint16(frame[36:])),
		body:      oldHeadSize,
	}
	return f, checkPayload(frame, f.body, le.Uint32(frame[32:]))
}

// checkPayload compares the length that a header states with what is there. An
// empty payload is a message whose memory was handed out before: not writable.
func checkPayload(frame []byte, body int, stated uint32) error {
	switch there := len(frame) - body; {
	case int64(there) != int64(stated):
		return fmt.Errorf("a frame that holds %d bytes of payload and states %d", there, stated)
	case there == 0:
		return errors.New("an empty message")
	}
	return nil
}

// frameSize tells the whole size of a frame from its first bytes, or 0 if they
// do not tell.
func frameSize(head []byte) int64 {
	le := binary.LittleEndian
	if len(head) < newHeadSize {
		return 0
	}
	if le.Uint64(head) != newFrameMark {
		return oldHeadSize + int64(le.Uint32(head[32:]))
	}
	if le.Uint32(head[38:]) != 0 {
		return 0 // an error text comes first
	}
	if le.Uint64(head[8:]) == actionFetchBlock {
		return blockHeadSize + int64(le.Uint32(head[51:]))
	}
	return newHeadSize + int64(le.Uint32(head[52:]))
}

// readFrame reads a whole binary message into memory of its own, which is
// reused memory of the right size for all but huge frames. It fails beyond limit.
// head is memory of newHeadSize bytes to use on the way.
func readFrame(r io.Reader, head []byte, limit int64) ([]byte, error) {
	n, err := io.ReadFull(r, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return slices.Clone(head[:n]), nil // a short frame: the decoder judges it
	}
	if err != nil {
		return nil, err
	}
	size := frameSize(head)
	if size > limit {
		return nil, fmt.Errorf("a frame of %d bytes; the limit is %d: %w", size, limit, errFrameLimit)
	}
	// One byte more than needed lets the reader find the end without growing.
	return readRest(r, append(takeFrame(min(size+1, exactFrame)), head...), size+1, limit)
}

// readRest appends what is left of r to buf. stated is how large it will be, if
// somebody says so. It fails beyond limit.
func readRest(r io.Reader, buf []byte, stated, limit int64) ([]byte, error) {
	for {
		if have := len(buf); have == cap(buf) {
			more := min(int(stated), trust*have) - have
			buf = slices.Grow(buf, max(smallFrame, min(have, exactFrame), more))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, fmt.Errorf("a message of more than %d bytes: %w", limit, errFrameLimit)
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

var errFrameLimit = errors.New("frame too large")

// putWriteHead makes the frame that writes a message: the header goes in front
// of the payload, into the message's own memory.
func putWriteHead(m *core.Message, reqID uint64) ([]byte, error) {
	if m.Body < core.FrameHead || m.Body > len(m.Frame) {
		return nil, fmt.Errorf("the message has %d bytes in front of its payload, %d are needed", m.Body, core.FrameHead)
	}
	size := len(m.Frame) - m.Body
	if size == 0 {
		return nil, errors.New("the message is empty")
	}
	if int64(size) > 1<<32-1 {
		return nil, fmt.Errorf("the message has %d bytes, more than a frame can hold", size)
	}
	frame := m.Frame[m.Body-core.FrameHead:]
	le := binary.LittleEndian
	le.PutUint64(frame, reqID)
	le.PutUint64(frame[8:], reqID)
	le.PutUint64(frame[16:], actionWrite)
	le.PutUint32(frame[24:], uint32(size))
	le.PutUint16(frame[28:], uint16(m.RawType))
	return frame, nil
}
