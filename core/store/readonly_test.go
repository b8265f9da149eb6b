//go:build linux

package store_test

import (
	"errors"
	"os"
	"reflect"
	"syscall"
	"testing"

	"tdreplica/core"
	"tdreplica/core/store"
)

// TestReadOnlyDisk opens a state directory on a disk that takes no writes: even
// root's are refused there. The state can be looked at, and is as it was.
func TestReadOnlyDisk(t *testing.T) {
	dir, want := filled(t)
	disk := t.TempDir()
	if err := syscall.Mount(dir, disk, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	const readOnly = syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY
	if err := syscall.Mount("", disk, "", readOnly, ""); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"there": disk, "not there": disk + "/new"} {
		s, err := store.Open(dir)
		var fe *store.FormatError
		if !errors.Is(err, syscall.EROFS) || errors.As(err, &fe) || core.HintOf(err) == "" {
			t.Errorf("a directory that is %s: opened %v, %v (%q)", name, s, err, core.HintOf(err))
		}
	}
	s, err := store.OpenReadOnly(disk)
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(s)
	if err := errors.Join(err, s.Close()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read: %+v, %v", got, err)
	}
	if _, err := os.Stat(disk + "/new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	s = open(t, dir)
	if got, err = read(s); errors.Join(err, s.Close()) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("where it can be written: %+v, %v", got, err)
	}
}
