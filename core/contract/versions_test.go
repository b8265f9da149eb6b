package contract

import (
	"strings"
	"testing"

	"tdreplica/core"
)

const otherVersion = "the version of a real server cannot be chosen; every other scenario runs at the one it has"

// TestOtherVersions runs the core scenarios against the protocol of older servers
// and of newer ones. Real servers have one version: theirs is what the other tests see.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	scenarios := map[string]func(*env){
		"copy":    copyEveryType,
		"two-way": twoWay,
		"ddl":     func(e *env) { everyDDL(e, true) },
		"vgroups": func(e *env) { vgroups(e, 4, 2) },
		"adapter": func(e *env) { outage(e, "a", adapter) },
		"server":  func(e *env) { outage(e, "b", server) },
		"drops":   func(e *env) { in := e.runInstance(); dropEcho(e, in, in) },
		"missing": tableGoes,
	}
	runs := map[string][]string{
		silent:     {"copy", "two-way", "ddl", "vgroups", "adapter", "server", "drops"},
		"3.3.8.0":  {"copy"},
		"3.3.6.13": {"copy", "two-way", "ddl", "vgroups", "adapter", "server", "drops", "missing"},
		"3.3.3.0":  {"copy", "two-way", "ddl", "vgroups", "adapter", "server"},
		"3.3.2.3":  {"copy", "two-way"},
		"3.3.0.0":  {"copy"},
	}
	for version, names := range runs {
		for _, name := range names {
			t.Run(version+" "+name, func(t *testing.T) {
				scenario(t, options{version: version, embedded: otherVersion}, scenarios[name])
			})
		}
	}
}

// become makes an embedded node another version's. A real server stays what it is.
func (e *env) become(s *side, version string) {
	e.Helper()
	if s.node == nil {
		return
	}
	s.node.StopAdapter()
	if err := s.node.SetVersion(version); err != nil {
		e.Fatal(err)
	}
	if err := s.node.StartAdapter(); err != nil {
		e.Fatal(err)
	}
}

// TestDropsOfAnOldSource: its log has no ids of dropped tables, and a newer server does
// not take a drop without.
func TestDropsOfAnOldSource(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		e.become(e.a, "3.3.0.0")
		in, id, db := begun(e)
		e.exec(e.a, "drop table "+db+".a0", "drop table "+db+".a1, "+db+".a2")
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}

// TestOldAdapterCannotCompare: where rows cannot be read as they are stored, a check
// says so beforehand and a verify when it is asked for; replication goes on.
func TestOldAdapterCannotCompare(t *testing.T) {
	scenario(t, options{version: "3.3.0.0", embedded: otherVersion}, func(e *env) {
		in, id, db := begun(e)
		found, err := in.Inspect(e.Context(), core.InspectRequest{Source: e.a.ep, Sink: e.b.ep, Databases: []string{db}})
		if err != nil {
			e.Fatal(err)
		}
		if text := strings.Join(found[0].Warnings, "\n"); strings.Count(text, core.MinCompare.String()) != 2 {
			e.Errorf("the warnings do not name both sides' adapters: %s", text)
		}
		d := in.verify(id, false)
		in.expect(d, core.AuditFailed, nil)
		if !strings.Contains(d.Note, core.MinCompare.String()) {
			e.Errorf("the note does not tell which version it takes: %s", d.Note)
		}
		write(e, e.a, db, 100)
		in.caughtUp(id)
		e.equal(e.a, e.b, db)
	})
}
