package embedded

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// nodeWithRows starts a node with a table and a topic, and some rows in one vgroup.
func nodeWithRows(t *testing.T, opts Options, inserts int) *Node {
	t.Helper()
	n := start(t, opts)
	must(t, n, "create database d vgroups 1", "create topic tp with meta as database d", "create table d.t(ts timestamp, v int)")
	for i := range inserts {
		must(t, n, fmt.Sprintf("insert into d.t values(%d,%d)", time.Now().UnixMilli()+int64(i), i))
	}
	return n
}

const vgroup0 = 2 // the first vgroup's id

func pairOf(vgroup int) map[string]any {
	return map[string]any{"topic_vgroup_ids": []any{map[string]any{"topic": "tp", "vgroup_id": vgroup}}}
}

func (c *client) number(action string, vgroup int) int64 {
	c.t.Helper()
	list := c.ok(action, pairOf(vgroup))[action].([]any)
	return answer{"n": list[0]}.num("n")
}

func (c *client) assigned() answer {
	c.t.Helper()
	list := c.ok("assignment", map[string]any{"topic": "tp"})["assignment"].([]any)
	return answer(list[0].(map[string]any))
}

func (c *client) commit() { c.t.Helper(); c.ok("commit", map[string]any{"message_id": c.last}) }

func (c *client) leave() {
	c.t.Helper()
	c.ok("unsubscribe", nil)
	c.conn.Close()
}

func TestCommitAfterDataIsNotReadTwice(t *testing.T) {
	n := nodeWithRows(t, Options{}, 3)
	c := consume(t, n.URL(), "tp", "g", nil)
	if got := c.assigned(); got.num("offset") != 0 || got.num("begin") != 0 || got.num("end") != n.WALEnds("d")[vgroup0] {
		t.Errorf("assignment before the first poll: %v", got)
	}
	if got := c.number("committed", vgroup0); got != offsetUnknown {
		t.Errorf("committed before any commit: %d", got)
	}
	if m := c.poll(100); m == nil || m.num("message_type") != 2 || m.num("offset") != 2 {
		t.Fatalf("first message: %v", m)
	}
	if m := c.poll(100); m == nil || m.num("message_type") != 1 || m.num("offset") != 2 {
		t.Fatalf("second message: %v", m)
	}
	end := n.WALEnds("d")[vgroup0]
	c.commit()
	if got := n.WALEnds("d")[vgroup0]; got != end+1 {
		t.Errorf("a commit moved the end from %d to %d", end, got)
	}
	if got := c.number("position", vgroup0); got != end {
		t.Errorf("position %d, want %d", got, end)
	}
	c.leave()
	c = consume(t, n.URL(), "tp", "g", nil)
	if got := c.assigned().num("offset"); got != end {
		t.Errorf("the stored offset is %d, want %d", got, end)
	}
	if m := c.poll(20); m != nil {
		t.Errorf("a committed message came again: %v", m)
	}
}

func TestCommitOfPollOffsetRepeatsData(t *testing.T) {
	n := nodeWithRows(t, Options{}, 1)
	c := consume(t, n.URL(), "tp", "g", nil)
	c.poll(100)
	m := c.poll(100)
	c.ok("commit_offset", map[string]any{"topic": "tp", "vgroup_id": vgroup0, "offset": m.num("offset")})
	c.leave()
	c = consume(t, n.URL(), "tp", "g", nil)
	if m := c.poll(100); m == nil || m.num("message_type") != 1 {
		t.Errorf("the message did not come again: %v", m)
	}
	for offset, want := range map[int64]int{1 << 40: codeOffsetRange, -1: codeOffsetRange} {
		if a := c.ask("commit_offset", map[string]any{"topic": "tp", "vgroup_id": vgroup0, "offset": offset}); a.code() != want {
			t.Errorf("commit of offset %d: %v", offset, a)
		}
	}
	if a := c.ask("commit_offset", map[string]any{"topic": "tp", "vgroup_id": 77, "offset": 1}); a.code() != codeOffsetVgroup {
		t.Errorf("commit of a foreign vgroup: %v", a)
	}
	if a := c.ask("seek", map[string]any{"topic": "nope", "vgroup_id": vgroup0, "offset": 1}); a.code() != codeOffsetTopic {
		t.Errorf("seek in a foreign topic: %v", a)
	}
	c.ok("seek", map[string]any{"topic": "tp", "vgroup_id": vgroup0, "offset": 1})
	if m := c.poll(100); m == nil || m.num("message_type") != 2 {
		t.Errorf("after seeking back: %v", m)
	}
}

func TestCommitPerIdlePollIsAViolation(t *testing.T) {
	n := nodeWithRows(t, Options{}, 1)
	c := consume(t, n.URL(), "tp", "g", nil)
	c.poll(100)
	c.poll(100)
	before := n.WALEnds("d")[vgroup0]
	for range 4 {
		c.poll(1)
		c.commit()
	}
	if got := n.WALEnds("d")[vgroup0]; got != before+4 {
		t.Errorf("four idle commits moved the end from %d to %d", before, got)
	}
	if v := n.Violations(); len(v) == 0 || !strings.Contains(v[0], "nothing new was read") {
		t.Errorf("violations: %v", v)
	}
}

