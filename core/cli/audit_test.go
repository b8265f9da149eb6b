package cli_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/cli"
)

func (f *fake) Verify(_ context.Context, r core.VerifyRequest) (*core.Audit, error) {
	f.did(r)
	return f.audit("verify"), f.err
}

func (f *fake) Repair(_ context.Context, r core.RepairRequest) (*core.Audit, error) {
	f.did(r)
	return f.audit("repair"), f.err
}

func (f *fake) Audit(_ context.Context, id string) (*core.Audit, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	a := *f.audits
	if f.looks > 2 {
		a.State = f.ends
		a.Databases[0].State = f.ends
	}
	return &a, f.err
}

func (f *fake) CancelAudit(_ context.Context, r core.TargetRequest) (*core.Audit, error) {
	f.did(r)
	f.ends = core.AuditCancelled
	return f.audits, f.err
}

func (f *fake) Events(_ context.Context, after uint64, limit int) ([]core.Event, error) {
	var out []core.Event
	for _, e := range f.events {
		if e.Seq > after && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

// audit begins one that ends with its third look.
func (f *fake) audit(kind string) *core.Audit {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks = 0
	f.audits = &core.Audit{Replica: "maple", Kind: kind, State: core.AuditRunning, Since: time.Unix(1, 0), Databases: []core.DatabaseAudit{{
		Database: "power", State: core.AuditRunning, Step: "compare the rows of meters", Tables: 3, Rows: 4711,
	}}}
	return f.audits
}

func TestVerifyWaitsAndTellsByItsExitCode(t *testing.T) {
	w := instance(t)
	w.fake.ends = core.AuditEqual
	out, errs, code := w.run("verify", "maple", "power", "--exact")
	if code != cli.ExitDone || !strings.Contains(out, "4711") || !strings.Contains(out, "equal") || !strings.Contains(errs, "power: compare the rows of meters") {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	if r, ok := w.fake.asked.(core.VerifyRequest); !ok || r.ID != "maple" || len(r.Databases) != 1 || !r.Exact {
		t.Errorf("asked for %+v", w.fake.asked)
	}
	w.fake.ends = core.AuditDifferent
	out, errs, code = w.run("verify", "maple", "-o", "json")
	var doc core.Audit
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.State != core.AuditDifferent {
		t.Errorf("%v: %s", err, out)
	}
	if code != cli.ExitFailed || !strings.Contains(errs, "repair maple --dry-run") {
		t.Errorf("%d: %s", code, errs)
	}
	if _, errs, code = w.run("verify"); code != cli.ExitUsage || !strings.Contains(errs, "needs the id") {
		t.Errorf("%d: %s", code, errs)
	}
	if _, _, code = w.run("verify", "maple", "--detach"); code != cli.ExitDone || w.fake.looks != 0 {
		t.Errorf("%d after %d looks", code, w.fake.looks)
	}
	if out, _, code = w.run("verify", "maple", "--cancel"); code != cli.ExitFailed || !strings.Contains(out, "cancelled") {
		t.Errorf("%d: %s", code, out)
	}
}

func TestRepairSaysWhatItIsAskedFor(t *testing.T) {
	w := instance(t)
	w.fake.ends = core.AuditEqual
	if _, errs, code := w.run("repair", "maple", "power", "--gap", "--delete-extra", "--winner", "source", "--dry-run"); code != cli.ExitDone {
		t.Fatalf("%d: %s", code, errs)
	}
	r, ok := w.fake.asked.(core.RepairRequest)
	if !ok || !r.Gap || !r.DeleteExtra || !r.DryRun || r.Winner != "source" || r.ID != "maple" {
		t.Errorf("asked for %+v", w.fake.asked)
	}
	if _, errs, code := w.run("repair", "maple", "--winner", "sink"); code != cli.ExitUsage {
		t.Errorf("%d: %s", code, errs)
	}
	if _, errs, code := w.run("--read-only", "repair", "maple"); code != cli.ExitFailed || !strings.Contains(errs, "read-only") {
		t.Errorf("%d: %s", code, errs)
	}
}

func TestEventsAreChosen(t *testing.T) {
	w := instance(t)
	for i := range 1500 {
		e := core.Event{Seq: uint64(i + 1), At: time.Unix(int64(i), 0), Level: core.LevelInfo, Replica: "maple", Database: "power", Text: "number"}
		if i%500 == 499 {
			e.Level, e.Replica = core.LevelError, "otter"
		}
		w.fake.events = append(w.fake.events, e)
	}
	for _, c := range []struct {
		args  []string
		lines int
	}{{nil, 1500}, {[]string{"--level", "warn"}, 3}, {[]string{"--replica", "maple"}, 1497}, {[]string{"--last", "7"}, 7}} {
		out, errs, code := w.run(append([]string{"events"}, c.args...)...)
		if n := strings.Count(out, "\n"); code != cli.ExitDone || n != c.lines {
			t.Errorf("%v: %d lines of %d, exit code %d: %s", c.args, n, c.lines, code, errs)
		}
	}
	if out, _, _ := w.run("events", "--last", "1"); !strings.Contains(out, ".000  error  ") {
		t.Errorf("the columns depend on the time's last digits: %q", out)
	}
	out, _, _ := w.run("events", "--level", "error", "-o", "json")
	var e core.Event
	if err := json.Unmarshal([]byte(strings.Split(out, "\n")[0]), &e); err != nil || e.Seq != 500 || e.Replica != "otter" {
		t.Errorf("%v: %s", err, out)
	}
	if _, _, code := w.run("events", "--level", "loud"); code != cli.ExitUsage {
		t.Errorf("an unknown level: %d", code)
	}
}

func TestCheckSaysWhetherDatabasesAreFit(t *testing.T) {
	w := instance(t)
	out, errs, code := w.run("check", "maple")
	if code != cli.ExitFailed || !strings.Contains(errs, "elsewhere") || !strings.Contains(out, "power") || !strings.Contains(out, "problem: it is not there") {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	if r, ok := w.fake.asked.(core.InspectRequest); !ok || !r.Thorough || strings.Join(r.Databases, " ") != "power factory" {
		t.Errorf("asked for %+v", w.fake.asked)
	}
	if _, errs, code := w.run("check", "-f", "http://a:6041"); code != cli.ExitUsage || !strings.Contains(errs, "both") {
		t.Errorf("%d: %s", code, errs)
	}
	if _, errs, code := w.run("check", "nobody"); code != cli.ExitFailed || !strings.Contains(errs, "known: maple") {
		t.Errorf("%d: %s", code, errs)
	}
	// Without an instance, of two endpoints: those of the fake.
	alone := nobody(t)
	out, errs, code = alone.run("check", "-f", "http://a:6041", "-t", "http://b:6041", "power", "-o", "json")
	var doc cli.Check
	if err := json.Unmarshal([]byte(out), &doc); err != nil || !doc.Fit || len(doc.Databases) != 1 || code != cli.ExitDone {
		t.Errorf("%d, %v: %s %s", code, err, out, errs)
	}
	if out, errs, code = alone.run("check", "-f", "http://a:6041", "-t", "http://b:6041"); code != cli.ExitDone || !strings.Contains(out, "only one side has it") {
		t.Errorf("%d: %s %s", code, out, errs)
	}
	alone.inspected.Databases = []string{"power"}
	if alone.inspected.Source.URL != "http://a:6041" || !alone.inspected.Thorough || len(alone.inspected.Databases) != 1 {
		t.Errorf("looked at %+v", alone.inspected)
	}
	if _, errs, code := alone.run("check", "-f", "http://empty:6041", "-t", "http://b:6041"); code != cli.ExitDone || !strings.Contains(errs, "neither side has a database") {
		t.Errorf("two empty servers: exit %d, %q", code, errs)
	}
}
