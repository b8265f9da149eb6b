package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tdreplica/core"
)

// content is a side as text, to be compared.
func content(s *side) string {
	out := ""
	for _, t := range slices.Sorted(maps.Keys(s.children)) {
		out += fmt.Sprintf("%s (%s):", t, s.tags[t])
		for _, k := range s.sorted(t) {
			v := "NULL"
			if p := s.children[t][k]; p != nil {
				v = *p
			}
			out += fmt.Sprintf(" %d/%d=%s", k.ts, k.n, v)
		}
		out += "\n"
	}
	return out
}

// identity is what makes a row: its time alone, or both.
func identity(s *side, k key) key {
	if !s.composite {
		k.n = 0
	}
	return k
}

// differences counts, by looking at everything, how the sink differs.
func differences(source, sink *side) map[core.DifferenceKind]int64 {
	out := map[core.DifferenceKind]int64{}
	for t := range source.children {
		if sink.children[t] == nil {
			out[core.MissingTable]++
			continue
		}
		if source.tags[t] != sink.tags[t] {
			out[core.OtherTag]++
		}
		row := func(s *side, k key) string { return fmt.Sprint(k.n, s.children[t][k] == nil, text(s.children[t][k])) }
		a, b := map[key]string{}, map[key]string{}
		for k := range source.children[t] {
			a[identity(source, k)] = row(source, k)
		}
		for k := range sink.children[t] {
			b[identity(sink, k)] = row(sink, k)
		}
		for k, v := range a {
			switch w, ok := b[k]; {
			case !ok:
				out[core.MissingRow]++
			case v != w:
				out[core.OtherValues]++
			}
		}
		for k := range b {
			if _, ok := a[k]; !ok {
				out[core.ExtraRow]++
			}
		}
	}
	for t := range sink.children {
		if source.children[t] == nil {
			out[core.ExtraTable]++
		}
	}
	return out
}

func text(v value) string {
	if v == nil {
		return ""
	}
	return *v
}

// drawn is a side with random rows, and another one that differs from it in
// random places.
func drawn(t *rapid.T) (source, sink *side) {
	source = newFake(rapid.Bool().Draw(t, "composite"))
	values := rapid.SampledFrom([]string{"", "a", "b", "longer"})
	draw := func(s *side, table string, from, to int64, n int) {
		for range n {
			k := key{rapid.Int64Range(from, to).Draw(t, "ts"), rapid.Int64Range(-2, 2).Draw(t, "n")}
			v := values.Draw(t, "value")
			s.put(table, k, map[bool]value{true: &v}[rapid.Bool().Draw(t, "not null")])
		}
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "tables") {
		table := fmt.Sprint("t", i)
		source.children[table], source.tags[table] = map[key]value{}, fmt.Sprint(i)
		draw(source, table, -40, 40, rapid.IntRange(0, 60).Draw(t, "rows"))
	}
	sink = source.clone()
	for table := range source.children {
		switch rapid.SampledFrom([]string{"equal", "rows", "rows", "tag", "missing"}).Draw(t, "what") {
		case "rows":
			for _, k := range sink.sorted(table) {
				if rapid.IntRange(0, 9).Draw(t, "lose") == 0 {
					delete(sink.children[table], k)
				}
			}
			draw(sink, table, -60, 60, rapid.IntRange(0, 5).Draw(t, "others"))
		case "tag":
			sink.tags[table] = "another"
		case "missing":
			delete(sink.children, table)
			delete(sink.tags, table)
		}
	}
	if rapid.Bool().Draw(t, "extra table") {
		sink.children["only"] = map[key]value{}
	}
	return source, sink
}

// run compares two sides, and repairs the sink if repair is not nil.
func run(t testing.TB, source, sink *side, exact bool, repair *Repair) core.DatabaseAudit {
	t.Helper()
	if repair != nil {
		repair.Open = func(context.Context) (Writer, error) { return writer{sink}, nil }
		repair.Changed = func() {}
	}
	settled := func(context.Context) error { return nil }
	j := New(Options{Database: "d", Source: source, Sink: sink, Precision: "ms", Exact: exact, Settle: settled, Repair: repair})
	j.page = 7 // so that pages end everywhere
	d := j.Run(t.Context())
	if d.State == core.AuditFailed {
		t.Fatalf("failed: %s", d.Note)
	}
	return d
}

