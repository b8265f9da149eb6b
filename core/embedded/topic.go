package embedded

import (
	"slices"
	"strings"
	"time"
)

// topic is a subscription source: a whole database, with its metas or without.
type topic struct {
	name    string
	db      *database
	sql     string
	meta    bool
	owner   string
	created time.Time
	groups  map[string]*group
}

// group is a consumer group of one topic.
type group struct {
	name    string
	topic   *topic
	members []*consumer
	owners  map[int32]*consumer // vgroup to consumer
	stored  map[int32]int64     // committed offsets
	reports map[int32]report    // what heartbeats told last
	silent  map[int64]bool      // uids of tables whose rows it gets no more
}

// report is how far a vgroup was read.
type report struct {
	position, end int64
	rows          int64
}

// consumer is one member of a group.
type consumer struct {
	id         uint64
	clientID   string
	user       *user
	group      *group
	reset      string // earliest, latest or none
	excluded   bool   // skip what the raw writer wrote
	batchMeta  bool
	rawRows    bool          // rows come as they are stored
	pollRows   int           // how many rows a message of rows gathers
	keepsWAL   bool          // a commit sets the version from which on the WAL is kept
	autoCommit time.Duration // at the start of a poll, if so long has passed; 0: never
	autoAt     time.Time
	maxPoll    time.Duration
	lastPoll   time.Time
	subscribed time.Time
	rebalanced time.Time // zero until the first rebalance
	leaveAt    time.Time // not zero: the socket died, the session lasts till then
	gone       bool      // removed from the group
	vgroups    map[int32]*reading
	turn       int // which vgroup is asked first at the next poll
}

// reading is where a consumer stands in one vgroup.
type reading struct {
	vg        *vgroup
	known     bool  // the range is known: a poll or an assignment has been answered
	delivered bool  // a message has been handed out
	start     int64 // of the last message handed out
	next      int64 // version to read
	walBegin  int64
	walEnd    int64
	committed int64 // by this consumer; unknown if it has not
	rows      int64
	idle      int   // commits that covered nothing new since the consumer's last message
	newsAt    int64 // what the last commit covered
}

// offsetUnknown is what `committed` tells when nothing is stored.
const offsetUnknown = -2147467247

func (n *Node) hasTopics(db string) bool {
	for _, t := range n.topics {
		if t.db.name == db {
			return true
		}
	}
	return false
}

func (s *session) createTopic(p *parser) (*result, error) {
	ifNot := p.ifNotExists()
	name := p.ident()
	t := &topic{name: name, sql: s.sql, owner: s.user.name, created: time.Now(), groups: map[string]*group{}}
	if p.accept("with", "meta") || p.accept("only", "meta") {
		t.meta = true
	}
	p.expect("as", "database")
	dbName := p.ident()
	p.end()
	if s.n.topics[name] != nil {
		if ifNot {
			return &result{}, nil
		}
		return nil, failure(codeTopicExists, "Topic already exists")
	}
	db, err := s.readable(dbName)
	if err != nil {
		return nil, err
	}
	if db.walPeriod() == 0 {
		return nil, failure(codeWALZero, "WAL retention period is zero")
	}
	t.db = db
	s.n.topics[name] = t
	return &result{}, nil
}

func (s *session) dropTopic(p *parser) (*result, error) {
	ifExists := p.ifExists()
	force := s.n.version.forces() && p.accept("force")
	name := p.ident()
	p.end()
	t := s.n.topics[name]
	if t == nil {
		if ifExists {
			return &result{}, nil
		}
		return nil, failure(codeTopicMissing, "Topic not exist")
	}
	if !s.user.super && s.user.name != t.owner {
		return nil, errPermission
	}
	for _, g := range t.groups {
		if len(g.members) > 0 && !force {
			return nil, failure(codeTopicUsed, "Topic subscribed cannot be dropped")
		}
		s.n.empty(g)
	}
	delete(s.n.topics, name)
	return &result{}, nil
}

func (s *session) dropGroup(p *parser) (*result, error) {
	ifExists := p.ifExists()
	force := s.n.version.forces() && p.accept("force")
	name := p.ident()
	p.expect("on")
	t := s.n.topics[p.ident()]
	p.end()
	if t == nil || t.groups[name] == nil {
		if ifExists {
			return &result{}, nil
		}
		return nil, failure(codeGroupMissing, "Consumer group not exist")
	}
	g := t.groups[name]
	if len(g.members) > 0 && !force {
		return nil, failure(codeGroupUsed, "Consumer group being used by some consumer")
	}
	s.n.empty(g)
	delete(t.groups, name)
	return &result{}, nil
}

// join makes a consumer a member of a group; the next rebalance gives it its
// vgroups. n.mu is held.
func (n *Node) join(c *consumer, topicName, groupName string) error {
	t := n.topics[topicName]
	if t == nil {
		return failure(codeTopicMissing, "Topic not exist")
	}
	if !c.user.super && c.user.name != t.owner && !c.user.may("subscribe", t.name) {
		return errPermission
	}
	g := t.groups[groupName]
	if g == nil {
		if len(t.groups) >= 100 {
			return failure(codeGroups, "Consumer group num out of range")
		}
		g = &group{name: groupName, topic: t, owners: map[int32]*consumer{}, stored: map[int32]int64{}, reports: map[int32]report{}, silent: map[int64]bool{}}
		t.groups[groupName] = g
	}
	n.lastID++
	c.id, c.group, c.gone, c.rebalanced = n.lastID, g, false, time.Time{}
	c.subscribed, c.lastPoll = time.Now(), time.Now()
	c.vgroups = map[int32]*reading{}
	g.members = append(g.members, c)
	return nil
}

