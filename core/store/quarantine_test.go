package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/store"
)

const room = 1 << 20

func message(id string, vgroup int32, offset int64) core.Quarantined {
	return core.Quarantined{ID: id, Replica: "maple", Database: "power", Vgroup: vgroup, Offset: offset, Rows: 3, Tables: []string{"电表"}, Error: "refused"}
}

func keep(t *testing.T, s *store.Store, m core.Quarantined, payload string) {
	t.Helper()
	if added, err := s.Quarantine(m, []byte(payload), room); err != nil || !added {
		t.Fatalf("quarantine %s: %v, %v", m.ID, added, err)
	}
}

func TestQuarantineSurvives(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	keep(t, s, message("maple-3-9-b", 3, 9), "second\n\x00\xff")
	keep(t, s, message("maple-3-8-a", 3, 8), "first")
	if added, err := s.Quarantine(message("maple-3-8-a", 3, 8), []byte("first"), room); added || err != nil {
		t.Errorf("the same message again: %v, %v", added, err)
	}
	if _, err := s.Quarantine(message("maple-3-99-c", 3, 99), make([]byte, room), room); !errors.Is(err, store.ErrQuarantineFull) {
		t.Errorf("beyond the limit: %v", err)
	}
	for path, want := range map[string]os.FileMode{"quarantine": 0o700, "quarantine/maple-3-8-a.msg": 0o600} {
		if st, err := os.Stat(filepath.Join(dir, path)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %04o", path, st, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "quarantine", "maple-3-10-d.part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Close()

	ro, err := store.OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	if list := ro.Quarantined(); len(list) != 2 || list[0].Offset != 8 || list[1].Tables[0] != "电表" {
		t.Errorf("offline: %+v", list)
	}
	ro.Close()

	s = open(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "quarantine", "maple-3-10-d.part")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a crash left half-written is still there: %v", err)
	}
	if n := s.QuarantinedOf(core.TaskKey{Replica: "maple", Database: "power"}); n != 2 {
		t.Errorf("counted %d", n)
	}
	m, payload, err := s.ReadQuarantined("maple-3-9-b")
	if err != nil || string(payload) != "second\n\x00\xff" || m.Offset != 9 || m.Bytes != 9 {
		t.Errorf("read %+v %q, %v", m, payload, err)
	}
	if m, err := s.Discard("maple-3-9-b"); err != nil || m.Offset != 9 {
		t.Errorf("discard: %+v, %v", m, err)
	}
	var refused *core.RefusedError
	for _, id := range []string{"maple-3-9-b", "../state", ""} {
		if _, err := s.Discard(id); !errors.As(err, &refused) {
			t.Errorf("discard %q: %v", id, err)
		}
	}
	if err := s.DiscardReplica("maple"); err != nil || len(s.Quarantined()) != 0 {
		t.Errorf("discard all of maple: %v, left %v", err, s.Quarantined())
	}
}

// TestDamagedQuarantine: a damaged file is shown, cannot be replayed, and can
// be discarded.
func TestDamagedQuarantine(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"empty":   func([]byte) []byte { return nil },
		"cut off": func(b []byte) []byte { return b[:len(b)-2] },
		"other":   func(b []byte) []byte { return bytes.Replace(b, []byte("quarantine 1"), []byte("quarantine 2"), 1) },
		"flipped": func(b []byte) []byte { b = slices.Clone(b); b[len(b)-1] ^= 1; return b },
	} {
		dir := t.TempDir()
		s := open(t, dir)
		keep(t, s, message("maple-3-8-a", 3, 8), "payload")
		s.Close()
		file := filepath.Join(dir, "quarantine", "maple-3-8-a.msg")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, spoil(b), 0o600); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		if list := s.Quarantined(); len(list) != 1 || list[0].ID != "maple-3-8-a" || list[0].Damaged == "" && name != "flipped" {
			t.Errorf("%s: listed as %+v", name, list)
		}
		if _, _, err := s.ReadQuarantined("maple-3-8-a"); err == nil || !strings.Contains(err.Error(), "maple-3-8-a") {
			t.Errorf("%s: read with %v", name, err)
		}
		if _, err := s.Discard("maple-3-8-a"); err != nil || len(s.Quarantined()) != 0 {
			t.Errorf("%s: discard: %v", name, err)
		}
	}
}

