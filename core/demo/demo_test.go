package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tdreplica/core/embedded"
	"tdreplica/core/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDemoEndsWithTwoEqualSides(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	if err := Run(ctx, Options{Duration: 6 * time.Second, Out: &out}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		`(?m)^ +\d+s +[\d,]+ rows written .* tasks: 4 running$`,
		`level after \d`,
		`rows written +[1-9][\d,]+, of which [1-9][\d,]* were deleted again; [1-9]\d* changes`,
		`rows at east +[1-9]`, `rows at west +[1-9]`, `messages +[1-9]`, `peak lag +\d+ ms`,
		`both sides are equal, row by row`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("the output lacks %s:\n%s", want, out.String())
		}
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("the demo left %v in the temporary directory", left)
	}
}

// TestControllerIsTheInstance starts a demo as the console does, and ends it
// in the middle.
func TestControllerIsTheInstance(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	d, err := Start(t.Context(), Options{StateDir: dir, Version: "v0"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Controller().Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !s.Instance.Demo || s.Instance.StateDir != dir || len(s.Replicas) != 2 {
		t.Errorf("the snapshot is of %+v with %d replicas", s.Instance, len(s.Replicas))
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	// The directory was given, so it stays; its replicas are of nodes that are gone.
	if _, err := Start(t.Context(), Options{StateDir: dir}); err == nil || !strings.Contains(err.Error(), "needs an empty one") {
		t.Errorf("a second demo in the same directory gives %v", err)
	}
	st, err := store.Open(dir)
	if err != nil {
		t.Fatalf("the state directory is still owned: %v", err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

func TestCompareTellsWhereTheSidesDiffer(t *testing.T) {
	sides := [2]*site{}
	for i, name := range siteNames {
		node, err := embedded.Start(embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = node.Close() })
		sides[i] = &site{name: name, node: node}
	}
	both := func(sql string) {
		t.Helper()
		for _, s := range sides {
			if err := s.exec("%s", sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, db := range databases {
		both("create database " + db)
		both("create stable " + db + "." + superTable[db] + " (ts timestamp, v int) tags (g int)")
	}
	both("insert into power.d1 using power.meters tags (1) values (1700000000000, 1) (1700000000001, null)")
	held, err := compare(t.Context(), sides)
	if err != nil || held[0] != held[1] || held[0] != (holding{tables: 1, rows: 2}) {
		t.Fatalf("equal sides compare as %v, %v", held, err)
	}
	for _, c := range []struct{ sql, want string }{
		{"insert into power.d1 values (1700000000001, 0)", "power.d1 2023-11-14T22:13:20.001Z: v is 0 at the source and NULL at the sink"},
		{"insert into power.d1 values (1700000000002, 7)", "power.d1 2023-11-14T22:13:20.002Z: the sink has no such row"},
		{"alter table power.d1 set tag g = 2", "power.d1: tag g is 2 at the source and 1 at the sink"},
		{"alter table factory.machines add column w int", "factory.machines: the sink lacks w INT"},
		{"create table factory.d2 using factory.machines tags (5)", "factory.d2: the sink has no such table"},
	} {
		if err := sides[0].exec("%s", c.sql); err != nil {
			t.Fatal(err)
		}
		_, err := compare(t.Context(), sides)
		var unequal *UnequalError
		if !errors.As(err, &unequal) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("after %q at one side: %v, want %q in it", c.sql, err, c.want)
		}
		if err := sides[1].exec("%s", c.sql); err != nil {
			t.Fatal(err)
		}
		if _, err := compare(t.Context(), sides); err != nil {
			t.Fatalf("after %q at both sides: %v", c.sql, err)
		}
	}
}

func TestDeletedRowsAreCounted(t *testing.T) {
	node, err := embedded.Start(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	side := &site{name: "east", node: node}
	if err := createDatabases([2]*site{side, {name: "west", node: node}}); err == nil {
		t.Fatal("the same databases were created twice")
	}
	if err := side.exec("create stable if not exists power.meters (ts timestamp, current float, voltage int, note nchar(32)) tags (location nchar(32), grp int)"); err != nil {
		t.Fatal(err)
	}
	w := newWriter(side, "power", true)
	now := time.Now()
	for n := range 100 {
		if err := w.step(n, now.Add(time.Duration(n)*batchInterval)); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := node.Query("select count(*) from power.meters")
	if err != nil {
		t.Fatal(err)
	}
	if want := w.rows.Load() - w.deleted.Load(); rows[0][0] != want || w.deleted.Load() == 0 {
		t.Errorf("the table holds %v rows; %d were written, %d deleted", rows[0][0], w.rows.Load(), w.deleted.Load())
	}
}
