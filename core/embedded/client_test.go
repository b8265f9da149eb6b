package embedded

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// start runs a node for one test.
func start(t *testing.T, opts Options) *Node {
	t.Helper()
	if opts.Rebalance == 0 {
		opts.Rebalance = 5 * time.Millisecond
	}
	n, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func must(t *testing.T, n *Node, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if err := n.Exec(sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// rows runs a query and returns its rows as lines of text.
func rows(t *testing.T, n *Node, sql string) string {
	t.Helper()
	got, err := n.Query(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var b strings.Builder
	for _, row := range got {
		for i, v := range row {
			if i > 0 {
				b.WriteByte(' ')
			}
			switch v := v.(type) {
			case time.Time:
				b.WriteString(v.Format("2006-01-02T15:04:05.999999999"))
			case []byte:
				fmt.Fprintf(&b, "%x", v)
			default:
				fmt.Fprint(&b, v)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// client is a WebSocket client that asks one thing at a time.
type client struct {
	t    *testing.T
	conn *websocket.Conn
	id   uint64
	last uint64 // message id
}

func dial(t *testing.T, base, path string) *client {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(base, "http")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: conn}
	t.Cleanup(func() { conn.Close() })
	return c
}

func (c *client) sendText(action string, args map[string]any) {
	c.t.Helper()
	c.id++
	if args == nil {
		args = map[string]any{}
	}
	args["req_id"] = c.id
	if err := c.conn.WriteJSON(map[string]any{"action": action, "args": args}); err != nil {
		c.t.Fatalf("%s: %v", action, err)
	}
}

type answer map[string]any

func (a answer) num(key string) int64 {
	f, _ := a[key].(json.Number)
	n, _ := f.Int64()
	return n
}

func (a answer) code() int { return int(a.num("code")) }

// try asks and returns the reply, or an error if none comes in time.
func (c *client) try(wait time.Duration, action string, args map[string]any) (answer, error) {
	c.t.Helper()
	c.sendText(action, args)
	c.conn.SetReadDeadline(time.Now().Add(wait))
	_, frame, err := c.conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	return decodeAnswer(c.t, frame), nil
}

func decodeAnswer(t *testing.T, frame []byte) answer {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(frame)))
	d.UseNumber()
	a := answer{}
	if err := d.Decode(&a); err != nil {
		t.Fatalf("decode %q: %v", frame, err)
	}
	return a
}

func (c *client) ask(action string, args map[string]any) answer {
	c.t.Helper()
	a, err := c.try(10*time.Second, action, args)
	if err != nil {
		c.t.Fatalf("%s: %v", action, err)
	}
	return a
}

func (c *client) ok(action string, args map[string]any) answer {
	c.t.Helper()
	a := c.ask(action, args)
	if a.code() != 0 {
		c.t.Fatalf("%s: %v", action, a)
	}
	return a
}

// consume subscribes to a topic; more holds options that differ.
func consume(t *testing.T, base, topic, group string, more map[string]any) *client {
	t.Helper()
	c := dial(t, base, "/rest/tmq")
	args := map[string]any{"user": "root", "password": "taosdata", "group_id": group, "client_id": "test",
		"offset_rest": "earliest", "topics": []string{topic}, "auto_commit": "false", "enable_batch_meta": "1",
		"msg_consume_excluded": "1", "with_table_name": "true"}
	for k, v := range more {
		args[k] = v
	}
	c.ok("subscribe", args)
	return c
}

// poll returns the next message's reply, or nil if there is none now.
func (c *client) poll(wait int) answer {
	c.t.Helper()
	a := c.ok("poll", map[string]any{"blocking_time": wait, "message_id": c.last})
	if a["have_message"] != true {
		return nil
	}
	c.last = uint64(a.num("message_id"))
	return a
}

// fetch reads the raw message.
func (c *client) fetch() (kind uint16, raw []byte) {
	c.t.Helper()
	c.sendText("fetch_raw_data", map[string]any{"message_id": c.last})
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, f, err := c.conn.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	le := binary.LittleEndian
	if le.Uint64(f) != ^uint64(0) || le.Uint64(f[8:]) != 8 || le.Uint32(f[34:]) != 0 {
		c.t.Fatalf("fetch_raw_data: %x", f)
	}
	if n := le.Uint32(f[52:]); int(n) != len(f)-56 {
		c.t.Fatalf("fetch_raw_data: length %d in a frame of %d", n, len(f))
	}
	return le.Uint16(f[50:]), f[56:]
}

// writer opens /ws with a current database.
func writer(t *testing.T, base, db string) *client {
	t.Helper()
	c := dial(t, base, "/ws")
	args := map[string]any{"user": "root", "password": "taosdata"}
	if db != "" {
		args["db"] = db
	}
	c.ok("conn", args)
	return c
}

func rawFrame(id uint64, kind uint16, raw []byte) []byte {
	e := encoder{}
	e.i64(int64(id))
	e.i64(0)
	e.i64(3)
	e.i32(int32(len(raw)))
	e.i16(int16(kind))
	e.raw(raw)
	return e.b
}

func (c *client) write(kind uint16, raw []byte) answer {
	c.t.Helper()
	c.id++
	if err := c.conn.WriteMessage(websocket.BinaryMessage, rawFrame(c.id, kind, raw)); err != nil {
		c.t.Fatal(err)
	}
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, f, err := c.conn.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	return decodeAnswer(c.t, f)
}

// pump copies messages until none is left, and returns how many there were. A
// write that the sink refuses fails the test unless tolerate says otherwise.
func pump(t *testing.T, from, to *client) int {
	t.Helper()
	n := 0
	for {
		if from.poll(30) == nil {
			return n
		}
		n++
		kind, raw := from.fetch()
		if a := to.write(kind, raw); a.code() != 0 {
			t.Fatalf("write of type %d: %v", kind, a)
		}
		from.ok("commit", map[string]any{"message_id": from.last})
	}
}
