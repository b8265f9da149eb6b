package taos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tdreplica/core"
	"tdreplica/core/engine"
)

var subscription = engine.Subscription{Topic: "t", Group: "g", ClientID: "c", MaxPollInterval: time.Hour}

// handshake answers what a source asks before its first poll, and hands the
// rest to next.
func handshake(version string, next func(received) reply) func(received) reply {
	return func(r received) reply {
		switch r.Action {
		case "version":
			return reply{ok("version", "version", version)}
		case "subscribe":
			return reply{ok("subscribe")}
		case "unsubscribe":
			return reply{ok("unsubscribe")}
		}
		return next(r)
	}
}

func openSource(t *testing.T, f *fake, opts Options, sub engine.Subscription) *source {
	t.Helper()
	s, err := New(opts).Source(t.Context(), f.endpoint(), sub)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s.(*source)
}

// TestRecordedConversations reads and writes what real servers sent, and
// compares what goes to the sink with what a real sink accepted.
func TestRecordedConversations(t *testing.T) {
	for _, c := range []struct{ recording, version string }{
		{"3.3.7.5", ""}, {"3.3.3.0", ""}, {"3.3.7.5", "3.3.1.9"}, {"3.3.3.0", "3.3.1.9"},
	} {
		t.Run(c.recording+" as "+c.version, func(t *testing.T) {
			recording := readRecording(t, c.recording)
			f := newFake(t, replay(recording, c.version))
			sub := subscription
			sub.Topic = "rec_topic"
			src := openSource(t, f, Options{}, sub)
			k, err := New(Options{}).Sink(t.Context(), f.endpoint(), "rec")
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()

			assignment, err := src.Assignment(t.Context())
			if err != nil || len(assignment) != 2 || assignment[0].End != 2 {
				t.Fatalf("assignment %+v, %v", assignment, err)
			}
			stored, err := src.Committed(t.Context(), []int32{assignment[0].Vgroup, assignment[1].Vgroup})
			if err != nil || stored[0].Offset != core.Unknown || stored[1].Offset != core.Unknown {
				t.Fatalf("committed %+v, %v", stored, err)
			}
			var accepted [][]byte
			for _, l := range recording {
				if l.Via == "/ws" && l.Dir == "send" && l.Binary != nil {
					accepted = append(accepted, l.Binary)
				}
			}
			for i, want := range accepted {
				m, err := src.Poll(t.Context(), time.Second)
				if err != nil || m == nil {
					t.Fatalf("message %d: %v, %v", i, m, err)
				}
				if m.Kind != core.KindMeta || m.ID != uint64(i+1) || m.Body < core.FrameHead {
					t.Errorf("message %d: %+v", i, m)
				}
				if !bytes.Equal(m.Payload(), want[30:]) || uint16(m.RawType) != binary.LittleEndian.Uint16(want[28:]) {
					t.Errorf("message %d has not the payload that was recorded", i)
				}
				if err := k.Write(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				// The first 16 bytes are the request's own number.
				got := f.requests("write_raw")[i].frame
				if !bytes.Equal(got[16:], want[16:]) {
					t.Errorf("message %d was written as\n%x, recorded is\n%x", i, got[16:], want[16:])
				}
			}
			if m, err := src.Poll(t.Context(), 0); m != nil || err != nil {
				t.Errorf("after the last message: %v, %v", m, err)
			}
		})
	}
}

func TestSubscribeOptions(t *testing.T) {
	f := newFake(t, handshake("3.3.7.5", func(received) reply { return nil }))
	sub := subscription
	sub.Latest, sub.Everything = true, true
	for i, s := range []engine.Subscription{subscription, sub} {
		openSource(t, f, Options{SessionTimeout: 20 * time.Second}, s)
		args := f.requests("subscribe")[i].Args
		reset, excluded := "earliest", "1"
		if s.Latest {
			reset, excluded = "latest", "0"
		}
		want := map[string]any{
			"user": "root", "password": "secret/pass@word", "group_id": "g", "client_id": "c",
			"offset_rest": reset, "offset_reset": reset, "auto_commit": "false", "enable_batch_meta": "1",
			"msg_consume_excluded": excluded, "with_table_name": "true",
			"session_timeout_ms": "20000", "max_poll_interval_ms": "3600000",
		}
		for key, v := range want {
			if args[key] != v {
				t.Errorf("%s is %v, want %v", key, args[key], v)
			}
		}
		if fmt.Sprint(args["topics"]) != "[t]" {
			t.Errorf("topics %v", args["topics"])
		}
	}
}

// TestOptionsOnlyWhereKnown: an adapter that has no map of options would drop it,
// and one whose client library does not know an option refuses the subscription. One
// that is busy is not asked again without the options.
func TestOptionsOnlyWhereKnown(t *testing.T) {
	sub := subscription
	sub.HoldWAL, sub.MinRows = true, 16384
	for _, c := range []struct {
		version    string
		refuses    []string
		code       int
		text       string
		subscribed int
		holds      bool
		rows       any
	}{
		{"3.3.3.0", nil, 0, "", 1, false, nil},
		{"3.3.6.0", []string{walMarker, minPollRows}, 0xfffe, "Unknown error 65534", 3, false, nil},
		{"3.3.6.13", []string{walMarker}, 0xfffe, "Unknown error 65534", 2, false, "16384"},
		{"3.3.8.0", []string{walMarker}, 0x0118, "unknown configuration key: enable.wal.marker", 2, false, "16384"},
		{"3.4.0.0", nil, 0, "", 1, true, "16384"},
	} {
		f := newFake(t, func(r received) reply {
			config, _ := r.Args["config"].(map[string]any)
			for _, key := range c.refuses {
				if r.Action == "subscribe" && config[key] != nil {
					return reply{map[string]any{"code": c.code, "message": c.text}}
				}
			}
			return handshake(c.version, func(received) reply { return nil })(r)
		})
		src := openSource(t, f, Options{}, sub)
		asked := f.requests("subscribe")
		config, _ := asked[len(asked)-1].Args["config"].(map[string]any)
		if len(asked) != c.subscribed || src.HoldsWAL() != c.holds || config[minPollRows] != c.rows {
			t.Errorf("%s: subscribed %d times, holds %v, gathers %v rows", c.version, len(asked), src.HoldsWAL(), config[minPollRows])
		}
	}
	busy := newFake(t, func(r received) reply {
		if r.Action == "subscribe" {
			return reply{map[string]any{"code": 0xfffe, "message": "too many requests"}}
		}
		return handshake("3.4.0.0", func(received) reply { return nil })(r)
	})
	if _, err := New(Options{}).Source(t.Context(), busy.endpoint(), sub); core.ClassOf(err) != core.ClassWait {
		t.Errorf("a busy adapter: %v", err)
	}
	if n := len(busy.requests("subscribe")); n != 1 {
		t.Errorf("a busy adapter was asked %d times", n)
	}
}

// TestBatchMetaOnlyWhereKnown: an adapter that is newer than its client library, whose
// version it tells, passes the option on, and the library refuses it.
func TestBatchMetaOnlyWhereKnown(t *testing.T) {
	for version, want := range map[string]any{"3.3.1.9": nil, "3.3.2.0": "1"} {
		f := newFake(t, handshake(version, func(received) reply { return nil }))
		openSource(t, f, Options{}, subscription)
		if got := f.requests("subscribe")[0].Args["enable_batch_meta"]; got != want {
			t.Errorf("version %s: enable_batch_meta is %v, want %v", version, got, want)
		}
	}
}

func TestMessageIDOnlyWhereKnown(t *testing.T) {
	for version, want := range map[string]bool{"3.3.5.9": false, "3.3.6.0": true} {
		f := newFake(t, handshake(version, func(r received) reply {
			if r.Action == "poll" {
				return reply{polled(4, core.KindData, 9)}
			}
			return reply{newFrame(4, 0, "", core.RawData, []byte("x"))}
		}))
		src := openSource(t, f, Options{}, subscription)
		for range 2 {
			if _, err := src.Poll(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		polls := f.requests("poll")
		if _, has := polls[0].Args["message_id"]; has != want {
			t.Errorf("adapter %s: message_id in poll: %v", version, has)
		}
		if want && (polls[0].Args["message_id"] != 0.0 || polls[1].Args["message_id"] != 4.0) {
			t.Errorf("polled with ids %v, %v", polls[0].Args["message_id"], polls[1].Args["message_id"])
		}
	}
}

// TestChangesOnlyFetchesNoRows: who looks for changes only reads past rows without
// having them sent, and is told of their place.
func TestChangesOnlyFetchesNoRows(t *testing.T) {
	kinds := []core.MessageKind{core.KindData, core.KindMetadata, core.KindMeta}
	next := uint64(0)
	f := newFake(t, handshake("3.3.7.5", func(r received) reply {
		if r.Action == "poll" {
			next++
			return reply{polled(next, kinds[next-1], int64(10*next))}
		}
		return reply{newFrame(next, 0, "", core.RawAlterSTB, []byte("a change"))}
	}))
	sub := subscription
	sub.ChangesOnly = true
	src := openSource(t, f, Options{}, sub)
	for i, kind := range kinds {
		m, err := src.Poll(t.Context(), 0)
		if err != nil || m == nil || m.Kind != kind || m.ID != uint64(i+1) || m.Vgroup != 7 || m.Offset != int64(10*i+10) {
			t.Fatalf("message %d: %+v, %v", i, m, err)
		}
		if whole := len(m.Frame) > 0; whole != (kind == core.KindMeta) {
			t.Errorf("message %d of kind %d has %d bytes", i, kind, len(m.Frame))
		}
	}
	if polls := f.requests("poll"); polls[2].Args["message_id"] != 2.0 {
		t.Errorf("polled behind rows with id %v", polls[2].Args["message_id"])
	}
	if n := len(f.requests("fetch_raw_data")); n != 1 {
		t.Errorf("fetched %d times, want once", n)
	}
}

// TestCancelledPoll stops waiting for a poll that then brings a message: the
// position must not cover it, and the next poll hands it out.
func TestCancelledPoll(t *testing.T) {
	for kind, want := range map[core.MessageKind][]core.VgroupOffset{
		core.KindData: {{Vgroup: 7, Offset: 90}, {Vgroup: 8, Offset: 40}},
		core.KindMeta: {{Vgroup: 8, Offset: 40}},
	} {
		release := make(chan struct{})
		asked := make(chan struct{}, 1)
		f := newFake(t, handshake("3.3.7.5", func(r received) reply {
			switch r.Action {
			case "poll":
				asked <- struct{}{}
				<-release
				return reply{polled(1, kind, 90)}
			case "position":
				return reply{ok("position", "position", []int64{95, 40})}
			default:
				return reply{newFrame(1, 0, "", core.RawData, []byte("rows"))}
			}
		}))
		src := openSource(t, f, Options{}, subscription)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-asked; cancel() }()
		if m, err := src.Poll(ctx, time.Second); m != nil || !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled poll: %v, %v", m, err)
		}
		close(release)
		at, err := src.Position(t.Context(), []int32{7, 8})
		if err != nil || !slices.Equal(at, want) {
			t.Errorf("kind %d: position %+v, %v", kind, at, err)
		}
		m, err := src.Poll(t.Context(), time.Second)
		if err != nil || m == nil || string(m.Payload()) != "rows" || m.Vgroup != 7 {
			t.Fatalf("message after a cancelled poll: %+v, %v", m, err)
		}
		if at, err := src.Position(t.Context(), []int32{7, 8}); err != nil || at[0].Offset != 95 {
			t.Errorf("position after the message: %+v, %v", at, err)
		}
		if n := len(f.requests("poll")); n != 1 {
			t.Errorf("%d polls for one message", n)
		}
	}
}

// TestSilence: an adapter that never answers ends each request in time, and the
// connection with it.
func TestSilence(t *testing.T) {
	f := newFake(t, handshake("3.3.7.5", func(received) reply { return nil }))
	src := openSource(t, f, quick, subscription)
	for _, request := range []func() error{
		func() error { _, err := src.Poll(t.Context(), 0); return err },
		func() error { _, err := src.Assignment(t.Context()); return err },
		func() error { return src.Commit(t.Context(), core.VgroupOffset{Vgroup: 7, Offset: 1}) },
	} {
		start := time.Now()
		err := request()
		if core.ClassOf(err) != core.ClassReconnect || time.Since(start) > 2*time.Second {
			t.Errorf("after %s: %v (%s)", time.Since(start), err, core.ClassOf(err))
		}
		if err == nil || !strings.Contains(err.Error(), "no reply to poll") {
			t.Errorf("the reason got lost: %v", err)
		}
	}
	mute := newFake(t, func(received) reply { return nil })
	if _, err := New(quick).Source(t.Context(), mute.endpoint(), subscription); core.ClassOf(err) != core.ClassReconnect {
		t.Errorf("no version: %v", err)
	}
	if _, err := New(quick).Sink(t.Context(), mute.endpoint(), "d"); core.ClassOf(err) != core.ClassReconnect {
		t.Errorf("no conn: %v", err)
	}
}

// TestSlowIsNotSilent: bytes that trickle in keep a request alive.
func TestSlowIsNotSilent(t *testing.T) {
	payload := bytes.Repeat([]byte("y"), 4096)
	f := newFake(t, handshake("3.3.7.5", func(r received) reply {
		if r.Action == "poll" {
			return reply{polled(1, core.KindData, 1)}
		}
		frame := newFrame(1, 0, "", core.RawData, payload)
		binary.LittleEndian.PutUint64(frame[26:], r.id)
		return reply{func(c *websocket.Conn) {
			w, err := c.NextWriter(websocket.BinaryMessage)
			if err != nil {
				return
			}
			defer w.Close()
			for part := range slices.Chunk(frame, 600) {
				if _, err := w.Write(part); err != nil {
					return
				}
				time.Sleep(60 * time.Millisecond) // the line is slow, not the test
			}
		}}
	}))
	src := openSource(t, f, quick, subscription)
	m, err := src.Poll(t.Context(), 0)
	if err != nil || !bytes.Equal(m.Payload(), payload) {
		t.Fatalf("%v", err)
	}
}

func TestNonsense(t *testing.T) {
	good := newFrame(1, 0, "", core.RawData, []byte("rows"))
	lying := bytes.Clone(good)
	binary.LittleEndian.PutUint32(lying[52:], 1<<31)
	for name, c := range map[string]struct{ poll, fetch any }{
		"no json":            {"hello", nil},
		"json without code":  {`{"action":"poll"}`, nil},
		"other action":       {ok("commit"), nil},
		"other topic":        {ok("poll", "have_message", true, "topic", "x", "vgroup_id", 7, "message_type", 1, "message_id", 1), nil},
		"no message id":      {polled(0, core.KindData, 1), nil},
		"unknown type":       {polled(1, 9, 1), nil},
		"wrong field type":   {ok("poll", "have_message", "yes"), nil},
		"frame for a poll":   {good, nil},
		"tiny frame":         {polled(1, core.KindData, 1), []byte("abc")},
		"text for a message": {polled(1, core.KindData, 1), ok("fetch_raw_data")},
		"truncated frame":    {polled(1, core.KindData, 1), good[:len(good)-1]},
		"only a header":      {polled(1, core.KindData, 1), good[:52]},
		"bytes left over":    {polled(1, core.KindData, 1), append(bytes.Clone(good), 0)},
		"lying length":       {polled(1, core.KindData, 1), lying},
		"empty message":      {polled(1, core.KindData, 1), newFrame(1, 0, "", core.RawData, nil)},
		"another message":    {polled(1, core.KindData, 1), newFrame(2, 0, "", core.RawData, []byte("rows"))},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, handshake("3.3.7.5", func(r received) reply {
				if r.Action == "poll" {
					return reply{c.poll}
				}
				return reply{c.fetch}
			}))
			src := openSource(t, f, quick, subscription)
			m, err := src.Poll(t.Context(), 0)
			if m != nil || err == nil {
				t.Fatalf("accepted: %+v", m)
			}
			if class := core.ClassOf(err); class != core.ClassReconnect && name != "lying length" {
				t.Errorf("class %s: %v", class, err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the password is in %q", err)
			}
		})
	}
}

