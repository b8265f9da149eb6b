package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/audit"
	"tdreplica/core/store"
)

// world is everything behind the ports: servers with databases, vgroups and
// consumer groups, in memory. Its rules are those that the pump leans on: a
// position covers what was handed out, a commit is a WAL entry, a reader below
// the WAL's beginning is moved without a word.
type world struct {
	t  testing.TB
	mu sync.Mutex
	// fault is asked before each request; what it returns is the answer.
	fault    func(op string) error
	poison   map[string]error // messages by name that no sink takes
	servers  map[string]*server
	calls    map[string]int
	wrong    []string // what a replicator must never do
	subs     []Subscription
	dead     bool  // a consumer that died holds a vgroup until the next poll
	mute     bool  // polls fail, which old servers report as "no message"
	broken   int32 // a vgroup whose WAL cannot be read
	probing  time.Duration
	holdPace time.Duration
}

type server struct {
	versions core.Versions
	dbs      map[string]*database
	topics   map[string]string
	offsets  map[string]map[int32]int64 // by group
	owner    map[string]*fakeSource     // by group
	keeps    bool                       // its WAL, for who asks
}

type database struct {
	core.Database
	wal     map[int32]*wal
	applied map[string]int // messages by name
	order   []string
}

type wal struct {
	begin   int64
	entries []string // "" is an entry that nobody is shown
}

func (w *wal) end() int64 { return int64(len(w.entries)) }

func newWorld(t testing.TB) *world {
	return &world{t: t, servers: map[string]*server{}, calls: map[string]int{}, fault: func(string) error { return nil }}
}

const (
	east = "http://east:6041"
	west = "http://west:6041"
)

// server adds an endpoint with databases of two vgroups each.
func (w *world) server(address string, dbs ...string) *server {
	s := &server{
		versions: core.Versions{Server: "3.3.7.5", Adapter: "3.3.7.5"},
		dbs:      map[string]*database{}, topics: map[string]string{}, offsets: map[string]map[int32]int64{}, owner: map[string]*fakeSource{},
	}
	w.servers[address] = s
	for _, name := range dbs {
		s.create(name)
	}
	return s
}

func (s *server) create(name string) *database {
	db := &database{
		Database: core.Database{Name: name, Vgroups: 2, Precision: "ms", WALPeriodS: 604800, CreatedAt: time.Unix(1700000000, 0).UTC()},
		wal:      map[int32]*wal{2: {}, 3: {}}, applied: map[string]int{},
	}
	s.dbs[name] = db
	return db
}

func (w *world) ask(op string) error {
	w.mu.Lock()
	w.calls[op]++
	f := w.fault
	w.mu.Unlock()
	return f(op)
}

func (w *world) setFault(f func(string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f == nil {
		f = func(string) error { return nil }
	}
	w.fault = f
}

// produce appends messages to a vgroup.
func (w *world) produce(address, db string, vgroup int32, names ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.servers[address].dbs[db].wal[vgroup]
	v.entries = append(v.entries, names...)
}

func (w *world) appliedAt(address, db string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.servers[address].dbs[db].order)
}

func (w *world) Catalog(_ context.Context, ep core.Endpoint) (Catalog, error) {
	if err := w.ask("catalog " + ep.URL); err != nil {
		return nil, err
	}
	s := w.servers[ep.URL]
	if s == nil {
		return nil, &core.Error{Class: core.ClassReconnect, Op: ep.URL + " cannot be reached"}
	}
	return &fakeCatalog{w, s}, nil
}

func (w *world) Side(context.Context, core.Endpoint) (audit.Side, error) {
	return nil, errors.New("nothing is compared here")
}

func (w *world) Sink(_ context.Context, ep core.Endpoint, db string) (Sink, error) {
	if err := w.ask("sink"); err != nil {
		return nil, err
	}
	return &fakeSink{w: w, db: w.servers[ep.URL].dbs[db]}, nil
}

