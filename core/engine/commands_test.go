package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"tdreplica/config"
	"tdreplica/core"
)

func TestStartRefusesBeforeItCreates(t *testing.T) {
	less := core.AutoWorkers - 1
	for _, c := range []struct {
		name string
		prep func(*world)
		req  core.StartRequest
		want string
	}{
		{"unknown database", nil, request("nosuch"), "database `nosuch` does not exist at " + east},
		{"not at the sink", func(w *world) { w.servers[east].create("only") }, request("only"), "database `only` does not exist at " + west},
		{"unreachable", func(w *world) { delete(w.servers, west) }, request("power"), west + " cannot be reached"},
		{"old server", func(w *world) { w.servers[east].versions.Server = "3.2.3.0" }, request("power"), `"3.2.3.0"`},
		{"same endpoint", nil, core.StartRequest{Source: core.Endpoint{URL: east}, Sink: core.Endpoint{URL: "ws://EAST:6041"}}, "same endpoint"},
		{"unknown id", nil, core.StartRequest{ID: "nosuch"}, `no replica has the id "nosuch"; known: none`},
		{"bad workers", nil, core.StartRequest{Source: request().Source, Sink: request().Sink, Options: core.Options{Workers: &less}}, "allowed: 1 to 64, or 0 (auto)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.server(east, "power")
			w.server(west, "power")
			if c.prep != nil {
				c.prep(w)
			}
			i := running(t, w, quick())
			c.req.Actor = core.Actor{Via: "console", User: "lin"}
			_, err := i.Start(context.Background(), c.req)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if snap, _ := i.Snapshot(context.Background()); len(snap.Replicas) > 0 {
				t.Errorf("%d replicas were created", len(snap.Replicas))
			}
			events, err := i.Events(context.Background(), 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(events, func(v core.Event) bool {
				return v.Kind == core.EventCommand && v.Actor == c.req.Actor && strings.HasPrefix(v.Text, "start: ") && strings.Contains(v.Text, c.want)
			}) {
				t.Errorf("no event tells of the refusal: %+v", events)
			}
		})
	}
}

func TestStartIsIdempotentAndExtends(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power", "factory", "log")
	w.server(west, "power", "factory", "log")
	i := running(t, w, quick())
	first := i.start(t, request("power"))
	again := i.start(t, request("power"))
	more := i.start(t, request("power", "factory"))
	if first.ID != again.ID || first.ID != more.ID {
		t.Errorf("three ids for one pair: %s %s %s", first.ID, again.ID, more.ID)
	}
	if o := again.Tasks[0].Outcome; o != core.OutcomeAlreadyRunning {
		t.Errorf("the same again was %q", o)
	}
	if len(more.Tasks) != 2 || more.Tasks[1].Outcome != core.OutcomeCreated || more.Tasks[1].Database != "factory" {
		t.Errorf("extended by %+v", more.Tasks)
	}
	ctx := context.Background()
	stop := func() core.Outcome {
		res, err := i.Stop(ctx, core.TargetRequest{ID: first.ID, Databases: []string{"power"}})
		if err != nil {
			t.Fatal(err)
		}
		return res.Tasks[0].Outcome
	}
	if a, b := stop(), stop(); a != core.OutcomeStopped || b != core.OutcomeAlreadyStopped {
		t.Errorf("stopping twice: %s, %s", a, b)
	}
}

func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power", "log")
	w.server(west, "power", "log")
	i := running(t, w, quick())
	id := i.start(t, request()).ID
	if snap, _ := i.Snapshot(context.Background()); len(snap.Tasks) != 1 {
		t.Fatalf("%d tasks, want one: system databases are left out", len(snap.Tasks))
	}
	w.mu.Lock()
	w.servers[east].create("later")
	w.servers[west].create("later")
	w.servers[east].create("lonely")
	w.mu.Unlock()
	interval := int64(1)
	if _, err := i.Update(context.Background(), core.UpdateRequest{ID: id, Options: core.Options{CheckIntervalS: &interval}}); err != nil {
		t.Fatal(err)
	}
	await(t, "the new database is picked up", func() bool {
		snap, _ := i.Snapshot(context.Background())
		return len(snap.Tasks) == 2 && snap.Tasks[1].Database == "later"
	})
}

