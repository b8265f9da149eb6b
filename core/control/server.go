// Package control lets other processes of the same user steer an instance:
// HTTP/1.1 with JSON documents on a unix socket in the state directory. The
// server offers a core.Controller there; the client is one.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"strconv"
	"time"

	"tdreplica/core"
)

const (
	maxBody   = 1 << 20 // bytes of a request's document
	maxHeader = 32 << 10
	bodyTime  = 10 * time.Second // for a request's document to arrive

	askTime = 10 * time.Second // a request that only asks
	actTime = 2 * time.Minute  // a request that acts, or looks at endpoints
)

// Server answers requests on a control socket.
type Server struct {
	ctrl     core.Controller
	readOnly bool
	log      *slog.Logger
	http     *http.Server
	bodyTime time.Duration
}

// NewServer offers ctrl. With readOnly every request that acts is refused.
func NewServer(ctrl core.Controller, readOnly bool, log *slog.Logger) *Server {
	s := &Server{ctrl: ctrl, readOnly: readOnly, log: log, bodyTime: bodyTime}
	s.http = &http.Server{
		Handler:           s.recovered(s.routes()),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      actTime + 10*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers on l until Close. It returns nil after Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	return nil
}

// Close stops listening, which removes the socket, and waits for requests in
// progress until ctx ends; then it cuts them off.
func (s *Server) Close(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/healthz", s.ask(s.healthz))
	mux.Handle("GET /v1/info", s.ask(s.info))
	mux.Handle("GET /v1/settings", s.ask(s.settings))
	mux.Handle("GET /v1/snapshot", s.ask(s.snapshot))
	mux.Handle("GET /v1/overview/{id}/{database}", s.ask(s.overview))
	mux.Handle("GET /v1/events", s.ask(s.events))
	mux.Handle("GET /v1/tasks/{id}/{database}", s.ask(s.detail))
	mux.Handle("GET /v1/quarantine", s.ask(s.quarantined))
	mux.Handle("POST /v1/inspect", s.timed(actTime, s.inspect))

	mux.Handle("POST /v1/replicas", s.act(s.create))
	mux.Handle("POST /v1/replicas/{id}/start", s.act(s.start))
	mux.Handle("POST /v1/replicas/{id}/stop", s.act(s.target(s.ctrl.Stop)))
	mux.Handle("POST /v1/replicas/{id}/restart", s.act(s.target(s.ctrl.Restart)))
	mux.Handle("POST /v1/replicas/{id}/update", s.act(s.update))
	mux.Handle("GET /v1/replicas/{id}/audit", s.ask(s.audit))
	mux.Handle("POST /v1/replicas/{id}/verify", s.timed(actTime, s.verify)) // changes nothing: also read-only
	mux.Handle("POST /v1/replicas/{id}/repair", s.act(s.repair))
	mux.Handle("POST /v1/replicas/{id}/audit/cancel", s.timed(actTime, s.cancelAudit))
	mux.Handle("DELETE /v1/replicas/{id}", s.act(s.remove))
	mux.Handle("POST /v1/stop", s.act(s.everything(s.ctrl.Stop)))
	mux.Handle("POST /v1/restart", s.act(s.everything(s.ctrl.Restart)))
	mux.Handle("POST /v1/quarantine/{id}/replay", s.act(s.quarantine(s.ctrl.Replay)))
	mux.Handle("POST /v1/quarantine/{id}/discard", s.act(s.quarantine(s.ctrl.Discard)))
	mux.Handle("POST /v1/shutdown", s.act(s.shutdown))
	// Profiles tell where time and memory go, and nothing of the data. The
	// command line, which may hold a password, is not among them.
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)

	mux.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, errorDocument{
			Error: fmt.Sprintf("there is no %s %s here", r.Method, r.URL.Path), Kind: kindRequest,
		})
	}))
	return mux
}

// handler answers one request with a document, or an error.
type handler func(ctx context.Context, r *http.Request) (any, error)

func (s *Server) ask(h handler) http.Handler { return s.timed(askTime, h) }

// act refuses in read-only mode. What it accepted it carries out, even when
// the asker goes away meanwhile.
func (s *Server) act(h handler) http.Handler {
	return s.timed(actTime, func(ctx context.Context, r *http.Request) (any, error) {
		if s.readOnly {
			return nil, core.ErrReadOnly
		}
		held, cancel := context.WithTimeout(context.WithoutCancel(ctx), actTime)
		defer cancel()
		return h(held, r)
	})
}

func (s *Server) timed(limit time.Duration, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.receive(w, r); err != nil {
			status, d := documentOf(err)
			answer(w, status, d)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		doc, err := h(ctx, r)
		if err != nil {
			status, d := documentOf(err)
			answer(w, status, d)
			return
		}
		answer(w, http.StatusOK, doc)
	})
}

// receive reads a request's document before it is acted on. The time for it is
// bounded here and not by the server's ReadTimeout, which goes on counting while
// the request is carried out and would end it early.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) error {
	conn := http.NewResponseController(w)
	if err := conn.SetReadDeadline(time.Now().Add(s.bodyTime)); err != nil {
		return fmt.Errorf("bound the time of a request: %w", err)
	}
	doc, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return &requestError{text: "read the request: " + err.Error()}
	}
	r.Body = io.NopCloser(bytes.NewReader(doc))
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("end the bound on a request: %w", err)
	}
	return nil
}

func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.log.Error("panic in a control request", "method", r.Method, "path", r.URL.Path,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			answer(w, http.StatusInternalServerError, errorDocument{
				Error: fmt.Sprintf("the instance failed on this request: %v", p),
				Hint:  "the instance's log holds the details", Kind: kindInternal,
			})
		}()
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, doc any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here means that the asker is gone: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(doc)
}

// read decodes a request's document. An empty body leaves v as it is.
func read(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil && dec.More() {
		err = errors.New("more than one document")
	}
	if err != nil {
		return &requestError{text: "read the request: " + err.Error()}
	}
	return nil
}

// number reads an optional query parameter that counts something.
func number(r *http.Request, name string) (uint64, error) {
	v := r.URL.Query().Get(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		return 0, &requestError{text: fmt.Sprintf("the parameter %s is %q; expected a number from 0", name, v)}
	}
	return n, nil
}

// yes reads an optional query parameter that is true or false.
func yes(r *http.Request, name string) (bool, error) {
	v := r.URL.Query().Get(name)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, &requestError{text: fmt.Sprintf("the parameter %s is %q; expected true or false", name, v)}
	}
	return b, nil
}
