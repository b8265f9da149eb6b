package contract

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/embedded"
	"tdreplica/core/engine"
)

// The daemons of a side that a scenario may restart.
const (
	adapter = "adapter"
	server  = "taosd"
)

// side is one server of a scenario: an embedded node or a real one.
type side struct {
	name string // a, b or c
	ep   core.Endpoint
	sql  *sqlClient
	node *embedded.Node // nil on a real server
}

// env is what a scenario works with. Its databases are made on both sides and
// dropped at the end.
type env struct {
	*testing.T
	a, b *side
	real bool
	opts options
	// session is when an embedded node gives up a consumer whose adapter died;
	// zero: its default.
	session time.Duration
	clock   *quickClock   // of the engines in this process; nil: the wall's
	patient time.Duration // of the engines with a request; zero: their default
	queue   int64         // bytes that the engines may hold; zero: their default
	quiet   bool          // whoever drives the instances shows their logs

	dropLater []func() // the databases of real servers
}

// options say what a scenario needs.
type options struct {
	version  string        // of the embedded nodes; empty: their default
	restarts bool          // it restarts daemons: on real servers nothing else may run
	poison   string        // what is done with rows that the sink refuses; empty: the default
	grow     time.Duration // how soon workers = "auto" takes more; 0: as ever
	embedded string        // why it cannot run on real servers; empty: it can
	late     bool          // idle polls of embedded nodes see a row as late as those of real ones

	stall    time.Duration // the watchdog's time; 0: the default
	clock    engine.Clock  // of an instance in this process; nil: the real one
	patience time.Duration // where the constant is not enough
}

// realServers lets scenarios share real servers, except those that restart
// their daemons.
var realServers sync.RWMutex

// scenario runs f on each target.
func scenario(t *testing.T, o options, f func(e *env)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		e := &env{T: t, opts: o}
		e.a, e.b = e.startNode("a"), e.startNode("b")
		f(e)
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		onServers(t, o, f)
	})
}

// onServers runs f on real servers, or skips the test with what is missing.
func onServers(t *testing.T, o options, f func(e *env)) {
	t.Helper()
	a, b := os.Getenv("TDREPLICA_TEST_A"), os.Getenv("TDREPLICA_TEST_B")
	switch {
	case a == "" || b == "":
		t.Skip("TDREPLICA_TEST_A and TDREPLICA_TEST_B name no servers")
	case o.embedded != "":
		t.Skip(o.embedded)
	case o.restarts && os.Getenv("TDREPLICA_TEST_CTL") == "":
		t.Skip("TDREPLICA_TEST_CTL names no command that restarts the servers")
	}
	// Given back when everything is cleaned up: that needs the servers, too.
	if o.restarts {
		realServers.Lock()
		t.Cleanup(realServers.Unlock)
	} else {
		realServers.RLock()
		t.Cleanup(realServers.RUnlock)
	}
	e := &env{T: t, real: true, opts: o}
	e.a, e.b = e.realSide("a", a), e.realSide("b", b)
	// Registered before any instance is, this runs when all have ended.
	e.Cleanup(func() {
		for _, drop := range e.dropLater {
			drop()
		}
	})
	f(e)
}

// vgroupIDs keeps the vgroups of two embedded nodes apart, as those of two
// servers usually are.
var vgroupIDs atomic.Int32

func (e *env) startNode(name string) *side {
	e.Helper()
	o := embedded.Options{
		Version:        e.opts.version,
		FirstVgroupID:  vgroupIDs.Add(100),
		SessionTimeout: e.session,
		LatePolls:      e.opts.late,
	}
	if e.clock != nil {
		o.Rebalance = 5 * time.Millisecond
	}
	node, err := embedded.Start(o)
	if err != nil {
		e.Fatalf("start node %s: %v", name, err)
	}
	e.Cleanup(func() {
		if err := node.Close(); err != nil {
			e.Errorf("close node %s: %v", name, err)
		}
		for _, v := range node.Violations() {
			e.Errorf("node %s saw its protocol broken: %v", name, v)
		}
	})
	return e.newSide(name, node.URL(), node)
}

