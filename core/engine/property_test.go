package engine

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"pgregory.net/rapid"

	"tdreplica/core"
)

// TestNoFaultLosesAnything runs random commands, faults and crashes. Whatever
// they are: what an operator wanted is never lost, nothing unwritten is ever
// committed, a stop always ends, and when the faults are over everything that
// was produced is at the sink.
func TestNoFaultLosesAnything(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		flag.Set("rapid.checks", "12") // a check takes a quarter of a second
	}
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "engine")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s := &story{rt: rt, t: t, w: newWorld(t), dir: dir, desired: core.WantRunning}
		s.w.server(east, "power")
		s.w.server(west, "power")
		s.i = run(t, s.w, dir, quick())
		s.id = s.i.start(t, request("power")).ID
		rt.Repeat(map[string]func(*rapid.T){
			"produce": s.produce, "fault": s.fault, "calm": func(*rapid.T) { s.w.setFault(nil) },
			"stop": s.stop, "start": s.start, "restart": s.restart, "crash": s.crash, "bounce": s.bounce,
			"": s.check,
		})
		s.end()
	})
}

type story struct {
	rt      *rapid.T
	t       *testing.T
	w       *world
	i       *instance
	dir, id string
	desired core.Desired
	made    int
}

func (s *story) produce(rt *rapid.T) {
	vg := rapid.Int32Range(2, 3).Draw(rt, "vgroup")
	for range rapid.IntRange(1, 20).Draw(rt, "messages") {
		s.made++
		s.w.produce(east, "power", vg, fmt.Sprint("m", s.made))
	}
}

// fault makes some requests fail from now on, for good or every few calls.
func (s *story) fault(rt *rapid.T) {
	op := rapid.SampledFrom([]string{"poll", "write", "sink", "subscribe", "commit", "position", "assignment", "catalog " + east, "rights"}).Draw(rt, "request")
	class := rapid.SampledFrom([]core.Class{core.ClassRetry, core.ClassReconnect, core.ClassWait, core.ClassOffset}).Draw(rt, "class")
	every := rapid.IntRange(1, 4).Draw(rt, "every")
	n := 0
	s.w.setFault(func(asked string) error {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		if asked != op {
			return nil
		}
		if n++; n%every != 0 {
			return nil
		}
		if op == "write" && class == core.ClassReconnect {
			return errAfterWrite
		}
		if op == "write" || op == "sink" || op == "subscribe" || op == "rights" {
			if class == core.ClassOffset {
				return nil // would rightly fail the task
			}
		}
		return &core.Error{Class: class, Op: op, Text: "injected"}
	})
}

func (s *story) target() core.TargetRequest { return core.TargetRequest{ID: s.id} }

func (s *story) stop(*rapid.T) {
	s.must(s.i.Stop(context.Background(), s.target()))
	s.desired = core.WantStopped
	s.i.awaitState(s.t, s.id, "power", core.Stopped)
}

func (s *story) start(*rapid.T) {
	s.must(s.i.Start(context.Background(), core.StartRequest{ID: s.id}))
	s.desired = core.WantRunning
}

func (s *story) restart(*rapid.T) {
	s.must(s.i.Restart(context.Background(), s.target()))
	s.desired = core.WantRunning
}

// crash ends everything without waiting, as kill -9 would as far as the
// endpoints can tell.
func (s *story) crash(*rapid.T) {
	s.i.Abort()
	s.bounce(nil)
}

func (s *story) bounce(*rapid.T) {
	s.i.stop()
	s.i = run(s.t, s.w, s.dir, quick())
}

func (s *story) must(_ *core.Result, err error) {
	if err != nil {
		s.rt.Fatal(err)
	}
}

func (s *story) check(rt *rapid.T) {
	if got := s.i.task(s.t, s.id, "power").Desired; got != s.desired {
		rt.Fatalf("wanted %s, the task has %s", s.desired, got)
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, wrong := range s.w.wrong {
		rt.Fatal(wrong)
	}
}

func (s *story) end() {
	s.w.setFault(nil)
	s.start(nil)
	await(s.t, "everything is at the sink", func() bool {
		s.w.mu.Lock()
		n := len(s.w.servers[west].dbs["power"].applied)
		s.w.mu.Unlock()
		return n == s.made
	})
	await(s.t, "diff is 0", func() bool { return s.i.task(s.t, s.id, "power").Diff == 0 })
	s.check(s.rt)
	s.i.stop()
}
