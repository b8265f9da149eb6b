package embedded

import (
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// link is one direction of replication.
type link struct{ from, to *client }

func (l link) pump(t *testing.T) int { t.Helper(); return pump(t, l.from, l.to) }

func twoWay(t *testing.T, a, b *Node, excluded string) (ab, ba link) {
	t.Helper()
	more := map[string]any{"msg_consume_excluded": excluded}
	ab = link{consume(t, a.URL(), "tp", "ab", more), writer(t, b.URL(), "d")}
	ba = link{consume(t, b.URL(), "tp", "ba", more), writer(t, a.URL(), "d")}
	return ab, ba
}

func TestTwoWay(t *testing.T) {
	load := []string{"create table d.s(ts timestamp, v int) tags(g int)", "insert into d.c using d.s tags(1) values('2025-01-01 00:00:00',1)"}
	a, b := pair(t, Options{}, "vgroups 1")
	ab, ba := twoWay(t, a, b, "1")
	must(t, a, load...)
	if n := ab.pump(t); n != 2 {
		t.Errorf("%d messages went over, want 2", n)
	}
	if n := ba.pump(t) + ab.pump(t); n != 0 {
		t.Errorf("%d messages came back", n)
	}
	must(t, a, "drop table d.c")
	if over, back, again := ab.pump(t), ba.pump(t), ab.pump(t); over != 1 || back != 1 || again != 0 {
		t.Errorf("a drop went over %d times, came back %d times and went over again %d times; want 1, 1, 0", over, back, again)
	}
	a, b = pair(t, Options{}, "vgroups 1")
	ab, ba = twoWay(t, a, b, "0")
	must(t, a, load...)
	for range 3 {
		if ab.pump(t) == 0 || ba.pump(t) == 0 {
			t.Fatal("without the exclusion nothing loops")
		}
	}
}

func TestDropEchoKillsTheNewTable(t *testing.T) {
	a, b := pair(t, Options{}, "vgroups 1")
	ab, ba := twoWay(t, a, b, "1")
	must(t, a, "create table d.t(ts timestamp, v int)", "drop table d.t")
	ab.pump(t)
	must(t, a, "create table d.t(ts timestamp, v int)")
	ba.pump(t)
	if err := a.Exec("insert into d.t values(now,1)"); asFault(err).code != codeTableMissing {
		t.Errorf("the table drawn back to life survived its echoed drop: %v", err)
	}
}

func TestAlterOfAForeignSuperTableIsIgnored(t *testing.T) {
	for v, rest := range map[string]int{"3.3.7.5": 0, "3.3.3.0": codeInvalidPara} {
		a, b := pair(t, Options{Version: v}, "vgroups 2")
		for _, n := range []*Node{a, b} {
			must(t, n, "create table d.s(ts timestamp, v int) tags(g int)")
		}
		l := link{consume(t, a.URL(), "tp", "g", nil), writer(t, b.URL(), "d")}
		must(t, a, "insert into d.c using d.s tags(1) values('2025-01-01 00:00:00',1)", "alter table d.s add column w int")
		l.pump(t)
		must(t, a, "insert into d.c values('2025-01-01 00:00:01',2,22)")
		for l.from.poll(20) != nil {
			kind, raw := l.from.fetch()
			if got := l.to.write(kind, raw); got.code() != rest {
				t.Errorf("%s: the row with the new column: %v", v, got)
			}
		}
		if got := rows(t, b, "describe d.s"); strings.Contains(got, "w INT") {
			t.Errorf("%s: the ALTER was applied:\n%s", v, got)
		}
	}
}

func TestDeleteLosesItsTagCondition(t *testing.T) {
	a, b := pair(t, Options{}, "vgroups 2")
	l := link{consume(t, a.URL(), "tp", "g", nil), writer(t, b.URL(), "d")}
	must(t, a, "create table d.s(ts timestamp, v int) tags(g int)")
	for i, c := range []string{"c1", "c2", "c3", "c4"} {
		must(t, a, "insert into d."+c+" using d.s tags("+[]string{"1", "0"}[i%2]+") values('2025-01-01 00:00:00',1)('2025-01-01 00:00:01',2)('2025-01-01 00:00:02',3)")
	}
	must(t, a, "delete from d.s where g=1 and ts <= '2025-01-01 00:00:01'")
	l.pump(t)
	if got := rows(t, a, "select count(*) from d.s"); got != "8\n" {
		t.Errorf("the source keeps %s", got)
	}
	if got := rows(t, b, "select count(*) from d.s"); got != "4\n" {
		t.Errorf("the sink keeps %s", got)
	}
}

func TestRenamedTagLosesItsValues(t *testing.T) {
	a, b := pair(t, Options{}, "vgroups 1")
	l := link{consume(t, a.URL(), "tp", "g", nil), writer(t, b.URL(), "d")}
	must(t, a, "create table d.s(ts timestamp, v int) tags(g int, l varchar(9))", "create table d.c using d.s tags(1,'one')",
		"alter table d.s rename tag l label")
	l.pump(t)
	if got := rows(t, b, "select tag_name, tag_value from information_schema.ins_tags"); got != "g 1\nlabel <nil>\n" {
		t.Errorf("tags at the sink: %q", got)
	}
}

func TestReplayAndMissingTables(t *testing.T) {
	a, b := pair(t, Options{}, "vgroups 1")
	from, to := consume(t, a.URL(), "tp", "g", map[string]any{"enable_batch_meta": "0"}), writer(t, b.URL(), "d")
	must(t, a, "create table d.n(ts timestamp, v int)", "alter table d.n add column w int", "alter table d.n drop column v")
	want := []int{0, codeVgroupColExists, codeVgroupColNone}
	for i := 0; from.poll(20) != nil; i++ {
		kind, raw := from.fetch()
		if got := to.write(kind, raw); got.code() != 0 {
			t.Errorf("message %d: %v", i, got)
		}
		if got := to.write(kind, raw); got.code() != want[i] {
			t.Errorf("message %d again: %v", i, got)
		}
	}
	must(t, a, "insert into d.n values('2025-01-01 00:00:00',1)")
	must(t, b, "drop table d.n")
	from.poll(20)
	kind, raw := from.fetch()
	if got := to.write(kind, raw); got.code() != codeTableMissing {
		t.Errorf("rows of a missing table: %v", got)
	}
	newer := start(t, Options{Version: "3.4.0.0"})
	must(t, newer, "create database d")
	if got := writer(t, newer.URL(), "d").write(kind, raw); got.code() != 0 {
		t.Errorf("rows of a missing table on 3.4: %v", got)
	}
	for _, c := range []struct {
		kind uint16
		raw  string
	}{{2, "not a message"}, {9999, "EMU"}, {5, ""}, {531, "short"}} {
		if got := to.write(c.kind, []byte(c.raw)); got.code() != codeInvalidPara {
			t.Errorf("garbage of type %d: %v", c.kind, got)
		}
	}
	if got := writer(t, b.URL(), "").write(kind, raw); got.code() != codeNoDatabase {
		t.Errorf("write without a database: %v", got)
	}
}

func TestTwoAtOnceConflict(t *testing.T) {
	a, b := pair(t, Options{}, "vgroups 2")
	from := consume(t, a.URL(), "tp", "g", nil)
	must(t, a, "create table d.s(ts timestamp, v int) tags(g int)")
	from.poll(100)
	kind, raw := from.fetch()
	codes := make(chan int, 4)
	for range cap(codes) {
		w := writer(t, b.URL(), "d")
		go func() { codes <- w.write(kind, raw).code() }()
	}
	got := map[int]int{}
	for range cap(codes) {
		got[<-codes]++
	}
	if got[0] == 0 || got[codeConflict] == 0 || got[0]+got[codeConflict] != 4 {
		t.Errorf("codes of four at once: %v", got)
	}
}

func TestShortFramesAndSecondWritesAreViolations(t *testing.T) {
	n := start(t, Options{})
	must(t, n, "create database d")
	w := writer(t, n.URL(), "d")
	if err := w.conn.WriteMessage(websocket.BinaryMessage, rawFrame(1, 2, []byte("four"))[:32]); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.conn.ReadMessage(); err == nil {
		t.Error("a short frame got a reply")
	}
	n.Faults().Add(Fault{Action: "write_raw", Delay: 20 * time.Millisecond})
	w = writer(t, n.URL(), "d")
	for range 2 {
		if err := w.conn.WriteMessage(websocket.BinaryMessage, rawFrame(1, 2, []byte("four"))); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, _, err := w.conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	if v := n.Violations(); len(v) != 2 || !strings.Contains(v[0], "shorter than it says") || !strings.Contains(v[1], "second frame") {
		t.Errorf("violations: %q", v)
	}
}

func TestFaults(t *testing.T) {
	n := nodeWithRows(t, Options{}, 1)
	f := n.Faults()
	c := consume(t, n.URL(), "tp", "g", nil)
	f.Add(Fault{Action: "poll", Code: 0x4001, Text: "mismatch", Count: 2})
	for range 2 {
		if a := c.ask("poll", map[string]any{"blocking_time": 1}); a.code() != 0x4001 {
			t.Errorf("poll: %v", a)
		}
	}
	c.poll(100)
	f.Add(Fault{Action: "fetch_raw_data", Truncate: 40, Count: 1})
	c.sendText("fetch_raw_data", map[string]any{"message_id": c.last})
	if _, frame, err := c.conn.ReadMessage(); err != nil || len(frame) != 40 {
		t.Errorf("truncated frame: %d bytes, %v", len(frame), err)
	}
	kind, raw := c.fetch()
	sink := start(t, Options{})
	must(t, sink, "create database d")
	sink.Faults().Add(Fault{Action: "write_raw", Database: "d", DropAfter: true, Count: 1})
	w := writer(t, sink.URL(), "d")
	if err := w.conn.WriteMessage(websocket.BinaryMessage, rawFrame(1, kind, raw)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.conn.ReadMessage(); err == nil {
		t.Error("a write whose reply is to be dropped got one")
	}
	if got := rows(t, sink, "select count(*) from d.t"); got != "0\n" {
		t.Errorf("the write was not applied: %s", got)
	}
	f.Add(Fault{Action: "poll", Silent: true, Count: 1})
	if a, err := c.try(30*time.Millisecond, "poll", map[string]any{"blocking_time": 1}); err == nil {
		t.Errorf("a silenced poll got a reply: %v", a)
	}
	if f.Hits() != 4 {
		t.Errorf("%d hits", f.Hits())
	}
}

func TestAdapterAndServerRestart(t *testing.T) {
	n := nodeWithRows(t, Options{SessionTimeout: 50 * time.Millisecond}, 1)
	url := n.URL()
	c := consume(t, url, "tp", "g", nil)
	c.poll(100)
	c.commit()
	n.StopAdapter()
	if _, _, err := c.conn.ReadMessage(); err == nil {
		t.Error("a socket outlived its adapter")
	}
	if _, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/ws", nil); err == nil {
		t.Error("a stopped adapter accepts connections")
	}
	if err := n.StartAdapter(); err != nil {
		t.Fatal(err)
	}
	if n.URL() != url {
		t.Errorf("the address moved from %s to %s", url, n.URL())
	}
	c = consume(t, url, "tp", "g", nil)
	await(t, "the dead consumer's vgroup", func() bool {
		list, _ := c.ok("assignment", map[string]any{"topic": "tp"})["assignment"].([]any)
		return len(list) == 1
	})
	n.StopServer()
	if m := c.poll(1); m != nil {
		t.Errorf("a poll without a server: %v", m)
	}
	if a := dial(t, url, "/ws").ask("conn", map[string]any{"user": "root", "password": "taosdata"}); a.code() != codeUnreachable {
		t.Errorf("conn without a server: %v", a)
	}
	n.StartServer()
	if m := c.poll(100); m == nil || m.num("message_type") != 1 {
		t.Errorf("after the restart: %v", m)
	}
}
