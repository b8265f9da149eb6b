package taos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// smallSize is the size of a connection's buffers: requests and replies fit
	// in, and what is longer goes past them, from and to its own memory.
	smallSize  = 4 << 10
	bufferSize = 64 << 10 // of what must be gathered: compressed messages, long replies
	maxText    = 16 << 20 // of a JSON reply: the assignment of 100,000 vgroups fits
	closeGrace = time.Second
)

// The actions that each message takes, beside fetching it.
const (
	actionPoll     = "poll"
	actionWriteRaw = "write_raw"
)

// socket is one WebSocket to an adapter. One goroutine at a time makes requests,
// one after the other, and a request is answered by its req_id. A goroutine of
// its own reads everything that comes (which also answers the adapter's pings);
// close waits for it. After the first failure of the connection every call fails
// with the same error.
//
// Whatever a message needs of memory is kept here from one to the next.
type socket struct {
	ep   endpoint
	opts Options
	conn *websocket.Conn
	frag fragments // how messages go out, unless they are compressed

	// Of the goroutine that makes requests.
	out     []byte // the text of a request
	silence *time.Timer
	unwatch func() bool

	// Of the reader.
	head   [newHeadSize]byte
	source progressReader
	texts  [2][]byte // the text that is read goes to the first; the caller may still have the second

	mu      sync.Mutex
	call    call            // the newest
	sending bool            // a write is under way
	watched context.Context // the one whose end interrupts it; only who makes requests changes it
	err     error           // why the connection is over

	dead     chan struct{} // closed with the first failure
	done     chan struct{} // closed when the reader has ended
	progress atomic.Int64  // when the last bytes of a reply came, in ns
}

// call is a request. There is one for each socket, used again and again.
type call struct {
	id      uint64
	action  string
	waiting bool // no answer was delivered
	sent    time.Time
	answer  chan answer // holds one
}

// answer is a reply: either a JSON text with its envelope decoded, or a frame.
// The text is good until the next call.
type answer struct {
	envelope
	text  []byte
	frame []byte
}

// request is what all arguments have in common.
type request struct {
	ReqID uint64 `json:"req_id"`
}

func (r *request) setID(id uint64) { r.ReqID = id }

// arguments of an action embed request.
type arguments interface{ setID(uint64) }

// The paths of an adapter's WebSockets.
const (
	pathSource = "/rest/tmq"
	pathSink   = "/ws"
)

// dial opens a WebSocket to a path of an endpoint within ctx.
func dial(ctx context.Context, e endpoint, path string, opts Options) (*socket, error) {
	keepAlive := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4}
	d := websocket.Dialer{
		NetDialContext:   (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext,
		TLSClientConfig:  e.tls,
		HandshakeTimeout: opts.ConnectTimeout,
		ReadBufferSize:   smallSize,
		WriteBufferSize:  smallSize,

		EnableCompression: e.compression,
	}
	if e.compression && path == pathSink {
		d.WriteBufferSize = bufferSize
	}
	conn, resp, err := d.DialContext(ctx, e.addr.WebSocket(path), nil)
	if errors.Is(err, websocket.ErrBadHandshake) && resp != nil {
		return nil, handshakeError(e, resp.StatusCode, fmt.Errorf("HTTP status %d", resp.StatusCode))
	}
	if err != nil {
		return nil, connectError(ctx, e, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		conn.Close()
		return nil, handshakeError(e, resp.StatusCode, err)
	}
	s := newSocket(e, opts)
	s.use(conn)
	go s.read()
	return s, nil
}

// use makes a connection the socket's, before anything is read from it.
func (s *socket) use(conn *websocket.Conn) {
	s.conn, s.frag.conn = conn, conn.NetConn()
	conn.SetReadLimit(s.opts.MaxFrame + newHeadSize)
	conn.SetPingHandler(s.pong)
	conn.SetCloseHandler(s.goodbye)
}

// newSocket makes one without a connection.
func newSocket(e endpoint, opts Options) *socket {
	s := &socket{
		ep: e, opts: opts,
		silence: time.NewTimer(0),
		unwatch: func() bool { return false },
		dead:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	s.source.at = &s.progress
	s.call.answer = make(chan answer, 1)
	return s
}

// close ends the connection and waits for the reader.
func (s *socket) close() {
	s.unwatch()
	_ = s.goodbye(websocket.CloseNormalClosure, "")
	s.fail(errClosed)
	<-s.done
}

// goodbye ends the conversation, or agrees to its end. The other side may be gone;
// then there is nobody to say it to. Nor is there in the middle of a fragment.
func (s *socket) goodbye(code int, _ string) error {
	if s.frag.mu.TryLock() {
		defer s.frag.mu.Unlock()
		_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(closeGrace))
	}
	return nil
}

var errClosed = errors.New("the connection was closed here")

// fail ends the connection; the first error is the one that counts.
func (s *socket) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.dead)
		if s.call.waiting && (s.call.action == actionWriteRaw || s.call.action == actionNameBlock) {
			discardUnsent(s.conn.NetConn())
		}
		s.conn.Close()
	}
}

