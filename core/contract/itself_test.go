package contract

import (
	"testing"
	"time"

	"tdreplica/core"
)

// TestALibraryThatCommits: up to 3.3.3 at least, the client library of an adapter
// commits what was polled every five seconds, whatever it was told. Here nothing of
// that is written when the instance dies.
func TestALibraryThatCommits(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(map[bool]string{false: "stopped", true: "killed"}[kill], func(t *testing.T) {
			scenario(t, options{version: "3.3.3.0", restarts: true}, func(e *env) { libraryCommits(e, kill) })
		})
	}
}

func libraryCommits(e *env, kill bool) {
	db := e.create(database{}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	in := e.newInstance(kill)
	id := in.replicate(e.a, e.b, db)
	l := e.startLoad(e.a, db, "t", 4)
	l.waitRows(60)
	in.waitApplied(id, db)

	e.stop(e.b, adapter)
	l.waitRows(300)
	pause(e.Context(), 12*time.Second)
	l.stop()
	if kill {
		in.kill()
	} else {
		in.stopped(id, db)
	}
	e.start(e.b, adapter)
	if kill {
		in.launch()
	} else {
		in.begin(core.StartRequest{ID: id})
	}
	in.caughtUp(id)
	l.arrived(e.b)
	e.equal(e.a, e.b, db)
}
