package taos

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tdreplica/core"
)

func message(payload string, head int) *core.Message {
	return &core.Message{RawType: core.RawData, Frame: append(make([]byte, head), payload...), Body: head}
}

func loggedIn(next func(received) reply) func(received) reply {
	return func(r received) reply {
		if r.Action == "conn" {
			return reply{oldConn}
		}
		return next(r)
	}
}

// oldConn is the answer of an adapter whose library keeps no tables.
var oldConn = ok("conn", "version", "3.3.3.0")

func openSink(t *testing.T, f *fake, opts Options) *sink {
	t.Helper()
	k, err := New(opts).Sink(t.Context(), f.endpoint(), "power")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k.(*sink)
}

func TestWriteRefusesWhatIsNoMessage(t *testing.T) {
	f := newFake(t, loggedIn(func(received) reply { return reply{ok("write_raw")} }))
	k := openSink(t, f, Options{})
	for name, m := range map[string]*core.Message{
		"empty":                message("", 30),
		"no room for a header": message("rows", 29),
		"body out of frame":    {Frame: make([]byte, 40), Body: 41},
	} {
		if err := k.Write(t.Context(), m); core.ClassOf(err) != core.ClassData {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(f.requests("write_raw")); n != 0 {
		t.Errorf("%d of them were sent", n)
	}
	if err := k.Write(t.Context(), message("rows", 30)); err != nil {
		t.Errorf("a good message after bad ones: %v", err)
	}
	if db := f.requests("conn")[0].Args["db"]; db != "power" {
		t.Errorf("current database %v", db)
	}
}

// TestWriteErrors: the class of an answer, and that the connection stays usable
// after it.
func TestWriteErrors(t *testing.T) {
	for code, class := range map[int]core.Class{
		0x03D3: core.ClassRetry, 0x0386: core.ClassRetry, 0x0118: core.ClassData, 0x2616: core.ClassOperator,
		0x012E: core.ClassWait, 0x000B: core.ClassReconnect, 0x7777: core.ClassData,
	} {
		refused := false
		f := newFake(t, loggedIn(func(r received) reply {
			if !refused {
				refused = true
				return reply{refuse("write_raw", code, "no,detail:table:c1")}
			}
			return reply{ok("write_raw")}
		}))
		k := openSink(t, f, Options{})
		err := k.Write(t.Context(), message("rows", 56))
		var e *core.Error
		if !errors.As(err, &e) || e.Class != class || e.Code != code || !strings.Contains(e.Error(), "detail:table:c1") {
			t.Errorf("0x%04X: %v (%s)", code, err, core.ClassOf(err))
		}
		if err := k.Write(t.Context(), message("rows", 56)); err != nil {
			t.Errorf("0x%04X: the same again: %v", code, err)
		}
	}
}

// TestWriteWithoutAnswer: the outcome is unknown, so nothing more may be sent
// over this connection.
func TestWriteWithoutAnswer(t *testing.T) {
	f := newFake(t, loggedIn(func(received) reply { return nil }))
	k := openSink(t, f, quick)
	for range 2 {
		if err := k.Write(t.Context(), message("rows", 30)); core.ClassOf(err) != core.ClassReconnect {
			t.Errorf("%v", err)
		}
	}
	if n := len(f.requests("write_raw")); n != 1 {
		t.Errorf("%d writes were sent", n)
	}

	asked := make(chan struct{}, 1)
	f = newFake(t, loggedIn(func(received) reply { asked <- struct{}{}; return nil }))
	k = openSink(t, f, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if err := k.Write(ctx, message("rows", 30)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := k.Write(t.Context(), message("rows", 30)); core.ClassOf(err) != core.ClassReconnect || len(f.requests("write_raw")) != 1 {
		t.Errorf("after a cancelled write: %v", err)
	}
}

func TestSinkLogin(t *testing.T) {
	f := newFake(t, func(received) reply { return reply{refuse("conn", 0x0357, "Authentication failure")} })
	_, err := New(Options{}).Sink(t.Context(), f.endpoint(), "power")
	if core.ClassOf(err) != core.ClassOperator || !strings.Contains(err.Error(), "wrong user or password for root at http://127.0.0.1") {
		t.Errorf("%v", err)
	}
	f = newFake(t, func(received) reply { return reply{refuse("conn", 0x0388, "Database not exist")} })
	_, err = New(Options{}).Sink(t.Context(), f.endpoint(), "power")
	if core.ClassOf(err) != core.ClassOperator || core.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}

// TestAnAbandonedWriteIsNotSentLater: an adapter that reads nothing for a while
// does not get the rest of a message that has been given up since.
func TestAnAbandonedWriteIsNotSentLater(t *testing.T) {
	goOn, got := make(chan struct{}), make(chan error, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		var login received
		if err := conn.ReadJSON(&login); err != nil {
			t.Error(err)
		}
		if err := send(conn, uint64(login.Args["req_id"].(float64)), oldConn); err != nil {
			t.Error(err)
		}
		<-goOn
		_, _, err = conn.ReadMessage()
		got <- err
	}))
	server.Listener.Close()
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10) })
	}}
	var err error
	if server.Listener, err = small.Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	server.Start()
	defer server.Close()
	hasty := Options{WriteTimeout: 150 * time.Millisecond}
	k, err := New(hasty).Sink(t.Context(), core.Endpoint{URL: server.URL, User: "root", Password: "x"}, "power")
	if err != nil {
		t.Fatal(err)
	}
	// The message has room in the buffer here and none there.
	_ = k.(*sink).s.conn.NetConn().(*net.TCPConn).SetWriteBuffer(1 << 20)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err = k.Write(ctx, message(strings.Repeat("rows", 40_000), 30))
	close(goOn)
	if err == nil || !core.ClassOf(err).Retryable() {
		t.Errorf("a write without an answer: %v", err)
	}
	if err := <-got; err == nil {
		t.Error("the message arrived whole after it was given up")
	}
}
