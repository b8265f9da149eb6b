package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
)

const (
	realDatabase = "tdr_bench"
	realRounds   = 3
)

// backlog is what is drained between real servers: a statement writes some rows of
// each of some tables, and the next one those of the next tables, as live data comes.
type backlog struct {
	tables, rows     int // rows of each table
	someTables, some int // of one statement
}

var (
	fewTables  = backlog{tables: 200, rows: 60_000, someTables: 50, some: 100}
	manyTables = backlog{tables: 200_000, rows: 10, someTables: 2_000, some: 1}
)

func (l backlog) total() int64 { return int64(l.tables) * int64(l.rows) }

// BenchmarkReal measures between the servers of TDREPLICA_TEST_A and
// TDREPLICA_TEST_B. See docs/performance.md.
func BenchmarkReal(b *testing.B) {
	if os.Getenv("TDREPLICA_TEST_A") == "" || os.Getenv("TDREPLICA_TEST_B") == "" {
		b.Skip("TDREPLICA_TEST_A and TDREPLICA_TEST_B name no servers")
	}
	n := nodes{A: realEndpoint(b, "TDREPLICA_TEST_A"), B: realEndpoint(b, "TDREPLICA_TEST_B")}
	b.Cleanup(func() { query(b, n.B, "drop database if exists "+realDatabase) })
	b.Cleanup(func() {
		query(b, n.A, "drop topic if exists tdr_"+realDatabase)
		query(b, n.A, "drop database if exists "+realDatabase)
	})
	b.Run("drain", func(b *testing.B) { realDrain(b, n, fewTables) })
	b.Run("drain-tables", func(b *testing.B) { realDrain(b, n, manyTables) })
	b.Run("drain-raw", func(b *testing.B) { realDrainRaw(b, n) })
	b.Run("live", func(b *testing.B) { realLive(b, n, 1) })
	b.Run("live-2", func(b *testing.B) { realLive(b, n, 2) })
	b.Run("trickle", func(b *testing.B) { realTrickle(b, n, 100*time.Millisecond, 200) })
	b.Run("idle-minute", func(b *testing.B) { realTrickle(b, n, time.Minute, 3) })
	b.Run("idle-tasks", func(b *testing.B) { realIdle(b, n) })
}

// realDrain drains a backlog with one worker and with two (-2), in turn with the native loop that
// TDREPLICA_BENCH_LOOP names: a command to which the database, the topic, the
// group and 0 are added.
func realDrain(b *testing.B, n nodes, l backlog) {
	freshSource(b, n.A)
	l.fill(b, n.A, true)
	loop := strings.Fields(os.Getenv("TDREPLICA_BENCH_LOOP"))
	var theirs, one, two []drain
	for b.Loop() {
		theirs, one, two = nil, nil, nil
		for round := range realRounds {
			if len(loop) > 0 {
				freshSink(b, n.B)
				theirs = append(theirs, drainNative(b, n, l, loop, round))
			}
			freshSink(b, n.B)
			one = append(one, drainReal(b, n, l, withWorkers(1)))
			freshSink(b, n.B)
			two = append(two, drainReal(b, n, l, withWorkers(2)))
			b.Logf("native loop %+v, one worker %+v, two %+v", theirs, one, two)
		}
	}
	b.ReportMetric(0, "ns/op")
	for name, ours := range map[string][]drain{"": one, "-2": two} {
		took, cpu, start := medians(ours)
		b.ReportMetric(took, "s"+name)
		b.ReportMetric(cpu, "cpu-s"+name)
		if len(theirs) > 0 {
			loopTook, loopCPU, _ := medians(theirs)
			b.ReportMetric(loopTook/took, "of-loop-speed"+name)
			b.ReportMetric(loopTook/(took+start), "of-loop-speed-with-start"+name)
			b.ReportMetric(cpu/loopCPU, "of-loop-cpu"+name)
		}
	}
}

func withWorkers(n int) core.Options { return core.Options{Workers: &n} }

// realDrainRaw drains a backlog without requests to create tables, which never
// come raw, in turn with and without raw_rows.
func realDrainRaw(b *testing.B, n nodes) {
	freshSource(b, n.A)
	for t := range fewTables.tables {
		query(b, n.A, fmt.Sprintf("create table %s.d%d using %s.meters tags(%d,'here')", realDatabase, t, realDatabase, t%10))
	}
	fewTables.fill(b, n.A, false)
	var plain, raw []drain
	yes, no := true, false
	for b.Loop() {
		plain, raw = nil, nil
		for range realRounds {
			freshSink(b, n.B)
			plain = append(plain, drainReal(b, n, fewTables, core.Options{RawRows: &no}))
			freshSink(b, n.B)
			raw = append(raw, drainReal(b, n, fewTables, core.Options{RawRows: &yes}))
			b.Logf("plain %+v, raw %+v", plain, raw)
		}
	}
	b.ReportMetric(0, "ns/op")
	took, cpu, _ := medians(raw)
	plainTook, plainCPU, _ := medians(plain)
	b.ReportMetric(took, "s")
	b.ReportMetric(plainTook/took, "of-plain-speed")
	b.ReportMetric(cpu/plainCPU, "of-plain-cpu")
}

// drain is what one took, in seconds. The native loop's time includes
// subscribing, which is part of start here.
type drain struct{ took, cpu, start float64 }

