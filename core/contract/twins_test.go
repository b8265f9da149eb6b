package contract

import (
	"fmt"
	"sync/atomic"
	"testing"

	"tdreplica/core"
	"tdreplica/core/embedded"
)

// TestTwoDatabasesOfOneShape replicates two databases with tables of the same
// names, through connections that are made again and again. What the adapter's
// library keeps of a connection it takes for knowledge about the next one: rows of
// one database must not get into the other.
func TestTwoDatabasesOfOneShape(t *testing.T) {
	t.Parallel()
	t.Run("children", func(t *testing.T) {
		scenario(t, options{}, func(e *env) { twoOfOneShape(e, true) })
	})
	t.Run("normal tables", func(t *testing.T) { // of no super table
		scenario(t, options{}, func(e *env) { twoOfOneShape(e, false) })
	})
	t.Run("another answer", func(t *testing.T) {
		scenario(t, options{embedded: "a real server answers as it does"}, func(e *env) {
			var touched atomic.Int64
			e.b.node.Faults().Add(embedded.Fault{Action: "write_raw", Code: 0x0118, Text: "Invalid parameters", Match: func(r embedded.Request) bool {
				if !namesSuper(r) {
					return false
				}
				touched.Add(1)
				return true
			}})
			twoOfOneShape(e, true)
			if touched.Load() == 0 {
				e.Error("nothing had tables looked up")
			}
		})
	})
}

func twoOfOneShape(e *env, children bool) {
	var dbs, ids []string
	in := e.runInstance()
	for _, precision := range []string{"ms", "us"} {
		db := e.create(database{precision: precision}, e.a, e.b)
		for i := range 4 {
			if children {
				e.exec(e.a, fmt.Sprintf("create table if not exists %s.st(ts timestamp, v int) tags(g int)", db),
					fmt.Sprintf("create table %s.t%d using %s.st tags(%d)", db, i, db, i))
			} else {
				e.exec(e.a, fmt.Sprintf("create table %s.t%d(ts timestamp, v int)", db, i))
			}
		}
		dbs, ids = append(dbs, db), append(ids, in.replicate(e.a, e.b, db))
	}
	for round := range 5 {
		for n, db := range dbs {
			for i := range 4 {
				at := (loadEpoch + int64(round)) * []int64{1, 1000}[n]
				e.exec(e.a, fmt.Sprintf("insert into %s.t%d values(%d,%d)", db, i, at, round*10+n))
			}
			if children {
				// The second database gets in each round what the first had in the one before.
				e.exec(e.a, fmt.Sprintf("insert into %s.m%d using %s.st tags(9) values(now,%d)", db, 1+round-n, db, n))
			}
		}
		in.caughtUp(ids...)
		for n := range dbs {
			e.equal(e.a, e.b, dbs[n])
			in.stopped(ids[n], dbs[n])
		}
		if e.b.node != nil {
			e.b.node.ReuseConnections(len(dbs))
		}
		for _, id := range ids {
			in.begin(core.StartRequest{ID: id})
		}
	}
}
