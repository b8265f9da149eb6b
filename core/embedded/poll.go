package embedded

import (
	"time"
)

// pollRows is how many rows a data message gathers before it is handed out, if
// the consumer has not said (min.poll.rows).
const pollRows = 4096

// askAgain is how often the client library of real adapters asks every vgroup
// again while a poll blocks: when it asks the server for its vgroups.
const askAgain = time.Second

// poll hands out the next message. t.lib is held throughout, so that every
// other call of this session waits, as in the real library.
func (t *tmqSession) poll(args tmqArgs) (reply, error) {
	if t.n.version.surfacesErrors() && args.MessageID != nil && t.message != nil && t.message.id != *args.MessageID {
		return t.message.reply(), nil
	}
	t.autoCommit()
	until := time.Now().Add(time.Duration(max(args.Blocking, 0)) * time.Millisecond)
	for {
		t.n.mu.Lock()
		m, err := t.n.nextMessage(t.c)
		changed := t.n.changed
		t.n.mu.Unlock()
		if err != nil && t.n.version.surfacesErrors() {
			return nil, err
		}
		if m != nil {
			t.lastID++
			m.id = t.lastID
			t.message, t.fetched = m, 0
			return m.reply(), nil
		}
		look := until
		if t.n.opts.LatePolls {
			changed = nil
			if next := time.Now().Add(askAgain); next.Before(until) {
				look = next
			}
		}
		if !waitChange(t.s.ctx, changed, look) && (look.Equal(until) || t.s.ctx.Err() != nil) {
			return (&message{}).reply(), nil
		}
	}
}

// autoCommit stores every position if it is time to. The adapter does this, not
// the client: no commit of its own is a violation.
func (t *tmqSession) autoCommit() {
	t.n.mu.Lock()
	defer t.n.mu.Unlock()
	if t.c.autoCommit == 0 || t.c.gone || time.Since(t.c.autoAt) < t.c.autoCommit {
		return
	}
	t.c.autoAt = time.Now()
	for _, r := range t.c.readings() {
		if r.known && r.committed != r.next {
			t.c.commit(r, r.next, false)
		}
	}
}

func (m *message) reply() reply {
	r := reply{"have_message": m.id > 0, "topic": m.topic, "database": m.database, "vgroup_id": m.vgroup,
		"message_type": 0, "message_id": m.id, "offset": m.offset}
	if m.id > 0 {
		r["message_type"] = m.messageType()
	}
	return r
}

// nextMessage asks the consumer's vgroups in turn. n.mu is held.
func (n *Node) nextMessage(c *consumer) (*message, error) {
	c.lastPoll = time.Now()
	switch {
	case n.serverDown:
		return nil, nil
	case c.gone:
		return nil, failure(codeConsumerMissing, "Consumer not exist")
	}
	all := c.readings()
	for i := range all {
		r := all[(c.turn+i)%len(all)]
		if !r.known && c.reset == "none" {
			if _, ok := c.group.stored[r.vg.id]; !ok {
				return nil, failure(0x0A0D, "No committed offset and reset is none")
			}
		}
		c.open(r)
		if m := n.read(c, r); m != nil {
			c.turn = (c.turn + i + 1) % len(all)
			m.topic, m.database, m.vgroup = c.group.topic.name, c.group.topic.db.name, r.vg.id
			c.reportPositions()
			return m, nil
		}
	}
	c.reportPositions()
	return nil, nil
}

// visible reports whether a consumer gets an entry at all. Drops have no mark
// and are never kept back.
func (c *consumer) visible(en *entry) bool {
	switch {
	case en.kind == kindNoop || en.kind == kindCommit:
		return false
	case en.marked && c.excluded:
		return false
	default:
		return en.kind == kindSubmit || c.group.topic.meta
	}
}

// deaf is a fault of real servers: who wants rows as they are stored, and not
// those that replication wrote, gets none at all where there are both.
func (c *consumer) deaf(vg *vgroup) bool {
	if !c.rawRows || !c.excluded {
		return false
	}
	for v := vg.begin; v < vg.end(); v++ {
		if en := vg.at(v); en.kind == kindSubmit && en.marked {
			return true
		}
	}
	return false
}

