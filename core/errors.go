package core

import (
	"errors"
	"fmt"
	"strings"
)

// Class says what to do about an error of an endpoint.
type Class string

// The classes of errors.
const (
	ClassRetry     Class = "retry"        // the same request on the same connection, after a pause
	ClassReconnect Class = "reconnect"    // on a new connection
	ClassWait      Class = "wait"         // retry slowly and alarm: a resource is exhausted
	ClassOperator  Class = "operator"     // a person must change credentials, rights or settings
	ClassData      Class = "data"         // the sink refuses this message as it is
	ClassOffset    Class = "offset"       // the offset is not what the server has
	ClassDone      Class = "already-done" // what was asked for is already so
)

// Retryable reports whether the engine goes on by itself after such an error.
func (c Class) Retryable() bool {
	return c == ClassRetry || c == ClassReconnect || c == ClassWait
}

// Error is a failure at an endpoint: what was being done, the server's code if
// it gave one, what to do about it. Its text never holds a secret.
type Error struct {
	Class Class
	Code  int    // TDengine's 16-bit code; 0 if the server gave none
	Op    string // what was being done, lower case: "subscribe to topic tdr_power at http://a:6041"
	Text  string // the server's words, or ours
	Hint  string // what an operator can do; may be empty
	Err   error  // the cause, if it is another error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Text != "" {
		b.WriteString(": ")
		b.WriteString(e.Text)
	}
	if e.Code != 0 {
		fmt.Fprintf(&b, " [0x%04X]", e.Code)
	}
	if e.Err != nil && e.Text == "" {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of an error. An error without one is a transport
// failure until shown otherwise: ClassReconnect.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ClassReconnect
}

// HintOf returns the hint that an error carries, or "".
func HintOf(err error) string {
	var h interface{ ErrorHint() string }
	if errors.As(err, &h) {
		return h.ErrorHint()
	}
	return ""
}

// ErrorHint implements the interface that HintOf looks for.
func (e *Error) ErrorHint() string { return e.Hint }

// ErrReadOnly is returned for every request that acts while the instance, the
// connection or the console is read-only.
var ErrReadOnly = errors.New("this is read-only: nothing can be changed through it")

// ErrNotRunning is returned where no instance runs on the state directory.
var ErrNotRunning = errors.New("no instance runs on this state directory")

// UnknownReplicaError is returned for an id that no replica has.
type UnknownReplicaError struct {
	ID    string
	Known []string // sorted
}

func (e *UnknownReplicaError) Error() string {
	known := "none"
	if len(e.Known) > 0 {
		known = strings.Join(e.Known, ", ")
	}
	return fmt.Sprintf("no replica has the id %q; known: %s", e.ID, known)
}

// RefusedError is a request that cannot be carried out as things are; nothing
// was changed.
type RefusedError struct {
	Text string
	Hint string
}

func (e *RefusedError) Error() string { return e.Text }

// ErrorHint implements the interface that HintOf looks for.
func (e *RefusedError) ErrorHint() string { return e.Hint }
