package taos

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tdreplica/core"
	"tdreplica/core/engine"
	"tdreplica/core/raw"
)

// sameMessage is an adapter that answers every poll and fetch with one message
// and acknowledges every write. It does next to nothing itself, so that what is
// measured against it is the client.
func sameMessage(b *testing.B, payload []byte) core.Endpoint {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{ReadBufferSize: bufferSize, WriteBufferSize: bufferSize}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		frame := newFrame(1, 0, "", core.RawData, payload)
		request, reply := make([]byte, 0, len(payload)+1024), make([]byte, 0, 256)
		for {
			kind, r, err := conn.NextReader()
			if err != nil {
				return
			}
			if request, err = readInto(request[:0], r); err != nil {
				return
			}
			if kind == websocket.BinaryMessage {
				reply = fmt.Appendf(reply[:0], `{"code":0,"message":"","action":"write_raw","req_id":%d,"timing":1}`, binary.LittleEndian.Uint64(request))
				err = conn.WriteMessage(websocket.TextMessage, reply)
			} else if id := requestID(request); bytes.HasPrefix(request, []byte(`{"action":"fetch_raw_data"`)) {
				binary.LittleEndian.PutUint64(frame[26:], id)
				err = conn.WriteMessage(websocket.BinaryMessage, frame)
			} else {
				action := request[11 : 11+bytes.IndexByte(request[11:], '"')]
				reply = fmt.Appendf(reply[:0], `{"code":0,"message":"","action":"%s","req_id":%d,"timing":1,"version":"3.3.8.0","have_message":true,"topic":"t","database":"d","vgroup_id":7,"message_type":1,"message_id":1,"offset":9}`, action, id)
				err = conn.WriteMessage(websocket.TextMessage, reply)
			}
			if err != nil {
				return
			}
		}
	}))
	b.Cleanup(server.Close)
	return core.Endpoint{URL: server.URL, User: "root", Password: "taosdata"}
}

func readInto(buf []byte, r io.Reader) ([]byte, error) {
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil || len(buf) == cap(buf) {
			return nil, io.ErrShortBuffer
		}
	}
}

func requestID(request []byte) uint64 {
	_, rest, _ := bytes.Cut(request, []byte(`"req_id":`))
	end := bytes.IndexAny(rest, ",}")
	id, _ := strconv.ParseUint(string(rest[:max(end, 0)]), 10, 64)
	return id
}

// BenchmarkForward is the data path without the engine: poll, fetch, write, one
// after the other. Allocations include the few of the adapter above.
func BenchmarkForward(b *testing.B) {
	for _, size := range []int{4 << 10, 90 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			ctx := b.Context()
			ep := sameMessage(b, make([]byte, size))
			c := New(Options{})
			source, err := c.Source(ctx, ep, engine.Subscription{Topic: "t", Group: "g"})
			if err != nil {
				b.Fatal(err)
			}
			defer source.Close(ctx)
			sink, err := c.Sink(ctx, ep, "d")
			if err != nil {
				b.Fatal(err)
			}
			defer sink.Close()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				m, err := source.Poll(ctx, time.Second)
				if err != nil {
					b.Fatal(err)
				}
				if err := sink.Write(ctx, m); err != nil {
					b.Fatal(err)
				}
				m.Release()
			}
		})
	}
}

// BenchmarkKnownTables is what each message of 64 tables costs that are known.
func BenchmarkKnownTables(b *testing.B) {
	var tables []raw.Keyed
	for i := range 63 {
		tables = append(tables, raw.ByTime(fmt.Sprintf("meter_%d", i), "ts"))
	}
	rawType, payload := raw.EncodeTouch(tables, raw.ByTime("meter_63", "ts"), nil)
	m := raw.Item{RawType: rawType, Payload: payload}.Message(nil)
	var k sink
	t, err := k.tables(m, false)
	if err != nil || len(t.list) != 64 {
		b.Fatalf("%d tables, %v", len(t.list), err)
	}
	k.remember(t.keys)
	for b.Loop() {
		if _, err := k.tables(m, false); err != nil {
			b.Fatal(err)
		}
	}
}
