//go:build linux

package contract

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tdreplica/core"
)

// TestFullDiskOfTheState fills the disk of the state directory while tables are
// made and dropped, which has to be noted there before an offset behind it is
// committed, and kills the instance. With room again everything is as it should
// be: nothing that was not noted was committed.
func TestFullDiskOfTheState(t *testing.T) {
	disk, err := os.MkdirTemp("", "tdr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(disk) })
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256k,mode=700"); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	t.Parallel()
	e := &env{T: t}
	e.a, e.b = e.startNode("a"), e.startNode("b")
	db := e.create(database{}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	in := &instance{env: e, process: true, dir: filepath.Join(disk, "s")}
	if err := os.Mkdir(in.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	in.launch()
	t.Cleanup(func() {
		if in.halt != nil {
			in.shutdown()
		}
	})
	there, back := in.replicate(e.a, e.b, db), in.replicate(e.b, e.a, db)
	in.caughtUp(there, back)

	filler := filepath.Join(disk, "filler")
	fill := func() {
		// What is left in the last page is written byte by byte, until nothing is.
		f, err := os.OpenFile(filler, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, size := range []int{4096, 1} {
			for err = nil; err == nil; {
				_, err = f.Write(make([]byte, size))
			}
		}
	}
	l := e.startLoad(e.a, db, "t", 2)
	fill()
	churn := func(from int) {
		for i := range 60 {
			e.exec(e.a, fmt.Sprintf("create table %s.c%d using %[1]s.meters tags(%[2]d)", db, from+i),
				fmt.Sprintf("insert into %s.c%d values(%d,1,'x')", db, from+i, int64(loadEpoch)), fmt.Sprintf("drop table %s.c%d", db, from+i))
		}
	}
	churn(0)
	in.waitUntil("it says that the state file cannot be written", func() (bool, string) {
		events, err := in.Events(t.Context(), 0, 1000)
		if err != nil {
			return false, err.Error()
		}
		told := slices.ContainsFunc(events, func(ev core.Event) bool {
			return ev.Level == core.LevelError && strings.Contains(ev.Text, "state file") && strings.Contains(ev.Text, "no space left")
		})
		return told, fmt.Sprintf("%d events", len(events))
	})
	in.kill()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	in.launch()
	churn(100)
	l.waitRows(30)
	l.stop()
	in.caughtUp(there, back)
	l.arrived(e.b)
	e.equal(e.a, e.b, db)
}
