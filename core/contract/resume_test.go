package contract

import (
	"testing"
	"time"

	"tdreplica/core"
)

// The scenarios of this file interrupt replication under load. Afterwards
// nothing is lost, and at no moment did the sink show a row without its
// predecessor.

func TestResumeAfterStop(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		resume(e, (*env).runInstance, func(in *instance, id, db string) {
			target := core.TargetRequest{ID: id, Actor: testActor}
			res, err := in.Stop(e.Context(), target)
			in.outcome(res, err, core.OutcomeStopped)
			in.waitState(core.TaskKey{Replica: id, Database: db}, core.Stopped)
			res, err = in.Stop(e.Context(), target)
			in.outcome(res, err, core.OutcomeAlreadyStopped)
			in.load.waitRows(60)
			res, err = in.Start(e.Context(), core.StartRequest{ID: id, Actor: testActor})
			in.outcome(res, err, core.OutcomeStarted)
		})
	})
}

func TestResumeAfterRestartOfTask(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		resume(e, (*env).runInstance, func(in *instance, id, db string) {
			for range 3 {
				res, err := in.Restart(e.Context(), core.TargetRequest{ID: id, Actor: testActor})
				in.outcome(res, err, core.OutcomeRestarted)
				in.load.waitRows(30)
			}
		})
	})
}

func TestResumeAfterInstanceRestart(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		resume(e, (*env).runInstance, func(in *instance, id, db string) {
			in.shutdown()
			in.load.waitRows(60)
			in.launch()
		})
	})
}

func TestResumeAfterInstanceKill(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		resume(e, (*env).runProcess, func(in *instance, id, db string) {
			in.kill()
			in.load.waitRows(60)
			in.launch()
		})
	})
}

func TestResumeAfterSourceAdapterRestart(t *testing.T) { resumeAfterOutage(t, "a", adapter) }
func TestResumeAfterSinkAdapterRestart(t *testing.T)   { resumeAfterOutage(t, "b", adapter) }
func TestResumeAfterSourceServerRestart(t *testing.T)  { resumeAfterOutage(t, "a", server) }
func TestResumeAfterSinkServerRestart(t *testing.T)    { resumeAfterOutage(t, "b", server) }

func resumeAfterOutage(t *testing.T, name, daemon string) {
	scenario(t, options{restarts: true}, func(e *env) { outage(e, name, daemon) })
}

// outage takes one daemon away until the task says that it is interrupted. The
// adapter of a real source answers polls with "nothing new" while its taosd is
// down, so that there the outage ends after a while.
func outage(e *env, name, daemon string) {
	s := map[string]*side{"a": e.a, "b": e.b}[name]
	resume(e, (*env).runInstance, func(in *instance, id, db string) {
		e.stop(s, daemon)
		if e.real && s == e.a && daemon == server {
			pause(e.Context(), 10*time.Second)
		} else if task := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Interrupted); task.Note == "" {
			e.Errorf("the task is interrupted and does not say why: %+v", task)
		}
		if s == e.b {
			in.load.waitRows(60)
		}
		e.start(s, daemon)
		in.waitState(core.TaskKey{Replica: id, Database: db}, core.Running)
	})
}

// resume replicates a running load, lets disturb do its worst to a replica
// that has begun to copy, and checks that everything arrives in order.
func resume(e *env, run func(*env) *instance, disturb func(in *instance, id, db string)) {
	db := e.create(database{}, e.a, e.b)
	e.exec(e.a, loadSchema(db))
	in := run(e)
	id := in.replicate(e.a, e.b, db)
	l := e.startLoad(e.a, db, "t", 4)
	in.load = l
	endWatch := l.watchOrder(e.b)
	l.waitRows(60)
	in.waitApplied(id, db)
	disturb(in, id, db)
	l.waitRows(60)
	l.stop()
	in.caughtUp(id)
	endWatch()
	l.arrived(e.b)
	e.equal(e.a, e.b, db)
}
