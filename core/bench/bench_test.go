package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/engine"
	"tdreplica/core/taos"
)

// BenchmarkCeiling is the way of a backlog through the engine between adapters
// that do next to nothing: what the replicator can do where only the cores and
// the kernel's sockets set a limit. loop is the bare poll, fetch, write in this
// process.
func BenchmarkCeiling(b *testing.B) {
	w := world{Databases: 1, Vgroups: 4, Batches: 1, Replay: 5000}
	n := startNodes(b, w)
	workers(b, n, w, 0) // first, for it makes the tables
	b.Run("loop", func(b *testing.B) {
		for b.Loop() {
			drainLoop(b, n, w)
		}
	})
}

// BenchmarkWorkers is the same with a sink that takes 5 ms for each write and no
// core meanwhile: whether workers wait for one another where cores do not set the
// limit.
func BenchmarkWorkers(b *testing.B) {
	w := world{Databases: 1, Vgroups: 4, Batches: 1, Replay: 400, SlowMS: 5}
	workers(b, startNodes(b, w), w, 0)
}

// BenchmarkDrain is the same between embedded nodes, of which the sink
// acknowledges and does nothing. They need more of the cores than the
// replicator.
func BenchmarkDrain(b *testing.B) {
	w := world{Databases: 1, Vgroups: 4, Batches: 250, Lose: true}
	n := startNodes(b, w)
	var loop float64
	b.Run("loop", func(b *testing.B) {
		for b.Loop() {
			loop = drainLoop(b, n, w)
		}
	})
	b.Run("compressed", func(b *testing.B) {
		thin := n
		thin.A.Compression, thin.B.Compression = true, true
		for b.Loop() {
			b.ReportMetric(drainLoop(b, thin, w)/loop, "of-loop")
		}
	})
	workers(b, n, w, loop)
	// The other direction rests, and every row is remembered for it meanwhile.
	b.Run("two-way", func(b *testing.B) {
		for b.Loop() {
			drainEngine(b, n, w, 1, true)
		}
	})
}

// workers drains with one worker and with four.
func workers(b *testing.B, n nodes, w world, loop float64) {
	var one float64
	for _, workers := range []int{1, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			for b.Loop() {
				speed := drainEngine(b, n, w, workers, false)
				if loop > 0 {
					b.ReportMetric(speed/loop, "of-loop")
				}
				if workers == 1 {
					one = speed
				} else {
					b.ReportMetric(speed/one, "of-one")
				}
			}
		})
	}
}

