package embedded

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// socket is one WebSocket. Replies come from many goroutines.
type socket struct {
	conn    *websocket.Conn
	sending sync.Mutex
	ctx     context.Context // ends when the socket is closed
	cancel  context.CancelFunc
	tasks   sync.WaitGroup

	mu      sync.Mutex
	session time.Duration // set by kill: how long the consumer stays on
}

// kill closes the socket; its consumer stays in the group for session.
func (s *socket) kill(session time.Duration) {
	s.mu.Lock()
	s.session = session
	s.mu.Unlock()
	s.conn.Close()
}

func (s *socket) sessionLeft() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// upgrade serves one WebSocket until it closes and everything it started is
// done.
func (n *Node) upgrade(a *adapter, w http.ResponseWriter, r *http.Request, serve func(*socket)) {
	got := n.strike(Request{Action: "connect"})
	if got.DropBefore {
		dropHTTP()
	}
	if got.Code != 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	up := websocket.Upgrader{ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10, EnableCompression: true, CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	s := &socket{conn: conn}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	n.mu.Lock()
	alive := n.adapter == a
	if alive {
		a.sockets[s] = struct{}{}
		a.running.Add(1)
	}
	n.mu.Unlock()
	if !alive {
		conn.Close()
		return
	}
	defer a.running.Done()
	serve(s)
	s.cancel()
	conn.Close()
	s.tasks.Wait()
	n.mu.Lock()
	delete(a.sockets, s)
	n.mu.Unlock()
}

// send writes one frame; a client that is gone is noticed by the reader.
func (s *socket) send(kind int, frame []byte) {
	s.sending.Lock()
	defer s.sending.Unlock()
	_ = s.conn.WriteMessage(kind, frame)
}

// request is the envelope of every text frame.
type request struct {
	Action string          `json:"action"`
	Args   json.RawMessage `json:"args"`
	id     uint64
	began  time.Time
}

// reply is a response's fields beside the common ones.
type reply map[string]any

// answer sends a JSON response, or the error in its place.
func (s *socket) answer(req *request, r reply, err error) {
	out := map[string]any{"code": 0, "message": "", "action": req.Action, "req_id": req.id, "timing": time.Since(req.began).Nanoseconds()}
	if err != nil {
		f := asFault(err)
		out["code"], out["message"] = f.code&0xffff, f.text
		if id, ok := r["message_id"]; ok {
			out["message_id"] = id
		}
	} else {
		for k, v := range r {
			out[k] = v
		}
	}
	frame, err := json.Marshal(out)
	if err != nil {
		panic(err) // every reply is made of plain values
	}
	s.send(websocket.TextMessage, frame)
}

// deliver sends an answer unless a fault forbids it.
func (s *socket) deliver(got Fault, send func()) {
	switch {
	case got.DropAfter:
		s.conn.Close()
	case got.Silent:
	default:
		send()
	}
}
