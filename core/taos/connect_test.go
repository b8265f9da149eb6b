package taos

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tdreplica/core"
)

// listen accepts connections and lets serve do something with each.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var open []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
			serve(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range open {
			c.Close()
		}
	})
	return l.Addr().String()
}

// TestUnreachable: every way not to reach a taosAdapter has its own sentence,
// and it comes in time.
func TestUnreachable(t *testing.T) {
	closed := listen(t, func(net.Conn) {})
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		closed = l.Addr().String()
		l.Close()
	}
	hangUp := listen(t, func(c net.Conn) { c.Close() })
	silent := listen(t, func(net.Conn) {})
	chatty := listen(t, func(c net.Conn) { c.Write([]byte("SSH-2.0-server\r\n\r\n")) })
	website := httptest.NewServer(http.NotFoundHandler())
	defer website.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }))
	defer proxy.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	defer secure.Close()
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := new(websocket.Upgrader).Upgrade(w, r, nil); err == nil {
			conn.Close()
		}
	}))
	defer cut.Close()
	mute := newFake(t, func(received) reply { return nil })

	for _, c := range []struct {
		name, url, text string
		class           core.Class
	}{
		{"unknown host", "http://no-such-host.invalid:6041", `unknown host "no-such-host.invalid"`, core.ClassReconnect},
		{"refused", "http://" + closed, "http://" + closed + ": connection refused", core.ClassReconnect},
		{"hangs up", "http://" + hangUp, "it is no taosAdapter", core.ClassReconnect},
		{"silent", "http://" + silent, "no answer in time", core.ClassReconnect},
		{"something else", "http://" + chatty, "the port answers, but it is no taosAdapter", core.ClassOperator},
		{"a web server", website.URL, "the port answers, but it is no taosAdapter", core.ClassOperator},
		{"a proxy", proxy.URL, "a proxy answers (HTTP 502), but no taosAdapter behind it", core.ClassReconnect},
		{"untrusted", secure.URL, "its certificate is not trusted", core.ClassOperator},
		{"no TLS", strings.Replace(website.URL, "http", "https", 1), "it speaks no TLS", core.ClassOperator},
		{"cut off", cut.URL, "version", core.ClassReconnect},
		{"another WebSocket", mute.server.URL, "it is no taosAdapter, or one that is overloaded", core.ClassReconnect},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			opts := Options{ConnectTimeout: time.Second}
			_, err := New(opts).Catalog(t.Context(), core.Endpoint{URL: c.url, User: "u", Password: "hidden"})
			if err == nil || !strings.Contains(err.Error(), c.text) || core.ClassOf(err) != c.class {
				t.Errorf("%v (%s); want %q (%s)", err, core.ClassOf(err), c.text, c.class)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			if err != nil && strings.Contains(err.Error()+core.HintOf(err), "hidden") {
				t.Errorf("the password is in %q", err)
			}
		})
	}
}

// TestOwnAuthority: an adapter behind TLS with a certificate of its own.
func TestOwnAuthority(t *testing.T) {
	f := newFake(t, handshake("3.3.7.5", func(received) reply { return nil }))
	f.rest = sqlServer(t, serverVersion("3.3.7.5"))
	secure := httptest.NewTLSServer(f)
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, ep := range map[string]core.Endpoint{
		"authority": {URL: secure.URL, TLSCAFile: ca},
		"skipped":   {URL: strings.Replace(secure.URL, "https", "wss", 1), TLSSkip: true},
	} {
		cat, err := New(Options{}).Catalog(t.Context(), ep)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if v := cat.Versions(); v.Server != "3.3.7.5" || v.Adapter != "3.3.7.5" {
			t.Errorf("versions %+v", v)
		}
		cat.Close()
	}
}
