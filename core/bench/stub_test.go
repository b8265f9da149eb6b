package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"tdreplica/core"
	"tdreplica/core/engine"
	"tdreplica/core/taos"
)

// topic is that of d0.
const topic = "tdr_d0"

// stub is an adapter in front of a node that does as little as one can: it hands
// out one recorded message again and again and acknowledges writes of its size
// unread. All else is the node's. It frames WebSocket messages by hand and copies no payload, so
// that what is measured against it is the replicator.
type stub struct {
	vgroups []int32
	each    int64 // messages in each vgroup
	payload []byte
	rawType core.RawType
	slow    time.Duration // before a write is acknowledged

	mu       sync.Mutex
	sessions []*stubReader // of one group, which share the vgroups
}

// serve answers at an address of its own, and passes on to node what is not
// about messages.
func (s *stub) serve(node string) (address string, err error) {
	to, err := url.Parse(node)
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/", httputil.NewSingleHostReverseProxy(to))
	mux.HandleFunc("/rest/tmq", func(w http.ResponseWriter, r *http.Request) { s.converse(w, r, nil) })
	sockets := *to
	sockets.Scheme = "ws"
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		behind, _, err := websocket.DefaultDialer.Dial(sockets.JoinPath("ws").String(), nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer behind.Close()
		s.converse(w, r, behind)
	})
	go http.Serve(l, mux)
	return "http://" + l.Addr().String(), nil
}

// stubReader is one connection, of a consumer or of a writer.
type stubReader struct {
	s      *stub
	conn   net.Conn
	in     *bufio.Reader
	out    []byte
	at     map[int32]int64
	turn   int
	lastID uint64
	behind *websocket.Conn // to the node, of a writer
}

func (s *stub) converse(w http.ResponseWriter, r *http.Request, behind *websocket.Conn) {
	ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	c := &stubReader{s: s, conn: ws.NetConn(), in: bufio.NewReaderSize(ws.NetConn(), 256<<10), at: map[int32]int64{}, behind: behind}
	defer c.leave()
	for c.next() == nil {
	}
}

// next serves one request. A write comes in one or more fragments.
func (c *stubReader) next() error {
	op, final, size, mask, err := c.head()
	if err != nil {
		return err
	}
	switch op {
	case websocket.TextMessage:
		text, err := c.body(size, mask)
		if err != nil {
			return err
		}
		if c.behind != nil {
			return c.passOn(op, text)
		}
		return c.request(text)
	case websocket.BinaryMessage:
		if final && size < len(c.s.payload) {
			frame, err := c.body(size, mask)
			if err != nil {
				return err
			}
			return c.passOn(op, frame)
		}
		first, err := c.in.Peek(8)
		if err != nil {
			return err
		}
		var id [8]byte
		for i := range id {
			id[i] = first[i] ^ mask[i&3]
		}
		for {
			if _, err := c.in.Discard(size); err != nil {
				return err
			}
			if final {
				time.Sleep(c.s.slow)
				return c.reply("write_raw", binary.LittleEndian.Uint64(id[:]), "")
			}
			if _, final, size, _, err = c.head(); err != nil {
				return err
			}
		}
	case websocket.PingMessage, websocket.PongMessage:
		_, err := c.in.Discard(size)
		return err
	}
	return io.EOF
}

// body reads the rest of a frame.
func (c *stubReader) body(size int, mask [4]byte) ([]byte, error) {
	b := make([]byte, size)
	_, err := io.ReadFull(c.in, b)
	for i := range b {
		b[i] ^= mask[i&3]
	}
	return b, err
}

// passOn has the node answer.
func (c *stubReader) passOn(op int, request []byte) error {
	if err := c.behind.WriteMessage(op, request); err != nil {
		return err
	}
	op, reply, err := c.behind.ReadMessage()
	if err != nil {
		return err
	}
	return c.send(op, reply)
}

// head reads the head of a frame.
func (c *stubReader) head() (op int, final bool, size int, mask [4]byte, err error) {
	b, err := c.in.Peek(2)
	if err != nil {
		return 0, false, 0, mask, err
	}
	op, final, size = int(b[0]&15), b[0]&0x80 != 0, int(b[1]&0x7f)
	n := 2
	switch size {
	case 126:
		n = 4
	case 127:
		n = 10
	}
	if b, err = c.in.Peek(n + 4); err != nil {
		return 0, false, 0, mask, err
	}
	switch n {
	case 4:
		size = int(binary.BigEndian.Uint16(b[2:]))
	case 10:
		size = int(binary.BigEndian.Uint64(b[2:]))
	}
	copy(mask[:], b[n:])
	_, err = c.in.Discard(n + 4)
	return op, final, size, mask, err
}

// send writes one frame, whose parts are not copied.
func (c *stubReader) send(op int, parts ...[]byte) error {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	var head [10]byte
	head[0], head[1] = 0x80|byte(op), 127
	binary.BigEndian.PutUint64(head[2:], uint64(size))
	all := append(net.Buffers{head[:]}, parts...)
	_, err := all.WriteTo(c.conn)
	return err
}

