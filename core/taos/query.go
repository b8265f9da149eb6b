package taos

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gorilla/websocket"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// queryReply describes a result. Its blocks are fetched one by one; the adapter
// frees it after the last.
type queryReply struct {
	ID        uint64   `json:"id"`
	IsUpdate  bool     `json:"is_update"`
	Names     []string `json:"fields_names"`
	Precision int      `json:"precision"`
}

type queryArgs struct {
	request
	SQL string `json:"sql"`
}

// queryRows runs a query on a socket that has logged in and returns its result
// in the server's own encoding, whole; nil if it has no rows. After an error the
// socket must be closed: a result may be left there.
func (s *socket) queryRows(ctx context.Context, op, statement string) (*raw.Block, error) {
	var blocks []raw.Block
	err := s.eachBlock(ctx, op, statement, func(b raw.Block) error {
		blocks = append(blocks, b)
		return nil
	})
	if err != nil || len(blocks) == 0 {
		return nil, err
	}
	b := raw.Join(blocks)
	return &b, nil
}

// eachBlock runs a query like queryRows and hands out its result as it comes.
func (s *socket) eachBlock(ctx context.Context, op, statement string, each func(raw.Block) error) error {
	var reply queryReply
	if err := s.ask(ctx, op, "query", &queryArgs{SQL: statement}, s.opts.RequestTimeout, &reply); err != nil {
		return err
	}
	if reply.IsUpdate {
		return s.ep.nonsense(op, "no result")
	}
	precision := "ms"
	if reply.Precision > 0 && reply.Precision < 3 {
		precision = []string{"ms", "us", "ns"}[reply.Precision]
	}
	for {
		body, err := s.fetchBlock(ctx, op, reply.ID)
		if err != nil || body == nil {
			return err
		}
		b, err := raw.DecodeQuery(body, reply.Names, precision)
		if err == nil {
			err = each(b)
		}
		if err != nil {
			return s.ep.nonsense(op, err.Error())
		}
	}
}

// fetchBlock returns the next block of a result, nil after the last.
func (s *socket) fetchBlock(ctx context.Context, op string, result uint64) ([]byte, error) {
	c := s.register("fetch_raw_block")
	le := binary.LittleEndian
	frame := make([]byte, 26)
	le.PutUint64(frame, c.id)
	le.PutUint64(frame[8:], result)
	le.PutUint64(frame[16:], actionFetchBlock)
	le.PutUint16(frame[24:], 1)
	if err := s.send(ctx, c, websocket.BinaryMessage, frame); err != nil {
		return nil, err
	}
	a, err := s.await(ctx, c, s.opts.RequestTimeout)
	if err != nil {
		s.forget(c)
		return nil, err
	}
	if a.frame == nil {
		if a.code != 0 {
			return nil, s.ep.serverError(op, a.code, a.message, core.ClassReconnect)
		}
		return nil, s.ep.nonsense(op, "a text as the reply to fetch_raw_block")
	}
	return s.block(op, a.frame)
}

// block takes the head off a reply to fetch_raw_block.
func (s *socket) block(op string, frame []byte) ([]byte, error) {
	le := binary.LittleEndian
	if len(frame) < 51 || le.Uint64(frame) != newFrameMark || le.Uint64(frame[8:]) != actionFetchBlock || le.Uint16(frame[16:]) != 1 {
		return nil, s.ep.nonsense(op, fmt.Sprintf("a frame of %d bytes that is no block", len(frame)))
	}
	code, text := int(le.Uint32(frame[34:])&0xffff), int64(le.Uint32(frame[38:]))
	if code != 0 {
		return nil, s.ep.serverError(op, code, string(frame[42:min(int64(len(frame)), 42+text)]), core.ClassReconnect)
	}
	switch {
	case text != 0:
		return nil, s.ep.nonsense(op, "a block with an error text")
	case frame[50] != 0:
		return nil, nil
	case len(frame) < blockHeadSize || int64(len(frame)-blockHeadSize) != int64(le.Uint32(frame[51:])):
		return nil, s.ep.nonsense(op, fmt.Sprintf("a block of %d bytes that states another length", len(frame)))
	}
	return frame[blockHeadSize:], nil
}

// ticks is a time of a result in a database's precision.
func ticks(t time.Time, precision string) int64 {
	switch precision {
	case "us":
		return t.UnixMicro()
	case "ns":
		return t.UnixNano()
	}
	return t.UnixMilli()
}
