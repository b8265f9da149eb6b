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
	scenario(t, options{}, tagsWhileBehind)
}

func tagsWhileBehind(e *env) {
	const (
		outage   = 150    // batches
		limit    = 150000 // bytes a second: about five batches
		setEvery = 8      // seconds
		late     = 15     // seconds that rows of a table may be held back in any case
		most     = 600    // seconds
	)
	second := time.Second
	if !e.real {
		e.clock = newQuickClock(3)
		second /= 3
	}
	w := newBacklog(e)
	in := e.newInstance(false)
	there, back := in.replicate(e.a, e.b, w.db), in.replicate(e.b, e.a, w.db)
	w.write()
	in.caughtUp(there, back)

	in.stopped(there, w.db)
	for range outage {
		w.write()
	}
	e.exec(e.a, fmt.Sprintf("alter table %s.c0 set tag g = 1", w.db))
	slow := int64(limit)
	in.begin(core.StartRequest{ID: there, Options: core.Options{MaxBytesPerS: &slow}})
	written := []int{w.rows}
	for step := 1; ; step++ {
		pause(e.Context(), second)
		w.write()
		written = append(written, w.rows)
		if step%setEvery == 0 {
			at := []*side{e.a, e.b}[step/setEvery%2]
			e.exec(at, fmt.Sprintf("alter table %s.c%d set tag g = %d", w.db, step/setEvery%4, step))
		}
		least := w.least(e.b)
		if step > late && least >= written[step-late] {
			e.Logf("made up after %d s", step)
			break
		}
		if step == most {
			e.Fatalf("after %d s a table at b has %d rows; %d s before, it had %d at a", step, least, late, written[step-late])
		}
	}
	in.caughtUp(there, back)
	in.caughtUp(there, back)
	e.equal(e.a, e.b, w.db)
}

// backlog is tables whose rows come in small messages.
type backlog struct {
	e    *env
	db   string
	wide string
	rows int // of each table
}

const backlogTables = 6

func newBacklog(e *env) *backlog {
	e.Helper()
	w := &backlog{e: e, db: e.create(database{vgroups: map[string]int{"a": 1}}, e.a, e.b), wide: strings.Repeat("w", 500)}
	e.exec(e.a, fmt.Sprintf("create table %s.st(ts timestamp, v int, w varchar(600)) tags(g int)", w.db))
	for c := range backlogTables {
		e.exec(e.a, fmt.Sprintf("create table %s.c%d using %s.st tags(0)", w.db, c, w.db))
	}
	return w
}

// write adds ten rows to each table, about 30 kB.
func (w *backlog) write() {
	w.e.Helper()
	var b strings.Builder
	b.WriteString("insert into")
	for c := range backlogTables {
		fmt.Fprintf(&b, " %s.c%d values", w.db, c)
		for i := range 10 {
			fmt.Fprintf(&b, "(%d,%d,'%s')", loadEpoch+w.rows+i, w.rows+i, w.wide)
		}
	}
	w.rows += 10
	// A delete ends a message: of rows alone a poll gathers all that there are.
	w.e.exec(w.e.a, b.String(), fmt.Sprintf("delete from %s.st where ts = %d", w.db, loadEpoch-1))
}

// least is how many rows the table has that has the fewest.
func (w *backlog) least(at *side) int {
	w.e.Helper()
	least := w.rows
	for _, r := range w.e.query(at, fmt.Sprintf("select count(*) from %s.st partition by tbname", w.db)) {
		n, err := strconv.Atoi(r[0])
		if err != nil {
			w.e.Fatal(err)
		}
		least = min(least, n)
	}
	return least
}
