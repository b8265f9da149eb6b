package contract

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
)

var outageTime = flag.Duration("outage", 0, "let TestSinkOutage take this long by the wall, with an instance of its own process; 0: ten minutes of a quick clock")

// bounds are the most that was seen of what must not grow.
type bounds struct {
	queue      int64 // bytes
	goroutines int
	resident   int64 // kB, of a process of its own; 0: not told
}

// seen looks once. The instance must have one task.
func (b *bounds) seen(in *instance) {
	in.Helper()
	snap, err := in.Snapshot(in.Context())
	if err != nil {
		in.Fatal(err)
	}
	b.queue = max(b.queue, snap.Tasks[0].QueueBytes)
	if !in.process {
		b.goroutines = max(b.goroutines, runtime.NumGoroutine())
		return
	}
	b.goroutines = max(b.goroutines, goroutinesOf(in))
	b.resident = max(b.resident, residentOf(in, snap.Instance.PID, "VmRSS:"))
}

func (b *bounds) String() string {
	return fmt.Sprintf("queue %d kB, %d goroutines, resident %d kB", b.queue>>10, b.goroutines, b.resident)
}

// residentOf reads a process's memory, in kB, under the kernel's name for it.
func residentOf(in *instance, pid int, name string) int64 {
	in.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		in.Skipf("nothing tells a process's memory here: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				in.Fatal(err)
			}
			return n
		}
	}
	in.Fatalf("no %s in /proc/%d/status", name, pid)
	return 0
}

// goroutinesOf asks a process on its socket.
func goroutinesOf(in *instance) int {
	in.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(in.dir, "control.sock"))
	}
	c := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	resp, err := c.Get("http://localhost/debug/pprof/goroutine?debug=1")
	if err != nil {
		in.Fatal(err)
	}
	defer resp.Body.Close()
	first, _ := bufio.NewReader(resp.Body).ReadString('\n')
	var n int
	if _, err := fmt.Sscanf(first, "goroutine profile: total %d", &n); err != nil {
		in.Fatalf("the profile begins with %q", first)
	}
	return n
}

// TestSinkOutage takes the sink away for ten minutes under load, four of which
// are more than a source waits for a poll. The queue fills and stays as it is,
// nothing piles up, and everything arrives.
func TestSinkOutage(t *testing.T) {
	e := &env{T: t, queue: 64 << 10, clock: newQuickClock(100)}
	length := 10 * time.Minute / time.Duration(e.clock.times)
	if *outageTime > 0 {
		e.queue, e.clock, length = 1<<20, nil, *outageTime
	}
	e.a, e.b = e.startNode("a"), e.startNode("b")
	db := e.create(database{}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	in := e.newInstance(*outageTime > 0)
	id := in.replicate(e.a, e.b, db)
	l := e.startLoad(e.a, db, "t", 4)
	l.waitRows(60)
	in.waitApplied(id, db)

	var before, during, after bounds
	before.seen(in)
	e.stop(e.b, adapter)
	for began := time.Now(); time.Since(began) < length; pause(e.Context(), length/200) {
		during.seen(in)
	}
	e.start(e.b, adapter)
	in.waitState(core.TaskKey{Replica: id, Database: db}, core.Running)
	l.stop()
	in.caughtUp(id)
	after.seen(in)
	l.arrived(e.b)
	e.equal(e.a, e.b, db)
	t.Logf("before: %v\nmost in %v: %v\nafter: %v", &before, length, &during, &after)

	const message = 32 << 10 // more than one of this load
	if limit := e.queue + message; during.queue > limit {
		t.Errorf("%d bytes were queued; the limit and a message are %d", during.queue, limit)
	}
	const waiting = 8 // an attempt to connect, a request for a snapshot
	if most := before.goroutines + waiting; during.goroutines > most || after.goroutines > most {
		t.Errorf("there were %d goroutines, then %d, then %d", before.goroutines, during.goroutines, after.goroutines)
	}
	if during.resident > 64<<10+e.queue>>10 {
		t.Errorf("%d kB were resident", during.resident)
	}
}

// TestHugeMessage sends a message of 100 MB: a poll of a server gathers 4,096
// rows, whatever their size. It needs the memory that is documented, once.
func TestHugeMessage(t *testing.T) {
	if testing.Short() {
		t.Skip("it moves 100 MB")
	}
	t.Parallel()
	const rows, text, atOnce = 4096, 12_800, 32
	e := &env{T: t, queue: 16 << 20}
	e.a, e.b = e.startNode("a"), e.startNode("b")
	db := e.create(database{vgroups: map[string]int{"a": 1}}, e.a, e.b)
	e.exec(e.a, fmt.Sprintf("create table %s.t(ts timestamp, x varchar(%d), y varchar(%[2]d))", db, text))
	for n := 0; n < rows; n += atOnce {
		var sql strings.Builder
		fmt.Fprintf(&sql, "insert into %s.t values", db)
		for i := n; i < n+atOnce; i++ {
			word := strings.Repeat(fmt.Sprintf("%08d", i), text/8)
			fmt.Fprintf(&sql, "(%d,'%s','%[2]s')", loadEpoch+i, word)
		}
		if err := e.a.node.Exec(sql.String()); err != nil {
			t.Fatal(err)
		}
	}
	in := e.newInstance(true)
	id := in.replicate(e.a, e.b, db)
	in.caughtUp(id)
	snap, err := in.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	task := snap.Task(core.TaskKey{Replica: id, Database: db})
	peak := residentOf(in, snap.Instance.PID, "VmHWM:") << 10
	t.Logf("%d messages, %d MB, at most %d MB resident", task.Totals.Messages, task.Totals.Bytes>>20, peak>>20)
	if task.Totals.Bytes < 100<<20 || task.Totals.Messages > 3 {
		t.Errorf("%d messages of %d bytes in all: none is huge", task.Totals.Messages, task.Totals.Bytes)
	}
	if limit := 64<<20 + e.queue + task.Totals.Bytes; peak > limit {
		t.Errorf("%d bytes were resident; the limit is %d", peak, limit)
	}
	want, err := e.a.node.Query("select * from " + db + ".t")
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.b.node.Query("select * from " + db + ".t")
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != rows || !reflect.DeepEqual(got, want) {
		t.Errorf("the source has %d rows, the sink %d, or others", len(want), len(got))
	}
}
