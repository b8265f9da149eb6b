package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tdreplica/core"
)

// In a shared group (group_name) several instances read the vgroups of one
// database, and the server moves vgroups between them. Two things must never
// happen then: a message that is written late, by an instance that has lost the
// vgroup, over what its new owner has written since; and a commit that covers
// what was not applied. So each instance looks once a second at the server's own
// list of who owns what. It writes only what belongs to a vgroup that it has been
// seen to own within the last few seconds, and a new owner waits for longer than
// that before it writes. Only the lengths of intervals count: the clocks of the
// instances need not agree.
//
// Why no two write at once: who writes at some moment has seen the vgroup as its
// own 8 s before or earlier, and again less than 4 s before, and the server had
// not rebalanced it in between. So it owned the vgroup 6 s before that moment,
// and only one can have. A write that was begun has 4 s to end.

const (
	// lookEvery is the pace of the looks. goodFor is how long the sight of a vgroup
	// as ours is good for, from before the question was sent. handover is how long
	// a new owner waits, from after the answer came.
	lookEvery = time.Second
	goodFor   = 4 * time.Second
	handover  = 2 * goodFor
	// blindFor is how long the looks may fail before the pump begins anew.
	blindFor = 30 * time.Second
	// awaitPause is how often a writer looks whether it may write.
	awaitPause = 50 * time.Millisecond
)

// sharedGroups is the first version that groups are shared on. Before 3.3.4 servers do
// not tell the ids of super tables; what is in between was not tried.
var sharedGroups = core.Version{3, 3, 7, 0}

// errMovedAway ends the attempts at a message whose vgroup has another owner by
// now. That one reads it again.
var errMovedAway = &core.Error{Class: core.ClassRetry, Op: "write", Text: "the vgroup has moved to another member of the consumer group"}

// clients name the consumers of an instance. A server shows the names to
// whoever asks who is in a group.
type clients struct {
	instance string // who it is to people
	run      string // of this process: a copy of the state directory has another
	pumps    atomic.Uint64
}

func newClients(name, id string) *clients {
	random := make([]byte, 4)
	_, _ = rand.Read(random) // it never fails
	plain := func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}
	name = strings.Map(plain, name)
	return &clients{instance: name[:min(len(name), 64)] + "/" + id, run: hex.EncodeToString(random)}
}

// next is what the consumers of a new pump are called, but for their number.
func (c *clients) next() string {
	return fmt.Sprintf("tdreplica/%s/%s/%d", c.instance, c.run, c.pumps.Add(1))
}

// client is what a consumer's name tells.
type client struct {
	instance string // name and id
	run      string
	pump     string // the whole name but for the worker
	worker   int
}

// parseClient returns false for a consumer of somebody else.
func parseClient(id string) (client, bool) {
	parts := strings.Split(id, "/")
	if len(parts) != 6 || parts[0] != "tdreplica" {
		return client{}, false
	}
	c := client{instance: parts[1] + "/" + parts[2], run: parts[3], pump: strings.Join(parts[:5], "/")}
	if _, err := fmt.Sscan(parts[5], &c.worker); err != nil {
		return client{}, false
	}
	return c, true
}

// tenure is the time for which one worker owns one vgroup.
type tenure struct {
	worker int
	from   int64 // where its reader began; set before a message is handed on
	over   atomic.Bool

	// Guarded by members.mu:
	until      int64     // where the WAL ended when its reader began; 0: it has not
	since      time.Time // when the answer came that showed it first since
	rebalanced time.Time // what the consumer was given last
}

// members is a pump's knowledge of a shared group.
type members struct {
	p    *pump
	look chan struct{} // one slot: look now

	mu      sync.Mutex
	owned   map[int32]*tenure
	checked time.Time // when the last question was sent that was answered
	alone   bool      // no other instance owned a vgroup or was in the group then
}

func newMembers(p *pump) *members {
	return &members{p: p, look: make(chan struct{}, 1), owned: map[int32]*tenure{}}
}

