package contract

import (
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/engine"
	"tdreplica/core/taos"
)

// TestABlockedPollSeesARow is what polls of tasks rely on that have been idle for
// minutes: a poll that has already found nothing hands out a row that is written
// while it blocks, and need not be over for that.
func TestABlockedPollSeesARow(t *testing.T) {
	scenario(t, options{late: true}, func(e *env) {
		db := e.create(database{}, e.a)
		e.exec(e.a, "create table "+db+".t (ts timestamp, v int)")
		connector := taos.New(taos.Options{})
		catalog, err := connector.Catalog(e.Context(), e.a.ep)
		if err != nil {
			e.Fatal(err)
		}
		defer catalog.Close()
		topic := "polls_" + db
		if err := catalog.EnsureTopic(e.Context(), topic, db); err != nil {
			e.Fatal(err)
		}
		source, err := connector.Source(e.Context(), e.a.ep, engine.Subscription{Topic: topic, Group: topic, ClientID: "contract", MaxPollInterval: time.Minute})
		if err != nil {
			e.Fatal(err)
		}
		for quiet := 0; quiet < 5; quiet++ {
			m, err := source.Poll(e.Context(), 300*time.Millisecond)
			if err != nil && core.ClassOf(err) != core.ClassRetry {
				e.Fatal(err)
			}
			if m != nil {
				m.Release()
				quiet = 0
			}
		}
		polled := make(chan *core.Message, 1)
		go func() {
			m, err := source.Poll(e.Context(), 20*time.Second)
			if err != nil {
				e.Error(err)
			}
			polled <- m
		}()
		time.Sleep(500 * time.Millisecond) // by then the vgroups have been asked
		e.exec(e.a, "insert into "+db+".t values (now, 1)")
		m := <-polled
		if m == nil || m.Kind != core.KindData {
			e.Fatalf("the poll was over, and has brought %+v", m)
		}
		m.Release()
		if err := source.Close(e.Context()); err != nil {
			e.Error(err)
		}
		if err := catalog.DropTopic(e.Context(), topic); err != nil {
			e.Error(err)
		}
	})
}