func TestDeclared(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	down := w.server(west, "power")
	delete(w.servers, west)
	cfg := quick()
	r := config.DefaultReplica()
	r.ID, r.Source, r.Sink = "main", "home", west
	cfg.Endpoints = map[string]config.Endpoint{"home": {URL: east, User: "u", PasswordEnv: "X"}}
	cfg.Replicas = []config.Replica{r}
	dir := t.TempDir()
	i := run(t, w, dir, cfg)
	defer func() { i.stop() }()
	await(t, "the replica says what it waits for", func() bool {
		snap, _ := i.Snapshot(context.Background())
		return len(snap.Replicas) == 1 && strings.Contains(snap.Replicas[0].Note, "cannot be reached")
	})
	w.mu.Lock()
	w.servers[west] = down
	w.mu.Unlock()
	await(t, "its task appears", func() bool {
		snap, _ := i.Snapshot(context.Background())
		return len(snap.Tasks) == 1 && snap.Tasks[0].State == core.Running && snap.Replicas[0].Note == ""
	})
	i.Stop(context.Background(), core.TargetRequest{ID: "main"})
	i.stop()
	i = run(t, w, dir, cfg)
	if task := i.task(t, "main", "power"); task.Desired != core.WantStopped {
		t.Errorf("what was stopped is %s after a restart", task.Desired)
	}
	i.stop()
	i = run(t, w, dir, quick())
	await(t, "it is undeclared", func() bool {
		snap, _ := i.Snapshot(context.Background())
		return len(snap.Replicas) == 1 && snap.Replicas[0].Undeclared
	})
}

func TestAnEndpointThatIsNotDeclared(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	cfg := quick()
	cfg.Endpoints = map[string]config.Endpoint{"site-b": {URL: west}, "site-a": {URL: east}}
	i := running(t, w, cfg)
	ctx := context.Background()
	_, err := i.Start(ctx, core.StartRequest{Source: core.Endpoint{URL: "site-a"}, Sink: core.Endpoint{URL: "td2"}})
	if err == nil || err.Error() != `sink: "td2" is neither a URL nor an endpoint of the configuration; known: site-a, site-b` ||
		!strings.HasPrefix(core.HintOf(err), "write http://td2:6041, or declare [endpoints.td2];") {
		t.Errorf("%v; %s", err, core.HintOf(err))
	}
	_, err = i.Start(ctx, core.StartRequest{Source: core.Endpoint{URL: "root:hush@td1:6030"}, Sink: core.Endpoint{URL: west}})
	if err == nil || !strings.Contains(err.Error(), "native connections") || strings.Contains(err.Error(), "hush") {
		t.Errorf("an address without a scheme: %v", err)
	}
}

// replicating is an instance with one task that runs.
func replicating(t *testing.T) (w *world, i *instance, id string) {
	t.Helper()
	w = newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	i = running(t, w, quick())
	id = i.start(t, request("power")).ID
	i.awaitState(t, id, "power", core.Running)
	return w, i, id
}

func TestRemove(t *testing.T) {
	w, i, id := replicating(t)
	ctx := context.Background()
	var refused *core.RefusedError
	if _, err := i.Remove(ctx, core.RemoveRequest{ID: id}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "stop it first, or use --force") {
		t.Fatalf("removing a live replica: %v", err)
	}
	dry, err := i.Remove(ctx, core.RemoveRequest{ID: id, DryRun: true})
	if err != nil || !dry.DryRun || !strings.Contains(strings.Join(dry.Deleted, "\n"), "topic tdr_power at "+east) {
		t.Fatalf("dry run: %v %+v", err, dry)
	}
	if len(w.servers[east].topics) != 1 || i.task(t, id, "power").State != core.Running {
		t.Fatal("the dry run was none")
	}
	res, err := i.Remove(ctx, core.RemoveRequest{ID: id, Force: true})
	if err != nil || res.DryRun || !slices.Equal(res.Deleted, dry.Deleted) {
		t.Fatalf("remove: %v %+v", err, res)
	}
	if len(w.servers[east].topics)+len(w.servers[east].offsets) != 0 {
		t.Errorf("left at the source: %v %v", w.servers[east].topics, w.servers[east].offsets)
	}
	if _, err := i.Stop(ctx, core.TargetRequest{ID: id}); err == nil {
		t.Error("the replica is still known")
	}
}

