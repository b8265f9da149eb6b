package engine

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// modelState is a worker with two vgroups, its marks, a sink and a source, as
// small as they can be: WALs of modelWAL messages each.
type modelState struct {
	marks   marks
	order   []int32         // the vgroup of each message handed out
	acked   uint64          // so many of them are at the sink
	pos     map[int32]int64 // next version to read
	from    map[int32]int64 // the version of each vgroup's first message in order
	written map[int32]int64 // everything below is at the sink
	stored  map[int32]int64 // what the source keeps
	mishaps int             // crashes and moves, which are bounded
}

const (
	modelWAL     = 3
	modelMishaps = 1
)

func newModel() *modelState {
	s := &modelState{written: map[int32]int64{1: 0, 2: 0}, stored: map[int32]int64{1: 0, 2: 0}}
	s.begin()
	return s
}

// begin is a new pump: it knows what is stored and nothing else.
func (s *modelState) begin() {
	s.marks, s.order, s.acked = newMarks(), nil, 0
	s.pos, s.from = maps.Clone(s.stored), maps.Clone(s.stored)
	for vg, at := range s.stored {
		s.marks.base(vg, at)
	}
}

func (s *modelState) clone() *modelState {
	c := *s
	m := &c.marks
	m.touched, m.dirty, m.committed = maps.Clone(m.touched), maps.Clone(m.dirty), maps.Clone(m.committed)
	if m.pending != nil {
		pending := *m.pending
		m.pending = &pending
	}
	c.order = slices.Clone(s.order)
	c.pos, c.from = maps.Clone(s.pos), maps.Clone(s.from)
	c.written, c.stored = maps.Clone(s.written), maps.Clone(s.stored)
	return &c
}

func (s *modelState) key() string {
	pending := "none"
	if p := s.marks.pending; p != nil {
		pending = fmt.Sprint(p.seq, p.at, p.had)
	}
	return fmt.Sprint(s.order, s.acked, s.pos, s.from, s.written, s.stored, s.mishaps,
		s.marks.touched, s.marks.dirty, s.marks.committed, s.marks.applied, pending)
}

// steps are all that can happen next, by name.
func (s *modelState) steps(resolve func(*marks, uint64) bool) map[string]func(*modelState) {
	next := map[string]func(*modelState){}
	for _, vg := range []int32{1, 2} {
		if s.pos[vg] < modelWAL {
			next[fmt.Sprintf("poll %d", vg)] = func(s *modelState) {
				s.order = append(s.order, vg)
				s.pos[vg]++
				s.marks.handed(vg)
			}
		}
	}
	if s.acked < uint64(len(s.order)) {
		next["write"] = func(s *modelState) {
			vg := s.order[s.acked]
			s.acked++
			s.from[vg]++
			s.written[vg] = max(s.written[vg], s.from[vg])
		}
	}
	next["sample"] = func(s *modelState) {
		s.marks.take(uint64(len(s.order)), maps.Clone(s.pos))
		resolve(&s.marks, s.acked)
	}
	next["resolve"] = func(s *modelState) { resolve(&s.marks, s.acked) }
	if len(s.marks.dirty) > 0 {
		next["commit"] = func(s *modelState) {
			for vg := range s.marks.dirty {
				s.stored[vg], s.marks.committed[vg] = s.marks.applied.at[vg], s.marks.applied.at[vg]
			}
			s.marks.dirty = map[int32]bool{}
		}
	}
	if s.mishaps < modelMishaps {
		next["crash"] = func(s *modelState) {
			s.mishaps++
			s.begin()
		}
	}
	return next
}

// explore visits every state that any order of steps can lead to, and returns
// how many there are and the first way to a stored offset beyond what is written.
func explore(resolve func(*marks, uint64) bool) (states int, wrong []string) {
	seen := map[string]bool{}
	var visit func(s *modelState, way []string)
	visit = func(s *modelState, way []string) {
		if key := s.key(); wrong != nil || seen[key] {
			return
		} else {
			seen[key] = true
		}
		for vg, at := range s.stored {
			if at > s.written[vg] {
				wrong = append(slices.Clone(way), fmt.Sprintf("vgroup %d: stored %d, written %d", vg, at, s.written[vg]))
				return
			}
		}
		for name, step := range s.steps(resolve) {
			after := s.clone()
			step(after)
			visit(after, append(way, name))
		}
	}
	visit(newModel(), nil)
	return len(seen), wrong
}

// TestNoOrderCommitsWhatIsNotWritten tries every order of polls, writes, samples,
// commits and crashes on the marks that the pump uses.
func TestNoOrderCommitsWhatIsNotWritten(t *testing.T) {
	states, wrong := explore((*marks).resolve)
	if wrong != nil {
		t.Errorf("an unwritten message is committed: %q", wrong)
	}
	t.Logf("%d states", states)
	if states < 10_000 {
		t.Errorf("only %d states were visited", states)
	}
	// A rule that does not wait for the sink must be found out.
	_, wrong = explore(func(m *marks, _ uint64) bool { return m.resolve(^uint64(0)) })
	if wrong == nil {
		t.Error("a rule that commits what was merely read is not found to be wrong")
	}
}
