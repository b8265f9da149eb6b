package taos

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// heard runs a server that tells of each message it is sent, and pings before
// it reads the first.
func heard(t *testing.T, messages chan<- []byte, pongs chan<- string) *websocket.Conn {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetPongHandler(func(data string) error { pongs <- data; return nil })
		if err := conn.WriteControl(websocket.PingMessage, []byte("there?"), time.Now().Add(time.Second)); err != nil {
			return
		}
		for {
			_, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			messages <- data
		}
	}))
	t.Cleanup(server.Close)
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestMessagesArriveWholeAndStayAsTheyWere(t *testing.T) {
	messages, pongs := make(chan []byte, 1), make(chan string, 1)
	conn := heard(t, messages, pongs)
	s := newSocket(endpoint{}, Options{RequestTimeout: time.Minute})
	s.use(conn)
	go s.read()
	for _, size := range []int{
		0, 1, 3, 125, 126, patternSize - 1, patternSize + 1, 1<<16 - 1, 1 << 16,
		fragmentSize - 1, fragmentSize, fragmentSize + 1, 3*fragmentSize + 7,
	} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rand.Uint32())
		}
		before := bytes.Clone(data)
		if err := s.frag.write(t.Context(), websocket.BinaryMessage, data, time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := <-messages; !bytes.Equal(got, before) {
			t.Errorf("%d bytes: something else arrived", size)
		}
		if !bytes.Equal(data, before) {
			t.Errorf("%d bytes: the message was changed", size)
		}
	}
	if got := <-pongs; got != "there?" {
		t.Errorf("the ping was answered with %q", got)
	}
	s.close()
}

// A message that is cut off is written again on another connection.
func TestAMessageThatWasCutOffIsAsItWas(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	f := &fragments{conn: here}
	data := bytes.Repeat([]byte("payload "), fragmentSize/4)
	before := bytes.Clone(data)
	go func() {
		_, _ = there.Read(make([]byte, fragmentSize/2))
		there.Close()
	}()
	if err := f.write(t.Context(), websocket.BinaryMessage, data, time.Minute); err == nil {
		t.Error("a message went out that nobody read")
	}
	if !bytes.Equal(data, before) {
		t.Error("the message was changed")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.write(ended, websocket.BinaryMessage, data, time.Minute); err == nil {
		t.Error("a message went out after the end of its context")
	}
}

// TestNoGoodbyeInTheMiddleOfAFragment has a server close the connection while a
// fragment goes out: what answers it would be taken for a part of that.
func TestNoGoodbyeInTheMiddleOfAFragment(t *testing.T) {
	answered := make(chan []byte, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		bye := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
		if err := conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second)); err != nil {
			return
		}
		answer, _ := io.ReadAll(conn.NetConn()) // until the client is gone
		answered <- answer
	}))
	defer server.Close()
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newSocket(endpoint{}, Options{RequestTimeout: time.Minute})
	s.use(conn)
	s.frag.mu.Lock() // as while a fragment is written
	go s.read()
	if got := <-answered; len(got) > 0 {
		t.Errorf("% x was sent", got)
	}
	s.frag.mu.Unlock()
	s.close()
}
