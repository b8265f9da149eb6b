package contract

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
)

// TestTagsWhileBehind makes up an outage while tags are set oftener than that
// takes. Each tag that is set keeps rows back from who reads, from where it reads
// then: whoever learns of it only when the rest is read begins again at the same
// place, while new rows come in.
func TestTagsWhileBehind(t *testing.T) {
	scenario(t, options{patience: 2 * time.Minute}, tagsWhileBehind)
}

func tagsWhileBehind(e *env) {
	const (
		tables, batch = 6, 10
		outage        = 150    // batches
		limit         = 150000 // bytes a second: about five batches
		setEvery      = 8      // seconds
		late          = 15     // seconds that rows of a table may be held back in any case
		most          = 300    // seconds
	)
	second := time.Second
	if !e.real {
		e.clock = newQuickClock(10)
		second /= 10
	}
	db := e.create(database{vgroups: map[string]int{"a": 1}}, e.a, e.b)
	e.exec(e.a, fmt.Sprintf("create table %s.st(ts timestamp, v int, w varchar(600)) tags(g int)", db))
	for c := range tables {
		e.exec(e.a, fmt.Sprintf("create table %s.c%d using %s.st tags(0)", db, c, db))
	}
	wide, rows := strings.Repeat("w", 500), 0
	write := func() {
		var b strings.Builder
		b.WriteString("insert into")
		for c := range tables {
			fmt.Fprintf(&b, " %s.c%d values", db, c)
			for i := range batch {
				fmt.Fprintf(&b, "(%d,%d,'%s')", loadEpoch+rows+i, rows+i, wide)
			}
		}
		rows += batch
		// A delete ends a message: of rows alone a poll gathers all that there are.
		e.exec(e.a, b.String(), fmt.Sprintf("delete from %s.st where ts = %d", db, loadEpoch-1))
	}
	in := e.newInstance(false)
	there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	write()
	in.caughtUp(there, back)

	in.stopped(there, db)
	for range outage {
		write()
	}
	e.exec(e.a, fmt.Sprintf("alter table %s.c0 set tag g = 1", db))
	slow := int64(limit)
	in.begin(core.StartRequest{ID: there, Options: core.Options{MaxBytesPerS: &slow}})
	var written []int
	for step := 1; ; step++ {
		pause(e.Context(), second)
		write()
		if step%setEvery == 0 {
			at := []*side{e.a, e.b}[step/setEvery%2]
			e.exec(at, fmt.Sprintf("alter table %s.c%d set tag g = %d", db, step/setEvery%4, step))
		}
		written = append(written, rows)
		if step%2 == 0 {
			snap, _ := in.Snapshot(e.Context())
			tk := snap.Task(core.TaskKey{Replica: there, Database: db})
			e.Logf("DBG %d %v diff %d lag %d eta %d %+v %+v %v / %d", step, tk.State, tk.Diff, tk.LagMS, tk.EtaMS, tk.Vgroups[0].Current, tk.Vgroups[0].Latest, e.query(e.b, "select tbname, count(*) from "+db+".st partition by tbname"), rows)
		}
		if step <= late {
			continue
		}
		least := rows // of a table
		for _, r := range e.query(e.b, "select count(*) from "+db+".st partition by tbname") {
			n, err := strconv.Atoi(r[0])
			if err != nil {
				e.Fatal(err)
			}
			least = min(least, n)
		}
		if want := written[step-late-1]; least >= want {
			e.Logf("made up after %d s", step)
			break
		} else if step == most {
			e.Fatalf("after %d s a table at b has %d rows; %d s before, it had %d at a", step, least, late, want)
		}
	}
	in.caughtUp(there, back)
	in.caughtUp(there, back)
	e.equal(e.a, e.b, db)
}
