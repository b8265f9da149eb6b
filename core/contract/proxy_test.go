package contract

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"tdreplica/core"
)

// fault is what a proxy does to the connections that go through it.
type fault int

const (
	noFault  fault = iota
	cut            // reset every connection
	halfOpen       // swallow both ways what comes on them, and never say so
	delay          // let nothing pass for longer than a request may take
	trickle        // let bytes pass one at a time
	narrow         // let few bytes pass in a second
)

var faultNames = map[fault]string{cut: "cut", halfOpen: "half-open", delay: "delay", trickle: "slow-loris", narrow: "bandwidth"}

const (
	// faultTime is how long the slow ones last, and after which somebody notices
	// a half-open connection, as keep-alive and the adapter's pings do.
	faultTime    = 2500 * time.Millisecond
	delayTime    = 1500 * time.Millisecond // longer than hastyTimeout
	trickleEvery = 2 * time.Millisecond
	narrowRate   = 4 << 10 // bytes in a second
	narrowBytes  = 128
)

// frame is what a proxy knows of something that is about to pass.
type frame struct {
	up     bool         // from the client to the node
	action string       // of a request, or of the one that this answers; empty for plain HTTP
	raw    core.RawType // of a message that is fetched or written
	body   []byte       // of a message that is written
}

// strike is a fault that waits for its frame. It happens once.
type strike struct {
	at     func(frame) bool
	middle bool          // when half of the frame has passed
	hold   time.Duration // how long the frame waits there first
	until  chan struct{} // not nil: it waits for this first, and its connection stays
	fault  fault
	kill   func() // ends the instance in the same moment; nil: it lives
	struck chan struct{}
}

// proxy stands between an instance and a node. It reads the WebSocket frames that
// pass, so that a fault happens at one step of the pump and not at some time:
// that is why it is not a library, which would only see bytes.
type proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup
	closed   context.Context
	close    context.CancelFunc

	mu      sync.Mutex
	links   map[*link]bool
	armed   *strike
	weather fault
	until   time.Time
}

// link is one connection through a proxy.
type link struct {
	p            *proxy
	client, node *net.TCPConn
	deaf         bool // guarded by the proxy's mu, as all below
	action       string
	raw          core.RawType
}

func (e *env) startProxy(s *side) *proxy {
	e.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.Fatal(err)
	}
	p := &proxy{listener: listener, target: strings.TrimPrefix(s.sql.addr, "http://"), links: map[*link]bool{}}
	p.closed, p.close = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	e.Cleanup(func() {
		p.close()
		_ = listener.Close()
		p.reset()
		p.running.Wait()
	})
	s.ep.URL = "http://" + listener.Addr().String()
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		node, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &link{p: p, client: client.(*net.TCPConn), node: node.(*net.TCPConn)}
		p.mu.Lock()
		p.links[l] = true
		p.mu.Unlock()
		p.running.Go(l.serve)
	}
}

// arm waits for a frame and strikes then. The channel is closed when it has.
func (p *proxy) arm(s strike) <-chan struct{} {
	s.struck = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = &s
	return s.struck
}

// disarm lets nothing happen that has not happened yet.
func (p *proxy) disarm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = nil
}

// meets returns the strike that waits for this frame, once.
func (p *proxy) meets(f frame) *strike {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.armed
	if s == nil || !s.at(f) {
		return nil
	}
	p.armed = nil
	return s
}

func (p *proxy) strike(s *strike) {
	if s.kill != nil {
		s.kill()
	}
	switch s.fault {
	case cut:
		p.reset()
	case halfOpen:
		p.mu.Lock()
		for l := range p.links {
			l.deaf = true
			time.AfterFunc(faultTime, l.reset)
		}
		p.mu.Unlock()
	default:
		p.mu.Lock()
		p.weather, p.until = s.fault, time.Now().Add(faultTime)
		if s.fault == delay {
			p.until = time.Now().Add(delayTime)
		}
		p.mu.Unlock()
	}
	close(s.struck)
}