// read returns the next message of a vgroup and moves the position behind it,
// or over what this consumer does not get.
func (n *Node) read(c *consumer, r *reading) *message {
	vg := r.vg
	from := r.next
	v := max(from, vg.begin) // a position below the WAL's begin is moved up in silence
	deaf := c.deaf(vg)
	for v < vg.end() && (!c.visible(vg.at(v)) || deaf && vg.at(v).kind == kindSubmit) {
		v++
	}
	r.walBegin, r.walEnd = vg.begin, vg.end()
	if v >= vg.end() {
		r.next = max(from, v)
		return nil
	}
	m := &message{}
	if first := vg.at(v); first.kind != kindSubmit {
		m, r.next = n.readMeta(c, vg, v)
		m.offset = r.next
	} else {
		var part []*entry
		rows := 0
		for ; v < vg.end() && rows < c.pollRows; v++ {
			en := vg.at(v)
			if !c.visible(en) {
				if en.kind == kindSubmit && len(en.creates) > 0 && n.version.newLayout() {
					// The tables that a marked submit creates ride along.
					part = append(part, &entry{creates: en.creates})
				}
				continue
			}
			if en.kind != kindSubmit || c.rawRows && len(part) > 0 && (len(en.creates) > 0) != (len(part[0].creates) > 0) {
				break
			}
			en = c.group.heard(en, vg, v < vg.shared)
			part = append(part, en)
			rows += en.rows
		}
		m.kind, m.payload = encodeDataMessage(from, v, part)
		if c.rawRows && m.kind == kindSubmit {
			m.kind, m.payload = kindRawRows, encodeRawRows(from, v, part)
		}
		r.next, m.offset = v, from
		r.rows += int64(rows)
	}
	r.start, r.delivered = from, true
	for _, other := range c.vgroups {
		other.idle = 0
	}
	return m
}

// silence takes a table out of every subscription that there is, as setting a
// tag of it does. n.mu is held.
func (n *Node) silence(t *table) {
	if !n.version.silencesTagged() {
		return
	}
	for _, topic := range n.topics {
		if topic.db == t.vg.db {
			for _, g := range topic.groups {
				g.silent[t.uid] = true
			}
		}
	}
}

// heard is a submit without the rows of silenced tables, and of those that are
// not here any more if the entry is older than a split.
func (g *group) heard(en *entry, vg *vgroup, shared bool) *entry {
	if len(g.silent) == 0 && !shared {
		return en
	}
	part := *en
	part.data, part.blocks, part.rows = nil, 0, 0
	for d := (&decoder{b: en.data}); len(d.b) > 0; {
		before := d.b
		b, name, err := decodeTableBlock(d)
		if err != nil || d.err != nil {
			return en
		}
		if t := g.topic.db.tables[name]; (t == nil || !g.silent[t.uid]) && (!shared || vg.db.vgroupOf(name) == vg) {
			part.data = append(part.data, before[:len(before)-len(d.b)]...)
			part.blocks++
			part.rows += b.rows
		}
	}
	return &part
}

// readMeta returns the meta at a version, with those that follow it directly
// if the consumer takes them in batches.
func (n *Node) readMeta(c *consumer, vg *vgroup, v int64) (*message, int64) {
	first := vg.at(v)
	if !c.batchMeta {
		return &message{kind: first.kind, payload: first.data}, v + 1
	}
	var metas []*entry
	for v < vg.end() && len(metas) < 1000 {
		en := vg.at(v)
		if c.visible(en) {
			if en.kind == kindSubmit {
				break
			}
			metas = append(metas, en)
		}
		v++
	}
	return &message{kind: kindBatchMeta, payload: encodeBatchMeta(metas)}, v
}

// reading finds a vgroup that the consumer owns.
func (t *tmqSession) reading(topic string, vgroup int32) (*reading, error) {
	if !t.joined || topic != t.c.group.topic.name {
		return nil, failure(codeOffsetTopic, "Invalid topic")
	}
	r := t.c.vgroups[vgroup]
	if r == nil {
		return nil, failure(codeOffsetVgroup, "VgId does not belong to this consumer")
	}
	return r, nil
}

