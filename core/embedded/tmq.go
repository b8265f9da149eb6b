package embedded

import (
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// tmqSession is the state of one /rest/tmq socket.
type tmqSession struct {
	n     *Node
	s     *socket
	polls chan *request // one waits at most: a newer one takes its place

	lib     sync.Mutex // every call into the client library takes it
	c       *consumer  // nil until subscribe
	joined  bool
	args    subscribeArgs
	message *message // handed out last
	lastID  uint64
	fetched int // blocks of the message read with fetch
}

// message is what a poll found.
type message struct {
	id       uint64
	kind     uint16 // raw type
	payload  []byte
	topic    string
	database string
	vgroup   int32
	offset   int64 // as the poll reports it
}

// messageType is the kind as a poll reports it.
func (m *message) messageType() int {
	switch m.kind {
	case kindSubmit:
		return 1
	case kindMetadata:
		return 3
	case kindRawRows:
		return 4
	default:
		return 2
	}
}

// tmqArgs holds the arguments of every action but subscribe.
type tmqArgs struct {
	ReqID     uint64  `json:"req_id"`
	MessageID *uint64 `json:"message_id"`
	Blocking  int64   `json:"blocking_time"`
	Topic     string  `json:"topic"`
	VgroupID  int32   `json:"vgroup_id"`
	Offset    int64   `json:"offset"`
	Pairs     []struct {
		Topic    string `json:"topic"`
		VgroupID int32  `json:"vgroup_id"`
	} `json:"topic_vgroup_ids"`
}

// serveTMQ reads frames until the socket closes. What it does not understand
// gets no answer, as with the real adapter.
func (n *Node) serveTMQ(s *socket) {
	t := &tmqSession{n: n, s: s, polls: make(chan *request, 1)}
	s.tasks.Go(t.poller)
	for {
		kind, frame, err := s.conn.ReadMessage()
		if err != nil {
			break
		}
		req := &request{began: time.Now()}
		args := tmqArgs{}
		if kind != websocket.TextMessage || json.Unmarshal(frame, req) != nil {
			continue
		}
		if len(req.Args) > 0 && req.Action != "subscribe" && json.Unmarshal(req.Args, &args) != nil {
			continue
		}
		req.id = args.ReqID
		if req.Action == "poll" {
			t.queue(req)
			continue
		}
		s.tasks.Go(func() { t.handle(req, args) })
	}
	s.cancel()
	t.lib.Lock()
	defer t.lib.Unlock()
	t.closed()
}

// closed takes the consumer out of its group, at once or, if the adapter was
// killed, when its session ends.
func (t *tmqSession) closed() {
	if t.c == nil {
		return
	}
	t.n.mu.Lock()
	defer t.n.mu.Unlock()
	if left := t.s.sessionLeft(); left > 0 {
		t.c.leaveAt = time.Now().Add(left)
		return
	}
	t.n.leave(t.c)
}

func (t *tmqSession) queue(req *request) {
	select {
	case t.polls <- req:
		return
	default:
	}
	select {
	case <-t.polls: // the poll that waited never gets a reply
	default:
	}
	select {
	case t.polls <- req:
	default:
	}
}

func (t *tmqSession) poller() {
	for {
		select {
		case <-t.s.ctx.Done():
			return
		case req := <-t.polls:
			args := tmqArgs{}
			if json.Unmarshal(req.Args, &args) != nil {
				continue
			}
			t.handle(req, args)
		}
	}
}

// tmqActions are those that need a subscription.
var tmqActions = map[string]func(*tmqSession, tmqArgs) (reply, error){
	"commit":        (*tmqSession).commit,
	"commit_offset": (*tmqSession).commitOffset,
	"committed":     (*tmqSession).committed,
	"position":      (*tmqSession).position,
	"assignment":    (*tmqSession).assignment,
	"seek":          (*tmqSession).seek,
	"list_topics":   (*tmqSession).listTopics,
	"unsubscribe":   (*tmqSession).unsubscribe,
	"poll":          (*tmqSession).poll,
	"fetch":         (*tmqSession).fetch,
}

func (t *tmqSession) handle(req *request, args tmqArgs) {
	raw := req.Action == "fetch_raw" || req.Action == "fetch_block" || req.Action == "fetch_raw_data" && t.n.version.fetchRawData()
	act, known := tmqActions[req.Action]
	if !raw && !known && req.Action != "subscribe" && req.Action != "version" {
		return
	}
	got := t.n.strike(Request{Action: req.Action, Database: t.database()})
	if got.DropBefore {
		t.s.conn.Close()
		return
	}
	if raw {
		t.sendRaw(req, args, got)
		return
	}
	r, err := reply{}, error(nil)
	switch {
	case got.Code != 0:
		err = failure(got.Code, "%s", got.Text)
	case req.Action == "version":
		r = reply{"version": t.n.opts.Version}
	case req.Action == "subscribe":
		sub := subscribeArgs{}
		if json.Unmarshal(req.Args, &sub) != nil {
			return
		}
		req.id = sub.ReqID
		r, err = t.subscribe(sub)
	default:
		t.lib.Lock()
		if t.c == nil {
			if req.Action == "poll" {
				t.lib.Unlock()
				return
			}
			err = failure(codeAdapter, "tmq not init")
		} else {
			r, err = act(t, withLoss(args, got))
		}
		t.lib.Unlock()
	}
	if args.MessageID != nil && err != nil {
		r = reply{"message_id": *args.MessageID}
	}
	t.s.deliver(got, func() { t.s.answer(req, r, err) })
}

// withLoss marks the arguments of a commit that a fault shall lose.
func withLoss(args tmqArgs, got Fault) tmqArgs {
	if got.Lose {
		args.Blocking = -1
	}
	return args
}

func (t *tmqSession) database() string {
	t.n.mu.Lock()
	defer t.n.mu.Unlock()
	if t.c != nil && t.c.group != nil {
		return t.c.group.topic.db.name
	}
	return ""
}

type subscribeArgs struct {
	ReqID        uint64            `json:"req_id"`
	User         string            `json:"user"`
	Password     string            `json:"password"`
	GroupID      string            `json:"group_id"`
	ClientID     string            `json:"client_id"`
	OffsetRest   string            `json:"offset_rest"`
	OffsetReset  string            `json:"offset_reset"`
	Topics       []string          `json:"topics"`
	AutoCommit   string            `json:"auto_commit"`
	BatchMeta    string            `json:"enable_batch_meta"`
	Excluded     string            `json:"msg_consume_excluded"`
	RawData      string            `json:"msg_consume_rawdata"`
	MaxPoll      string            `json:"max_poll_interval_ms"`
	Config       map[string]string `json:"config"`
	AutoInterval string            `json:"auto_commit_interval_ms"`
}

// configKeys are those that the config map may have.
var configKeys = map[string]bool{
	"group.id": true, "client.id": true, "enable.auto.commit": true, "auto.commit.interval.ms": true,
	"session.timeout.ms": true, "heartbeat.interval.ms": true, "max.poll.interval.ms": true,
	"auto.offset.reset": true, "msg.with.table.name": true, "experimental.snapshot.enable": true,
	"td.connect.db": true, "enable.replay": true, "msg.consume.excluded": true, "msg.consume.rawdata": true,
	"fetch.max.wait.ms": true, "min.poll.rows": true, "msg.enable.batchmeta": true,
}

// fromConfig lets the config map override the fields, where the version knows
// the map at all.
func (a *subscribeArgs) fromConfig(v version) error {
	if !v.surfacesErrors() {
		return nil
	}
	fields := map[string]*string{
		"group.id": &a.GroupID, "client.id": &a.ClientID, "auto.offset.reset": &a.OffsetReset,
		"max.poll.interval.ms": &a.MaxPoll, "msg.consume.rawdata": &a.RawData,
		"msg.consume.excluded": &a.Excluded, "msg.enable.batchmeta": &a.BatchMeta,
	}
	for k, value := range a.Config {
		known := configKeys[k] || k == "enable.wal.marker" && v.keepsWAL()
		if !known {
			if !v.namesOptions() {
				return failure(codeMinusTwo, "Unknown error %d", codeMinusTwo)
			}
			return failure(codeInvalidPara, "unknown configuration key: %s", k)
		}
		if f := fields[k]; f != nil {
			*f = value
		}
	}
	return nil
}

func (a *subscribeArgs) consumer(v version) (*consumer, error) {
	if err := a.fromConfig(v); err != nil {
		return nil, err
	}
	c := &consumer{clientID: a.ClientID, reset: a.OffsetReset, maxPoll: 5 * time.Minute}
	if c.reset == "" {
		c.reset = a.OffsetRest
	}
	if c.reset == "" {
		c.reset = "latest"
	}
	if c.reset != "earliest" && c.reset != "latest" && c.reset != "none" {
		return nil, failure(codeInvalidPara, "invalid value for key 'auto.offset.reset': %s", c.reset)
	}
	if a.GroupID == "" || len(a.GroupID) > 192 {
		return nil, failure(codeInvalidPara, "invalid value for key 'group.id': %s", a.GroupID)
	}
	c.pollRows = pollRows
	if text := a.Config["min.poll.rows"]; text != "" && v.surfacesErrors() {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 1 {
			return nil, failure(codeInvalidPara, "invalid value for key 'min.poll.rows': %s", text)
		}
		c.pollRows = int(n)
	}
	if a.MaxPoll != "" && v.has(3, 3, 3, 0) {
		ms, err := strconv.ParseInt(a.MaxPoll, 10, 32)
		if err != nil || ms < 1000 {
			return nil, failure(codeInvalidPara, "invalid value for key 'max.poll.interval.ms': %s", a.MaxPoll)
		}
		c.maxPoll = time.Duration(ms) * time.Millisecond
	}
	if err := a.autoCommit(v, c); err != nil {
		return nil, err
	}
	c.excluded = a.Excluded == "1" && v.excludes()
	c.keepsWAL = a.Config["enable.wal.marker"] == "true" && v.keepsWAL()
	c.batchMeta = a.BatchMeta == "1" && v.batchesMeta()
	c.rawRows = a.RawData == "1" && v.surfacesErrors()
	return c, nil
}

// autoCommit reads the two fields about it; without them it is on, but for
// newer adapters.
func (a *subscribeArgs) autoCommit(v version, c *consumer) error {
	on := !v.surfacesErrors()
	if a.AutoCommit != "" {
		var err error
		if on, err = strconv.ParseBool(a.AutoCommit); err != nil {
			return failure(codeAdapter, "strconv.ParseBool: parsing %q: invalid syntax", a.AutoCommit)
		}
	}
	interval := int64(5000)
	if a.AutoInterval != "" {
		var err error
		if interval, err = strconv.ParseInt(a.AutoInterval, 10, 64); err != nil {
			return failure(codeAdapter, "strconv.ParseInt: parsing %q: invalid syntax", a.AutoInterval)
		}
	}
	if v.commitsItself() {
		on, interval = true, 5000 // the library's own; the adapter cannot tell it
	}
	if on {
		c.autoCommit, c.autoAt = time.Duration(interval)*time.Millisecond, time.Now()
	}
	return nil
}

// subscribe joins a group and waits for the first rebalance.
func (t *tmqSession) subscribe(args subscribeArgs) (reply, error) {
	t.lib.Lock()
	defer t.lib.Unlock()
	if err := t.s.ctx.Err(); err != nil {
		return nil, err // nobody would ever take this consumer out of its group
	}
	if t.joined {
		return nil, failure(codeAdapter, "tmq should have unsubscribed first")
	}
	if t.c == nil {
		c, err := args.consumer(t.n.version)
		if err != nil {
			return nil, err
		}
		t.n.mu.Lock()
		u, err := t.n.login(args.User, args.Password)
		down := t.n.serverDown
		t.n.mu.Unlock()
		switch {
		case down:
			return nil, failure(codeAdapter, "%s", errUnreachable.text)
		case err != nil:
			return nil, failure(codeAdapter, "init tscObj failed")
		}
		c.user = u
		t.n.mu.Lock()
		t.c, t.args = c, args
		t.n.mu.Unlock()
	}
	if len(args.Topics) != 1 {
		return nil, failure(codeInvalidPara, "one topic is needed")
	}
	t.n.mu.Lock()
	err := t.n.join(t.c, args.Topics[0], t.args.GroupID)
	t.n.mu.Unlock()
	if err != nil {
		return nil, err
	}
	t.joined = true
	return reply{"version": t.n.opts.Version}, t.awaitRebalance()
}

func (t *tmqSession) awaitRebalance() error {
	for {
		t.n.mu.Lock()
		ready, gone, changed := !t.c.rebalanced.IsZero(), t.c.gone, t.n.changed
		t.n.mu.Unlock()
		if ready || gone || t.s.ctx.Err() != nil {
			return nil
		}
		waitChange(t.s.ctx, changed, time.Now().Add(10*time.Millisecond))
	}
}

func (t *tmqSession) unsubscribe(tmqArgs) (reply, error) {
	t.n.mu.Lock()
	defer t.n.mu.Unlock()
	t.n.leave(t.c)
	t.joined, t.message = false, nil
	return reply{}, nil
}

func (t *tmqSession) listTopics(tmqArgs) (reply, error) {
	t.n.mu.Lock()
	defer t.n.mu.Unlock()
	if !t.joined {
		return reply{"topics": []string{}}, nil
	}
	return reply{"topics": []string{t.c.group.topic.name}}, nil
}