// TestEveryDifferenceIsFoundAndMended draws two sides. What is found is what a
// look at everything finds; a dry run changes nothing; a repair makes both sides
// equal, but for tables that only the sink has.
func TestEveryDifferenceIsFoundAndMended(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		source, sink := drawn(r)
		want, before := differences(source, sink), content(sink)
		for _, exact := range []bool{false, true} {
			if d := run(t, source, sink, exact, nil); !maps.Equal(d.Differences, want) || d.Undecided != 0 {
				r.Fatalf("exact %v: found %v of %v\nsource:\n%ssink:\n%s", exact, d.Differences, want, content(source), before)
			}
		}
		dry := run(t, source, sink, false, &Repair{DryRun: true, DeleteExtra: true})
		if content(sink) != before || !maps.Equal(dry.Differences, want) || dry.Deleted != want[core.ExtraRow] {
			r.Fatalf("a dry run: %+v, and the sink is now\n%s", dry, content(sink))
		}
		d := run(t, source, sink, false, &Repair{DeleteExtra: true})
		delete(sink.children, "only")
		if content(source) != content(sink) {
			r.Fatalf("after the repair %+v\nsource:\n%ssink:\n%s", d, content(source), content(sink))
		}
		delete(d.Differences, core.ExtraTable)
		if len(d.Differences) > 0 {
			r.Fatalf("equal, and it tells of %v", d.Differences)
		}
	})
}

// TestValuesOfAnAddedColumn: what the sink's rows have no column for is written
// when a repair has added it, and no sooner is it said that the sides are equal.
func TestValuesOfAnAddedColumn(t *testing.T) {
	for _, exact := range []bool{false, true} {
		source := newFake(false)
		source.children["t"], source.children["u"] = map[key]value{}, map[key]value{}
		for i := range int64(20) {
			v := fmt.Sprint(i)
			source.put("t", key{i, i}, &v)
			source.put("u", key{i, i}, nil)
		}
		sink := source.clone()
		sink.columns = sink.columns[:2]
		for k := range sink.children["t"] {
			sink.children["t"][k] = nil
		}
		if d := run(t, source, sink, exact, nil); d.State != core.AuditDifferent || d.Differences[core.OtherSchema] != 1 || len(d.Differences) != 1 {
			t.Errorf("exact %v: %+v", exact, d)
		}
		d := run(t, source, sink, exact, &Repair{})
		if content(source) != content(sink) || d.State != core.AuditEqual || d.Written != 20 || d.Tables != 2 {
			t.Errorf("exact %v: %+v\nsource:\n%ssink:\n%s", exact, d, content(source), content(sink))
		}
	}
}

// TestRowsAreKeptUnlessToldOtherwise repairs without deleting.
func TestRowsAreKeptUnlessToldOtherwise(t *testing.T) {
	source := newFake(false)
	source.children["t"] = map[key]value{}
	one := "one"
	source.put("t", key{1, 1}, &one)
	sink := source.clone()
	sink.put("t", key{2, 2}, &one)
	delete(sink.children["t"], key{1, 1})
	d := run(t, source, sink, false, &Repair{})
	if len(sink.children["t"]) != 2 || d.Written != 1 || d.Deleted != 0 || d.Differences[core.ExtraRow] != 1 || d.State != core.AuditDifferent {
		t.Errorf("%+v\n%s", d, content(sink))
	}
}

// TestDeletesSpareWhatMoves: between rows that only the sink has lies one that is
// written again and again. The others are deleted, and it is not.
func TestDeletesSpareWhatMoves(t *testing.T) {
	source := newFake(false)
	source.children["t"] = map[key]value{}
	sink := source.clone()
	for i := range int64(3) {
		sink.put("t", key{i, i}, nil)
	}
	looks := 0
	settle := func(context.Context) error {
		looks++
		if _, there := sink.children["t"][key{1, 1}]; there {
			v := fmt.Sprint("at look ", looks)
			sink.put("t", key{1, 1}, &v)
		}
		return nil
	}
	repair := &Repair{DeleteExtra: true, Open: func(context.Context) (Writer, error) { return writer{sink}, nil }}
	d := New(Options{Database: "d", Source: source, Sink: sink, Precision: "ms", Settle: settle, Repair: repair}).Run(t.Context())
	if len(sink.children["t"]) != 1 || d.Deleted != 2 || d.Undecided != 1 {
		t.Errorf("%+v\n%s", d, content(sink))
	}
}