// lock takes the node's lock for an action on offsets.
func (t *tmqSession) lock() (unlock func(), err error) {
	t.n.mu.Lock()
	if t.n.serverDown {
		t.n.mu.Unlock()
		return nil, errUnreachable
	}
	return t.n.mu.Unlock, nil
}

// commit stores the position of every vgroup that moved.
func (t *tmqSession) commit(args tmqArgs) (reply, error) {
	unlock, err := t.lock()
	if err != nil {
		return nil, err
	}
	idle := false
	for _, r := range t.c.readings() {
		if r.known && r.committed != r.next {
			idle = !t.c.commit(r, r.next, args.Blocking < 0) || idle
		}
	}
	unlock()
	if idle {
		t.n.violation("commit: nothing new was read since the commit before")
	}
	r := reply{"message_id": uint64(0)}
	if args.MessageID != nil {
		r["message_id"] = *args.MessageID
	}
	return r, nil
}

func (t *tmqSession) commitOffset(args tmqArgs) (reply, error) {
	unlock, err := t.lock()
	if err != nil {
		return nil, err
	}
	r, err := t.inRange(args)
	idle := false
	if err == nil {
		idle = !t.c.commit(r, args.Offset, args.Blocking < 0)
	}
	unlock()
	if idle {
		t.n.violation("commit_offset: nothing new was read since the commit before")
	}
	return reply{"topic": args.Topic, "vgroup_id": args.VgroupID, "offset": args.Offset}, err
}

// inRange finds the vgroup of a request and checks its offset.
func (t *tmqSession) inRange(args tmqArgs) (*reading, error) {
	r, err := t.reading(args.Topic, args.VgroupID)
	switch {
	case err != nil:
		return nil, err
	case !r.known:
		return nil, failure(codeOffsetUnknown, "Assignment should be called first")
	case args.Offset < r.walBegin || args.Offset > r.walEnd:
		return nil, failure(codeOffsetRange, "Offset out of range")
	}
	return r, nil
}

func (t *tmqSession) seek(args tmqArgs) (reply, error) {
	unlock, err := t.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, err := t.inRange(args)
	if err == nil {
		r.next = args.Offset
	}
	return reply{}, err
}

// each answers one number for every topic and vgroup asked about.
func (t *tmqSession) each(args tmqArgs, one func(*reading) (int64, error)) ([]int64, error) {
	unlock, err := t.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	numbers := []int64{}
	for _, p := range args.Pairs {
		r, err := t.reading(p.Topic, p.VgroupID)
		if err != nil {
			return nil, err
		}
		n, err := one(r)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

func (t *tmqSession) committed(args tmqArgs) (reply, error) {
	numbers, err := t.each(args, func(r *reading) (int64, error) {
		if r.committed != offsetUnknown {
			return r.committed, nil
		}
		if stored, ok := t.c.group.stored[r.vg.id]; ok {
			return stored, nil
		}
		return offsetUnknown, nil
	})
	return reply{"committed": numbers}, err
}

func (t *tmqSession) position(args tmqArgs) (reply, error) {
	numbers, err := t.each(args, func(r *reading) (int64, error) {
		if !r.known {
			return 0, failure(codeOffsetUnknown, "Assignment should be called first")
		}
		return r.next, nil
	})
	return reply{"position": numbers}, err
}

// assignment tells of every vgroup owned. Until each has delivered something
// the vnodes are asked; from then on it answers from what the last replies
// said, and offset is where the last message began.
func (t *tmqSession) assignment(args tmqArgs) (reply, error) {
	unlock, err := t.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !t.joined || args.Topic != t.c.group.topic.name {
		return nil, failure(codeOffsetTopic, "Invalid topic")
	}
	all := t.c.readings()
	cached := true
	for _, r := range all {
		cached = cached && r.delivered
	}
	list := []reply{}
	for _, r := range all {
		offset := r.start
		if !cached {
			t.c.open(r)
			offset = t.c.stored(r.vg)
			r.walBegin, r.walEnd = r.vg.begin, r.vg.end()
		}
		list = append(list, reply{"vgroup_id": r.vg.id, "offset": offset, "begin": r.walBegin, "end": r.walEnd})
	}
	return reply{"assignment": list}, nil
}
