package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options say how a Node behaves. The zero value is a 3.3.7.5 server on a free
// loopback port.
type Options struct {
	Version        string        // of server, libtaos and adapter; default 3.3.7.5
	Addr           string        // default 127.0.0.1:0
	User, Password string        // default root and taosdata
	Rebalance      time.Duration // how often groups are rebalanced; default 50 ms
	// SessionTimeout is how long a consumer stays in its group after the
	// adapter died under it. A socket that closes leaves at once.
	SessionTimeout time.Duration
	// OnViolation is told when a client breaks the protocol: a short frame, a
	// second write in flight on one connection, a commit per idle poll. It must
	// be safe for concurrent use. Violations are also kept for Violations.
	OnViolation   func(string)
	FirstVgroupID int32 // default 2
	// LatePolls makes an idle poll look for rows once a second only, and at the end
	// of its blocking time, as it does on real servers.
	LatePolls bool
}

// Node is one embedded server. All methods are safe for concurrent use.
type Node struct {
	opts    Options
	version version
	addr    string
	faults  Faults

	mu         sync.Mutex // guards everything below
	databases  map[string]*database
	topics     map[string]*topic
	users      map[string]*user
	nextVgroup int32
	lastUID    int64
	lastID     uint64 // of consumers
	started    time.Time
	clusterID  int64
	ddl        map[string]bool // super tables being created or altered right now
	changed    chan struct{}   // closed when a WAL grows or an assignment changes
	serverDown bool
	reuses     int     // how many connections will take over what a closed one knew
	left       *recall // what the last one that was closed knew
	clockShift time.Duration
	violations []string

	adapter *adapter // nil while stopped
	ticker  sync.WaitGroup
	stop    chan struct{}
}

// Start runs a node until Close.
func Start(opts Options) (*Node, error) {
	if opts.Version == "" {
		opts.Version = "3.3.7.5"
	}
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.User == "" {
		opts.User, opts.Password = "root", "taosdata"
	}
	if opts.Rebalance <= 0 {
		opts.Rebalance = 50 * time.Millisecond
	}
	if opts.FirstVgroupID <= 0 {
		opts.FirstVgroupID = 2
	}
	v, err := parseVersion(opts.Version)
	if err != nil {
		return nil, err
	}
	n := &Node{
		opts: opts, version: v, addr: opts.Addr,
		databases: map[string]*database{}, topics: map[string]*topic{}, users: map[string]*user{},
		nextVgroup: opts.FirstVgroupID, lastUID: rand.Int64N(1<<61) &^ 0xffffff, lastID: rand.Uint64() >> 8,
		started: time.Now(), clusterID: rand.Int64(),
		ddl: map[string]bool{}, changed: make(chan struct{}), stop: make(chan struct{}),
	}
	n.users[opts.User] = &user{name: opts.User, password: opts.Password, super: true, enabled: true, created: time.Now()}
	if err := n.StartAdapter(); err != nil {
		return nil, err
	}
	n.ticker.Go(n.tick)
	return n, nil
}

// URL is the node's address, http://127.0.0.1:PORT. It stays the same when the
// adapter stops and starts.
func (n *Node) URL() string { return "http://" + n.addr }

// Close stops everything and waits for it.
func (n *Node) Close() error {
	n.mu.Lock()
	select {
	case <-n.stop:
		n.mu.Unlock()
		return nil
	default:
		close(n.stop)
	}
	n.mu.Unlock()
	n.StopAdapter()
	n.ticker.Wait()
	return nil
}

// Faults returns the hooks that make the node misbehave.
func (n *Node) Faults() *Faults { return &n.faults }

// Violations returns what clients have done that the protocol forbids.
func (n *Node) Violations() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.violations)
}

func (n *Node) violation(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	n.mu.Lock()
	n.violations = append(n.violations, text)
	n.mu.Unlock()
	if n.opts.OnViolation != nil {
		n.opts.OnViolation(text)
	}
}

// wake tells every waiting poll to look again. n.mu is held.
func (n *Node) wake() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// tick rebalances the groups and trims the WALs until the node closes.
func (n *Node) tick() {
	t := time.NewTicker(n.opts.Rebalance)
	defer t.Stop()
	for {
		select {
		case <-n.stop:
			return
		case now := <-t.C:
			n.mu.Lock()
			n.rebalance(now)
			for _, db := range n.databases {
				for _, vg := range db.vgroups {
					vg.retain(n.now())
				}
			}
			n.mu.Unlock()
		}
	}
}

// adapter is one life of the listening side.
type adapter struct {
	server  *http.Server
	sockets map[*socket]struct{} // guarded by Node.mu
	running sync.WaitGroup
}