// BenchmarkBacklog is the memory that a backlog of 10 million rows needs while
// the sink takes only a few of them at a time: over-MB is what there is beyond
// the configured queue.
func BenchmarkBacklog(b *testing.B) {
	w := world{Databases: 1, Vgroups: 4, Batches: 1, Replay: 10_000_000/4/batchRows + 1, SlowMS: 20}
	n := startNodes(b, w)
	e := startEngine(b)
	replicate(b, e, n.A, n.B, core.Options{}, "d0")
	most, queue := 0.0, float64(config.Default().Engine.QueueBytes)/(1<<20)
	for b.Loop() {
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			most = max(most, residentMB(b))
		}
	}
	s, err := e.Snapshot(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if t := s.Tasks[0]; t.Diff == 0 || t.QueueBytes < t.QueueLimit*3/4 || t.Totals.Messages == 0 {
		b.Fatalf("diff %d, %d of %d bytes queued, %d messages: the sink is not slow", t.Diff, t.QueueBytes, t.QueueLimit, t.Totals.Messages)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(most, "MB")
	b.ReportMetric(most-queue, "over-MB")
}

// drained reports one drain and returns its speed in MB/s.
func drained(b *testing.B, n nodes, before usage, messages, bytes int64) float64 {
	b.Helper()
	after, theirs := used(b), n.used(b)
	took := after.at.Sub(before.at).Seconds()
	speed := float64(bytes) / 1e6 / took
	b.ReportMetric(speed, "MB/s")
	b.ReportMetric(float64(after.allocs-before.allocs)/float64(messages), "allocs/msg")
	b.ReportMetric(float64(after.bytes-before.bytes)/float64(messages), "B/msg")
	b.ReportMetric((after.cpu-before.cpu).Seconds()/(float64(bytes)/1e9), "cpu-s/GB")
	b.ReportMetric((theirs-before.nodes).Seconds()/(float64(bytes)/1e9), "nodes-cpu-s/GB")
	b.ReportMetric(0, "ns/op") // it would include the start
	return speed
}

func drainLoop(b *testing.B, n nodes, w world) float64 {
	ctx := b.Context()
	c := taos.New(taos.Options{})
	cat, err := c.Catalog(ctx, n.A)
	if err != nil {
		b.Fatal(err)
	}
	defer cat.Close()
	if err := cat.EnsureTopic(ctx, topic, "d0"); err != nil {
		b.Fatal(err)
	}
	src, err := c.Source(ctx, n.A, engine.Subscription{Topic: topic, Group: fmt.Sprint("loop", rand.Uint64())})
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close(context.WithoutCancel(ctx))
	sink, err := c.Sink(ctx, n.B, "d0")
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	var messages, rows, bytes int64
	before := usage{}
	for rows < w.messages() {
		m, err := src.Poll(ctx, time.Second)
		if err != nil {
			b.Fatal(err)
		}
		if m == nil {
			continue
		}
		if messages == 0 {
			before = used(b)
			before.nodes = n.used(b)
		}
		if err := sink.Write(ctx, m); err != nil {
			b.Fatal(err)
		}
		if m.Kind != core.KindMeta {
			rows++
		}
		messages, bytes = messages+1, bytes+int64(len(m.Payload()))
		m.Release()
	}
	return drained(b, n, before, messages, bytes)
}

func drainEngine(b *testing.B, n nodes, w world, workers int, twoWay bool) float64 {
	e := startEngine(b)
	if twoWay {
		back := replicate(b, e, n.B, n.A, core.Options{}, "d0")
		await(b, "the other direction runs", time.Millisecond, func() bool { return detail(b, e, back, "d0").State == core.Running })
		defer func() {
			if _, err := e.Remove(context.WithoutCancel(b.Context()), core.RemoveRequest{ID: back, Force: true}); err != nil {
				b.Error(err)
			}
		}()
	}
	id := replicate(b, e, n.A, n.B, core.Options{Workers: &workers}, "d0")
	// Looked at often, the task itself would be what is measured.
	await(b, "the task runs", time.Millisecond, func() bool { return detail(b, e, id, "d0").State == core.Running })
	before, rows := used(b), w.messages()*batchRows
	before.nodes = n.used(b)
	had := detail(b, e, id, "d0").Totals
	var now core.Totals
	await(b, "the backlog is drained", 5*time.Millisecond, func() bool {
		now = detail(b, e, id, "d0").Totals
		return now.Rows >= rows
	})
	speed := drained(b, n, before, now.Messages-had.Messages, now.Bytes-had.Bytes)
	b.StopTimer()
	if _, err := e.Remove(b.Context(), core.RemoveRequest{ID: id, Force: true}); err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
	return speed
}

// BenchmarkTrickle is the time from an insert at the source until the row is
// visible at the sink: with ten rows a second, and after a pause that is long
// enough for every wait in the engine to have grown to its longest.
func BenchmarkTrickle(b *testing.B) {
	n := startNodes(b, world{Databases: 1, Vgroups: 2, Late: true})
	e := startEngine(b)
	replicate(b, e, n.A, n.B, core.Options{}, "d0")
	allCaughtUp(b, e, 1)
	at := int64(1767225600000)
	for _, c := range []struct {
		name  string
		pause time.Duration
		least int
	}{{"10rows", 100 * time.Millisecond, 200}, {"idle", 5 * time.Second, 3}} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				for range c.least {
					time.Sleep(c.pause/2 + rand.N(c.pause))
					at++
					rows := query(b, n.B, "select count(*) from d0.c0 where ts >= 1767225600000") + 1
					began := time.Now()
					query(b, n.A, fmt.Sprintf("insert into d0.c0 values(%d,1,1,1)", at))
					await(b, "the row is at the sink", time.Millisecond, func() bool {
						return query(b, n.B, "select count(*) from d0.c0 where ts >= 1767225600000") >= rows
					})
					took = append(took, time.Since(began))
				}
			}
			percentiles(b, took)
		})
	}
}