func TestFetchErrorFrame(t *testing.T) {
	f := newFake(t, handshake("3.3.7.5", func(r received) reply {
		if r.Action == "poll" {
			return reply{polled(1, core.KindData, 1)}
		}
		return reply{newFrame(1, 0xffff, "message ID is not equal", 0, nil)}
	}))
	_, err := openSource(t, f, Options{}, subscription).Poll(t.Context(), 0)
	var e *core.Error
	if !errors.As(err, &e) || e.Code != 0xffff || e.Class != core.ClassReconnect || e.Text != "message ID is not equal" {
		t.Errorf("%v", err)
	}
}

// TestOffsetCodes: the same offset is a success, and an offset that the server
// cannot judge yet is tried again after asking for the assignment.
func TestOffsetCodes(t *testing.T) {
	known := false
	f := newFake(t, handshake("3.3.7.5", func(r received) reply {
		switch r.Action {
		case "assignment":
			known = true
			return reply{ok("assignment", "assignment", []map[string]any{{"vgroup_id": 7, "offset": 1, "begin": 0, "end": 9}})}
		case "seek":
			if !known {
				return reply{refuse("seek", 0x4010, "assignment not called")}
			}
			return reply{ok("seek")}
		case "committed":
			return reply{ok("committed", "committed", []int64{-5})}
		}
		return reply{refuse("commit_offset", 0x4012, "same value")}
	}))
	src := openSource(t, f, Options{}, subscription)
	if err := src.Commit(t.Context(), core.VgroupOffset{Vgroup: 7, Offset: 5}); err != nil {
		t.Error(err)
	}
	if err := src.Seek(t.Context(), core.VgroupOffset{Vgroup: 7, Offset: 5}); err != nil || len(f.requests("seek")) != 2 {
		t.Errorf("seek: %v", err)
	}
	if _, err := src.Committed(t.Context(), []int32{7}); core.ClassOf(err) != core.ClassOffset {
		t.Errorf("a negative offset: %v", err)
	}
}