// reset cuts every connection there is.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// reset makes both ends see a connection that the other one has reset.
func (l *link) reset() {
	for _, c := range []*net.TCPConn{l.client, l.node} {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// serve carries both ways until both are over.
func (l *link) serve() {
	var down sync.WaitGroup
	down.Go(func() { l.flow(false) })
	l.flow(true)
	down.Wait()
	_ = l.client.Close()
	_ = l.node.Close()
	l.p.mu.Lock()
	delete(l.p.links, l)
	l.p.mu.Unlock()
}

// flow carries one way. An end in order is passed on as one, a reset as a reset,
// and a deaf link says nothing of either.
func (l *link) flow(up bool) {
	from, to := l.node, l.client
	if up {
		from, to = l.client, l.node
	}
	r := bufio.NewReaderSize(from, 64<<10)
	err := l.head(r, to, up)
	for err == nil {
		err = l.next(r, to, up)
	}
	switch {
	case l.isDeaf():
		_, _ = io.Copy(io.Discard, from)
	case errors.Is(err, io.EOF):
		_ = to.CloseWrite()
	default:
		l.reset()
	}
}

// head passes HTTP: all there is, or what is in front of a WebSocket.
func (l *link) head(r *bufio.Reader, to io.Writer, up bool) error {
	var head []byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		line, err := r.ReadBytes('\n')
		head = append(head, line...)
		if err != nil {
			return err
		}
	}
	text := strings.ToLower(string(head))
	socket := strings.HasPrefix(text, "http/1.1 101") || up && strings.Contains(text, "upgrade: websocket")
	for {
		if err := l.carry(to, head); err != nil || socket {
			return err
		}
		if _, err := r.Peek(1); err != nil {
			return err
		}
		head, _ = r.Peek(r.Buffered())
		head = bytes.Clone(head)
		_, _ = r.Discard(len(head))
	}
}

// next passes one frame of a WebSocket, and lets a strike happen at it.
func (l *link) next(r *bufio.Reader, to io.Writer, up bool) error {
	whole, head, err := readWebSocket(r)
	if err != nil {
		return err
	}
	f := l.frame(whole, head, up)
	s := l.p.meets(f)
	if s == nil {
		return l.carry(to, whole)
	}
	if s.middle {
		half := len(whole) / 2
		if err := l.carry(to, whole[:half]); err != nil {
			return err
		}
		whole = whole[half:]
	}
	pause(l.p.closed, s.hold)
	if s.until != nil {
		select {
		case <-s.until:
		case <-l.p.closed.Done():
		}
	}
	l.p.strike(s)
	err = l.carry(to, whole)
	// An adapter drops a request if the connection ends before it begins to carry it
	// out. Who sent this one may have given up, and the end be waiting behind it.
	if s.until != nil {
		<-l.p.closed.Done()
	}
	return err
}

// readWebSocket reads one frame; head is how long its header is.
func readWebSocket(r *bufio.Reader) (whole []byte, head int, err error) {
	head = 2
	b, err := r.Peek(head)
	if err != nil {
		return nil, 0, err
	}
	size, masked := uint64(b[1]&0x7f), b[1]&0x80 != 0
	more := map[uint64]int{126: 2, 127: 8}[size]
	head += more
	if b, err = r.Peek(head); err != nil {
		return nil, 0, err
	}
	if more > 0 {
		size = 0
		for _, c := range b[2:] {
			size = size<<8 | uint64(c)
		}
	}
	if masked {
		head += 4
	}
	whole = make([]byte, uint64(head)+size)
	_, err = io.ReadFull(r, whole)
	return whole, head, err
}

// frame tells what a frame is about. A reply is about the last request.
func (l *link) frame(whole []byte, head int, up bool) frame {
	body := bytes.Clone(whole[head:])
	if whole[1]&0x80 != 0 {
		for i := range body {
			body[i] ^= whole[head-4+i%4]
		}
	}
	action, raw := "", core.RawType(0)
	switch opcode := whole[0] & 0x0f; {
	case opcode == websocket.TextMessage && up:
		_, rest, _ := bytes.Cut(body, []byte(`"action":"`))
		name, _, _ := bytes.Cut(rest, []byte(`"`))
		action = string(name)
	case opcode == websocket.BinaryMessage && up && len(body) >= 30:
		action, raw = "write_raw", core.RawType(body[28])|core.RawType(body[29])<<8
	case opcode == websocket.BinaryMessage && len(body) >= 52:
		raw = core.RawType(body[50]) | core.RawType(body[51])<<8 // fetch_raw_data
	case opcode != websocket.TextMessage:
		return frame{up: up} // the rest of a message, or a control frame
	}
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if up {
		l.action, l.raw = action, raw
	} else if raw == 0 {
		raw = l.raw
	}
	f := frame{up: up, action: l.action, raw: raw}
	if up && raw != 0 {
		f.body = body
	}
	return f
}

// carry writes as the proxy's condition lets it. What is late is delivered, even
// if who has sent it has given up.
func (l *link) carry(to io.Writer, b []byte) error {
	for len(b) > 0 {
		n, wait := len(b), time.Duration(0)
		switch f, left := l.p.condition(); {
		case l.isDeaf():
			return nil
		case f == delay:
			n, wait = 0, left
		case f == trickle:
			n, wait = 1, trickleEvery
		case f == narrow:
			n = min(n, narrowBytes)
			wait = time.Second * time.Duration(n) / narrowRate
		}
		pause(l.p.closed, wait)
		if _, err := to.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (l *link) isDeaf() bool {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	return l.deaf
}

// condition is the slow fault that lasts, and for how long.
func (p *proxy) condition() (fault, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if left := time.Until(p.until); left > 0 {
		return p.weather, left
	}
	return noFault, 0
}