// empty makes all members of a group leave it. n.mu is held.
func (n *Node) empty(g *group) {
	for _, c := range slices.Clone(g.members) {
		n.leave(c)
	}
}

// leave takes a consumer out of its group. Each vgroup that it read logs that
// it is free. n.mu is held.
func (n *Node) leave(c *consumer) {
	if c.gone || c.group == nil {
		return
	}
	c.gone = true
	g := c.group
	g.members = slices.DeleteFunc(g.members, func(m *consumer) bool { return m == c })
	for id, owner := range g.owners {
		if owner == c {
			delete(g.owners, id)
			if r := c.vgroups[id]; r != nil {
				r.vg.append(entry{kind: kindNoop})
			}
		}
	}
	n.wake()
}

// rebalance spreads every group's vgroups evenly over its members, and removes
// members that do not poll or whose session is over. n.mu is held.
func (n *Node) rebalance(now time.Time) {
	if n.serverDown {
		return
	}
	for _, t := range n.topics {
		for _, g := range t.groups {
			for _, c := range slices.Clone(g.members) {
				late := c.maxPoll > 0 && now.Sub(c.lastPoll) > c.maxPoll
				if late || !c.leaveAt.IsZero() && now.After(c.leaveAt) {
					n.leave(c)
				}
			}
			n.spread(g, now)
		}
	}
}

func (n *Node) spread(g *group, now time.Time) {
	if len(g.members) == 0 {
		return
	}
	changed := false
	live := map[int32]bool{}
	for i, vg := range g.topic.db.vgroups {
		live[vg.id] = true
		c := g.members[i%len(g.members)]
		old := g.owners[vg.id]
		if old == c {
			continue
		}
		if old != nil {
			delete(old.vgroups, vg.id)
		}
		g.owners[vg.id] = c
		c.vgroups[vg.id] = &reading{vg: vg, committed: offsetUnknown, newsAt: -1}
		vg.append(entry{kind: kindNoop})
		changed = true
	}
	for id, c := range g.owners {
		if !live[id] {
			delete(g.owners, id)
			delete(c.vgroups, id)
		}
	}
	for _, c := range g.members {
		if changed || c.rebalanced.IsZero() {
			c.rebalanced = now
		}
	}
	if changed {
		n.wake()
	}
}

// open fixes where a consumer starts in a vgroup: at the stored offset, or as
// auto.offset.reset says.
func (c *consumer) open(r *reading) {
	if r.known {
		return
	}
	r.known = true
	r.walBegin, r.walEnd = r.vg.begin, r.vg.end()
	r.next = c.stored(r.vg)
	r.start, r.newsAt = r.next, r.next
}

// stored is the group's offset in a vgroup, or what auto.offset.reset says.
func (c *consumer) stored(vg *vgroup) int64 {
	switch stored, ok := c.group.stored[vg.id]; {
	case ok:
		return stored
	case c.reset == "earliest":
		return vg.begin
	default:
		return vg.end()
	}
}

// commit stores an offset: an entry of the WAL itself. It returns false if a
// consumer keeps committing though it has read nothing new; the first offset of
// a group says where its members begin, and is not counted.
func (c *consumer) commit(r *reading, offset int64, lose bool) bool {
	if r.committed == offset {
		return true
	}
	stored, known := c.group.stored[r.vg.id]
	if known && stored == offset {
		r.committed = offset
		return true
	}
	news := false
	for v := max(r.vg.begin, r.newsAt); v < min(offset, r.vg.end()); v++ {
		if k := r.vg.at(v).kind; k != kindCommit && k != kindNoop {
			news = true
			break
		}
	}
	r.idle++
	if news || !known || offset < r.newsAt {
		r.idle = 0
	}
	r.newsAt = offset
	r.committed = offset
	if !lose {
		c.group.stored[r.vg.id] = offset
		if c.keepsWAL {
			r.vg.kept, r.vg.keep = true, offset
		}
		r.vg.append(entry{kind: kindCommit})
	}
	return r.idle < 2 || c.autoCommit > 0 // who commits besides is not to blame
}

func (c *consumer) reportPositions() {
	for id, r := range c.vgroups {
		if r.known {
			c.group.reports[id] = report{r.next, r.walEnd, r.rows}
		}
	}
}

// readings are the consumer's vgroups in a fixed order.
func (c *consumer) readings() []*reading {
	all := make([]*reading, 0, len(c.vgroups))
	for _, r := range c.vgroups {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *reading) int { return int(a.vg.id - b.vg.id) })
	return all
}

func (c *consumer) parameters() string {
	return "tbname:1,commit:0,interval:5000ms,reset:" + strings.ToLower(c.reset)
}
