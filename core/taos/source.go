package taos

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tdreplica/core"
	"tdreplica/core/engine"
)

// Adapters from these versions on know fetch_raw_data and, with their libraries,
// batches of changes; they resend a cached message to who polls with another
// message_id.
var (
	versionFetchData = core.Version{3, 3, 2, 0}
	versionBatchMeta = core.Version{3, 3, 2, 0}
	versionMessageID = core.Version{3, 3, 6, 0}
	versionConfig    = core.Version{3, 3, 6, 0} // and take options by their own names
)

// Options of a consumer by their own names: walMarker has commits make a server
// keep its WAL, and minPollRows is how many rows are gathered for a message.
const (
	walMarker   = "enable.wal.marker"
	minPollRows = "min.poll.rows"
)

// committedNone is what `committed` says for "nothing stored".
const committedNone = -2147467247

// unsubscribeTimeout is a patience for leaving a group (1-4 s on real servers).
const unsubscribeTimeout = 10 * time.Second

// source is one consumer. It implements engine.Source: one goroutine at a time.
type source struct {
	s    *socket
	ep   endpoint
	sub  engine.Subscription
	opts Options

	pollOp, fetchOp string // what errors call these two, made once

	adapter core.Version
	lastID  uint64 // of the message handed out last
	// late is a poll that the caller stopped waiting for. The adapter goes on
	// with it and would keep every other request waiting; its message must not
	// be lost.
	late *call
	// holds is whether commits make the server keep its WAL.
	holds bool
	// announced is a message that a poll announced and that is not handed out
	// yet: the server's position is already behind it. It points to polled.
	announced *pollReply
	polled    pollReply
	spent     error // a message was lost that cannot be fetched again
}

type subscribeArgs struct {
	request
	User            string            `json:"user,omitempty"`
	Password        string            `json:"password,omitempty"`
	GroupID         string            `json:"group_id"`
	ClientID        string            `json:"client_id"`
	OffsetRest      string            `json:"offset_rest"` // the name that all versions read
	OffsetReset     string            `json:"offset_reset"`
	Topics          []string          `json:"topics"`
	AutoCommit      string            `json:"auto_commit"`
	BatchMeta       string            `json:"enable_batch_meta,omitempty"`
	Excluded        string            `json:"msg_consume_excluded"`
	WithTableName   string            `json:"with_table_name"`
	SessionTimeout  string            `json:"session_timeout_ms"`
	RawData         string            `json:"msg_consume_rawdata,omitempty"`
	MaxPollInterval string            `json:"max_poll_interval_ms,omitempty"`
	Config          map[string]string `json:"config,omitempty"`
}

func (src *source) op(what string) string {
	return fmt.Sprintf("%s topic %s at %s", what, src.sub.Topic, src.ep)
}

// subscribe learns the adapter's version and joins the group.
func (src *source) subscribe(ctx context.Context) error {
	text, err := src.s.version(ctx)
	if err != nil {
		return err
	}
	if src.adapter, err = core.ParseVersion(text); err != nil {
		return src.ep.nonsense(src.op("subscribe to"), fmt.Sprintf("the version %q", text))
	}
	args := &subscribeArgs{
		User: src.ep.cred.user, Password: src.ep.cred.password,
		GroupID: src.sub.Group, ClientID: src.sub.ClientID,
		OffsetRest: "earliest", OffsetReset: "earliest",
		Topics:     []string{src.sub.Topic},
		AutoCommit: "false", Excluded: "1", WithTableName: "true",
		SessionTimeout: milliseconds(src.opts.SessionTimeout),
	}
	// An adapter that is newer than its library passes it on, and the library refuses it.
	if src.adapter.AtLeast(versionBatchMeta) {
		args.BatchMeta = "1"
	}
	if src.sub.Latest {
		args.OffsetRest, args.OffsetReset = "latest", "latest"
	}
	if src.sub.Everything {
		args.Excluded = "0"
	}
	if src.sub.RawRows {
		args.RawData = "1"
	}
	if src.sub.MaxPollInterval > 0 {
		args.MaxPollInterval = milliseconds(max(src.sub.MaxPollInterval, time.Second))
	}
	args.Config = map[string]string{}
	if token := src.ep.cred.token; token != "" {
		args.Config["td.connect.token"] = token
	}
	// An older adapter drops the whole map without a word.
	if src.holds = src.sub.HoldWAL && src.adapter.AtLeast(versionConfig); src.holds {
		args.Config[walMarker] = "true"
	}
	if src.sub.MinRows > 0 && src.adapter.AtLeast(versionConfig) {
		args.Config[minPollRows] = strconv.Itoa(src.sub.MinRows)
	}
	err = src.join(ctx, args)
	var e *core.Error
	if errors.As(err, &e) && e.Class == core.ClassData {
		// Nothing was written: it is an option that the server does not take.
		e.Class = core.ClassOperator
	}
	return err
}

