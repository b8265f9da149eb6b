package taos

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/gorilla/websocket"

	"tdreplica/core"
	"tdreplica/core/raw"
)

const (
	actionBlock     = 5 // write_raw_block_with_fields
	actionNameBlock = "write_raw_block_with_fields"
	blockFrameHead  = 24
	maxNameBytes    = math.MaxUint16
	keptFrame       = 4 << 20 // the largest whose memory is used for the next block
)

// writeBlock writes rows of one table column by name: columns of the sink's table
// that the block does not have stay as they are. The rows carry the mark of
// replication as those of Write do. The table must exist; an error names it.
func (k *sink) writeBlock(ctx context.Context, b *raw.Block) error {
	op := fmt.Sprintf("write rows of table %q to database %q at %s", b.Table, k.database, k.ep)
	if b.Rows == 0 {
		return nil
	}
	if b.Table == "" || len(b.Table) > maxNameBytes {
		return &core.Error{Class: core.ClassData, Op: op, Text: "the rows have no usable table name"}
	}
	c := k.s.register(actionNameBlock)
	frame := append(k.frame[:0], make([]byte, blockFrameHead)...)
	le := binary.LittleEndian
	le.PutUint64(frame, c.id)
	le.PutUint64(frame[8:], c.id)
	le.PutUint64(frame[16:], actionBlock)
	if frame = b.AppendWrite(frame); cap(frame) <= keptFrame {
		k.frame = frame
	}
	if err := k.s.send(ctx, c, websocket.BinaryMessage, frame); err != nil {
		return err
	}
	a, err := k.s.await(ctx, c, k.opts.WriteTimeout)
	if err != nil {
		k.s.fail(fmt.Errorf("a write without an answer: %w", err))
		return err
	}
	return k.s.decode(op, c, a, nil)
}
