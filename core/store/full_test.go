//go:build linux

package store_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"tdreplica/core/store"
)

// limitFiles makes every file of this process that would grow beyond size fail
// to, as on a full disk, until the returned function is called.
func limitFiles(t *testing.T, size uint64) (lift func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Fatal(err)
		}
	}
}

// alone runs the calling test in a process of its own and reports whether this
// is not that process. The limit holds for all files of a process, and this one
// may be writing some that the testing package has asked for.
func alone(t *testing.T) (elsewhere bool) {
	t.Helper()
	const child = "TDREPLICA_TEST_FULL_DISK"
	if os.Getenv(child) != "" {
		return false
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
	return true
}

// TestFullDiskAtTheStart fails to make a state file, and makes it once there is
// room.
func TestFullDiskAtTheStart(t *testing.T) {
	if alone(t) {
		return
	}
	for _, size := range []uint64{512, 4096, 9000} {
		dir := t.TempDir()
		lift := limitFiles(t, size)
		s, err := store.Open(dir)
		lift()
		var fe *store.FormatError
		if err == nil || errors.As(err, &fe) || !strings.Contains(err.Error(), "too large") {
			t.Errorf("%d bytes: opened %v, %v", size, s, err)
			continue
		}
		if err := open(t, dir).Close(); err != nil {
			t.Errorf("with room again: %v", err)
		}
	}
}

// TestFullDiskWhileRunning keeps what was written before, and goes on.
func TestFullDiskWhileRunning(t *testing.T) {
	if alone(t) {
		return
	}
	dir, want := filled(t)
	s := open(t, dir)
	lift := limitFiles(t, 4096)
	big := want.tasks[0]
	big.Last.Note = strings.Repeat("x", 1<<20)
	err := s.PutTasks(big)
	lift()
	if err == nil || !strings.Contains(err.Error(), "write tasks to the state file") {
		t.Errorf("a record that has no room: %v", err)
	}
	got, err := read(s)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after it: %+v, %v", got, err)
	}
	want.tasks[1].Last.Note = "there is room again"
	if err := errors.Join(s.PutTasks(want.tasks[1]), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	if got, err = read(s); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("opened again: %+v, %v", got, err)
	}
}