// BenchmarkIdle is what 100 tasks cost that have nothing to do: 50 databases,
// both ways.
func BenchmarkIdle(b *testing.B) {
	n := startNodes(b, world{Databases: 50, Vgroups: 2})
	e := startEngine(b)
	began := time.Now()
	replicate(b, e, n.A, n.B, core.Options{})
	replicate(b, e, n.B, n.A, core.Options{})
	allCaughtUp(b, e, 100)
	idle(b, began, longSilence, 20*time.Second)
}

// BenchmarkThousand is 1,000 databases of 4 vgroups each, one way.
func BenchmarkThousand(b *testing.B) {
	n := startNodes(b, world{Databases: 1000, Vgroups: 4})
	e := startEngine(b)
	began := time.Now()
	replicate(b, e, n.A, n.B, core.Options{})
	allCaughtUp(b, e, 1000)
	idle(b, began, 3*time.Second, 10*time.Second) // the polls' waits grow at first
	time.Sleep(time.Second)                       // the snapshot before is used again for a while
	began = time.Now()
	if _, err := e.Snapshot(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "snapshot-ms")
}

// longSilence is after what time without a row polls block for longest.
const longSilence = 130 * time.Second

// idle measures for that long an instance whose tasks have just caught up, after
// some silence.
func idle(b *testing.B, began time.Time, silence, long time.Duration) {
	b.Helper()
	start := time.Since(began)
	time.Sleep(silence)
	for b.Loop() {
		before := used(b)
		time.Sleep(long)
		after := used(b)
		b.ReportMetric(100*(after.cpu-before.cpu).Seconds()/after.at.Sub(before.at).Seconds(), "%cpu")
		b.ReportMetric(float64(after.allocs-before.allocs)/after.at.Sub(before.at).Seconds(), "allocs/s")
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(start.Seconds(), "start-s")
	b.ReportMetric(residentMB(b), "MB")
}

// BenchmarkBeside is the trickle of one database while the backlog of another
// one is drained by the same replica.
func BenchmarkBeside(b *testing.B) {
	w := world{Databases: 2, Vgroups: 4, Batches: 250}
	n := startNodes(b, w)
	e := startEngine(b)
	query(b, n.A, "create table d1.t(ts timestamp, v int)")
	id := replicate(b, e, n.A, n.B, core.Options{}, "d1")
	allCaughtUp(b, e, 1)
	if _, err := e.Start(b.Context(), core.StartRequest{ID: id, Databases: []string{"d0"}}); err != nil {
		b.Fatal(err)
	}
	await(b, "the backlog is being drained", time.Millisecond, func() bool { return detail(b, e, id, "d0").Totals.Messages > 1 })
	var took []time.Duration
	for b.Loop() {
		for detail(b, e, id, "d0").Totals.Rows < w.messages()*batchRows {
			began := time.Now()
			query(b, n.A, fmt.Sprintf("insert into d1.t values(%d,1)", 1767225600000+len(took)))
			await(b, "the row is at the sink", time.Millisecond, func() bool {
				return query(b, n.B, "select count(*) from d1.t") > float64(len(took))
			})
			took = append(took, time.Since(began))
			time.Sleep(5 * time.Millisecond)
		}
	}
	percentiles(b, took)
}

func percentiles(b *testing.B, took []time.Duration) {
	b.Helper()
	if len(took) == 0 {
		b.Fatal("nothing was measured")
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(took)), "rows")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
