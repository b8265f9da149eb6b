package store_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"tdreplica/core"
	"tdreplica/core/store"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func replica(id string) store.Replica {
	return store.Replica{Replica: core.Replica{ID: id, Source: "http://a:6041", Sink: "http://b:6041"}, NextTask: 1}
}

func TestWhatIsWrittenSurvives(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "state")
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	id := s.InstanceID()
	if len(id) < 4 || len(id) > 8 {
		t.Errorf("instance id %q: want 4 to 8 characters", id)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	tasks := []store.Task{
		{Replica: "maple", Database: "zeta", Number: 1, Desired: core.WantRunning, SourceCreatedAt: at},
		{Replica: "maple", Database: "数据", Number: 2, Desired: core.WantStopped},
	}
	if err := s.PutReplica(replica("maple"), tasks...); err != nil {
		t.Fatal(err)
	}
	if err := s.PutReplica(replica("fern")); err != nil {
		t.Fatal(err)
	}
	if err := s.PutTasks(store.Task{Replica: "fern", Database: "zeta", Number: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	if s.InstanceID() != id {
		t.Errorf("instance id changed from %q to %q", id, s.InstanceID())
	}
	rs, err := s.Replicas()
	if err != nil || len(rs) != 2 || rs[0].ID != "fern" || rs[1].ID != "maple" {
		t.Fatalf("replicas %v, %v: want fern, maple", rs, err)
	}
	got, err := s.Tasks("maple")
	if err != nil || len(got) != 2 {
		t.Fatalf("tasks of maple: %v, %v", got, err)
	}
	if got[0].Database != "zeta" || !got[0].SourceCreatedAt.Equal(at) || got[1].Database != "数据" {
		t.Errorf("tasks of maple came back as %+v", got)
	}
	if err := s.DeleteReplica("maple"); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Tasks(""); err != nil || len(all) != 1 || all[0].Replica != "fern" {
		t.Errorf("after deleting maple: %v, %v: want the one of fern", all, err)
	}
	if err := s.DeleteTask("fern", "zeta"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteTask("fern", "zeta"); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	open(t, dir)
	for name, want := range map[string]os.FileMode{"": 0o700, "state.db": 0o600, "lock": 0o600} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", st.Name(), st.Mode().Perm(), want)
		}
	}
	wide := filepath.Join(t.TempDir(), "wide")
	if err := os.Mkdir(wide, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(wide, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(wide); err == nil || !strings.Contains(err.Error(), "writable by others") {
		t.Errorf("a directory that others can write: %v", err)
	}
}

func TestASecondOwnerIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var locked *store.LockedError
	if _, err := store.Open(dir); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("second Open: %v, want a LockedError with pid %d", err, os.Getpid())
	}
	locked = nil
	if _, err := store.OpenReadOnly(dir); !errors.As(err, &locked) {
		t.Errorf("OpenReadOnly beside an owner: %v", err)
	}
	if pid, owned := store.Owner(dir); !owned || pid != os.Getpid() {
		t.Errorf("Owner = %d, %v", pid, owned)
	}
	s.Close()
	if _, owned := store.Owner(dir); owned {
		t.Error("a closed store still owns its directory")
	}
	open(t, dir)
}

// TestKilledOwner kills a process that holds the lock, with no chance to give
// it back.
func TestKilledOwner(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperOwner$")
	cmd.Env = append(os.Environ(), "STORE_TEST_OWN="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	var locked *store.LockedError
	if _, err := store.Open(dir); !errors.As(err, &locked) || locked.PID != cmd.Process.Pid {
		t.Errorf("beside the owner: %v, want its pid %d", err, cmd.Process.Pid)
	}
	cmd.Process.Kill()
	cmd.Wait()
	s := open(t, dir)
	if rs, err := s.Replicas(); err != nil || len(rs) != 1 {
		t.Errorf("what the killed owner wrote: %v, %v", rs, err)
	}
}

func TestHelperOwner(t *testing.T) {
	dir := os.Getenv("STORE_TEST_OWN")
	if dir == "" {
		return // runs only as the child of TestKilledOwner
	}
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutReplica(replica("maple")); err != nil {
		t.Fatal(err)
	}
	fmt.Print("!")
	select {}
}

func TestFilesOfOtherFormats(t *testing.T) {
	for _, c := range []struct{ format, want string }{
		{"3", "newer than this build"},
		{"0", "older than this build"},
		{"x", "no format version"},
	} {
		dir := t.TempDir()
		open(t, dir).Close()
		db, err := bolt.Open(filepath.Join(dir, "state.db"), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte(c.format))
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		_, err = store.Open(dir)
		var fe *store.FormatError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), c.want) || fe.Hint == "" {
			t.Errorf("format %s: %v, want %q and a hint", c.format, err, c.want)
		}
		if _, err := store.OpenReadOnly(dir); !errors.As(err, &fe) {
			t.Errorf("format %s, read only: %v", c.format, err)
		}
	}
}