// join subscribes, without the options that the client library of the adapter
// does not know: nobody has joined when it refuses one.
func (src *source) join(ctx context.Context, args *subscribeArgs) error {
	try := func() error {
		return src.s.ask(ctx, src.op("subscribe to"), "subscribe", args, src.opts.SubscribeTimeout, nil)
	}
	err := try()
	for _, option := range []string{walMarker, minPollRows} { // the younger one first
		if _, set := args.Config[option]; set && unknownOption(err) {
			delete(args.Config, option)
			src.holds = src.holds && option != walMarker
			err = try()
		}
	}
	return err
}

// unknownOption reports whether a library does not know an option. It says -2 of
// that, which adapters of 3.3.6.0 to 3.3.6.26, and of 3.3.7, hand on as if it were a
// code of a server [M]; its lower half is also the code of an adapter that is busy.
func unknownOption(err error) bool {
	var e *core.Error
	return errors.As(err, &e) && (e.Code == codeInvalidParam || e.Code == codeBusy && strings.HasPrefix(e.Text, "Unknown error"))
}

// HoldsWAL implements engine.Source.
func (src *source) HoldsWAL() bool { return src.holds }

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(min(d.Milliseconds(), math.MaxInt32), 10)
}

// Poll asks for the next message and fetches it. If ctx ends in the middle no
// message is lost: the next Poll hands it out, unless it was one of raw rows.
// Such a message can be fetched once; then the source must be opened anew.
func (src *source) Poll(ctx context.Context, wait time.Duration) (*core.Message, error) {
	if err := src.settle(ctx); err != nil {
		return nil, err
	}
	if src.spent != nil {
		return nil, src.spent
	}
	if src.announced == nil {
		if err := src.poll(ctx, wait); err != nil || src.announced == nil {
			return nil, err
		}
	}
	if kind := core.MessageKind(src.announced.MessageType); src.sub.ChangesOnly && kind != core.KindMeta {
		m := &core.Message{Vgroup: src.announced.VgroupID, Kind: kind, ID: src.announced.MessageID, Offset: src.announced.Offset, ReadAt: time.Now()}
		src.lastID, src.announced = m.ID, nil
		return m, nil
	}
	m, err := src.fetch(ctx, src.announced)
	if err != nil {
		if core.MessageKind(src.announced.MessageType) == core.KindRaw {
			src.spent = &core.Error{Class: core.ClassReconnect, Op: src.fetchOp, Text: "a message of raw rows can be fetched only once", Err: err}
		}
		return nil, err
	}
	src.lastID = src.announced.MessageID
	src.announced = nil
	return m, nil
}

func (src *source) poll(ctx context.Context, wait time.Duration) error {
	c := src.s.register(actionPoll)
	text := appendNumber(src.s.out[:0], `{"action":"poll","args":{"req_id":`, c.id)
	text = appendNumber(text, `,"blocking_time":`, uint64(max(wait, 0).Milliseconds()))
	if src.adapter.AtLeast(versionMessageID) {
		text = appendNumber(text, `,"message_id":`, src.lastID)
	}
	if err := src.s.sendText(ctx, c, append(text, "}}"...)); err != nil {
		return err
	}
	// The adapter may use the whole blocking time before it answers.
	c.sent = c.sent.Add(max(wait, 0))
	return src.finishPoll(ctx, c, max(wait, 0))
}

