package control

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"tdreplica/core"
)

// slowInspector needs longer than a request's document may take to arrive.
type slowInspector struct {
	core.Controller
	takes time.Duration
}

func (s *slowInspector) Inspect(ctx context.Context, _ core.InspectRequest) ([]core.Candidate, error) {
	select {
	case <-time.After(s.takes):
		return []core.Candidate{{Database: "power"}}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func serveSlowly(t *testing.T) (path string) {
	t.Helper()
	s := NewServer(&slowInspector{takes: 400 * time.Millisecond}, false, slog.New(slog.DiscardHandler))
	s.bodyTime = 100 * time.Millisecond
	path = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return path
}

func TestARequestMayTakeLongerThanItsDocument(t *testing.T) {
	c := &Client{path: serveSlowly(t)}
	c.http = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", c.path)
	}}}
	defer c.Close()
	found, err := c.Inspect(t.Context(), core.InspectRequest{})
	if err != nil || len(found) != 1 {
		t.Errorf("a request that takes long ended with %v, %v", found, err)
	}
}

func TestADocumentThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	conn, err := net.Dial("unix", serveSlowly(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /v1/inspect HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("answered %s", answer.Status)
	}
}