func (w *world) Source(_ context.Context, ep core.Endpoint, sub Subscription) (Source, error) {
	if err := w.ask("subscribe"); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subs = append(w.subs, sub)
	s := w.servers[ep.URL]
	src := &fakeSource{w: w, s: s, db: s.dbs[s.topics[sub.Topic]], group: sub.Group, at: map[int32]int64{}}
	if s.offsets[sub.Group] == nil {
		s.offsets[sub.Group] = map[int32]int64{}
	}
	s.owner[sub.Group] = src
	for vg, v := range src.db.wal {
		src.at[vg] = v.begin
		if stored, ok := s.offsets[sub.Group][vg]; ok {
			src.at[vg] = stored
		}
	}
	return src, nil
}

type fakeSource struct {
	w     *world
	s     *server
	db    *database
	group string
	at    map[int32]int64
}

func (f *fakeSource) Poll(ctx context.Context, wait time.Duration) (*core.Message, error) {
	if err := f.w.ask("poll"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	f.w.dead = false
	f.w.mu.Unlock()
	if m := f.next(); m != nil {
		return m, nil
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(wait):
		return nil, nil
	}
}

func (f *fakeSource) next() *core.Message {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	for vg, v := range f.db.wal {
		if f.w.mute {
			break
		}
		if vg == f.w.broken {
			continue
		}
		for f.at[vg] = max(f.at[vg], v.begin); f.at[vg] < v.end(); {
			name := v.entries[f.at[vg]]
			f.at[vg]++
			if name != "" {
				return &core.Message{Vgroup: vg, Kind: core.KindData, RawType: core.RawData, Offset: f.at[vg] - 1, Frame: []byte(name)}
			}
		}
	}
	return nil
}

func (f *fakeSource) Assignment(context.Context) ([]core.Assignment, error) {
	if err := f.w.ask("assignment"); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	var out []core.Assignment
	for vg, v := range f.db.wal {
		if f.w.dead && vg == 3 {
			continue // a consumer that died still holds it
		}
		out = append(out, core.Assignment{Vgroup: vg, Offset: f.at[vg], Begin: v.begin, End: v.end()})
	}
	return out, nil
}

func (f *fakeSource) list(vgroups []int32, at map[int32]int64) []core.VgroupOffset {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	var out []core.VgroupOffset
	for _, vg := range vgroups {
		offset, ok := at[vg]
		if !ok {
			offset = core.Unknown
		}
		out = append(out, core.VgroupOffset{Vgroup: vg, Offset: offset})
	}
	return out
}

func (f *fakeSource) Position(_ context.Context, vgroups []int32) ([]core.VgroupOffset, error) {
	if err := f.w.ask("position"); err != nil {
		return nil, err
	}
	return f.list(vgroups, f.at), nil
}

func (f *fakeSource) Committed(_ context.Context, vgroups []int32) ([]core.VgroupOffset, error) {
	if err := f.w.ask("committed"); err != nil {
		return nil, err
	}
	return f.list(vgroups, f.s.offsets[f.group]), nil
}

// Commit notes every offset that covers a message which no sink has.
func (f *fakeSource) Commit(_ context.Context, at core.VgroupOffset) error {
	if err := f.w.ask("commit"); err != nil {
		return err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	v := f.db.wal[at.Vgroup]
	for i, name := range v.entries[:at.Offset] {
		if name != "" && int64(i) >= v.begin && f.w.nowhere(f.db.Name, name) {
			f.w.wrong = append(f.w.wrong, fmt.Sprintf("vgroup %d: committed %d, but %q at %d was never applied", at.Vgroup, at.Offset, name, i))
		}
	}
	f.s.offsets[f.group][at.Vgroup] = at.Offset
	v.entries = append(v.entries, "")
	return nil
}

func (w *world) nowhere(db, name string) bool {
	if w.poison[name] != nil {
		return false // what becomes of these is the test's matter
	}
	for _, s := range w.servers {
		if d := s.dbs[db]; d != nil && d.applied[name] > 0 {
			return false
		}
	}
	return true
}

func (f *fakeSource) Seek(_ context.Context, to core.VgroupOffset) error {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.at[to.Vgroup] = to.Offset
	return nil
}

func (f *fakeSource) Close(context.Context) error {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if f.s.owner[f.group] == f {
		delete(f.s.owner, f.group)
	}
	return nil
}

// HoldsWAL implements Source.
func (f *fakeSource) HoldsWAL() bool { return f.s.keeps }

type fakeSink struct {
	w  *world
	db *database
}

func (f *fakeSink) Write(_ context.Context, m *core.Message) error {
	err := f.w.ask("write")
	if err == nil {
		err = f.w.refusal(string(m.Payload()))
	}
	if err == errAfterWrite || err == nil {
		f.w.mu.Lock()
		f.db.applied[string(m.Payload())]++
		f.db.order = append(f.db.order, string(m.Payload()))
		f.w.mu.Unlock()
	}
	return err
}

func (f *fakeSink) Close() error { return nil }

// errAfterWrite loses the acknowledgement of a write that was carried out.
var errAfterWrite = &core.Error{Class: core.ClassReconnect, Op: "write", Text: "no answer"}

// quick is a configuration whose pauses are milliseconds.
func quick() *config.Config {
	c := config.Default()
	ms := func(n int) config.Duration { return config.Duration{Duration: time.Duration(n) * time.Millisecond} }
	c.Engine.CommitInterval, c.Engine.RetryMin, c.Engine.RetryMax = ms(1), ms(1), ms(5)
	c.Engine.PollWaitMin, c.Engine.PollWaitMax = ms(1), ms(4)
	c.Engine.StopTimeout = ms(3000)
	return c
}

// instance is an engine that runs until the test ends, or until stop.
type instance struct {
	*Engine
	stop func()
}

func run(t testing.TB, w *world, dir string, cfg *config.Config) *instance {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Options{Config: cfg, Store: s, Connector: w, ReadOnly: cfg.Instance.ReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	if w.probing > 0 {
		e.probing = w.probing
	}
	if w.holdPace > 0 {
		e.holdPace = w.holdPace
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	i := &instance{Engine: e}
	i.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the instance did not stop")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// running starts an instance that ends with the test.
func running(t *testing.T, w *world, cfg *config.Config) *instance {
	t.Helper()
	i := run(t, w, t.TempDir(), cfg)
	t.Cleanup(func() {
		i.stop()
		for _, wrong := range w.wrong {
			t.Error(wrong)
		}
	})
	return i
}

func request(dbs ...string) core.StartRequest {
	return core.StartRequest{
		Source: core.Endpoint{URL: east, User: "u", Password: "p"}, Sink: core.Endpoint{URL: west, User: "u", Password: "p"}, Databases: dbs,
	}
}

func (i *instance) start(t testing.TB, req core.StartRequest) *core.Result {
	t.Helper()
	res, err := i.Start(context.Background(), req)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return res
}

func (i *instance) task(t testing.TB, id, db string) core.Task {
	t.Helper()
	d, err := i.Detail(context.Background(), core.TaskKey{Replica: id, Database: db})
	if err != nil {
		t.Fatal(err)
	}
	return d.Task
}

// await waits until a condition holds.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(8 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (i *instance) awaitState(t testing.TB, id, db string, want core.State) core.Task {
	t.Helper()
	var last core.Task
	await(t, fmt.Sprintf("%s/%s is %s", id, db, want), func() bool {
		last = i.task(t, id, db)
		if last.State != want && last.State == core.Failed {
			t.Fatalf("%s/%s failed: %s", id, db, last.Note)
		}
		return last.State == want
	})
	return last
}

func refuse(class core.Class, text string) error {
	return &core.Error{Class: class, Op: "try", Text: text, Code: 0x0118}
}
