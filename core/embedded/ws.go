package embedded

import (
	"encoding/binary"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// wsSession is the state of one /ws socket.
type wsSession struct {
	n       *Node
	s       *socket
	session atomic.Pointer[session] // nil until conn
	writing atomic.Int32
	results results
}

// serveWS answers each frame in a goroutine of its own, as the adapter does.
func (n *Node) serveWS(s *socket) {
	w := &wsSession{n: n, s: s}
	for {
		kind, frame, err := s.conn.ReadMessage()
		if err != nil {
			w.closed()
			return
		}
		if kind == websocket.BinaryMessage && len(frame) >= 26 && binary.LittleEndian.Uint64(frame[16:]) == fetchRawBlock {
			req := &request{id: binary.LittleEndian.Uint64(frame), began: time.Now()}
			s.tasks.Go(func() { w.fetchResult(req, binary.LittleEndian.Uint64(frame[8:])) })
		} else if kind == websocket.BinaryMessage {
			if w.writing.Add(1) > 1 {
				n.violation("write: a second frame was sent before the reply to the first")
			}
			s.tasks.Go(func() { w.binary(frame) })
		} else {
			s.tasks.Go(func() { w.text(frame) })
		}
	}
}

// closed leaves what the connection knew of tables to those that may reuse it.
func (w *wsSession) closed() {
	s := w.session.Load()
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if s != nil && s.kept != nil && len(s.kept.tables) > 0 {
		w.n.left = s.kept
	}
}

type connArgs struct {
	ReqID    uint64 `json:"req_id"`
	User     string `json:"user"`
	Password string `json:"password"`
	DB       string `json:"db"`
	Mode     *int   `json:"mode"`
}

func (w *wsSession) text(frame []byte) {
	req := &request{began: time.Now()}
	if err := json.Unmarshal(frame, req); err != nil {
		w.s.answer(req, nil, failure(codeAdapter, "unmarshal request error"))
		return
	}
	args := connArgs{}
	if len(req.Args) > 0 {
		if err := json.Unmarshal(req.Args, &args); err != nil {
			w.s.answer(req, nil, failure(codeAdapter, "unmarshal %s request error", req.Action))
			return
		}
	}
	req.id = args.ReqID
	got := w.n.strike(Request{Action: req.Action, Database: args.DB})
	if got.DropBefore {
		w.s.conn.Close()
		return
	}
	var r reply
	var err error
	switch {
	case got.Code != 0:
		err = failure(got.Code, "%s", got.Text)
	case req.Action == "":
		err = failure(codeAdapter, "request no action")
	case req.Action == "version":
		r = reply{"version": w.n.opts.Version}
	case req.Action == "check_server_status":
		r = w.n.serverStatus()
	case req.Action == "conn":
		r, err = w.connect(args)
	case w.session.Load() == nil:
		err = failure(codeAdapter, "server not connected")
	case req.Action == "query":
		r, err = w.query(req.Args)
	case req.Action == "free_result":
		w.free(req.Args)
		return
	case req.Action == "get_current_db":
		r = reply{"db": w.session.Load().db}
	default:
		err = failure(codeAdapter, "unknown action %s", req.Action)
	}
	w.s.deliver(got, func() { w.s.answer(req, r, err) })
}

func (n *Node) serverStatus() reply {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.serverDown {
		return reply{"status": 0, "details": ""}
	}
	return reply{"status": 2, "details": ""}
}

func (w *wsSession) connect(args connArgs) (reply, error) {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	switch {
	case w.session.Load() != nil:
		return nil, failure(codeAdapter, "duplicate connections")
	case w.n.serverDown:
		return nil, errUnreachable
	case args.Mode != nil && *args.Mode != 0:
		return nil, failure(codeAdapter, "unexpected mode:%d", *args.Mode)
	}
	u, err := w.n.login(args.User, args.Password)
	if err != nil {
		return nil, err
	}
	if args.DB != "" && w.n.databases[args.DB] == nil {
		return nil, errDBMissing
	}
	w.session.Store(&session{n: w.n, user: u, db: args.DB, marked: true})
	return reply{"version": w.n.opts.Version}, nil
}

// fetchRawBlock is the number of the action that fetches a result's next block.
const fetchRawBlock = 7

// binary serves write_raw (3) and the two forms of write_raw_block (4, 5).
func (w *wsSession) binary(frame []byte) {
	req := &request{began: time.Now(), Action: "write_raw"}
	if len(frame) < 24 {
		w.n.violation("write: a frame of %d bytes has no whole header", len(frame))
		w.s.conn.Close()
		return
	}
	req.id = binary.LittleEndian.Uint64(frame)
	switch action := binary.LittleEndian.Uint64(frame[16:]); action {
	case 3:
		w.writeRaw(req, frame)
	case 4, 5:
		req.Action = map[uint64]string{4: "write_raw_block", 5: "write_raw_block_with_fields"}[action]
		w.perform(req, Request{Action: req.Action, Raw: frame[24:]}, func(s *session) error { return s.writeRawBlock(frame[24:], action == 5) })
	default:
		w.writing.Add(-1)
		w.s.answer(&request{id: req.id, began: req.began}, nil, failure(codeAdapter, "unknown binary action %d", action))
	}
}

func (w *wsSession) writeRaw(req *request, frame []byte) {
	if len(frame) < 30 || uint64(len(frame)) < 30+uint64(binary.LittleEndian.Uint32(frame[24:])) {
		w.n.violation("write_raw: a frame of %d bytes is shorter than it says; a real adapter crashes", len(frame))
		w.s.conn.Close()
		return
	}
	kind := binary.LittleEndian.Uint16(frame[28:])
	raw := frame[30 : 30+binary.LittleEndian.Uint32(frame[24:])]
	w.perform(req, Request{Action: req.Action, RawType: kind, Raw: raw}, func(s *session) error { return s.writeRaw(kind, raw) })
}

func (w *wsSession) perform(req *request, about Request, write func(*session) error) {
	s := w.session.Load()
	if s != nil {
		about.Database = s.db
	}
	got := w.n.strike(about)
	if got.DropBefore {
		w.s.conn.Close()
		return
	}
	var err error
	switch {
	case got.Code != 0:
		err = failure(got.Code, "%s", got.Text)
	case s == nil:
		err = failure(codeAdapter, "server not connected")
	case got.Lose:
	default:
		err = write(s)
	}
	w.writing.Add(-1) // before the reply: the client may send the next frame on its arrival
	w.s.deliver(got, func() { w.s.answer(req, nil, err) })
}