// TestLostConnection: what is under way fails at once, and Close returns.
func TestLostConnection(t *testing.T) {
	asked := make(chan struct{}, 1)
	f := newFake(t, handshake("3.3.7.5", func(r received) reply { asked <- struct{}{}; return nil }))
	src := openSource(t, f, Options{}, subscription)
	go func() { <-asked; f.cut() }()
	start := time.Now()
	if _, err := src.Poll(t.Context(), time.Second); core.ClassOf(err) != core.ClassReconnect || time.Since(start) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCloseUnsubscribes(t *testing.T) {
	f := newFake(t, handshake("3.3.7.5", func(received) reply { return nil }))
	src := openSource(t, f, Options{}, subscription)
	if err := src.Close(t.Context()); err != nil || len(f.requests("unsubscribe")) != 1 {
		t.Errorf("close: %v, %d requests to unsubscribe", err, len(f.requests("unsubscribe")))
	}
}

// Behind a vgroup that was just handed over the adapter knows no range, and while
// none is it takes the topic for another consumer's. That is no nonsense, which would
// end the consumer, over and over, and nothing that fails a task.
func TestAnAssignmentThatIsNotKnownYetIsAskedForAgain(t *testing.T) {
	for _, answer := range []map[string]any{
		ok("assignment", "assignment", []map[string]any{{"vgroup_id": 7, "offset": 2, "begin": -1, "end": -1}}),
		{"action": "assignment", "code": 0x4009, "message": "Topic does not belong to this consumer"},
	} {
		f := newFake(t, handshake("3.3.7.5", func(r received) reply {
			if r.Action != "assignment" {
				return nil
			}
			return reply{answer}
		}))
		src := openSource(t, f, Options{}, subscription)
		if _, err := src.Assignment(t.Context()); core.ClassOf(err) != core.ClassRetry {
			t.Errorf("class %v of %v", core.ClassOf(err), err)
		}
	}
}