// StartAdapter listens again after StopAdapter, on the same port.
func (n *Node) StartAdapter() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.adapter != nil {
		return nil
	}
	l, err := net.Listen("tcp", n.addr)
	if err != nil {
		return fmt.Errorf("start embedded node: %w", err)
	}
	n.addr = l.Addr().String()
	a := &adapter{sockets: map[*socket]struct{}{}}
	a.server = &http.Server{Handler: n.routes(a), ReadHeaderTimeout: 10 * time.Second}
	a.running.Go(func() {
		if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.violation("the embedded node stopped listening: %v", err)
		}
	})
	n.adapter = a
	return nil
}

// StopAdapter closes every connection, as a killed adapter does. Its consumers
// leave after Options.SessionTimeout; stored offsets stay.
func (n *Node) StopAdapter() {
	n.mu.Lock()
	a := n.adapter
	n.adapter = nil
	var sockets []*socket
	if a != nil {
		for s := range a.sockets {
			sockets = append(sockets, s)
		}
	}
	n.mu.Unlock()
	if a == nil {
		return
	}
	for _, s := range sockets {
		s.kill(n.opts.SessionTimeout)
	}
	a.server.Close()
	a.running.Wait()
}

// StopServer makes the node answer as an adapter does whose taosd is down.
func (n *Node) StopServer() {
	n.mu.Lock()
	n.serverDown = true
	n.wake()
	n.mu.Unlock()
}

// StartServer ends StopServer.
func (n *Node) StartServer() {
	n.mu.Lock()
	n.serverDown = false
	n.wake()
	n.mu.Unlock()
}

// SetVersion makes a node another version's, as an upgrade does. The adapter
// must be stopped.
func (n *Node) SetVersion(text string) error {
	v, err := parseVersion(text)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.adapter != nil {
		return fmt.Errorf("set version %s: the adapter is running", text)
	}
	n.version, n.opts.Version = v, text
	return nil
}

// ReuseConnections makes the next connections for writing believe what the last
// one that was closed did about tables' ids, as many as given. The real client
// library finds what it keeps by a connection's address, and addresses come back.
func (n *Node) ReuseConnections(times int) {
	n.mu.Lock()
	n.reuses = times
	n.mu.Unlock()
}

// ShiftClock moves the server's wall clock. What is measured in intervals, as
// sessions are, does not notice.
func (n *Node) ShiftClock(by time.Duration) {
	n.mu.Lock()
	n.clockShift += by
	n.mu.Unlock()
}

// now is the server's wall clock. n.mu is held.
func (n *Node) now() time.Time { return time.Now().Add(n.clockShift) }

// ForgetConsumers takes every consumer out of a topic's groups. They hear of it
// as of any subscription that is gone: at their next poll, or not at all.
func (n *Node) ForgetConsumers(topic string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.topics[topic]; t != nil {
		for _, g := range t.groups {
			n.empty(g)
		}
	}
}

// TruncateWAL removes every version below begin from a vgroup's WAL, as
// retention would.
func (n *Node) TruncateWAL(db string, vgroup int32, begin int64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := n.databases[db]
	if d == nil {
		return fmt.Errorf("truncate WAL: no database %q", db)
	}
	for _, vg := range d.vgroups {
		if vg.id == vgroup {
			vg.truncate(begin)
			return nil
		}
	}
	return fmt.Errorf("truncate WAL: no vgroup %d in database %q", vgroup, db)
}

// WALEnds returns the next version of each vgroup of a database.
func (n *Node) WALEnds(db string) map[int32]int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	ends := map[int32]int64{}
	if d := n.databases[db]; d != nil {
		for _, vg := range d.vgroups {
			ends[vg.id] = vg.end()
		}
	}
	return ends
}

// Exec runs one statement as the node's first user, as a client would do over
// REST.
func (n *Node) Exec(sql string) error {
	_, err := n.run(sql)
	return err
}

// Query runs one statement and returns its rows: bool, int64, uint64, float32,
// float64, string, []byte, time.Time, or nil for NULL.
func (n *Node) Query(sql string) ([][]any, error) {
	res, err := n.run(sql)
	if err != nil {
		return nil, err
	}
	for _, row := range res.rows {
		for i, v := range row {
			switch v := v.(type) {
			case stamp:
				row[i] = v.time()
			case jsonObject:
				row[i] = string(v)
			}
		}
	}
	return res.rows, nil
}

func (n *Node) run(sql string) (*result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := &session{n: n, user: n.users[n.opts.User]}
	return s.exec(sql)
}

// waitChange waits until something may have changed since the channel was
// taken, the time is up, or the context ends.
func waitChange(ctx context.Context, changed <-chan struct{}, until time.Time) bool {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-changed:
		return true
	case <-t.C:
		return false
	case <-ctx.Done():
		return false
	}
}