func (e *env) realSide(name, endpoint string) *side { return e.newSide(name, endpoint, nil) }

func (e *env) newSide(name, endpoint string, node *embedded.Node) *side {
	e.Helper()
	sql, err := newSQLClient(endpoint)
	if err != nil {
		e.Fatalf("side %s: %v", name, err)
	}
	e.Cleanup(sql.close)
	password, _ := sql.user.Password()
	return &side{
		name: name,
		ep:   core.Endpoint{URL: sql.addr, User: sql.user.Username(), Password: password},
		sql:  sql,
		node: node,
	}
}

// third starts another sink for the source, or skips the scenario.
func (e *env) third() *side {
	e.Helper()
	if !e.real {
		return e.startNode("c")
	}
	c := os.Getenv("TDREPLICA_TEST_C")
	if c == "" {
		e.Skip("TDREPLICA_TEST_C names no third server, and both sinks need a database of the same name")
	}
	return e.realSide("c", c)
}

// exec runs statements that must succeed.
func (e *env) exec(s *side, statements ...string) {
	e.Helper()
	for _, sql := range statements {
		if _, err := s.sql.run(e.Context(), sql); err != nil {
			e.Fatalf("at %s: %v", s.name, err)
		}
	}
}

// query runs one query that must succeed.
func (e *env) query(s *side, sql string) [][]string {
	e.Helper()
	rows, err := s.sql.run(e.Context(), sql)
	if err != nil {
		e.Fatalf("at %s: %v", s.name, err)
	}
	return rows
}

// stop takes a daemon of a side down, and start brings it back. A stopped
// daemon is started again when the scenario ends.
func (e *env) stop(s *side, daemon string) {
	e.Helper()
	e.control(s, "stop", daemon)
	e.Cleanup(func() { e.control(s, "start", daemon) })
}

func (e *env) start(s *side, daemon string) {
	e.Helper()
	e.control(s, "start", daemon)
}

func (e *env) control(s *side, verb, daemon string) {
	e.Helper()
	if s.node != nil {
		controlNode(e, s.node, verb, daemon)
		return
	}
	// A control command may take a server's whole start; its own limits end it.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, os.Getenv("TDREPLICA_TEST_CTL"), verb, s.name, daemon).CombinedOutput()
	if err != nil {
		e.Errorf("%s %s of %s: %v: %s", verb, daemon, s.name, err, out)
	}
}

// controlNode is what the control command is for a real server.
func controlNode(e *env, node *embedded.Node, verb, daemon string) {
	e.Helper()
	var err error
	switch verb + " " + daemon {
	case "stop " + adapter:
		node.StopAdapter()
	case "start " + adapter:
		err = node.StartAdapter()
	case "stop " + server:
		node.StopServer()
	case "start " + server:
		node.StartServer()
	default:
		e.Fatalf("an embedded node cannot %s its %s", verb, daemon)
	}
	if err != nil {
		e.Errorf("%s %s: %v", verb, daemon, err)
	}
}

// database is what a scenario wants of a database; zero values mean defaults.
type database struct {
	name      string // empty: a new unique one
	precision string
	vgroups   map[string]int    // by side; 2 where none is given
	options   map[string]string // by side: more options of the statement
}

// create makes a database on the given sides and drops it, with its topics,
// when the scenario ends.
func (e *env) create(d database, sides ...*side) string {
	e.Helper()
	if d.name == "" {
		d.name = uniqueName()
	}
	if d.precision == "" {
		d.precision = "ms"
	}
	for _, s := range sides {
		n := d.vgroups[s.name]
		if n == 0 {
			n = 2
		}
		sql := fmt.Sprintf("create database %s vgroups %d precision '%s' wal_retention_period 3600", d.name, n, d.precision)
		if e.real {
			sql += " buffer 16"
		}
		sql += " " + d.options[s.name]
		e.createDatabase(s, sql)
		if e.real {
			e.dropLater = append(e.dropLater, func() { e.dropDatabase(s, d.name) })
		}
	}
	return d.name
}

