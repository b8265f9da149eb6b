package taos

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tdreplica/core"
	"tdreplica/core/engine"
)

// counted is a connection whose bytes are counted.
type counted struct {
	net.Conn
	in, out *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.Add(int64(n))
	return n, err
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.out.Add(int64(n))
	return n, err
}

type countingListener struct {
	net.Listener
	in, out atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return counted{c, &l.in, &l.out}, err
}

// A message arrives as it was sent, and in both directions far fewer bytes go
// over the line, if both ends want it; an adapter that does not is talked to
// without.
func TestMessagesAreCompressedWhereBothEndsKnowHow(t *testing.T) {
	payload := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	for _, c := range []struct {
		name            string
		wanted, offered bool
	}{{"both", true, true}, {"only wanted", true, false}, {"only offered", false, true}} {
		t.Run(c.name, func(t *testing.T) {
			written := make(chan []byte, 1)
			server, line := compressingAdapter(t, payload, c.offered, written)
			conn, ep := New(Options{}), core.Endpoint{URL: server, User: "root", Password: "taosdata", Compression: c.wanted}
			source, err := conn.Source(t.Context(), ep, engine.Subscription{Topic: "t", Group: "g"})
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close(t.Context())
			sink, err := conn.Sink(t.Context(), ep, "d")
			if err != nil {
				t.Fatal(err)
			}
			defer sink.Close()
			m, err := source.Poll(t.Context(), time.Second)
			if err != nil || !bytes.Equal(m.Payload(), payload) {
				t.Fatalf("the message differs from what was sent: %v", err)
			}
			if err := sink.Write(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if got := <-written; !bytes.Equal(got[core.FrameHead:], payload) {
				t.Error("the sink got something else")
			}
			small := int64(len(payload) / 10)
			if little := line.in.Load() < small && line.out.Load() < small; little != (c.wanted && c.offered) {
				t.Errorf("%d and %d bytes went over the line for a message of %d", line.out.Load(), line.in.Load(), len(payload))
			}
		})
	}
}

// compressingAdapter serves one message and hands out what is written to it.
func compressingAdapter(t *testing.T, payload []byte, offered bool, written chan<- []byte) (string, *countingListener) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{EnableCompression: offered}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, text, err := conn.ReadMessage()
			if err != nil {
				return
			}
			id, action := requestID(text), ""
			if kind == websocket.BinaryMessage {
				written <- text
				id, action = 0, actionWriteRaw
			} else {
				action = string(text[11 : 11+bytes.IndexByte(text[11:], '"')])
			}
			if action == "fetch_raw_data" {
				frame := newFrame(1, 0, "", core.RawData, payload)
				err = send(conn, id, frame)
			} else {
				err = send(conn, id, ok(action, "version", "3.3.8.0", "have_message", true, "topic", "t", "vgroup_id", 7,
					"message_type", 1, "message_id", 1, "offset", 9))
			}
			if err != nil {
				return
			}
		}
	}))
	line := &countingListener{Listener: server.Listener}
	server.Listener = line
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, line
}