func FuzzQuarantineFile(f *testing.F) {
	f.Add([]byte("tdreplica quarantine 1\n{\"id\":\"x\",\"bytes\":1,\"sha256\":\"\"}\np"))
	f.Add([]byte("tdreplica quarantine 1\n{\"id\":\"x\",\"bytes\":9223372036854775807}\n"))
	f.Add([]byte("tdreplica quarantine 1\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "quarantine"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "quarantine", "x.msg"), file, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		if list := s.Quarantined(); len(list) != 1 || list[0].ID != "x" {
			t.Errorf("listed as %+v", list)
		}
		if _, payload, err := s.ReadQuarantined("x"); err == nil && !bytes.HasSuffix(file, payload) {
			t.Errorf("read %q", payload)
		}
	})
}

// TestQuarantineTrustsNoDamagedFile reads a message again whose file was damaged or
// deleted since: it may only be committed when it is on the disk whole.
func TestQuarantineTrustsNoDamagedFile(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"cut off": func(path string) error { return os.Truncate(path, 40) },
		"deleted": os.Remove,
		"changed": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)-1] ^= 1
			return os.WriteFile(path, b, 0o600)
		},
	} {
		for _, restart := range []bool{false, true} {
			dir := t.TempDir()
			s := open(t, dir)
			m := message("maple-3-8-a", 3, 8)
			keep(t, s, m, "rows")
			if err := harm(filepath.Join(dir, "quarantine", m.ID+".msg")); err != nil {
				t.Fatal(err)
			}
			if restart {
				s.Close()
				s = open(t, dir)
			}
			if _, err := s.Quarantine(m, []byte("rows"), room); err != nil {
				t.Errorf("%s, restart %v: %v", name, restart, err)
			}
			if _, kept, err := s.ReadQuarantined(m.ID); err != nil || string(kept) != "rows" {
				t.Errorf("%s, restart %v: kept as %q, %v", name, restart, kept, err)
			}
			if n, list := s.QuarantinedOf(core.TaskKey{Replica: "maple", Database: "power"}), s.Quarantined(); n != 1 || len(list) != 1 || list[0].Damaged != "" {
				t.Errorf("%s, restart %v: %d counted of %+v", name, restart, n, list)
			}
			s.Close()
		}
	}
}

// TestQuarantineIsCountedWhileItIsWritten has a file that takes its time: nobody
// who only counts messages, and holds locks of a task meanwhile, may wait for it.
func TestQuarantineIsCountedWhileItIsWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	m := message("maple-3-8-a", 3, 8)
	pipe := filepath.Join(dir, "quarantine", m.ID+".part")
	if err := errors.Join(os.Mkdir(filepath.Dir(pipe), 0o700), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { // it waits until somebody reads
		_, err := s.Quarantine(m, []byte("rows"), room)
		written <- err
	}()
	counted := make(chan int, 1)
	go func() {
		time.Sleep(50 * time.Millisecond)
		counted <- s.QuarantinedOf(core.TaskKey{Replica: "maple", Database: "power"})
	}()
	select {
	case n := <-counted:
		if n != 0 {
			t.Errorf("counted %d before it was written", n)
		}
	case <-time.After(5 * time.Second):
		t.Error("nobody can count while a message is written")
	}
	if _, err := os.ReadFile(pipe); err != nil {
		t.Error(err)
	}
	if err := <-written; err == nil {
		t.Error("a pipe was taken for a disk")
	}
}
