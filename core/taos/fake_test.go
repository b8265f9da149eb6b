package taos

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"tdreplica/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// received is a request as the fake adapter got it.
type received struct {
	Action string         `json:"action"`
	Args   map[string]any `json:"args"`
	frame  []byte
	id     uint64
}

// reply is what the fake adapter answers: texts and frames, in this order.
// The req_id of the request is put into them.
type reply []any

// fake is a scripted adapter. answer is called for one request at a time; nil
// means that no reply is sent.
type fake struct {
	t      *testing.T
	server *httptest.Server
	answer func(r received) reply
	rest   http.HandlerFunc

	mu    sync.Mutex
	seen  []received
	conns []*websocket.Conn
}

func newFake(t *testing.T, answer func(r received) reply) *fake {
	t.Helper()
	f := &fake{t: t, answer: answer}
	f.server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.cut()
		f.server.Close()
	})
	return f
}

func (f *fake) endpoint() core.Endpoint {
	return core.Endpoint{URL: f.server.URL, User: "root", Password: "secret/pass@word"}
}

// cut closes every WebSocket without a word.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.NetConn().Close()
	}
}

func (f *fake) requests(action string) (out []received) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.seen {
		if r.Action == action {
			out = append(out, r)
		}
	}
	return out
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/rest/sql" {
		f.rest(w, r)
		return
	}
	up := websocket.Upgrader{WriteBufferSize: 512}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	f.mu.Lock()
	f.conns = append(f.conns, conn)
	f.mu.Unlock()
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		var req received
		if kind == websocket.BinaryMessage {
			req = received{Action: "write_raw", frame: data, id: binary.LittleEndian.Uint64(data)}
		} else if err := json.Unmarshal(data, &req); err != nil {
			f.t.Errorf("the client sent %q", data)
			return
		} else if id, ok := req.Args["req_id"].(float64); ok {
			req.id = uint64(id)
		}
		f.mu.Lock()
		f.seen = append(f.seen, req)
		f.mu.Unlock()
		for _, part := range f.answer(req) {
			if err := send(conn, req.id, part); err != nil {
				return
			}
		}
	}
}

// send writes one part of a reply: a map as JSON with the request's id unless
// it has one, bytes as a frame with the id in its place, a string as it is.
func send(conn *websocket.Conn, id uint64, part any) error {
	switch p := part.(type) {
	case map[string]any:
		if _, has := p["req_id"]; !has {
			p["req_id"] = id
		}
		return conn.WriteJSON(p)
	case string:
		return conn.WriteMessage(websocket.TextMessage, []byte(p))
	case []byte:
		p = bytes.Clone(p)
		switch {
		case len(p) >= 34 && binary.LittleEndian.Uint64(p) == newFrameMark:
			binary.LittleEndian.PutUint64(p[26:], id)
		case len(p) >= 16:
			binary.LittleEndian.PutUint64(p[8:], id)
		}
		return conn.WriteMessage(websocket.BinaryMessage, p)
	case func(*websocket.Conn):
		p(conn)
	}
	return nil
}

func ok(action string, more ...any) map[string]any {
	m := map[string]any{"code": 0, "message": "", "action": action, "timing": 1}
	for i := 0; i+1 < len(more); i += 2 {
		m[more[i].(string)] = more[i+1]
	}
	return m
}

func refuse(action string, code int, text string) map[string]any {
	return map[string]any{"code": code, "message": text, "action": action, "timing": 1}
}

// polled is the answer to a poll that brings a message.
func polled(id uint64, kind core.MessageKind, offset int64) map[string]any {
	return ok("poll", "have_message", true, "topic", "t", "database", "d", "vgroup_id", 7,
		"message_type", int(kind), "message_id", id, "offset", offset)
}

func nothing() map[string]any {
	return ok("poll", "have_message", false, "topic", "", "vgroup_id", 0, "message_type", 0, "message_id", 0, "offset", 0)
}

// newFrame is a reply to fetch_raw_data; a code other than 0 makes it an error.
func newFrame(id uint64, code uint32, text string, rawType core.RawType, payload []byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint64(nil, newFrameMark)
	b = le.AppendUint64(b, actionFetch)
	b = le.AppendUint16(b, 1)
	b = le.AppendUint64(b, 1)
	b = le.AppendUint64(b, 0)
	b = le.AppendUint32(b, code)
	b = le.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	b = le.AppendUint64(b, id)
	if code != 0 {
		return b
	}
	b = le.AppendUint16(b, uint16(rawType))
	b = le.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

func oldFrame(id uint64, rawType core.RawType, payload []byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint64(nil, 1)
	b = le.AppendUint64(b, 0)
	b = le.AppendUint64(b, id)
	b = le.AppendUint64(b, 3)
	b = le.AppendUint32(b, uint32(len(payload)))
	b = le.AppendUint16(b, uint16(rawType))
	return append(b, payload...)
}

// line is one of a recorded conversation with a real server.
type line struct {
	Via    string          `json:"via"`
	Dir    string          `json:"dir"`
	Text   json.RawMessage `json:"text"`
	Binary []byte          `json:"binary_base64"`
}

func (l line) action() string {
	var m struct {
		Action string `json:"action"`
	}
	if l.Text != nil && json.Unmarshal(l.Text, &m) == nil {
		return m.Action
	}
	return "write_raw"
}

func readRecording(tb testing.TB, version string) (out []line) {
	tb.Helper()
	file, err := os.Open("testdata/" + version + ".jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			tb.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

// replay answers each request with the next recorded reply to its action, and
// polls after the last one with nothing. The version may be another one.
func replay(recording []line, version string) func(received) reply {
	next := make(map[string]int)
	return func(r received) reply {
		if r.Action == "unsubscribe" {
			return reply{ok("unsubscribe")}
		}
		for i := next[r.Action]; i+1 < len(recording); i++ {
			if recording[i].Dir != "send" || recording[i].action() != r.Action {
				continue
			}
			next[r.Action] = i + 1
			answer := recording[i+1]
			if answer.Binary != nil {
				return reply{answer.Binary}
			}
			var m map[string]any
			if json.Unmarshal(answer.Text, &m) != nil {
				return nil
			}
			if _, has := m["req_id"]; has {
				m["req_id"] = r.id
			} else {
				m["req_id"] = 0
			}
			if version != "" && r.Action == "version" {
				m["version"] = version
			}
			return reply{m}
		}
		if r.Action == "poll" {
			return reply{nothing()}
		}
		return nil
	}
}

// quick are limits with which a test of silence does not take long.
var quick = Options{
	ConnectTimeout: 2 * time.Second, RequestTimeout: 150 * time.Millisecond,
	SubscribeTimeout: 150 * time.Millisecond, WriteTimeout: 150 * time.Millisecond,
}