func TestLostCommit(t *testing.T) {
	n := nodeWithRows(t, Options{}, 1)
	n.Faults().Add(Fault{Action: "commit", Lose: true, Count: 1})
	c := consume(t, n.URL(), "tp", "g", nil)
	c.poll(100)
	c.poll(100)
	c.commit()
	if got := c.number("committed", vgroup0); got != c.number("position", vgroup0) {
		t.Errorf("the consumer's own cache says %d", got)
	}
	c.leave()
	c = consume(t, n.URL(), "tp", "g", nil)
	if got := c.number("committed", vgroup0); got != offsetUnknown {
		t.Errorf("a lost commit stored %d", got)
	}
}

func TestTruncatedWALIsJumpedInSilence(t *testing.T) {
	n := nodeWithRows(t, Options{}, 5)
	c := consume(t, n.URL(), "tp", "g", nil)
	c.poll(100)
	c.commit()
	c.leave()
	if err := n.TruncateWAL("d", vgroup0, 5); err != nil {
		t.Fatal(err)
	}
	c = consume(t, n.URL(), "tp", "g", nil)
	if a := c.assigned(); a.num("offset") >= a.num("begin") || a.num("begin") != 5 {
		t.Errorf("assignment does not show the gap: %v", a)
	}
	m := c.poll(100)
	if m == nil || m.num("message_type") != 1 || m.num("offset") >= 5 {
		t.Errorf("the message after the gap: %v", m)
	}
}

func TestSilentAndRepeatedReplies(t *testing.T) {
	n := nodeWithRows(t, Options{}, 1)
	c := dial(t, n.URL(), "/rest/tmq")
	for _, action := range []string{"nonsense", "poll", "fetch_raw_meta"} {
		if a, err := c.try(30*time.Millisecond, action, nil); err == nil {
			t.Errorf("%s got a reply: %v", action, a)
		}
		c = dial(t, n.URL(), "/rest/tmq")
	}
	if a := c.ask("commit", nil); a.code() != codeAdapter || a["message"] != "tmq not init" {
		t.Errorf("commit before subscribe: %v", a)
	}
	c = consume(t, n.URL(), "tp", "g", nil)
	first := c.ok("poll", map[string]any{"blocking_time": 100, "message_id": 0})
	again := c.ok("poll", map[string]any{"blocking_time": 100, "message_id": 0})
	if first.num("message_id") != 1 || again.num("message_id") != 1 || again.num("offset") != first.num("offset") {
		t.Errorf("a lost reply is not repeated: %v, then %v", first, again)
	}
	if a := c.ask("fetch_raw", map[string]any{"message_id": 4242}); a.code() != codeAdapter || a["message"] != "message ID is not equal" {
		t.Errorf("fetch of a wrong message: %v", a)
	}
	if a := c.ask("subscribe", map[string]any{"topics": []string{"tp"}}); a["message"] != "tmq should have unsubscribed first" {
		t.Errorf("second subscribe: %v", a)
	}
}

func TestSubscribeErrors(t *testing.T) {
	n := nodeWithRows(t, Options{}, 0)
	must(t, n, "create user u pass 'p'")
	base := func() map[string]any {
		return map[string]any{"user": "root", "password": "taosdata", "group_id": "g", "topics": []string{"tp"}}
	}
	for _, c := range []struct {
		key   string
		value any
		code  int
	}{
		{"password", "wrong", codeAdapter}, {"topics", []string{"nope"}, codeTopicMissing},
		{"config", map[string]any{"no.such.key": "1"}, codeMinusTwo}, {"offset_rest", "sometimes", codeInvalidPara},
		{"group_id", "", codeInvalidPara}, {"max_poll_interval_ms", "1", codeInvalidPara},
	} {
		args := base()
		args[c.key] = c.value
		if a := dial(t, n.URL(), "/rest/tmq").ask("subscribe", args); a.code() != c.code {
			t.Errorf("subscribe with %s %v: %v", c.key, c.value, a)
		}
	}
	args := base()
	args["user"], args["password"] = "u", "p"
	if a := dial(t, n.URL(), "/rest/tmq").ask("subscribe", args); a.code() != codePermission {
		t.Errorf("subscribe without the right: %v", a)
	}
	must(t, n, "grant subscribe on tp to u")
	dial(t, n.URL(), "/rest/tmq").ok("subscribe", args)
}