// TestADeleteRestoresTheRowsOfItsTime: a delete takes all rows of a time, also the
// right ones. They are there again before anything else is looked at.
func TestADeleteRestoresTheRowsOfItsTime(t *testing.T) {
	source := newFake(true)
	source.children["t"] = map[key]value{}
	for n := range int64(20) { // more than a page
		source.put("t", key{5, n}, nil)
	}
	sink := source.clone()
	sink.put("t", key{5, 99}, nil)
	if d := run(t, source, sink, false, &Repair{DeleteExtra: true}); content(source) != content(sink) || d.Deleted != 1 || d.Written != 0 {
		t.Errorf("%+v\n%s", d, content(sink))
	}
}

// TestWhatMovesIsNoDifference settles in the middle: rows that were on their way
// have arrived then, and one that changes with every look stays undecided.
func TestWhatMovesIsNoDifference(t *testing.T) {
	source := newFake(false)
	source.children["t"] = map[key]value{}
	for i := range int64(20_000) {
		v := fmt.Sprint(i)
		source.put("t", key{i, i}, &v)
	}
	sink := source.clone()
	for i := range int64(300) {
		delete(sink.children["t"], key{500 + i, 500 + i})
	}
	lost := key{7000, 7000}
	delete(sink.children["t"], lost)
	looks := 0
	settle := func(context.Context) error {
		looks++
		for i := range int64(300) {
			k := key{500 + i, 500 + i}
			sink.put("t", k, source.children["t"][k])
		}
		v := fmt.Sprint("at look ", looks)
		source.put("t", key{9000, 9000}, &v)
		return nil
	}
	d := New(Options{Database: "d", Source: source, Sink: sink, Precision: "ms", Settle: settle}).Run(t.Context())
	if d.Differences[core.MissingRow] != 1 || len(d.Differences) != 1 || d.Undecided != 1 || d.Rounds != maxRounds {
		t.Errorf("after %d looks: %+v", looks, d)
	}
	// Not every row was read for it.
	if source.queries < 4 || source.queries > 100 {
		t.Errorf("%d digests were asked for", source.queries)
	}
}

// TestNothingIsDoneAfterTheEnd: a cancelled audit says so.
func TestNothingIsDoneAfterTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	source := newFake(false)
	source.children["t"] = map[key]value{}
	sink := source.clone()
	delete(sink.children, "t")
	settle := func(context.Context) error { cancel(); return ctx.Err() }
	d := New(Options{Database: "d", Source: source, Sink: sink, Precision: "ms", Settle: settle, Repair: &Repair{}}).Run(ctx)
	if d.State != core.AuditCancelled || sink.children["t"] != nil {
		t.Errorf("%+v, the sink has %v", d, sink.children)
	}
}

func TestDigests(t *testing.T) {
	d := Digest{Rows: 3, Exact: 7, Sums: []float64{1000}, Slack: []float64{0.5}}
	for _, c := range []struct {
		other Digest
		equal bool
	}{
		{Digest{Rows: 3, Exact: 7, Sums: []float64{1000.4}, Slack: []float64{0.5}}, true},
		{Digest{Rows: 3, Exact: 7, Sums: []float64{1000.6}, Slack: []float64{0.5}}, false},
		{Digest{Rows: 3, Exact: 8, Sums: []float64{1000}, Slack: []float64{0.5}}, false},
		{Digest{Rows: 2, Exact: 7, Sums: []float64{1000}, Slack: []float64{0.5}}, false},
		{Digest{}, false},
	} {
		if d.Equal(c.other) != c.equal || c.other.Equal(d) != c.equal {
			t.Errorf("%+v and %+v: want equal %v", d, c.other, c.equal)
		}
	}
	if !(Digest{}).Equal(Digest{Exact: 1}) {
		t.Error("two windows without rows differ")
	}
}