func TestDamagedFiles(t *testing.T) {
	whole := t.TempDir()
	s := open(t, whole)
	for i := range 200 {
		if err := s.PutReplica(replica(fmt.Sprintf("r%03d", i))); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	good, err := os.ReadFile(filepath.Join(whole, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string]func([]byte) []byte{
		"noise":          func([]byte) []byte { return []byte(strings.Repeat("no state file at all\n", 2000)) },
		"truncated":      func(b []byte) []byte { return b[:3*4096] },
		"emptied":        func([]byte) []byte { return nil },
		"one page":       func(b []byte) []byte { return b[:4096] },
		"zeroed records": func(b []byte) []byte { clear(b[4*4096:]); return b },
	}
	for name, spoil := range damage {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "state.db"), spoil(append([]byte(nil), good...)), 0o600); err != nil {
			t.Fatal(err)
		}
		var fe *store.FormatError
		if _, err := store.Open(dir); !errors.As(err, &fe) || fe.Hint == "" || strings.Contains(err.Error(), "runtime") {
			t.Errorf("%s: %v, want a FormatError with a hint", name, err)
		}
	}
}

func TestEventsAreBounded(t *testing.T) {
	s := open(t, t.TempDir())
	batch := make([]core.Event, 10_050)
	for i := range batch {
		batch[i].Text = fmt.Sprint(i + 1)
	}
	if err := s.AppendEvents(batch...); err != nil {
		t.Fatal(err)
	}
	if last, err := s.LastEventSeq(); err != nil || last != 10_050 {
		t.Errorf("last event %d, %v: want 10050", last, err)
	}
	all, err := s.Events(0, 0)
	if err != nil || len(all) != 10_000 || all[0].Seq != 51 || all[0].Text != "51" {
		t.Errorf("kept %d events from %d on, %v: want the newest 10000", len(all), all[0].Seq, err)
	}
	some, err := s.Events(10_000, 3)
	if err != nil || len(some) != 3 || some[0].Seq != 10_001 {
		t.Errorf("events after 10000: %v, %v", some, err)
	}
}

func TestSnapshotSaysThatNothingRuns(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	at := time.Now().Add(-time.Hour)
	last := core.Task{
		State: core.Running, Phase: core.CatchingUp, Diff: 7, LagMS: 900, MeasuredAt: at,
		Rate: core.Rate{Bytes: 5}, Vgroups: []core.Vgroup{{ID: 4, Current: 10, Latest: 17, Diff: 7, Rate: 3}},
	}
	failed := core.Task{State: core.Failed, Note: "the password is wrong"}
	err := errors.Join(
		s.PutInstance(core.Instance{Name: "site-a", Running: true, PID: 4711, Since: at}),
		s.PutReplica(replica("maple"),
			store.Task{Replica: "maple", Database: "power", Number: 1, Desired: core.WantRunning, Last: last},
			store.Task{Replica: "maple", Database: "factory", Number: 2, Last: failed},
			store.Task{Replica: "maple", Database: "fresh", Number: 3}),
	)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	ro, err := store.OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	snap, err := ro.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if i := snap.Instance; i.Running || i.PID != 0 || i.Name != "site-a" || i.ID != ro.InstanceID() || i.StateDir != dir {
		t.Errorf("instance %+v", i)
	}
	power := snap.Task(core.TaskKey{Replica: "maple", Database: "power"})
	if power.State != core.Stopped || power.Phase != "" || power.Note != "no instance runs; it was running" ||
		power.Diff != 7 || power.LagMS != core.Unknown || power.Rate.Bytes != 0 || !power.MeasuredAt.Equal(at) ||
		power.Vgroups[0].Latest != 17 || power.Source != "http://a:6041" || power.Desired != core.WantRunning {
		t.Errorf("the task that ran: %+v", power)
	}
	if f := snap.Task(core.TaskKey{Replica: "maple", Database: "factory"}); f.State != core.Failed || f.Note != failed.Note {
		t.Errorf("the failed task: %+v", f)
	}
	if f := snap.Task(core.TaskKey{Replica: "maple", Database: "fresh"}); f.State != core.Stopped || f.Diff != core.Unknown {
		t.Errorf("the task that never ran: %+v", f)
	}
}

func TestReadOnlyWithoutState(t *testing.T) {
	if _, err := store.OpenReadOnly(t.TempDir()); !errors.Is(err, store.ErrNoState) {
		t.Errorf("an empty directory: %v, want ErrNoState", err)
	}
}
