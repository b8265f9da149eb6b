package taos

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"

	"github.com/gorilla/websocket"

	"tdreplica/core"
)

// serverError is what a server said about a request. unknown is the class of a
// code that the table does not know.
func (e endpoint) serverError(op string, code int, text string, unknown core.Class) *core.Error {
	code &= 0xffff
	err := &core.Error{
		Class: classify(code, text, unknown),
		Code:  code,
		Op:    op,
		Text:  text,
		Hint:  hintFor(code),
	}
	if code == codeAuthFailure || code == codeUserUnknown || code == codeAdapter && strings.Contains(strings.ToLower(text), "authentication failure") {
		err.Op = "log in"
		err.Text = fmt.Sprintf("wrong user or password for %s at %s", e.cred, e)
		err.Hint = hintFor(codeAuthFailure)
	}
	return err
}

// nonsense is an answer that does not follow the protocol.
func (e endpoint) nonsense(op, what string) *core.Error {
	return &core.Error{Class: core.ClassReconnect, Op: op, Text: "the adapter at " + e.String() + " sent " + what}
}

// notAdapter says that something listens there, but no taosAdapter.
func notAdapter(e endpoint, cause error) *core.Error {
	return &core.Error{
		Class: core.ClassOperator,
		Op:    "connect to " + e.String(),
		Text:  "the port answers, but it is no taosAdapter",
		Hint:  "taosAdapter listens on port 6041 by default",
		Err:   cause,
	}
}

// connectError puts a failure to connect into a plain sentence.
func connectError(ctx context.Context, e endpoint, err error) *core.Error {
	var asURL *url.Error
	if errors.As(err, &asURL) {
		err = asURL.Err
	}
	out := &core.Error{Class: core.ClassReconnect, Op: "connect to " + e.String(), Err: err}
	var (
		dns       *net.DNSError
		untrusted *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		unknownCA x509.UnknownAuthorityError
		wrongName x509.HostnameError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		out.Text = fmt.Sprintf("unknown host %q", e.addr.Host)
		out.Hint = "check the name, or how this machine resolves names"
	case errors.As(err, &dns):
		out.Text = fmt.Sprintf("the host %q cannot be looked up: the name server does not answer", e.addr.Host)
	case errors.Is(err, syscall.ECONNREFUSED):
		out.Text = "connection refused"
		out.Hint = "is taosAdapter running there? By default it listens on port 6041"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		out.Text = "no route to the host"
	case errors.As(err, &untrusted), errors.As(err, &unknownCA), errors.As(err, &wrongName):
		out.Class = core.ClassOperator
		out.Text = "its certificate is not trusted: " + rootText(err)
		out.Hint = "give the certificate authority's file (tls_ca_file)"
	case errors.As(err, &record):
		out.Class = core.ClassOperator
		out.Text = "the port answers, but it speaks no TLS"
		out.Hint = "write http:// instead of https://"
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		out.Text = "no answer in time"
		out.Hint = "is the host up, and does a firewall let the port through?"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		out.Text = "the port answers, but closes the connection: it is no taosAdapter, or one that is just stopping"
		out.Hint = "taosAdapter listens on port 6041 by default"
	case strings.Contains(err.Error(), "malformed HTTP"):
		return notAdapter(e, err)
	default:
		out.Text = err.Error()
	}
	return out
}

// handshakeError explains an HTTP answer in the place of a WebSocket.
func handshakeError(e endpoint, status int, cause error) *core.Error {
	switch status {
	case 502, 503, 504:
		return &core.Error{
			Class: core.ClassReconnect,
			Op:    "connect to " + e.String(),
			Text:  fmt.Sprintf("a proxy answers (HTTP %d), but no taosAdapter behind it", status),
			Err:   cause,
		}
	}
	return notAdapter(e, cause)
}

// lostError is the end of an established connection.
func lostError(e endpoint, op string, cause error) *core.Error {
	out := &core.Error{Class: core.ClassReconnect, Op: op, Err: cause}
	var closed *websocket.CloseError
	switch {
	case errors.Is(cause, websocket.ErrReadLimit), errors.Is(cause, errFrameLimit):
		out.Class = core.ClassOperator
		out.Text = "a message is larger than the limit for frames"
		out.Hint = "raise the limit, or insert in smaller batches"
	case errors.As(cause, &closed):
		out.Text = fmt.Sprintf("the adapter at %s closed the connection", e)
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF), errors.Is(cause, syscall.ECONNRESET), errors.Is(cause, syscall.EPIPE):
		out.Text = fmt.Sprintf("the connection to %s was lost", e)
	default:
		out.Text = fmt.Sprintf("the connection to %s was lost: %s", e, cause)
	}
	return out
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// rootText is the innermost error's text: the outer ones repeat the address.
func rootText(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