// TestRemoveWhileStopping: whoever has just stopped it is not told to stop it.
func TestRemoveWhileStopping(t *testing.T) {
	tk := lonelyTask(t)
	tk.want(func(i *intent) { i.desired = core.WantStopped })
	tk.enter(core.Stopping, "", core.Retry{})
	err := removable("maple", []*task{tk}, 0)
	if err == nil || !strings.Contains(err.Error(), "maple/power has not stopped yet") || strings.Contains(core.HintOf(err), "`stop") {
		t.Errorf("%v; hint: %s", err, core.HintOf(err))
	}
}

// TestRemoveNamesTheScoutsGroup has the group of a scout at the source: a removal
// takes it away, and says so before it does.
func TestRemoveNamesTheScoutsGroup(t *testing.T) {
	w, i, id := replicating(t)
	ctx := context.Background()
	scout := scoutGroup(i.task(t, id, "power").Group)
	w.mu.Lock()
	w.servers[east].offsets[scout] = map[int32]int64{}
	w.mu.Unlock()
	dry, err := i.Remove(ctx, core.RemoveRequest{ID: id, DryRun: true})
	if err != nil || !slices.ContainsFunc(dry.Deleted, func(d string) bool { return strings.Contains(d, "consumer group "+scout+" ") }) {
		t.Fatalf("dry run: %v %+v", err, dry)
	}
	res, err := i.Remove(ctx, core.RemoveRequest{ID: id, Force: true})
	if err != nil || !slices.Equal(res.Deleted, dry.Deleted) {
		t.Fatalf("remove: %v %+v", err, res)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, left := w.servers[east].offsets[scout]; left {
		t.Error("the scout's group is left at the source")
	}
}

func TestRemoveKeepsWhatOthersRead(t *testing.T) {
	w, i, id := replicating(t)
	w.mu.Lock()
	w.servers[east].offsets["theirs"] = map[int32]int64{}
	w.mu.Unlock()
	res, err := i.Remove(context.Background(), core.RemoveRequest{ID: id, Force: true})
	if err != nil || len(w.servers[east].topics) != 1 || !strings.Contains(strings.Join(res.Kept, "\n"), "theirs") {
		t.Errorf("%v %+v", err, res)
	}
}

func TestRemoveWithoutTheSource(t *testing.T) {
	w := newWorld(t)
	w.server(east, "power")
	w.server(west, "power")
	i := running(t, w, quick())
	ctx := context.Background()
	id := i.start(t, request("power")).ID
	i.Stop(ctx, core.TargetRequest{ID: id})
	i.awaitState(t, id, "power", core.Stopped)
	w.setFault(func(op string) error {
		if strings.HasPrefix(op, "catalog") {
			return refuse(core.ClassReconnect, "gone")
		}
		return nil
	})
	if _, err := i.Remove(ctx, core.RemoveRequest{ID: id}); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Fatalf("without force: %v", err)
	}
	if task := i.task(t, id, "power"); task.State != core.Stopped {
		t.Fatalf("a failed removal left the task %s", task.State)
	}
	res, err := i.Remove(ctx, core.RemoveRequest{ID: id, Force: true})
	if err != nil || len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "tdr_power") {
		t.Errorf("with force: %v %+v", err, res)
	}
}

func TestReadOnlyRefusesCommands(t *testing.T) {
	w := newWorld(t)
	cfg := quick()
	cfg.Instance.ReadOnly = true
	i := running(t, w, cfg)
	ctx := context.Background()
	_, err1 := i.Start(ctx, request("power"))
	_, err2 := i.Stop(ctx, core.TargetRequest{All: true})
	_, err3 := i.Remove(ctx, core.RemoveRequest{ID: "x"})
	_, err4 := i.Update(ctx, core.UpdateRequest{ID: "x"})
	for _, err := range []error{err1, err2, err3, err4, i.Shutdown(ctx, core.Actor{})} {
		if !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("got %v", err)
		}
	}
}

// TestAStartEndsAFailure has a task started again that has failed: who asks before its
// supervisor gets to it is not told of the old failure.
func TestAStartEndsAFailure(t *testing.T) {
	tk := lonelyTask(t)
	tk.want(func(i *intent) { i.desired = core.WantRunning })
	tk.enter(core.Failed, "there is a gap", core.Retry{})
	if got := tk.report(tk.e.clock.Now()); got.State != core.Failed || got.Note != "there is a gap" {
		t.Errorf("it shows %s: %q", got.State, got.Note)
	}
	tk.want(func(i *intent) { i.restart = true })
	if got := tk.report(tk.e.clock.Now()); got.State != core.Starting || got.Note != "" {
		t.Errorf("started again, it shows %s: %q", got.State, got.Note)
	}
}
