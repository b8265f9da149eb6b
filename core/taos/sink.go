package taos

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/gorilla/websocket"

	"tdreplica/core"
)

// sink is one connection with a current database. It implements engine.Sink.
type sink struct {
	s        *socket
	ep       endpoint
	database string
	opts     Options
	writeOp  string // what errors call a write, made once
	frame    []byte // memory for the next block's
	recall          // what the adapter's library may have kept for this connection
}

type connArgs struct {
	request
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	Token    string `json:"bearer_token,omitempty"`
	Database string `json:"db"`
}

// login makes the database current. With taosd down the adapter takes 20 s to
// say so.
func (k *sink) login(ctx context.Context) error {
	c := k.ep.cred
	args := &connArgs{User: c.user, Password: c.password, Token: c.token, Database: k.database}
	op := fmt.Sprintf("open database %q at %s", k.database, k.ep)
	var reply struct {
		Version string `json:"version"`
	}
	err := k.s.ask(ctx, op, "conn", args, k.opts.RequestTimeout, &reply)
	if err == nil && reply.Version == "" {
		reply.Version, err = k.s.version(ctx) // older adapters tell it only to who asks
	}
	v, bad := core.ParseVersion(reply.Version)
	k.recalls = bad != nil || v.AtLeast(recalling)
	return err
}

// Write sends one message and waits for its acknowledgement: there is never
// more than one in flight, because the adapter would apply them in any order.
// If ctx ends meanwhile the outcome is unknown and the sink unusable.
//
// Rows of tables that were not written to through this connection are preceded by
// a request that has the adapter look the tables up, see recall.
func (k *sink) Write(ctx context.Context, m *core.Message) error {
	if !k.recalls {
		return k.write(ctx, m)
	}
	way, err := k.prepare(ctx, m)
	if err != nil {
		return err
	}
	return k.writeAs(ctx, m, way)
}

func (k *sink) write(ctx context.Context, m *core.Message) error {
	c := k.s.register(actionWriteRaw)
	frame, err := putWriteHead(m, c.id)
	if err != nil {
		k.s.forget(c)
		return &core.Error{Class: core.ClassData, Op: k.writeOp, Text: err.Error(), Err: err}
	}
	if err := k.s.send(ctx, c, websocket.BinaryMessage, frame); err != nil {
		return err
	}
	a, err := k.s.await(ctx, c, k.opts.WriteTimeout)
	if err != nil {
		k.s.fail(fmt.Errorf("a write without an answer: %w", err))
		return err
	}
	return k.s.decode(k.writeOp, c, a, nil)
}

// Close disconnects. It may be called again.
func (k *sink) Close() error {
	k.s.close()
	return nil
}

// discardUnsent has the kernel throw away what it has not sent yet, once the
// connection is closed. It is part of a write without an answer, which is made
// again through another connection: if this copy came behind later messages, it
// would bring old values back. What has left this machine may still do so.
func discardUnsent(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only where the connection is gone already
	}
}