func (c *stubReader) reply(action string, id uint64, fields string) error {
	c.out = fmt.Appendf(c.out[:0], `{"code":0,"message":"","action":"%s","req_id":%d,"timing":1%s}`, action, id, fields)
	return c.send(websocket.TextMessage, c.out)
}

// newStub records a message of d0 at a node that has been filled.
func newStub(n core.Endpoint, w world) (*stub, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s := &stub{each: int64(w.Replay), slow: time.Duration(w.SlowMS) * time.Millisecond}
	for vg := range w.Vgroups {
		s.vgroups = append(s.vgroups, int32(vg+2))
	}
	c := taos.New(taos.Options{})
	cat, err := c.Catalog(ctx, n)
	if err != nil {
		return nil, err
	}
	defer cat.Close()
	if err := cat.EnsureTopic(ctx, topic, "d0"); err != nil {
		return nil, err
	}
	src, err := c.Source(ctx, n, engine.Subscription{Topic: topic, Group: "recorder"})
	if err != nil {
		return nil, err
	}
	defer src.Close(ctx)
	for s.payload == nil {
		m, err := src.Poll(ctx, time.Second)
		if err != nil {
			return nil, err
		}
		if m != nil && m.Kind != core.KindMeta {
			s.payload, s.rawType = m.Payload(), m.RawType
		}
	}
	return s, nil
}

// request answers one in JSON.
func (c *stubReader) request(text []byte) error {
	var r struct {
		Action string
		Args   struct {
			ReqID     uint64 `json:"req_id"`
			MessageID uint64 `json:"message_id"`
			Blocking  int    `json:"blocking_time"`
			VgroupID  int32  `json:"vgroup_id"`
			Vgroups   []struct {
				VgroupID int32 `json:"vgroup_id"`
			} `json:"topic_vgroup_ids"`
		}
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	s, a := c.s, &r.Args
	fields := ""
	switch r.Action {
	case "version":
		fields = `,"version":"3.3.8.0"`
	case "subscribe":
		s.mu.Lock()
		s.sessions = append(s.sessions, c)
		s.mu.Unlock()
	case "poll":
		return c.poll(a.ReqID, time.Duration(a.Blocking)*time.Millisecond)
	case "fetch_raw_data":
		return c.fetch(a.ReqID, a.MessageID)
	case "assignment":
		list := []map[string]int64{}
		for _, vg := range c.mine() {
			list = append(list, map[string]int64{"vgroup_id": int64(vg), "offset": c.at[vg], "begin": 0, "end": s.each})
		}
		text, _ := json.Marshal(list)
		fields = `,"assignment":` + string(text)
	case "position", "committed": // what is stored is forgotten: each run reads all
		list := []int64{}
		for _, v := range a.Vgroups {
			if r.Action == "committed" {
				list = append(list, -2147467247)
			} else {
				list = append(list, c.at[v.VgroupID])
			}
		}
		text, _ := json.Marshal(list)
		fields = `,"` + r.Action + `":` + string(text)
	case "unsubscribe":
		c.leave()
	}
	return c.reply(r.Action, a.ReqID, fields)
}

// mine are the consumer's vgroups.
func (c *stubReader) mine() []int32 {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	var mine []int32
	for i, vg := range c.s.vgroups {
		if c.s.sessions[i%len(c.s.sessions)] == c {
			mine = append(mine, vg)
		}
	}
	return mine
}

func (c *stubReader) leave() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for i, other := range c.s.sessions {
		if other == c {
			c.s.sessions = append(c.s.sessions[:i], c.s.sessions[i+1:]...)
			return
		}
	}
}

func (c *stubReader) poll(id uint64, wait time.Duration) error {
	mine := c.mine()
	for range mine {
		c.turn++
		vg := mine[c.turn%len(mine)]
		if at := c.at[vg]; at < c.s.each {
			c.at[vg]++
			c.lastID++
			return c.reply("poll", id, fmt.Sprintf(`,"have_message":true,"topic":"%s","database":"d0","vgroup_id":%d,"message_type":1,"message_id":%d,"offset":%d`,
				topic, vg, c.lastID, at))
		}
	}
	time.Sleep(wait)
	return c.reply("poll", id, `,"have_message":false,"topic":"","database":"","vgroup_id":0,"message_type":0,"message_id":0,"offset":0`)
}

// fetch sends the payload behind the head that docs/protocol.md §3 tells of.
func (c *stubReader) fetch(id, message uint64) error {
	le := binary.LittleEndian
	var head [56]byte
	le.PutUint64(head[0:], ^uint64(0))
	le.PutUint64(head[8:], 8)
	le.PutUint16(head[16:], 1)
	le.PutUint64(head[26:], id)
	le.PutUint64(head[42:], message)
	le.PutUint16(head[50:], uint16(c.s.rawType))
	le.PutUint32(head[52:], uint32(len(c.s.payload)))
	return c.send(websocket.BinaryMessage, head[:], c.s.payload)
}
