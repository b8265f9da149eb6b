package embedded

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// Request is what a fault rule may look at.
type Request struct {
	Action   string // poll, fetch_raw_data, write_raw, commit_offset, conn, subscribe, sql, connect, …
	Database string // the current one, or the topic's; empty if none
	SQL      string // of action sql
	RawType  uint16 // of action write_raw
	Raw      []byte // of action write_raw
}

// Fault is a rule: which requests, how often, and what goes wrong.
type Fault struct {
	Action   string // empty: every action
	Database string // empty: every database
	Match    func(Request) bool
	Count    int // how often it strikes; 0: until it is removed

	Delay      time.Duration // before anything else
	Code       int           // answer this instead of doing it
	Text       string        // with Code
	DropBefore bool          // close the connection, nothing done
	DropAfter  bool          // do it, then close the connection without a reply
	Silent     bool          // do it, never reply
	Lose       bool          // of a commit or a write: answer success and store nothing
	Truncate   int           // cut a binary reply to so many bytes
	CloseAll   bool          // close every socket of the node first
}

// Faults holds a node's rules. Its methods are safe for concurrent use.
type Faults struct {
	mu    sync.Mutex
	rules []*rule
	hits  int
}

type rule struct {
	Fault
	left int
}

// Add installs a rule and returns what removes it. Of several that match, the
// oldest strikes.
func (f *Faults) Add(fault Fault) (remove func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &rule{fault, fault.Count}
	f.rules = append(f.rules, r)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.rules = slices.DeleteFunc(f.rules, func(x *rule) bool { return x == r })
	}
}

// Clear removes every rule.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// Hits is how often any rule struck.
func (f *Faults) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// strike returns the fault that a request meets, or the zero Fault. It waits
// out the delay.
func (n *Node) strike(req Request) Fault {
	got := n.faults.find(req)
	if got.Delay > 0 {
		t := time.NewTimer(got.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-n.stop:
		}
	}
	if got.CloseAll {
		n.closeSockets()
	}
	return got
}

func (f *Faults) find(req Request) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if r.Action != "" && r.Action != req.Action || r.Database != "" && r.Database != req.Database {
			continue
		}
		if r.Match != nil && !r.Match(req) {
			continue
		}
		f.hits++
		if r.Count > 0 {
			if r.left--; r.left == 0 {
				f.rules = slices.DeleteFunc(f.rules, func(x *rule) bool { return x == r })
			}
		}
		return r.Fault
	}
	return Fault{}
}

func (n *Node) closeSockets() {
	n.mu.Lock()
	var sockets []*socket
	if n.adapter != nil {
		for s := range n.adapter.sockets {
			sockets = append(sockets, s)
		}
	}
	n.mu.Unlock()
	for _, s := range sockets {
		s.conn.Close()
	}
}

// dropHTTP cuts an HTTP connection without an answer.
func dropHTTP() { panic(http.ErrAbortHandler) }
