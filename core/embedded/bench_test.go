package embedded

import (
	"fmt"
	"strings"
	"testing"
)

// batch is one statement of rows rows of three columns, from row first on.
func batch(first, rows int) string {
	var b strings.Builder
	b.WriteString("insert into d.c values")
	for i := range rows {
		fmt.Fprintf(&b, "(%d,%d,%d.5,%d)", 1767225600000+int64(first+i), i, i%100, i%7)
	}
	return b.String()
}

func benchNode(b *testing.B) *Node {
	b.Helper()
	n, err := Start(Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { n.Close() })
	for _, sql := range []string{"create database d vgroups 1 wal_retention_size 1024",
		"create table d.st(ts timestamp, v int, f float, p int) tags(g int)", "create table d.c using d.st tags(1)"} {
		if err := n.Exec(sql); err != nil {
			b.Fatal(err)
		}
	}
	return n
}

// BenchmarkInsert is the cost of SQL: what the demo's writers take.
func BenchmarkInsert(b *testing.B) {
	const rows = 1000
	n := benchNode(b)
	i := 0
	for b.Loop() {
		if err := n.Exec(batch(i*rows, rows)); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(i*rows)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkWriteRaw is the cost of applying a message of 4000 rows.
func BenchmarkWriteRaw(b *testing.B) {
	n := benchNode(b)
	if err := n.Exec(batch(0, 4000)); err != nil {
		b.Fatal(err)
	}
	vg := n.databases["d"].vgroups[0]
	kind, raw := encodeDataMessage(0, 1, []*entry{&vg.entries[len(vg.entries)-1]})
	s := &session{n: n, user: n.users["root"], db: "d", marked: true}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.writeRaw(kind, raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPoll is the cost of finding and building a message of 4000 rows.
func BenchmarkPoll(b *testing.B) {
	n := benchNode(b)
	if err := n.Exec(batch(0, 4000)); err != nil {
		b.Fatal(err)
	}
	vg := n.databases["d"].vgroups[0]
	t := &topic{db: n.databases["d"], meta: true}
	c := &consumer{group: &group{topic: t}, pollRows: pollRows, vgroups: map[int32]*reading{}}
	size := 0
	for b.Loop() {
		n.mu.Lock()
		m := n.read(c, &reading{vg: vg, known: true, next: vg.end() - 1})
		n.mu.Unlock()
		size = len(m.payload)
	}
	b.SetBytes(int64(size))
}
