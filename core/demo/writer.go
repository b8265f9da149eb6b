package demo

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tdreplica/core"
	"tdreplica/core/embedded"
)

// The load: 4 writers × 10 batches a second × 75 rows are 3000 rows a second.
const (
	batchInterval = 100 * time.Millisecond
	batchRows     = 75
	changeEvery   = 12 // batches between two changes that are not inserts
	firstTables   = 3
	mostTables    = 12
	mostColumns   = 6 // that are added to a super table
	// keepRows is the age at which rows are deleted, so that a demo that is
	// left alone does not fill the memory.
	keepRows = 60 * time.Second
)

// siteNames are the two nodes; databases are on both of them.
var (
	siteNames = [2]string{"east", "west"}
	databases = []string{"power", "factory"}
	// superTable is the super table of each database.
	superTable = map[string]string{"power": "meters", "factory": "machines"}
)

// site is one node and what it is called.
type site struct {
	name string
	node *embedded.Node
}

func (s *site) endpoint() core.Endpoint {
	return core.Endpoint{URL: s.node.URL(), User: "root", Password: "taosdata"}
}

func (s *site) exec(format string, args ...any) error {
	sql := fmt.Sprintf(format, args...)
	if err := s.node.Exec(sql); err != nil {
		if len(sql) > 200 {
			sql = sql[:200] + "…"
		}
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// createDatabases makes the databases on both sides, with different numbers of
// vgroups, and each super table on the side that owns it: replication brings
// it to the other one.
func createDatabases(sides [2]*site) error {
	for i, side := range sides {
		for j, db := range databases {
			// Retention by size bounds the memory of a node.
			err := side.exec("create database %s precision 'ms' vgroups %d wal_retention_period 86400 wal_retention_size 16384", db, 2+i)
			if err == nil && i == j {
				err = side.exec("create stable %s.%s (ts timestamp, current float, voltage int, note nchar(32)) tags (location nchar(32), grp int)", db, superTable[db])
			}
			if err != nil {
				return fmt.Errorf("at %s: %w", side.name, err)
			}
		}
	}
	return nil
}

// writer writes to its own tables of one database on one side, and changes
// their definitions now and then.
type writer struct {
	side     *site
	database string
	super    string
	owner    bool // alters the super table; the other side must not
	tables   []*series
	columns  []string // that were added
	changes  int

	rows, deleted, ddl atomic.Int64
}

// series is a child table with the times of the rows that it holds.
type series struct {
	name   string
	stamps []int64
}

func newWriter(side *site, database string, owner bool) *writer {
	return &writer{side: side, database: database, super: superTable[database], owner: owner}
}

// run writes until ctx ends. What it began it finishes.
func (w *writer) run(ctx context.Context) error {
	tick := time.NewTicker(batchInterval)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if len(w.tables) == 0 && !w.ready() {
				continue // the super table has not been replicated yet
			}
			if err := w.step(n, now); err != nil {
				return err
			}
			n++
		}
	}
}

func (w *writer) ready() bool {
	return w.side.node.Exec(fmt.Sprintf("describe %s.%s", w.database, w.super)) == nil
}

func (w *writer) step(n int, now time.Time) error {
	if len(w.tables) < firstTables {
		return w.newTable()
	}
	if n%changeEvery == changeEvery-1 {
		if err := w.change(now); err != nil {
			return err
		}
	}
	return w.insert(now)
}

// insert writes one batch, spread over the tables.
func (w *writer) insert(now time.Time) error {
	each := batchRows / len(w.tables)
	var b strings.Builder
	b.WriteString("insert into")
	stamps := make([][]int64, len(w.tables))
	for i, s := range w.tables {
		stamps[i] = s.next(now.UnixMilli(), each)
		fmt.Fprintf(&b, " %s.%s (ts, current, voltage, note%s) values", w.database, s.name, list(w.columns))
		for _, ts := range stamps[i] {
			wave := math.Sin(float64(ts)/20000 + float64(i))
			fmt.Fprintf(&b, " (%d, %.3f, %d, %s", ts, 10+3*wave, 220+int(5*wave), note(ts))
			for range w.columns {
				fmt.Fprintf(&b, ", %.2f", wave)
			}
			b.WriteByte(')')
		}
	}
	if err := w.side.exec("%s", b.String()); err != nil {
		return err
	}
	for i, s := range w.tables {
		s.stamps = append(s.stamps, stamps[i]...)
		w.rows.Add(int64(len(stamps[i])))
	}
	return nil
}

// next returns the times of the next n rows: up to now, and after the last.
func (s *series) next(now int64, n int) []int64 {
	spacing := max(batchInterval.Milliseconds()/int64(n), 1)
	ts := now - int64(n-1)*spacing
	if len(s.stamps) > 0 {
		ts = max(ts, s.stamps[len(s.stamps)-1]+1)
	}
	stamps := make([]int64, n)
	for i := range stamps {
		stamps[i] = ts + int64(i)*spacing
	}
	return stamps
}

func list(columns []string) string {
	if len(columns) == 0 {
		return ""
	}
	return ", " + strings.Join(columns, ", ")
}

func note(ts int64) string {
	switch ts % 7 {
	case 0:
		return "null"
	case 1:
		return "'过载'"
	}
	return "'ok'"
}

// change makes the next of the changes that are not inserts.
func (w *writer) change(now time.Time) error {
	w.changes++
	switch w.changes % 4 {
	case 0:
		return w.deleteOld(now)
	case 1:
		if len(w.tables) < mostTables {
			return w.newTable()
		}
	case 2:
		s := w.tables[w.changes%len(w.tables)]
		w.ddl.Add(1)
		return w.side.exec("alter table %s.%s set tag location = '%s %d'", w.database, s.name, w.side.name, w.changes)
	case 3:
		if w.owner && len(w.columns) < mostColumns {
			return w.addColumn()
		}
	}
	return nil
}

func (w *writer) newTable() error {
	name := fmt.Sprintf("%s_%s_%02d", w.super, w.side.name, len(w.tables)+1)
	err := w.side.exec("create table %s.%s using %s.%s tags ('%s', %d)", w.database, name, w.database, w.super, w.side.name, len(w.tables)%4)
	if err != nil {
		return err
	}
	w.ddl.Add(1)
	w.tables = append(w.tables, &series{name: name})
	return nil
}

func (w *writer) addColumn() error {
	column := fmt.Sprintf("extra_%d", len(w.columns)+1)
	if err := w.side.exec("alter table %s.%s add column %s double", w.database, w.super, column); err != nil {
		return err
	}
	w.ddl.Add(1)
	w.columns = append(w.columns, column)
	return nil
}

// deleteOld deletes the oldest quarter of one table, and from the others what
// is too old to keep.
func (w *writer) deleteOld(now time.Time) error {
	limit := now.Add(-keepRows).UnixMilli()
	for i, s := range w.tables {
		n, _ := slices.BinarySearch(s.stamps, limit)
		if i == w.changes/4%len(w.tables) {
			n = max(n, len(s.stamps)/4)
		}
		if n == 0 || n == len(s.stamps) {
			continue
		}
		if err := w.side.exec("delete from %s.%s where ts < %d", w.database, s.name, s.stamps[n]); err != nil {
			return err
		}
		s.stamps = slices.Clone(s.stamps[n:])
		w.deleted.Add(int64(n))
	}
	return nil
}
