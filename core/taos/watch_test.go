package taos

import (
	"context"
	"testing"
	"time"
)

// On a busy machine the end of a request's context may be noticed when the next
// request is being sent: it must not cut that one off.
func TestTheEndOfARequestDoesNotCutOffTheNext(t *testing.T) {
	conn := heard(t, make(chan []byte, 1), make(chan string, 1))
	s := newSocket(endpoint{}, Options{RequestTimeout: time.Minute})
	s.conn = conn
	early, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.watch(early)
	s.watch(t.Context())
	s.setSending(true)
	s.interrupt(early)
	if _, err := conn.NetConn().Write([]byte{0x8a, 0x80, 0, 0, 0, 0}); err != nil {
		t.Errorf("the end of an earlier request: %v", err)
	}
	s.interrupt(t.Context())
	if _, err := conn.NetConn().Write([]byte{0x8a, 0x80, 0, 0, 0, 0}); err == nil {
		t.Error("the end of the request itself does not interrupt it")
	}
}
