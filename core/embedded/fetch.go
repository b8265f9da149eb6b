package embedded

import (
	"encoding/binary"
	"time"

	"github.com/gorilla/websocket"
)

// The replies that carry bytes.

var errMessageID = failure(codeAdapter, "message ID is not equal")

func (t *tmqSession) sendRaw(req *request, args tmqArgs, got Fault) {
	var id uint64
	if args.MessageID != nil {
		id = *args.MessageID
	}
	t.lib.Lock()
	m, err := t.message, error(nil)
	switch {
	case got.Code != 0:
		err = failure(got.Code, "%s", got.Text)
	case t.c == nil:
		err = failure(codeAdapter, "tmq not init")
	case m == nil:
		err = failure(codeAdapter, "message has been freed")
	case m.id != id:
		err = errMessageID
	}
	var frame []byte
	if req.Action == "fetch_block" && err == nil {
		frame, err = t.fetchBlock(req, id)
	}
	t.lib.Unlock()
	switch {
	case req.Action == "fetch_raw_data":
		frame = rawDataFrame(req, id, m, err)
	case err != nil:
		t.s.deliver(got, func() { t.s.answer(req, reply{"message_id": id}, err) })
		return
	case req.Action == "fetch_raw":
		frame = oldRawFrame(req, id, m)
	}
	if err == nil && m.kind == kindRawRows {
		t.lib.Lock()
		m.payload = nil // its memory goes with the first reply
		t.lib.Unlock()
	}
	if got.Truncate > 0 && got.Truncate < len(frame) {
		frame = frame[:got.Truncate]
	}
	t.s.deliver(got, func() { t.s.send(websocket.BinaryMessage, frame) })
}

// newHead appends the head that replies to fetch_raw_data and fetch_raw_block
// have in common, with the error that they tell.
func (e *encoder) newHead(action int64, req *request, id uint64, err error) {
	f := &fault{}
	if err != nil {
		f = asFault(err)
	}
	e.i64(-1)
	e.i64(action)
	e.i16(1)
	e.i64(time.Since(req.began).Nanoseconds())
	e.i64(int64(req.id))
	e.i32(int32(f.code))
	e.i32(int32(len(f.text)))
	e.raw([]byte(f.text))
	e.i64(int64(id))
}

func rawDataFrame(req *request, id uint64, m *message, err error) []byte {
	e := encoder{}
	if err != nil {
		e.newHead(8, req, id, err)
		return e.b
	}
	e.b = make([]byte, 0, 56+len(m.payload))
	e.newHead(8, req, id, nil)
	e.i16(int16(m.kind))
	e.i32(int32(len(m.payload)))
	e.raw(m.payload)
	return e.b
}

func oldRawFrame(req *request, id uint64, m *message) []byte {
	e := encoder{make([]byte, 0, 38+len(m.payload))}
	e.i64(time.Since(req.began).Nanoseconds())
	e.i64(int64(req.id))
	e.i64(int64(id))
	e.i64(3)
	e.i32(int32(len(m.payload)))
	e.i16(int16(m.kind))
	e.raw(m.payload)
	return e.b
}

// fetch describes the next block of a data message.
func (t *tmqSession) fetch(args tmqArgs) (reply, error) {
	switch {
	case t.message == nil:
		return nil, failure(codeAdapter, "message has been freed")
	case args.MessageID == nil || t.message.id != *args.MessageID:
		return nil, failure(codeAdapter, "message ID are not equal")
	case t.message.messageType() == 2:
		return nil, failure(codeAdapter, "message type is not data")
	}
	r := reply{"message_id": t.message.id, "completed": true, "table_name": "", "rows": 0, "fields_count": 0,
		"fields_names": nil, "fields_types": nil, "fields_lengths": nil, "precision": 0}
	m, err := decodeDataMessage(t.message.kind, t.message.payload)
	if err != nil || t.fetched >= len(m.blocks) {
		return r, err
	}
	b := m.blocks[t.fetched]
	t.fetched++
	names, types, lengths := []string{}, []int{}, []int{}
	for _, c := range b.cols {
		names, types, lengths = append(names, c.name), append(types, int(c.typ)), append(lengths, c.length())
	}
	r["completed"], r["table_name"], r["rows"], r["fields_count"] = false, b.table, b.rows, len(b.cols)
	r["fields_names"], r["fields_types"], r["fields_lengths"], r["precision"] = names, types, lengths, int(b.prec)
	return r, nil
}

// fetchBlock hands out the block that fetch described last.
func (t *tmqSession) fetchBlock(req *request, id uint64) ([]byte, error) {
	if t.message.messageType() == 2 || t.fetched == 0 {
		return nil, failure(codeAdapter, "no fetch data")
	}
	m, err := decodeDataMessage(t.message.kind, t.message.payload)
	if err != nil {
		return nil, err
	}
	d := &decoder{b: m.blocks[t.fetched-1].encoded}
	inner := d.binary()
	e := encoder{binary.LittleEndian.AppendUint64(nil, uint64(time.Since(req.began).Nanoseconds()))}
	e.i64(int64(req.id))
	e.i64(int64(id))
	e.raw(inner[18:])
	return e.b, nil
}