// keep looks until ctx ends.
func (m *members) keep(ctx context.Context) error {
	for {
		if err := m.see(ctx); err != nil {
			m.mu.Lock()
			blind := m.p.e.clock.Now().Sub(m.checked)
			m.mu.Unlock()
			switch {
			case ctx.Err() != nil:
				return nil
			case !core.ClassOf(err).Retryable() || blind > blindFor:
				return err
			}
			m.p.e.log.Debug("nobody knows who owns which vgroup", "err", err)
		}
		select {
		case <-m.look:
		case <-m.p.e.clock.After(lookEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// see asks the server once.
func (m *members) see(ctx context.Context) error {
	p := m.p
	ctx, cancel := context.WithTimeout(ctx, goodFor)
	defer cancel()
	asked := p.e.clock.Now()
	subs, clients, err := p.owners(ctx)
	if err != nil {
		return err
	}
	alone := true
	for _, member := range clients {
		c, known := parseClient(member.Client)
		alone = alone && known && c.run == p.e.clients.run
	}
	answered := p.e.clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if answered.Sub(m.checked) >= goodFor {
		// Somebody else may have owned them meanwhile, and have written.
		for vg := range m.owned {
			m.end(vg)
		}
	}
	seen := map[int32]bool{}
	var elsewhere []core.Subscription
	for _, s := range subs {
		seen[s.Vgroup] = true
		member := clients[s.Consumer]
		c, known := parseClient(member.Client)
		mine := known && c.pump == p.client
		t := m.owned[s.Vgroup]
		if t != nil && (!mine || t.worker != c.worker) {
			m.end(s.Vgroup)
			t = nil
		}
		if mine && t == nil {
			t = &tenure{worker: c.worker, from: core.Unknown}
			m.owned[s.Vgroup] = t
		}
		if mine && (t.since.IsZero() || !t.rebalanced.Equal(member.Rebalanced)) {
			t.since, t.rebalanced = answered, member.Rebalanced
		}
		owner := c.instance
		if s.Consumer != "" && !known {
			owner = "?"
		}
		if !mine {
			elsewhere = append(elsewhere, s)
		}
		p.t.meter.owner(s, owner, mine, asked)
	}
	for vg := range m.owned {
		if !seen[vg] {
			m.end(vg)
		}
	}
	p.changes.elsewhere(elsewhere)
	m.checked, m.alone = asked, alone
	return nil
}

// end is the end of a tenure; the caller holds the lock.
func (m *members) end(vgroup int32) {
	m.owned[vgroup].over.Store(true)
	delete(m.owned, vgroup)
	m.p.wakeWriters()
}

// vgroups lists what a worker owns.
func (m *members) vgroups(worker int) map[int32]*tenure {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[int32]*tenure{}
	for vg, t := range m.owned {
		if t.worker == worker {
			out[vg] = t
		}
	}
	return out
}

// isAlone reports whether no other instance was in the group lately.
func (m *members) isAlone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.alone && m.p.e.clock.Now().Sub(m.checked) < goodFor
}

// took takes note that the reader of a tenure has begun when the WAL ended there.
func (m *members) took(t *tenure, end int64) {
	m.mu.Lock()
	t.until = end
	m.mu.Unlock()
}

// reads reports whether all of so many vgroups are read here, and applied up to
// where they ended when this began.
func (m *members) reads(vgroups int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	there := 0
	for vg, t := range m.owned {
		if at, ok := m.p.t.meter.position(vg); ok && t.until > 0 && at >= t.until {
			there++
		}
	}
	return there >= vgroups
}

// mayWrite reports whether what belongs to a tenure may be written now.
func (m *members) mayWrite(t *tenure) bool {
	now := m.p.e.clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	return !t.over.Load() && now.Sub(m.checked) < goodFor && now.Sub(t.since) >= handover
}

// await returns when a message of a tenure may be written, or with the reason
// why it must not be: errMovedAway, errHalted.
func (m *members) await(ctx context.Context, t *tenure) error {
	for {
		switch {
		case t.over.Load():
			return errMovedAway
		case m.mayWrite(t):
			return nil
		case m.p.isHalted():
			return errHalted
		}
		select {
		case <-m.p.e.clock.After(awaitPause):
		case <-m.p.halting:
		case <-ctx.Done():
			return errHalted
		}
	}
}

// owners returns a group's progress and, as of after that, its consumers by id.
func (p *pump) owners(ctx context.Context) ([]core.Subscription, map[string]core.Consumer, error) {
	subs, err := p.plan.catalog.Subscriptions(ctx, p.plan.topic)
	if err != nil {
		return nil, nil, err
	}
	clients, err := p.plan.catalog.Consumers(ctx, p.plan.topic, p.plan.group)
	if err != nil {
		return nil, nil, err
	}
	var own []core.Subscription
	for _, s := range subs {
		if s.Group == p.plan.group {
			own = append(own, s)
		}
	}
	return own, clients, nil
}

// stranger is the error of another process in a group that is not shared, or
// nil. The group's name holds the instance's id, so that process runs on a copy
// of the state directory.
func (p *pump) stranger(ctx context.Context) error {
	if p.plan.shared {
		return nil
	}
	_, clients, err := p.owners(ctx)
	if err != nil {
		return err
	}
	for _, member := range clients {
		if c, known := parseClient(member.Client); known && c.run != p.e.clients.run {
			return &core.Error{
				Class: core.ClassRetry,
				Op:    fmt.Sprintf("subscribe to topic %s at %s", p.plan.topic, p.plan.sourceName),
				Text:  fmt.Sprintf("another process, %s, is in this instance's consumer group: it runs on a copy of the state directory, and each would get some of the vgroups", member.Client),
				Hint:  "stop one of them; to share a group on purpose, give each a state directory of its own and the same group_name",
			}
		}
	}
	return nil
}
