package embedded

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestSchemaVersionsOfSuperTables(t *testing.T) {
	a, b := pair(t, Options{}, "vgroups 1")
	from, to := consume(t, a.URL(), "tp", "g", map[string]any{"enable_batch_meta": "0"}), writer(t, b.URL(), "d")
	must(t, a, "create table d.s(ts timestamp, v int) tags(g int)", "alter table d.s add tag h int")
	for _, c := range []string{"a", "b", "c", "e"} {
		must(t, a, "alter table d.s add column "+c+" int")
	}
	var metas [][]byte
	for from.poll(20) != nil {
		_, raw := from.fetch()
		metas = append(metas, raw)
	}
	write := func(i int) int { return to.write(kindAlterSTB, metas[i]).code() }
	if got := write(1); got != 0 || strings.Contains(rows(t, b, "select count(*) from information_schema.ins_stables"), "1") {
		t.Errorf("an ALTER of a missing super table: 0x%04X", got)
	}
	// As long as columns or tags have version 1 any newer one is taken; from
	// then on only the next.
	for _, step := range []struct{ meta, code int }{{0, 0}, {0, 0}, {1, 0}, {2, 0}, {1, 0}, {4, codeSchemaVersion}, {3, 0}, {4, 0}, {5, 0}} {
		if got := write(step.meta); got != step.code {
			t.Errorf("message %d: 0x%04X, want 0x%04X", step.meta, got, step.code)
		}
	}
	same(t, a, b, "describe d.s")
}

func TestPrecisionIsNotChecked(t *testing.T) {
	a, b := start(t, Options{}), start(t, Options{})
	must(t, a, "create database d vgroups 1 precision 'us'", "create topic tp with meta as database d", "create table d.t(ts timestamp, v int)",
		"insert into d.t values('2026-01-01 00:00:00',1)")
	must(t, b, "create database d precision 'ms'")
	pump(t, consume(t, a.URL(), "tp", "g", nil), writer(t, b.URL(), "d"))
	if got := rows(t, b, "select ts from d.t"); strings.HasPrefix(got, "2026") {
		t.Errorf("microseconds were understood as such: %s", got)
	}
}

func TestBatchMetaIsAppliedInPart(t *testing.T) {
	a, b := pair(t, Options{}, "vgroups 1")
	from, to := consume(t, a.URL(), "tp", "g", nil), writer(t, b.URL(), "d")
	must(t, a, "create table d.n(ts timestamp, v int)", "create table d.m(ts timestamp, v int)", "alter table d.n add column w int", "create table d.o(ts timestamp, v int)")
	must(t, b, "create table d.n(ts timestamp, w int)")
	from.poll(100)
	kind, raw := from.fetch()
	if kind != kindBatchMeta {
		t.Fatalf("type %d", kind)
	}
	if got := to.write(kind, raw); got.code() != codeVgroupColExists {
		t.Errorf("the batch: %v", got)
	}
	if got := rows(t, b, "show d.tables"); got != "m\nn\n" {
		t.Errorf("tables: %q", got)
	}
}

func TestDeleteThatNamesNoTableEmptiesAll(t *testing.T) {
	n := start(t, Options{})
	must(t, n, "create database d vgroups 1", "create table d.s(ts timestamp, v int) tags(g int)",
		"insert into d.c using d.s tags(1) values(now,1)(now+1s,2)")
	del := encodeDelete(n.databases["d"].vgroups[0], deletion{from: math.MinInt64, to: math.MaxInt64, table: "s", tsName: "ts"})
	if got := writer(t, n.URL(), "d").write(kindDelete, del); got.code() != 0 {
		t.Errorf("delete: %v", got)
	}
	if got := rows(t, n, "select count(*) from d.s"); got != "0\n" {
		t.Errorf("rows left: %s", got)
	}
}

// TestSplitVgroup: both halves have the whole log of the vgroup that went, but
// hand out the rows of their own tables only.
func TestSplitVgroup(t *testing.T) {
	n := start(t, Options{})
	must(t, n, "create database d vgroups 1", "create topic tp with meta as database d")
	const tables = 8
	for i := range tables {
		must(t, n, fmt.Sprintf("create table d.t%d(ts timestamp, v int)", i), fmt.Sprintf("insert into d.t%d values(now,1)", i))
	}
	c := consume(t, n.URL(), "tp", "g", nil)
	end := n.WALEnds("d")[2]
	must(t, n, "split vgroup 2")
	await(t, "the new vgroups", func() bool {
		return len(c.ok("assignment", map[string]any{"topic": "tp"})["assignment"].([]any)) == 2
	})
	for vg, e := range n.WALEnds("d") {
		if vg == 2 || e < end {
			t.Errorf("vgroup %d ends at %d, the one that was split did at %d", vg, e, end)
		}
	}
	for i := range tables {
		must(t, n, fmt.Sprintf("insert into d.t%d values(now+1s,2)", i))
	}
	seen, rows := map[int64]bool{}, 0
	for m := c.poll(50); m != nil; m = c.poll(50) {
		seen[m.num("vgroup_id")] = true
		if m.num("message_type") == 1 {
			_, payload := c.fetch()
			data, err := decodeDataMessage(kindSubmit, payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range data.blocks {
				rows += b.rows
			}
		}
	}
	if len(seen) != 2 || seen[2] || rows != 2*tables {
		t.Errorf("%d rows of %d came from vgroups %v", rows, 2*tables, seen)
	}
}