// settle waits for a poll that was given up earlier. The adapter serves one
// request at a time, so whatever comes next would have to wait for it anyway.
func (src *source) settle(ctx context.Context) error {
	if src.late == nil {
		return nil
	}
	c := src.late
	src.late = nil
	return src.finishPoll(ctx, c, max(time.Until(c.sent), 0))
}

func (src *source) finishPoll(ctx context.Context, c *call, blocking time.Duration) error {
	a, err := src.s.await(ctx, c, blocking+src.opts.RequestTimeout)
	if err != nil {
		if ctx.Err() != nil {
			src.late = c
		}
		return err
	}
	if err := src.s.decode(src.pollOp, c, a, nil); err != nil {
		return err
	}
	reply := &src.polled
	if err := reply.decode(a.text, src.sub.Topic); err != nil {
		return src.ep.nonsense(src.pollOp, "a reply that cannot be decoded")
	}
	if !reply.HaveMessage {
		return nil
	}
	switch {
	case reply.Topic != src.sub.Topic:
		return src.ep.nonsense(src.pollOp, fmt.Sprintf("a message of topic %q", reply.Topic))
	case reply.MessageID == 0, reply.VgroupID <= 0, reply.MessageType < 1, reply.MessageType > 4:
		return src.ep.nonsense(src.pollOp, fmt.Sprintf("a message with id %d, vgroup %d, type %d",
			reply.MessageID, reply.VgroupID, reply.MessageType))
	}
	src.announced = reply
	return nil
}

// fetch reads the message that a poll announced.
func (src *source) fetch(ctx context.Context, announced *pollReply) (*core.Message, error) {
	op, action, start := src.fetchOp, "fetch_raw_data", `{"action":"fetch_raw_data","args":{"req_id":`
	if !src.adapter.AtLeast(versionFetchData) {
		action, start = "fetch_raw", `{"action":"fetch_raw","args":{"req_id":`
	}
	c := src.s.register(action)
	text := appendNumber(src.s.out[:0], start, c.id)
	text = appendNumber(text, `,"message_id":`, announced.MessageID)
	if err := src.s.sendText(ctx, c, append(text, "}}"...)); err != nil {
		return nil, err
	}
	a, err := src.s.await(ctx, c, src.opts.RequestTimeout)
	if err != nil {
		src.s.forget(c)
		return nil, err
	}
	if a.frame == nil {
		if err := src.s.decode(op, c, a, nil); err != nil {
			return nil, err
		}
		return nil, src.ep.nonsense(op, "a text in the place of a message")
	}
	f, err := parseRawFrame(a.frame)
	if err != nil {
		return nil, src.ep.nonsense(op, err.Error())
	}
	if f.code != 0 {
		return nil, src.ep.serverError(op, f.code, f.text, core.ClassReconnect)
	}
	if f.messageID != announced.MessageID {
		return nil, src.ep.nonsense(op, fmt.Sprintf("message %d where %d was asked for", f.messageID, announced.MessageID))
	}
	return &core.Message{
		Vgroup:  announced.VgroupID,
		Kind:    core.MessageKind(announced.MessageType),
		RawType: f.rawType,
		ID:      f.messageID,
		Offset:  announced.Offset,
		ReadAt:  time.Now(),
		Frame:   a.frame,
		Body:    f.body,
		Reuse:   giveFrame,
	}, nil
}

// Close leaves the group, so that another consumer can take over at once, and
// disconnects. With ctx ended, or a connection that is lost, it only does the
// latter; then the server frees the group after the session's timeout.
func (src *source) Close(ctx context.Context) error {
	defer src.s.close()
	select {
	case <-src.s.dead:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, unsubscribeTimeout)
	defer cancel()
	if err := src.settle(ctx); err != nil {
		return err
	}
	return src.s.ask(ctx, src.op("unsubscribe from"), "unsubscribe", &request{}, unsubscribeTimeout, nil)
}
