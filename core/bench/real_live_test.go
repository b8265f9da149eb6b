package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/engine"
	"tdreplica/core/taos"
)

// What is written to real servers while they are replicated.
const (
	liveTime    = 20 * time.Second
	liveWriters = 2
	liveTables  = 10 // in each statement
	liveRows    = 100
)

// replicated starts an instance that replicates the fresh database and is level.
func replicated(b *testing.B, n nodes, workers int) (e *engine.Engine, id string) {
	b.Helper()
	freshSource(b, n.A)
	freshSink(b, n.B)
	e = startEngine(b)
	id = replicate(b, e, n.A, n.B, core.Options{Workers: &workers}, realDatabase)
	allCaughtUp(b, e, 1)
	b.Cleanup(func() {
		if _, err := e.Remove(context.WithoutCancel(b.Context()), core.RemoveRequest{ID: id, Force: true}); err != nil {
			b.Error(err)
		}
	})
	return e, id
}

// realLive writes as fast as the source takes rows by SQL, and counts the rows
// on both sides at the moment it stops.
func realLive(b *testing.B, n nodes, workers int) {
	e, id := replicated(b, n, workers)
	had := detail(b, e, id, realDatabase).Totals
	count := func(at core.Endpoint) float64 { return query(b, at, "select count(*) from "+realDatabase+".meters") }
	for b.Loop() {
		var written atomic.Int64
		var writers sync.WaitGroup
		before := used(b)
		for i := range liveWriters {
			writers.Go(func() {
				for t := 0; time.Since(before.at) < liveTime; t += liveRows {
					query(b, n.A, liveStatement(i, t))
					written.Add(liveTables * liveRows)
				}
			})
		}
		writers.Wait()
		stopped := time.Now()
		there := count(n.B)
		await(b, "all rows are at the sink", 5*time.Millisecond, func() bool { return count(n.B) >= float64(written.Load()) })
		all := time.Since(stopped)
		after, totals := used(b), detail(b, e, id, realDatabase).Totals
		if source := count(n.A); source != float64(written.Load()) {
			b.Fatalf("%v rows at the source, %d were written", source, written.Load())
		}
		seconds := stopped.Sub(before.at).Seconds()
		b.ReportMetric(float64(written.Load())/seconds, "rows/s")
		b.ReportMetric(100*there/float64(written.Load()), "%at-stop")
		b.ReportMetric(all.Seconds(), "s-to-all")
		b.ReportMetric((after.cpu-before.cpu).Seconds()/float64(written.Load())*1e6, "cpu-s/Mrows") // the writers' included
		b.ReportMetric(float64(totals.Commits-had.Commits)/4/seconds, "commits/vgroup/s")
	}
	b.ReportMetric(0, "ns/op")
}

func liveStatement(writer, first int) string {
	var sql strings.Builder
	sql.WriteString("insert into")
	for t := range liveTables {
		fmt.Fprintf(&sql, " %s.w%d_%d using %s.meters tags(%d,'here') values", realDatabase, writer, t, realDatabase, t)
		for i := first; i < first+liveRows; i++ {
			fmt.Fprintf(&sql, "(%d,%d.%d,%d,0.%d)", 1735689600000+int64(i)*1000, i%20, t%10, 200+i%40, i%97)
		}
	}
	return sql.String()
}

// realTrickle is the time from an insert until the row is visible at the sink.
func realTrickle(b *testing.B, n nodes, pause time.Duration, rows int) {
	replicated(b, n, 1)
	query(b, n.A, "create table "+realDatabase+".c using "+realDatabase+".meters tags(1,'here')")
	await(b, "the table is at the sink", 10*time.Millisecond, func() bool {
		return query(b, n.B, "select count(*) from information_schema.ins_tables where db_name='"+realDatabase+"'") == 1
	})
	var took []time.Duration
	for b.Loop() {
		for range rows {
			// Somewhere between two polls, wherever these are.
			time.Sleep(pause + rand.N(min(pause, time.Second)) - min(pause, time.Second)/2)
			began := time.Now()
			query(b, n.A, fmt.Sprintf("insert into %s.c values(%d,1,1,1)", realDatabase, 1735689600000+len(took)))
			await(b, "the row is at the sink", time.Millisecond, func() bool {
				return query(b, n.B, "select count(*) from "+realDatabase+".c") > float64(len(took))
			})
			took = append(took, time.Since(began))
			if last := took[len(took)-1]; last > time.Second {
				b.Logf("row %d took %v", len(took), last)
			}
		}
	}
	percentiles(b, took)
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
}

// realIdle is BenchmarkIdle between real servers, and whether their WALs grow.
func realIdle(b *testing.B, n nodes) {
	const databases, long = 50, time.Minute
	name := func(i int) string { return fmt.Sprintf("tdr_idle%d", i) }
	for _, at := range []core.Endpoint{n.A, n.B} {
		for i := range databases {
			query(b, at, "create database if not exists "+name(i)+" vgroups 2 buffer 3 pages 64 wal_retention_period 86400")
			b.Cleanup(func() { query(b, at, "drop database if exists "+name(i)) })
		}
	}
	e := startEngine(b)
	began := time.Now()
	names := make([]string, databases)
	for i := range names {
		names[i] = name(i)
	}
	for _, way := range [][2]core.Endpoint{{n.A, n.B}, {n.B, n.A}} {
		id := replicate(b, e, way[0], way[1], core.Options{}, names...)
		b.Cleanup(func() {
			if _, err := e.Remove(context.WithoutCancel(b.Context()), core.RemoveRequest{ID: id, Force: true}); err != nil {
				b.Error(err)
			}
		})
	}
	allCaughtUp(b, e, 2*databases)
	ends := func() (sum int64) {
		for _, at := range []core.Endpoint{n.A, n.B} {
			for _, name := range names {
				sum += walEnds(b, at, name)
			}
		}
		return sum
	}
	start := time.Since(began)
	time.Sleep(longSilence)
	for b.Loop() {
		grown, before := ends(), used(b)
		time.Sleep(long)
		after := used(b)
		grown = ends() - grown
		b.ReportMetric(100*(after.cpu-before.cpu).Seconds()/after.at.Sub(before.at).Seconds(), "%cpu")
		b.ReportMetric(float64(grown), "wal-entries")
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(start.Seconds(), "start-s")
	b.ReportMetric(residentMB(b), "MB")
}

// walEnds is the sum of where a database's WALs end.
func walEnds(b *testing.B, at core.Endpoint, database string) (sum int64) {
	b.Helper()
	cat, err := taos.New(taos.Options{}).Catalog(b.Context(), at)
	if err != nil {
		b.Fatal(err)
	}
	defer cat.Close()
	ends, known, err := cat.WALEnds(b.Context(), database)
	if err != nil {
		b.Fatal(err)
	}
	if !known {
		b.Log("the server does not tell where its WALs end")
	}
	for _, end := range ends {
		sum += end
	}
	return sum
}