// createDatabase waits for a server that was just restarted: for some seconds
// it counts none of its own nodes.
func (e *env) createDatabase(s *side, sql string) {
	e.Helper()
	const outOfNodes = 0x0334
	e.waitUntil("the server can create a database", func() (bool, string) {
		_, err := s.sql.run(e.Context(), sql)
		var refused *sqlError
		switch {
		case err == nil:
			return true, ""
		case errors.As(err, &refused) && refused.Code == outOfNodes:
			return false, err.Error()
		}
		e.Fatalf("at %s: %v", s.name, err)
		return false, ""
	})
}

// uniqueName is a name that no other run on the same servers uses.
func uniqueName() string {
	return fmt.Sprintf("ct_%x_%d", time.Now().UnixNano()&0xffffffffff, names.Add(1))
}

var names atomic.Int32

// dropDatabase removes a database of a real server and whatever subscribes to
// it. A consumer that has just left still holds its group for a moment.
func (e *env) dropDatabase(s *side, db string) {
	ctx, cancel := context.WithTimeout(context.Background(), 45*time.Second)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		if last = s.dropOnce(ctx, db); last == nil {
			return
		}
		time.Sleep(time.Second)
	}
	e.Errorf("clean up %s at %s: %v", db, s.name, last)
}

func (s *side) dropOnce(ctx context.Context, db string) error {
	groups, err := s.sql.run(ctx, "select topic_name, consumer_group from information_schema.ins_subscriptions")
	if err != nil {
		return err
	}
	topics, err := s.sql.run(ctx, "select topic_name from information_schema.ins_topics where db_name='"+db+"'")
	if err != nil {
		return err
	}
	for _, t := range topics {
		for _, g := range groups {
			if g[0] == t[0] {
				// The group shows once per vgroup; the first drop takes it all.
				_, _ = s.sql.run(ctx, fmt.Sprintf("drop consumer group if exists `%s` on `%s`", g[1], t[0]))
			}
		}
		if _, err := s.sql.run(ctx, "drop topic if exists `"+t[0]+"`"); err != nil {
			return err
		}
	}
	_, err = s.sql.run(ctx, "drop database if exists "+db)
	return err
}

// topics lists the topics on a database.
func (e *env) topics(s *side, db string) []string {
	e.Helper()
	var names []string
	for _, row := range e.query(s, "select topic_name from information_schema.ins_topics where db_name='"+db+"'") {
		names = append(names, row[0])
	}
	return names
}

// groups lists the consumer groups that read a topic.
func (e *env) groups(s *side, topic string) []string {
	e.Helper()
	seen := map[string]bool{}
	var names []string
	for _, row := range e.query(s, "select consumer_group from information_schema.ins_subscriptions where topic_name='"+topic+"'") {
		if !seen[row[0]] {
			seen[row[0]] = true
			names = append(names, row[0])
		}
	}
	return names
}

// blobs reports whether the servers copy blobs: tmq_write_raw of 3.3.7.5 reads
// through a null pointer when rows hold one (insResetBlob), and takes the whole
// adapter down.
func (e *env) blobs() bool { return e.atLeast(e.a, 8) && e.atLeast(e.b, 8) }

// decimals reports whether both sides' versions know the type decimal.
func (e *env) decimals() bool { return e.atLeast(e.a, 6) && e.atLeast(e.b, 6) }

// atLeast compares a side's version with 3.3.<patch>.
func (e *env) atLeast(s *side, patch int) bool {
	e.Helper()
	rows := e.query(s, "select server_version()")
	var major, minor, have int
	if _, err := fmt.Sscanf(rows[0][0], "%d.%d.%d", &major, &minor, &have); err != nil {
		e.Fatalf("the version of %s is %q", s.name, rows[0][0])
	}
	return major > 3 || minor > 3 || have >= patch
}
