package engine

import (
	"fmt"
	"testing"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/store"
)

// BenchmarkTick is the housekeeping of one second for 1,000 tasks of 4 vgroups:
// rates, charts, and the state file with every task changed, or with none.
func BenchmarkTick(b *testing.B) {
	for name, busy := range map[string]bool{"busy": true, "idle": false} {
		b.Run(name, func(b *testing.B) {
			st, err := store.Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			e, err := New(Options{Config: config.Default(), Store: st, Connector: newWorld(b)})
			if err != nil {
				b.Fatal(err)
			}
			defer e.abort()
			rec := e.draft(core.Endpoint{URL: east}, core.Endpoint{URL: west}, core.FromCommand)
			r := newReplica(rec)
			e.replicas[rec.ID] = r
			for n := range 1000 {
				t := newTask(e, r, store.Task{Replica: rec.ID, Database: fmt.Sprint("d", n), Number: n + 1})
				r.tasks[t.key.Database] = t
				for vg := range int32(4) {
					t.meter.start(core.Assignment{Vgroup: vg + 1, Offset: 10, End: 20}, 10)
				}
			}
			now := time.Now()
			for b.Loop() {
				now = now.Add(time.Second)
				for _, t := range e.allTasks() {
					if busy {
						t.meter.reached(map[int32]int64{1: now.Unix()})
					}
				}
				e.tick(now)
				if err := e.flush(true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
