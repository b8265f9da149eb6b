package contract

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// load writes to one side until it is stopped, and knows what it wrote. Each
// table gets rows numbered 1, 2, 3, …; one more table, <prefix>last, holds a
// single row that is updated again and again. A statement that fails is sent
// again until it succeeds, so that an outage delays the load but makes no hole.
type load struct {
	e      *env
	at     *side
	db     string
	prefix string
	tables int

	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	rows   int64 // of each table
}

// loadEpoch is the time of row 0, in milliseconds.
const loadEpoch = 1735689600000

// rowsPerInsert is how many rows a table gets with each statement.
const rowsPerInsert = 3

// loadSchema is what every load writes into.
func loadSchema(db string) string {
	return "create table " + db + ".meters(ts timestamp, n bigint, note nchar(24)) tags(site int)"
}

// startLoad writes until stop. The super table of loadSchema must exist.
func (e *env) startLoad(at *side, db, prefix string, tables int) *load {
	e.Helper()
	l := &load{e: e, at: at, db: db, prefix: prefix, tables: tables}
	for i := range tables {
		e.exec(at, fmt.Sprintf("create table %s.%s using %s.meters tags(%d)", db, l.table(i), db, i))
	}
	e.exec(at, fmt.Sprintf("create table %s.%slast using %s.meters tags(-1)", db, prefix, db))
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.done.Go(func() { l.write(ctx) })
	e.Cleanup(func() { l.cancel(); l.done.Wait() })
	return l
}

func (l *load) table(i int) string { return fmt.Sprintf("%s%d", l.prefix, i) }

func (l *load) write(ctx context.Context) {
	for n := int64(1); ctx.Err() == nil; n += rowsPerInsert {
		sql := l.statement(n)
		// What was begun is finished, so that the load knows what it wrote;
		// only an outage that outlasts the scenario ends it early.
		for {
			if _, err := l.at.sql.run(context.Background(), sql); err == nil {
				break
			} else if ctx.Err() != nil {
				return
			}
			pause(ctx, 20*time.Millisecond)
		}
		l.mu.Lock()
		l.rows = n + rowsPerInsert - 1
		l.mu.Unlock()
		pause(ctx, 10*time.Millisecond)
	}
}

// statement inserts the rows from n on into every table.
func (l *load) statement(n int64) string {
	var b strings.Builder
	b.WriteString("insert into")
	for i := range l.tables {
		fmt.Fprintf(&b, " %s.%s values", l.db, l.table(i))
		for k := n; k < n+rowsPerInsert; k++ {
			fmt.Fprintf(&b, "(%d,%d,'第%d行')", loadEpoch+k, k, k)
		}
	}
	fmt.Fprintf(&b, " %s.%slast values(%d,%d,'latest')", l.db, l.prefix, loadEpoch, n)
	return b.String()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// written is how many rows each table has so far.
func (l *load) written() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rows
}

// waitRows returns when so many more rows were written.
func (l *load) waitRows(more int64) {
	l.e.Helper()
	from := l.written()
	l.e.waitUntil("the load has written more", func() (bool, string) {
		n := l.written()
		return n >= from+more, fmt.Sprintf("%d rows more", n-from)
	})
}

// stop ends the load; what it began is written.
func (l *load) stop() {
	l.e.Helper()
	l.cancel()
	l.done.Wait()
	if l.written() == 0 {
		l.e.Fatalf("the load %s wrote nothing", l.prefix)
	}
}

// arrived fails unless a side holds exactly what the load wrote: every row of
// every table, and the last value of the row that was updated.
func (l *load) arrived(s *side) {
	l.e.Helper()
	want := l.written()
	for i := range l.tables {
		if n := l.contiguous(s, l.table(i)); n != want {
			l.e.Errorf("%s at %s has rows 1 to %d; the load wrote 1 to %d", l.table(i), s.name, n, want)
		}
	}
	last := l.e.query(s, fmt.Sprintf("select n from %s.%slast", l.db, l.prefix))
	if len(last) != 1 || last[0][0] != fmt.Sprint(want-rowsPerInsert+1) {
		l.e.Errorf("%slast at %s is %v; the load wrote %d last", l.prefix, s.name, last, want-rowsPerInsert+1)
	}
}

// contiguous returns n if a table holds the rows 1 to n, and fails if one of
// them is missing.
func (l *load) contiguous(s *side, table string) int64 {
	l.e.Helper()
	rows := l.e.query(s, fmt.Sprintf("select n from %s.%s order by ts", l.db, table))
	for i, r := range rows {
		if r[0] != fmt.Sprint(i+1) {
			l.e.Fatalf("%s at %s shows row %s where row %d is missing", table, s.name, r[0], i+1)
		}
	}
	return int64(len(rows))
}

// watchOrder looks at a sink while the load runs: no table may ever show a row
// whose predecessor is missing. The returned function ends the watch.
func (l *load) watchOrder(s *side) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for i := 0; ctx.Err() == nil; i = (i + 1) % l.tables {
			l.checkOrder(ctx, s, l.table(i))
			pause(ctx, 40*time.Millisecond)
		}
	})
	end = func() { cancel(); done.Wait() }
	l.e.Cleanup(end)
	return end
}

// checkOrder passes over a sink that does not answer now.
func (l *load) checkOrder(ctx context.Context, s *side, table string) {
	rows, err := s.sql.run(ctx, fmt.Sprintf("select n from %s.%s order by ts", l.db, table))
	if err != nil {
		return
	}
	for i, r := range rows {
		if r[0] != fmt.Sprint(i+1) {
			l.e.Errorf("during the load %s at %s shows row %s where row %d is missing", table, s.name, r[0], i+1)
			return
		}
	}
}
