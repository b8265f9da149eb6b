package contract

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/embedded"
)

// TestAutoWorkers has a sink so slow that one worker falls behind, while columns
// come and go: the task takes a second one, goes back when one is enough, and
// neither costs a row or shows one before its predecessor.
func TestAutoWorkers(t *testing.T) {
	o := options{grow: 300 * time.Millisecond, embedded: "no real server can be made slow"}
	scenario(t, o, func(e *env) {
		db := e.create(database{vgroups: map[string]int{"a": 2}}, e.a, e.b)
		e.exec(e.a, loadSchema(db), "create table "+db+".st(ts timestamp, v int) tags(g int)")
		in := e.runInstance()
		auto := core.AutoWorkers
		id := in.begin(core.StartRequest{Source: e.a.ep, Sink: e.b.ep, Databases: []string{db}, Options: core.Options{Workers: &auto}})
		in.caughtUp(id)
		quick := e.b.node.Faults().Add(embedded.Fault{Action: "write_raw", Database: db, Delay: 60 * time.Millisecond})
		l := e.startLoad(e.a, db, "t", 6)
		end := l.watchOrder(e.b)
		for round := 0; in.workers(id, db, true) == 1; round++ {
			e.exec(e.a, fmt.Sprintf("alter table %s.st add column x%d int", db, round))
			for c := range 4 {
				e.exec(e.a, fmt.Sprintf("insert into %s.c%d using %s.st tags(1)(ts,x%d) values(%d,%d)", db, c, db, round, loadEpoch+round, round))
			}
			e.exec(e.a, fmt.Sprintf("alter table %s.st drop column x%d", db, round))
			if round == 200 {
				e.Fatal("there is still one worker")
			}
			time.Sleep(50 * time.Millisecond)
		}
		l.waitRows(60)
		quick()
		l.waitRows(60)
		l.stop()
		in.caughtUp(id)
		end()
		l.arrived(e.b)
		e.equal(e.a, e.b, db)
		e.waitUntil("one worker is enough", func() (bool, string) {
			n := in.workers(id, db, true)
			return n == 1, fmt.Sprintf("%d workers", n)
		})
		in.caughtUp(id)
		in.told("workers: 1 → 2: one was busy for", "workers: 2 → 1: one has been enough for")
		e.staysAtRest(db)
	})
}

// workers is how many a task has; auto is whether that has to be its own choice.
func (in *instance) workers(id, db string, auto bool) int {
	in.Helper()
	snap, err := in.Snapshot(in.Context())
	if err != nil {
		in.Fatal(err)
	}
	t := snap.Task(core.TaskKey{Replica: id, Database: db})
	if t == nil || t.State == core.Failed {
		in.Fatalf("the task: %+v", t)
	}
	if t.AutoWorkers != auto {
		in.Fatalf("the task's workers are its own choice: %v", t.AutoWorkers)
	}
	return t.Workers
}

// told fails unless each of these was an event, or a part of one.
func (in *instance) told(parts ...string) {
	in.Helper()
	list, err := in.Events(in.Context(), 0, 1000)
	if err != nil {
		in.Fatal(err)
	}
	var all strings.Builder
	for _, ev := range list {
		all.WriteString(ev.Text + "\n")
	}
	for _, p := range parts {
		if !strings.Contains(all.String(), p) {
			in.Errorf("no event says %q; those there are:\n%s", p, all.String())
		}
	}
}
