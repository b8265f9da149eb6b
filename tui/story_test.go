package tui

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/exp/teatest"

	"tdreplica/core"
	"tdreplica/core/demo"
)

// story drives the console over the demo's real engine and nodes.
type story struct {
	t    *testing.T
	tm   *teatest.TestModel
	ctrl core.Controller
	out  []byte // what was printed since the last keys
}

func (s *story) read() {
	b, err := io.ReadAll(s.tm.Output())
	if err != nil {
		s.t.Fatal(err)
	}
	s.out = append(s.out, b...)
}

func (s *story) keys(keys ...string) {
	s.read()
	s.out = nil
	for _, k := range keys {
		s.tm.Send(keyMsg(k))
	}
}

func (s *story) typed(text string) {
	for _, r := range text {
		s.tm.Send(keyMsg(string(r)))
	}
}

// sees waits until the screen has shown a text since the last keys.
func (s *story) sees(what string) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for s.read(); !bytes.Contains(s.out, []byte(what)); s.read() {
		if time.Now().After(deadline) {
			s.t.Fatalf("never shows %q: %q", what, s.out)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// becomes waits until the instance's tasks are so.
func (s *story) becomes(what string, is func(*core.Snapshot) bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		snap, err := s.ctrl.Snapshot(s.t.Context())
		if err == nil && is(snap) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("never %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// remove deletes a replica by force, by its name.
func (s *story) remove(id string) {
	s.t.Helper()
	s.keys("/")
	s.typed("replica:" + id)
	s.keys("enter", "D")
	s.sees("Type the replica's name")
	s.sees("What stays")
	time.Sleep(graceTime + 50*time.Millisecond) // the dialog changed by itself
	s.typed(id)
	s.keys("tab", "enter")
	s.becomes("removed", func(snap *core.Snapshot) bool { return snap.Replica(id) == nil })
	s.keys("esc", "esc", "esc")
}

func TestStoryOfAReplica(t *testing.T) {
	d, err := demo.Start(t.Context(), demo.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a := newApp(ctx, Options{Controller: d.Controller(), Mode: Demo, User: "lin"})
	a.setLanguage(&english)
	s := &story{t: t, ctrl: d.Controller(), tm: teatest.NewTestModel(t, a, teatest.WithInitialTermSize(120, 40))}
	defer func() {
		if err := s.tm.Quit(); err != nil {
			t.Error(err)
		}
		s.tm.WaitFinished(t, teatest.WithFinalTimeout(5*time.Second))
		cancel()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	s.sees("running")
	snap, err := s.ctrl.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	first := snap.Replicas[0]
	of := func(id string, n int, states ...core.State) func(*core.Snapshot) bool {
		return func(snap *core.Snapshot) bool {
			found := 0
			for i := range snap.Tasks {
				task := &snap.Tasks[i]
				if id != "" && task.Replica != id || id == "" && task.Source != first.Source {
					continue
				}
				for _, st := range states {
					if task.State == st {
						found++
					}
				}
			}
			return found == n
		}
	}

	s.remove(first.ID) // it makes room for one that is created here

	s.keys("n")
	s.sees("New replica")
	s.typed(strings.TrimPrefix(first.Source, "http://"))
	s.keys("tab")
	s.typed("root")
	s.keys("tab")
	s.typed("taosdata")
	s.keys("tab")
	s.typed(strings.TrimPrefix(first.Sink, "http://"))
	s.keys("tab", "tab", "tab", "tab", "enter")
	s.sees("choose databases")
	time.Sleep(graceTime + 50*time.Millisecond)
	s.keys("enter")
	s.becomes("replicating again", of("", 2, core.Running))
	s.sees("caught up")
	s.becomes("caught up", func(snap *core.Snapshot) bool {
		n := 0
		for i := range snap.Tasks {
			if snap.Tasks[i].Source == first.Source && snap.Tasks[i].Diff < 200 && snap.Tasks[i].Totals.Messages > 0 {
				n++
			}
		}
		return n == 2
	})
	if snap, err = s.ctrl.Snapshot(ctx); err != nil {
		t.Fatal(err)
	}
	id := ""
	for _, r := range snap.Replicas {
		if r.Source == first.Source {
			id = r.ID
		}
	}

	s.keys("/")
	s.typed("replica:" + id)
	s.keys("enter", "up", "up", "space", "space", "x")
	s.sees("Stop 2 tasks")
	s.keys("right", "enter")
	s.becomes("stopped", of(id, 2, core.Stopped))
	s.sees("stopped")
	s.keys("up", "up", "space", "space", "r")
	s.sees("Restart 2 tasks")
	s.keys("right", "enter")
	s.becomes("running", of(id, 2, core.Running))
	s.keys("esc", "esc", "esc")
	s.remove(id)
}
