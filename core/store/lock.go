package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// LockedError is returned when another instance owns the state directory.
type LockedError struct {
	Dir string
	PID int // of the owner; 0 if it could not be learnt
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("an instance already runs on the state directory %s: %s owns it", e.Dir, who)
}

// ErrorHint implements the interface that core.HintOf looks for.
func (e *LockedError) ErrorHint() string {
	return "use that one (tdreplica status), or give this one a directory of its own with --state-dir"
}

// instanceLock is held by the operating system for as long as the process
// lives, so that nothing is left to clean up after a kill -9.
type instanceLock struct{ f *os.File }

func lockInstance(dir, path string) (*instanceLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the instance lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &LockedError{Dir: dir, PID: readPID(f)}
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write the instance lock: %w", err)
	}
	if _, err := f.WriteAt(pid, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("write the instance lock: %w", err)
	}
	return &instanceLock{f: f}, nil
}

// release gives the lock back. The file stays: removing it would let two
// processes hold locks on two files of the same name.
func (l *instanceLock) release() error { return l.f.Close() }

// Owner returns the pid of the process that holds the lock of the state
// directory, and false if nobody does.
func Owner(dir string) (int, bool) {
	f, err := os.Open(lockPath(dir))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	// A shared lock is refused exactly while the owner holds its exclusive one.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return 0, false
	}
	return readPID(f), true
}

func readPID(f *os.File) int {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}