func TestConsumersShareVgroupsAndAreKicked(t *testing.T) {
	n := start(t, Options{})
	must(t, n, "create database d vgroups 4", "create topic tp with meta as database d")
	owned := func(c *client) int {
		return len(c.ok("assignment", map[string]any{"topic": "tp"})["assignment"].([]any))
	}
	a := consume(t, n.URL(), "tp", "g", map[string]any{"max_poll_interval_ms": "1000"})
	if owned(a) != 4 {
		t.Errorf("alone a consumer owns %d of 4 vgroups", owned(a))
	}
	if err := n.Exec("drop consumer group g on tp"); asFault(err).code != codeGroupUsed {
		t.Errorf("drop of a live group: %v", err)
	}
	if err := n.Exec("drop topic tp"); asFault(err).code != codeTopicUsed {
		t.Errorf("drop of a live topic: %v", err)
	}
	if err := n.Exec("drop database d"); asFault(err).code != codeDBTopics {
		t.Errorf("drop of a database with a topic: %v", err)
	}
	b := consume(t, n.URL(), "tp", "g", nil)
	await(t, "two consumers to share", func() bool { return owned(a) == 2 && owned(b) == 2 })
	await(t, "the one that does not poll to be kicked", func() bool { return owned(b) == 4 })
	if r := a.ask("poll", map[string]any{"blocking_time": 1}); r.code() != codeConsumerMissing {
		t.Errorf("poll of a kicked consumer: %v", r)
	}
	if got := rows(t, n, "select consumer_group, status, topics from performance_schema.perf_consumers"); got != "g ready tp\n" {
		t.Errorf("consumers: %q", got)
	}
	b.conn.Close()
	await(t, "the group to be empty", func() bool { return n.Exec("drop consumer group if exists g on tp") == nil })
	must(t, n, "drop topic tp", "drop database d")
}

// TestDropsByForce: 3.3.7.5 drops what is in use, 3.3.3.0 does not know the word.
func TestDropsByForce(t *testing.T) {
	for version, code := range map[string]int{"3.3.3.0": codeSyntax, "3.3.7.5": 0} {
		n := nodeWithRows(t, Options{Version: version}, 0)
		consume(t, n.URL(), "tp", "g", nil)
		for _, drop := range []string{"drop consumer group force g on tp", "drop topic force tp"} {
			if err := n.Exec(drop); code == 0 && err != nil || code != 0 && (err == nil || asFault(err).code != code) {
				t.Errorf("%s: %s: %v", version, drop, err)
			}
		}
		n.ForgetConsumers("tp")
		must(t, n, "drop topic if exists tp")
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for until := time.Now().Add(5 * time.Second); !done(); {
		if time.Now().After(until) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestOldVersions(t *testing.T) {
	n := nodeWithRows(t, Options{Version: "3.3.3.0"}, 0)
	must(t, n, "create table d.s(ts timestamp, v int) tags(g int)")
	c := consume(t, n.URL(), "tp", "g", nil)
	c.poll(100)
	if kind, _ := c.fetch(); kind != kindCreateTable {
		t.Errorf("3.3.3.0 sends metas in batches: type %d", kind)
	}
	n = nodeWithRows(t, Options{Version: "3.3.0.0"}, 0)
	c = consume(t, n.URL(), "tp", "g", nil)
	c.poll(100)
	if a, err := c.try(30*time.Millisecond, "fetch_raw_data", map[string]any{"message_id": 1}); err == nil {
		t.Errorf("3.3.0.0 knows fetch_raw_data: %v", a)
	}
	w := writer(t, n.URL(), "d")
	from := nodeWithRows(t, Options{Version: "3.3.0.0"}, 1)
	must(t, n, "drop table d.t")
	copied := consume(t, from.URL(), "tp", "g", nil)
	for copied.poll(20) != nil {
		copied.sendText("fetch_raw", map[string]any{"message_id": copied.last})
		_, f, err := copied.conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		d := &decoder{b: f[32:]}
		length, kind := int(uint32(leInt64(append(append([]byte{}, f[32:36]...), 0, 0, 0, 0)))), uint16(0)
		d.i32()
		kind = uint16(d.i16())
		if length != len(d.b) {
			t.Fatalf("fetch_raw: length %d of %d bytes", length, len(d.b))
		}
		if a := w.write(kind, d.b); a.code() != 0 {
			t.Errorf("write: %v", a)
		}
	}
	again := consume(t, n.URL(), "tp", "g2", nil)
	marked := 0
	for again.poll(20) != nil {
		marked++
	}
	if marked < 3 {
		t.Errorf("3.3.0.0 obeys msg_consume_excluded, which it does not know: %d messages", marked)
	}
}

func TestAutoCommitUnlessTurnedOff(t *testing.T) {
	n := nodeWithRows(t, Options{Version: "3.3.5.0"}, 1) // before, its library goes its own way
	c := consume(t, n.URL(), "tp", "g", map[string]any{"auto_commit": "", "auto_commit_interval_ms": "1"})
	c.poll(100)
	await(t, "the adapter to commit by itself", func() bool {
		c.poll(1)
		return c.number("committed", vgroup0) != offsetUnknown
	})
	c = consume(t, n.URL(), "tp", "g2", map[string]any{"auto_commit_interval_ms": "1"})
	c.poll(100)
	time.Sleep(2 * time.Millisecond)
	c.poll(100)
	if got := c.number("committed", vgroup0); got != offsetUnknown {
		t.Errorf("auto_commit is off, and %d is committed", got)
	}
	if a := dial(t, n.URL(), "/rest/tmq").ask("subscribe", map[string]any{"user": "root", "password": "taosdata", "group_id": "g", "auto_commit": "maybe"}); a.code() != codeAdapter {
		t.Errorf("auto_commit maybe: %v", a)
	}
}