func medians(all []drain) (took, cpu, start float64) {
	by := func(of func(drain) float64) float64 {
		list := make([]float64, len(all))
		for i, d := range all {
			list[i] = of(d)
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	return by(func(d drain) float64 { return d.took }), by(func(d drain) float64 { return d.cpu }),
		by(func(d drain) float64 { return d.start })
}

func realEndpoint(b *testing.B, variable string) core.Endpoint {
	b.Helper()
	u, err := url.Parse(os.Getenv(variable))
	if err != nil {
		b.Fatalf("%s is no URL", variable)
	}
	ep := core.Endpoint{User: "root", Password: "taosdata"}
	if u.User != nil {
		ep.User = u.User.Username()
		ep.Password, _ = u.User.Password()
		u.User = nil
	}
	ep.URL = strings.TrimSuffix(u.String(), "/")
	return ep
}

// fill writes the backlog; using lets its rows create their tables.
func (l backlog) fill(b *testing.B, at core.Endpoint, using bool) {
	b.Helper()
	for first := 0; first < l.rows; first += l.some {
		for table := 0; table < l.tables; table += l.someTables {
			var sql strings.Builder
			sql.WriteString("insert into")
			for t := table; t < table+l.someTables; t++ {
				fmt.Fprintf(&sql, " %s.d%d", realDatabase, t)
				if using {
					fmt.Fprintf(&sql, " using %s.meters tags(%d,'here')", realDatabase, t%10)
				}
				sql.WriteString(" values")
				for i := first; i < first+l.some; i++ {
					fmt.Fprintf(&sql, "(%d,%d.%d,%d,0.%d)", 1735689600000+int64(i)*1000, i%20, t%10, 200+i%40, i%97)
				}
			}
			query(b, at, sql.String())
		}
	}
	query(b, at, "create topic tdr_"+realDatabase+" with meta as database "+realDatabase)
}

func freshSource(b *testing.B, at core.Endpoint) {
	b.Helper()
	query(b, at, "drop topic if exists tdr_"+realDatabase)
	query(b, at, "drop database if exists "+realDatabase)
	query(b, at, "create database "+realDatabase+" vgroups 4 wal_retention_period 86400")
	query(b, at, "create table "+realDatabase+".meters(ts timestamp, current float, voltage int, phase float) tags(groupid int, location binary(24))")
}

func freshSink(b *testing.B, at core.Endpoint) {
	b.Helper()
	query(b, at, "drop database if exists "+realDatabase)
	query(b, at, "create database "+realDatabase+" vgroups 4")
	time.Sleep(2 * time.Second) // the server still clears up
}

func (l backlog) arrived(b *testing.B, at core.Endpoint) bool {
	b.Helper()
	return query(b, at, "select count(*) from "+realDatabase+".meters") == float64(l.total())
}

func drainNative(b *testing.B, n nodes, l backlog, loop []string, round int) drain {
	b.Helper()
	args := append(slices.Clone(loop[1:]), realDatabase, "tdr_"+realDatabase, fmt.Sprintf("loop%d.%d", os.Getpid(), round), "0")
	cmd := exec.Command(loop[0], args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("the native loop: %v", err)
	}
	if at := bytes.LastIndexByte(bytes.TrimSpace(out), '\n'); at >= 0 {
		out = out[at:]
	}
	var said struct {
		Seconds    float64
		CPUSeconds float64 `json:"cpu_seconds"`
	}
	if err := json.Unmarshal(out, &said); err != nil {
		b.Fatalf("the native loop said %q: %v", out, err)
	}
	if !l.arrived(b, n.B) {
		b.Error("the native loop lost rows")
	}
	return drain{took: said.Seconds, cpu: said.CPUSeconds}
}

// drainReal is timed from the moment the task runs until all rows are counted
// at the sink.
func drainReal(b *testing.B, n nodes, l backlog, o core.Options) drain {
	b.Helper()
	e := startEngine(b)
	started := time.Now()
	id := replicate(b, e, n.A, n.B, o, realDatabase)
	await(b, "the task runs", time.Millisecond, func() bool { return detail(b, e, id, realDatabase).State == core.Running })
	if o.RawRows != nil && detail(b, e, id, realDatabase).RawRows != *o.RawRows {
		b.Fatalf("raw rows are read: %v; warnings: %v", !*o.RawRows, detail(b, e, id, realDatabase).Warnings)
	}
	before := used(b)
	start := before.at.Sub(started).Seconds()
	await(b, "all rows are applied", 5*time.Millisecond, func() bool {
		totals := detail(b, e, id, realDatabase).Totals
		// Nobody counts raw rows: then it is the sink that is asked, as soon as it
		// has the table.
		return o.RawRows != nil && totals.Messages > 0 || totals.Rows >= l.total()
	})
	await(b, "all rows are at the sink", 10*time.Millisecond, func() bool { return l.arrived(b, n.B) })
	after := used(b)
	if _, err := e.Remove(b.Context(), core.RemoveRequest{ID: id, Force: true}); err != nil {
		b.Fatal(err)
	}
	query(b, n.A, "create topic if not exists tdr_"+realDatabase+" with meta as database "+realDatabase)
	return drain{after.at.Sub(before.at).Seconds(), (after.cpu - before.cpu).Seconds(), start}
}
