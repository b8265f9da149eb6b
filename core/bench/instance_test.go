package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/engine"
	"tdreplica/core/store"
	"tdreplica/core/taos"
)

// startEngine runs an instance with a fresh state directory until the benchmark
// ends.
func startEngine(b *testing.B) *engine.Engine {
	b.Helper()
	st, err := store.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	e, err := engine.New(engine.Options{Config: config.Default(), Store: st, Connector: taos.New(taos.Options{})})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Errorf("run the instance: %v", err)
		}
		st.Close()
	})
	return e
}

// replicate starts a replica of some databases, or all, and returns its id.
func replicate(b *testing.B, e *engine.Engine, from, to core.Endpoint, o core.Options, databases ...string) string {
	b.Helper()
	r, err := e.Start(b.Context(), core.StartRequest{Source: from, Sink: to, Databases: databases, Options: o})
	if err != nil {
		b.Fatal(err)
	}
	return r.ID
}

// await asks every pause until done, for two minutes at most.
func await(b *testing.B, what string, pause time.Duration, done func() bool) {
	b.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			b.Fatalf("waited in vain until %s", what)
		}
	}
}

func detail(b *testing.B, e *engine.Engine, id, database string) core.Task {
	b.Helper()
	d, err := e.Detail(b.Context(), core.TaskKey{Replica: id, Database: database})
	if err != nil {
		b.Fatal(err)
	}
	return d.Task
}

// allCaughtUp waits until every task is.
func allCaughtUp(b *testing.B, e *engine.Engine, tasks int) {
	b.Helper()
	await(b, fmt.Sprintf("%d tasks are caught up", tasks), 50*time.Millisecond, func() bool {
		s, err := e.Snapshot(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for i := range s.Tasks {
			if s.Tasks[i].Phase == core.CaughtUp {
				n++
			}
		}
		return n == tasks
	})
}

// usage is what this process has used so far.
type usage struct {
	at     time.Time
	cpu    time.Duration
	allocs uint64
	bytes  uint64
	nodes  time.Duration // CPU of the nodes' process, where it is of interest
}

func used(b *testing.B) usage {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{at: time.Now(), cpu: time.Duration(r.Utime.Nano() + r.Stime.Nano()), allocs: m.Mallocs, bytes: m.TotalAlloc}
}

// used is the CPU time that the nodes' process has used so far, in hundredths
// of a second.
func (n nodes) used(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	var user, system int64
	if f := strings.Fields(rest); len(f) > 13 {
		user, _ = strconv.ParseInt(f[11], 10, 64)
		system, _ = strconv.ParseInt(f[12], 10, 64)
	}
	return time.Duration(user+system) * (time.Second / 100)
}

// residentMB is this process's memory as the kernel counts it.
func residentMB(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("no /proc tells the resident memory here")
	}
	var total, resident float64
	if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
		b.Fatal(err)
	}
	return resident * float64(os.Getpagesize()) / (1 << 20)
}

// query runs a statement and returns the first value of its result.
func query(b *testing.B, at core.Endpoint, sql string) float64 {
	b.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(b.Context()), http.MethodPost, at.URL+"/rest/sql", strings.NewReader(sql))
	if err != nil {
		b.Fatal(err)
	}
	req.SetBasicAuth(at.User, at.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var reply struct {
		Code int
		Desc string
		Data [][]any
	}
	if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil || reply.Code != 0 {
		b.Fatalf("%s: code %d, %s, %v", sql, reply.Code, reply.Desc, err)
	}
	if len(reply.Data) == 0 || len(reply.Data[0]) == 0 {
		return 0
	}
	n, _ := reply.Data[0][0].(float64)
	return n
}
