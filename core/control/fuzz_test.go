package control_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tdreplica/core/control"
)

// FuzzRequest sends anything to the control socket. It must be answered, and by
// nothing that failed: a panic in a handler is answered with 500.
func FuzzRequest(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/v1/snapshot", ""},
		{"GET", "/v1/events?after=3&limit=x", ""},
		{"GET", "/v1/tasks/fern/%E5%B7%A5%E5%8E%82", ""},
		{"POST", "/v1/replicas", `{"source":{"url":"http://a:6041","user":"root"},"sink":{},"databases":["power"]}`},
		{"POST", "/v1/replicas", `{"databases":[null],"tasks":{}}{}`},
		{"POST", "/v1/replicas/fern/start", `{"databases":["power"],"dry_run":true}`},
		{"POST", "/v1/replicas/fern/stop?databases=power", `[]`},
		{"POST", "/v1/replicas/fern/update", `{"workers":-1}`},
		{"DELETE", "/v1/replicas/fern?force=yes&dry_run=1", ""},
		{"POST", "/v1/quarantine/../replay", "\x00"},
		{"POST", "/v1/inspect", `{"source":` + strings.Repeat(`{"a":`, 100)},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	socket := filepath.Join(f.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		f.Fatal(err)
	}
	s := control.NewServer(&fake{}, false, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	f.Cleanup(func() {
		if err := s.Close(f.Context()); err != nil {
			f.Log(err) // the context of a test that ends is over
		}
		if err := <-served; err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, method, target, body string) {
		if strings.Contains(target, "pprof") {
			t.Skip("profiles take as long as they are asked to")
		}
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		// A body that is refused unread breaks the pipe: then the answer counts.
		_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, target, len(body), body)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Skip("no request at all")
		}
		defer res.Body.Close()
		if doc, _ := io.ReadAll(res.Body); res.StatusCode == http.StatusInternalServerError {
			t.Errorf("%q %q %q: %s", method, target, body, doc)
		}
	})
}
