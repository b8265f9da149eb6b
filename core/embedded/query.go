package embedded

import (
	"encoding/json"
	"sync"

	"github.com/gorilla/websocket"
)

// Queries over /ws: a statement's result is kept until its blocks have been
// fetched.

// blockRows is how many rows of a result go into one block.
const blockRows = 4096

// results are those of one socket.
type results struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]*pendingResult
}

type pendingResult struct {
	cols []column
	rows [][]any
}

type queryArgs struct {
	SQL string `json:"sql"`
	ID  uint64 `json:"id"`
}

// query runs a statement.
func (w *wsSession) query(raw json.RawMessage) (reply, error) {
	var args queryArgs
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, failure(codeAdapter, "unmarshal query request error")
	}
	at := w.session.Load()
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	// A session of its own: one that writes raw rows marks what it writes.
	s := &session{n: w.n, user: at.user, db: at.db}
	res, err := s.exec(args.SQL)
	if err != nil {
		return nil, err
	}
	if !res.isQuery {
		return reply{"id": 0, "is_update": true, "affected_rows": res.affected, "fields_count": 0}, nil
	}
	names, types, lengths, prec := []string{}, []int{}, []int{}, precision(0)
	for i, c := range res.cols {
		names, types, lengths = append(names, c.name), append(types, int(c.typ)), append(lengths, c.length())
		for _, row := range res.rows {
			if t, ok := row[i].(stamp); ok {
				prec = t.prec
			}
		}
	}
	w.results.mu.Lock()
	defer w.results.mu.Unlock()
	if w.results.open == nil {
		w.results.open = map[uint64]*pendingResult{}
	}
	w.results.last++
	w.results.open[w.results.last] = &pendingResult{cols: res.cols, rows: res.rows}
	return reply{"id": w.results.last, "is_update": false, "affected_rows": 0, "fields_count": len(names),
		"fields_names": names, "fields_types": types, "fields_lengths": lengths, "precision": int(prec)}, nil
}

// free drops a result; it is never answered.
func (w *wsSession) free(raw json.RawMessage) {
	var args queryArgs
	if json.Unmarshal(raw, &args) == nil {
		w.results.mu.Lock()
		defer w.results.mu.Unlock()
		delete(w.results.open, args.ID)
	}
}

// fetchResult sends the next block of a result, or that there is none. An adapter
// that does not know the request answers with a text.
func (w *wsSession) fetchResult(req *request, id uint64) {
	if !w.n.version.handsOutBlocks() {
		req.Action = "unknown"
		w.s.answer(req, nil, failure(codeAdapter, "unknown action unknown"))
		return
	}
	got := w.n.strike(Request{Action: "fetch_raw_block"})
	if got.DropBefore {
		w.s.conn.Close()
		return
	}
	block, err := w.nextBlock(id)
	if got.Code != 0 {
		err = failure(got.Code, "%s", got.Text)
	}
	e := encoder{}
	e.newHead(7, req, id, err)
	switch {
	case err != nil:
	case block == nil:
		e.u8(1)
	default:
		e.u8(0)
		e.i32(int32(len(block)))
		e.raw(block)
	}
	w.s.deliver(got, func() { w.s.send(websocket.BinaryMessage, e.b) })
}

// nextBlock returns nil when the result is over; then it is gone.
func (w *wsSession) nextBlock(id uint64) ([]byte, error) {
	w.results.mu.Lock()
	defer w.results.mu.Unlock()
	res := w.results.open[id]
	if res == nil {
		return nil, failure(codeAdapter, "result is nil")
	}
	if len(res.rows) == 0 {
		delete(w.results.open, id)
		return nil, nil
	}
	n := min(blockRows, len(res.rows))
	cells := make([][][]byte, n)
	for r, row := range res.rows[:n] {
		cells[r] = make([][]byte, len(row))
		for i, v := range row {
			cell, err := resultCell(res.cols[i], v)
			if err != nil {
				return nil, err
			}
			cells[r][i] = cell
		}
	}
	res.rows = res.rows[n:]
	return appendBlock(nil, 1, res.cols, cells), nil
}

// resultCell is decodeCell turned round.
func resultCell(c column, v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case jsonObject:
		return []byte(v), nil
	case stamp:
		return encodeCell(c, v.prec, v)
	}
	return encodeCell(c, 0, v)
}