// closed reports whether the connection has failed.
func (s *socket) closed() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
}

// lost is the error of every call after the connection failed.
func (s *socket) lost(op string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return lostError(s.ep, op, s.err)
}

func (s *socket) read() {
	defer close(s.done)
	for {
		kind, r, err := s.conn.NextReader()
		if err != nil {
			s.fail(err)
			return
		}
		s.source.r = r
		if kind == websocket.TextMessage {
			err = s.readText(&s.source)
		} else {
			err = s.readBinary(&s.source)
		}
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// progressReader notes when bytes arrive, so that a big message over a slow
// line is not taken for silence.
type progressReader struct {
	r  io.Reader
	at *atomic.Int64
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.at.Store(time.Now().UnixNano())
	}
	return n, err
}

func (s *socket) readText(r io.Reader) error {
	text, err := readRest(r, s.texts[0][:0], 0, maxText)
	if err != nil {
		return err
	}
	a := answer{text: text}
	ok := false
	if a.envelope, ok = decodeEnvelope(text); !ok {
		return s.ep.nonsense("read a reply", "a text that is no reply")
	}
	if cap(text) > bufferSize {
		text = nil // nothing that every message needs
	}
	s.texts[0] = text
	if s.deliver(a.reqID, a) {
		s.texts[0], s.texts[1] = s.texts[1], s.texts[0]
	}
	return nil
}

func (s *socket) readBinary(r io.Reader) error {
	frame, err := readFrame(r, s.head[:], s.opts.MaxFrame)
	if err != nil {
		return err
	}
	id, err := frameReqID(frame)
	if err != nil {
		return s.ep.nonsense("read a reply", err.Error())
	}
	s.deliver(id, answer{frame: frame})
	return nil
}

// deliver hands an answer to the call if it belongs to it; an answer nobody
// waits for any more is dropped. Some adapters leave out the req_id (in replies
// to version, and in errors about requests they could not read).
func (s *socket) deliver(id uint64, a answer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.call
	unnamed := id == 0 && a.frame == nil && (c.action == a.action || a.code != 0)
	if !c.waiting || c.id != id && !unnamed {
		return false
	}
	c.waiting = false
	c.answer <- a
	return true
}

// register begins a call that an answer can be delivered to. The call before it
// is over, answered or not.
func (s *socket) register(action string) *call {
	c := &s.call
	s.forget(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.id, c.action, c.waiting = c.id+1, action, true
	return c
}

func (s *socket) forget(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.waiting = false
	select {
	case <-c.answer:
	default:
	}
}

// start sends a JSON request and returns without waiting for its answer.
func (s *socket) start(ctx context.Context, action string, args arguments) (*call, error) {
	c := s.register(action)
	args.setID(c.id)
	text, err := json.Marshal(struct {
		Action string    `json:"action"`
		Args   arguments `json:"args"`
	}{action, args})
	if err != nil {
		s.forget(c)
		return nil, fmt.Errorf("encode the request %s: %w", action, err)
	}
	return c, s.send(ctx, c, websocket.TextMessage, text)
}

// sendText sends a request that was written by hand into s.out, and keeps its
// memory for the next one.
func (s *socket) sendText(ctx context.Context, c *call, text []byte) error {
	s.out = text
	return s.send(ctx, c, websocket.TextMessage, text)
}

// appendNumber appends a number with what stands in front of it.
func appendNumber(b []byte, before string, n uint64) []byte {
	return strconv.AppendUint(append(b, before...), n, 10)
}

// send writes one message. The deadline is for each fragment: a slow line may
// take as long as it makes progress. A write that ctx interrupts leaves the
// connection unusable.
func (s *socket) send(ctx context.Context, c *call, kind int, data []byte) error {
	s.watch(ctx)
	s.setSending(true)
	err := s.write(ctx, kind, data)
	s.setSending(false)
	c.sent = time.Now()
	if err == nil {
		return nil
	}
	s.forget(c)
	s.fail(err)
	if ctx.Err() != nil {
		return fmt.Errorf("send %s to %s: %w", c.action, s.ep, ctx.Err())
	}
	return s.lost("send " + c.action)
}

// watch makes the end of ctx interrupt writes. Requests in a row come with the
// same context, so that there is seldom anything to do.
func (s *socket) watch(ctx context.Context) {
	if s.watched == ctx {
		return
	}
	s.unwatch()
	s.mu.Lock()
	s.watched = ctx
	s.mu.Unlock()
	s.unwatch = context.AfterFunc(ctx, func() { s.interrupt(ctx) })
}

// interrupt ends the write under way if it is one of ctx. On a busy machine it
// may come when the next request, with another context, is being sent.
func (s *socket) interrupt(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sending && s.watched == ctx {
		_ = s.conn.NetConn().SetWriteDeadline(time.Unix(1, 0))
	}
}

// pong answers a ping, between two fragments of what is being sent.
func (s *socket) pong(data string) error {
	s.frag.mu.Lock()
	defer s.frag.mu.Unlock()
	// A connection that is lost is noticed by whoever reads or writes next.
	_ = s.conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(closeGrace))
	return nil
}

func (s *socket) setSending(is bool) {
	s.mu.Lock()
	s.sending = is
	s.mu.Unlock()
}

func (s *socket) write(ctx context.Context, kind int, data []byte) error {
	if !s.ep.compression {
		return s.frag.write(ctx, kind, data, s.opts.RequestTimeout)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.conn.EnableWriteCompression(kind == websocket.BinaryMessage) // requests are too short for it
	w, err := s.conn.NextWriter(kind)
	if err != nil {
		return err
	}
	for len(data) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(data), bufferSize)
		if err := s.conn.SetWriteDeadline(time.Now().Add(s.opts.RequestTimeout)); err != nil {
			return err
		}
		if _, err := w.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return w.Close()
}

// await waits for the answer to a call. silence is how long no byte may come.
// When ctx ends first the call stays registered: the caller forgets it or waits
// again. Silence ends the connection, since its order of answers is lost.
func (s *socket) await(ctx context.Context, c *call, silence time.Duration) (answer, error) {
	timer := s.silence
	timer.Reset(silence)
	defer timer.Stop()
	for {
		select {
		case a := <-c.answer:
			return a, nil
		case <-ctx.Done():
			return answer{}, fmt.Errorf("wait for the reply to %s from %s: %w", c.action, s.ep, ctx.Err())
		case <-s.dead:
			// An answer may have come just before the end.
			select {
			case a := <-c.answer:
				return a, nil
			default:
			}
			return answer{}, s.lost("wait for the reply to " + c.action)
		case <-timer.C:
			quiet := time.Since(c.sent)
			if last := time.Since(time.Unix(0, s.progress.Load())); last < quiet {
				quiet = last
			}
			if quiet < silence {
				timer.Reset(silence - quiet)
				continue
			}
			s.fail(fmt.Errorf("no reply to %s within %s", c.action, silence))
			return answer{}, s.lost("wait for the reply to " + c.action)
		}
	}
}

// ask sends a JSON request, waits for its answer and decodes it into out
// (unless out is nil). An answer with a code other than 0 is an error.
func (s *socket) ask(ctx context.Context, op, action string, args arguments, silence time.Duration, out any) error {
	c, err := s.start(ctx, action, args)
	if err != nil {
		return err
	}
	a, err := s.await(ctx, c, silence)
	if err != nil {
		s.forget(c)
		return err
	}
	return s.decode(op, c, a, out)
}

// decode checks an answer and decodes its fields into out.
func (s *socket) decode(op string, c *call, a answer, out any) error {
	if a.frame != nil {
		return s.ep.nonsense(op, "a binary frame as the reply to "+c.action)
	}
	if a.code != 0 {
		return s.ep.serverError(op, a.code, a.message, unknownOf(c.action))
	}
	if a.action != c.action {
		return s.ep.nonsense(op, fmt.Sprintf("a reply to %q for %q", a.action, c.action))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.text, out); err != nil {
		return s.ep.nonsense(op, "a reply to "+c.action+" that cannot be decoded")
	}
	return nil
}

// version asks for the version of the adapter's client library.
func (s *socket) version(ctx context.Context) (string, error) {
	var reply struct {
		Version string `json:"version"`
	}
	err := s.ask(ctx, "ask for the version of "+s.ep.String(), "version", &request{}, s.opts.RequestTimeout, &reply)
	if err == nil && reply.Version == "" {
		err = s.ep.nonsense("ask for the version", "a version reply without a version")
	}
	return reply.Version, err
}
