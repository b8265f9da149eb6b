package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"tdreplica/core"
)

// The kinds of errors, as the documents name them.
const (
	kindUnknownReplica = "unknown_replica"
	kindRefused        = "refused"
	kindReadOnly       = "read_only"
	kindNotRunning     = "not_running"
	kindEndpoint       = "endpoint"
	kindRequest        = "request"
	kindTimeout        = "timeout"
	kindInternal       = "internal"
)

// errorDocument is how an error travels. Error is the whole text; the other
// fields let the client make the same typed error again.
type errorDocument struct {
	Error string     `json:"error"`
	Hint  string     `json:"hint,omitempty"`
	Kind  string     `json:"kind"`
	ID    string     `json:"id,omitempty"`    // unknown_replica
	Known []string   `json:"known,omitempty"` // unknown_replica
	Class core.Class `json:"class,omitempty"` // endpoint
	Code  int        `json:"code,omitempty"`  // endpoint: TDengine's
	Op    string     `json:"op,omitempty"`    // endpoint
	Text  string     `json:"text,omitempty"`  // endpoint, refused
}

// requestError is a request that cannot be understood.
type requestError struct{ text string }

func (e *requestError) Error() string { return e.text }

// DeniedError is a state directory that belongs to another user: only its owner
// may ask the instance on it, if one runs there.
type DeniedError struct{ Dir string }

func (e *DeniedError) Error() string {
	return fmt.Sprintf("the state directory %s belongs to another user (%s)", e.Dir, ownerOf(e.Dir))
}

// ErrorHint implements the interface that core.HintOf looks for.
func (e *DeniedError) ErrorHint() string {
	return fmt.Sprintf("ask as that user: sudo -u %s tdreplica --state-dir %s …", ownerOf(e.Dir), e.Dir)
}

// ownerOf is the name of a file's owner, else the number.
func ownerOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "USER"
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "USER"
	}
	uid := strconv.FormatUint(uint64(owner.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "#" + uid
}

// documentOf turns an error into its document and HTTP status. It is the only
// place that knows which error has which status.
func documentOf(err error) (int, errorDocument) {
	d := errorDocument{Error: err.Error(), Hint: core.HintOf(err)}
	var unknown *core.UnknownReplicaError
	var refused *core.RefusedError
	var endpoint *core.Error
	var request *requestError
	status := http.StatusInternalServerError
	switch {
	case errors.As(err, &unknown):
		status, d.Kind, d.ID, d.Known = http.StatusNotFound, kindUnknownReplica, unknown.ID, unknown.Known
	case errors.Is(err, core.ErrReadOnly):
		status, d.Kind = http.StatusForbidden, kindReadOnly
	case errors.As(err, &refused):
		status, d.Kind, d.Text = http.StatusConflict, kindRefused, refused.Text
	case errors.As(err, &endpoint):
		status, d.Kind = http.StatusBadGateway, kindEndpoint
		d.Class, d.Code, d.Op, d.Text = endpoint.Class, endpoint.Code, endpoint.Op, endpoint.Text
	case errors.Is(err, core.ErrNotRunning):
		status, d.Kind = http.StatusServiceUnavailable, kindNotRunning
	case errors.As(err, &request):
		status, d.Kind = http.StatusBadRequest, kindRequest
	case errors.Is(err, context.DeadlineExceeded):
		status, d.Kind = http.StatusGatewayTimeout, kindTimeout
	default:
		d.Kind = kindInternal
	}
	return status, d
}

// remoteError is an error of the instance as its client sees it: the whole
// text, and inside it the error that it was made of.
type remoteError struct {
	text, hint string
	cause      error
}

func (e *remoteError) Error() string     { return e.text }
func (e *remoteError) Unwrap() error     { return e.cause }
func (e *remoteError) ErrorHint() string { return e.hint }

// errorOf makes the error again that documentOf described.
func errorOf(d errorDocument) error {
	e := &remoteError{text: d.Error, hint: d.Hint}
	switch d.Kind {
	case kindUnknownReplica:
		e.cause = &core.UnknownReplicaError{ID: d.ID, Known: d.Known}
	case kindReadOnly:
		e.cause = core.ErrReadOnly
	case kindRefused:
		e.cause = &core.RefusedError{Text: d.Text, Hint: d.Hint}
	case kindEndpoint:
		e.cause = &core.Error{Class: d.Class, Code: d.Code, Op: d.Op, Text: d.Text, Hint: d.Hint}
	case kindNotRunning:
		e.cause = core.ErrNotRunning
	case kindTimeout:
		e.cause = context.DeadlineExceeded
	}
	return e
}
