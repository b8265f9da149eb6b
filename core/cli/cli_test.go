package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/cli"
	"tdreplica/core/store"
)

func TestExitCodesAndSentences(t *testing.T) {
	w := instance(t)
	w.fake.result = core.Result{ID: "maple"}
	for _, c := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"status", 0, ""},
		{"status maple otter", 0, ""},
		{"status maple,otter", 0, ""},
		{"status a,b", 1, `error: no replica has the id "a"; known: maple, otter`},
		{"diff nosuch", 1, `error: no replica has the id "nosuch"; known: maple, otter`},
		{"diff maple nosuchdb", 0, ""},
		{"diff maple otter", 2, "one replica at a time"},
		{"status --check", 0, ""},
		{"status --check --watch", 2, "do not go together"},
		{"status --watch --interval 5", 2, `--interval is "5"; expected a number with its unit`},
		{"update maple --new-database-checking-interval 10s", 2, `--new-database-checking-interval is "10s"; expected a whole number`},
		{"stop --all=perhaps", 2, `--all is "perhaps"; expected true or false`},
		{"quarantine", 2, "hint: usage: tdreplica quarantine list|show|replay|discard"},
		{"status -o yaml", 2, `--output is "yaml"; allowed: text, json`},
		{"status --nonsense", 2, "unknown flag: --nonsense"},
		{"stop", 2, "stop needs the id of a replica, or --all\nhint: usage: tdreplica stop ID [DB...] | --all"},
		{"restart", 2, "restart needs the id of a replica, or --all"},
		{"stop maple --all", 2, "--all is every replica"},
		{"remove", 2, "remove needs the id of one replica"},
		{"remove maple otter", 2, "remove needs the id of one replica"},
		{"update maple", 2, "nothing to update"},
		{"update maple --new-database-checking-interval 0", 2, "at least 1"},
		{"update maple --new-database-checking-interval soon", 2, "soon"},
		{"update maple --max-bytes-per-second 5", 2, "is not a size"},
		{"start -i maple --max-bytes-per-second fast", 2, "is not a size"},
		{"update maple --workers many", 2, "is no number of workers"},
		{"start -i maple --workers 0", 2, "is no number of workers"},
		{"start -i maple --hold-wal-limit 500ms", 2, "--hold-wal-limit is 500ms; allowed: a whole number of seconds"},
		{"start", 2, "start needs a source and a sink (-f, -t), or the id of a replica (-i)"},
		{"start -f http://a:6041", 2, "the sink is missing: -t SINK"},
		{"start -t http://a:6041", 2, "the source is missing: -f SOURCE"},
		{"start -i maple -f http://a:6041", 2, "leave out -f, -t"},
		{"start -f ftp://a -t http://b", 2, `scheme "ftp" is unknown`},
		{"start -f http://a:99999 -t http://b", 2, `port "99999"`},
		{"stat", 2, `there is no command "stat"; did you mean start, status, stop?`},
		{"--duration 3s", 2, "--duration is how long --demo runs"},
		{"--read-only stop maple", 1, "error: this is read-only"},
		{"--read-only start -i maple", 1, "error: this is read-only"},
		{"--read-only status", 0, ""},
		{"version extra", 2, "no arguments"},
	} {
		stdout, stderr, code := w.run(strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.stderr) || (c.stderr == "") != (stderr == "") {
			t.Errorf("%s: exit %d, stderr %q\nwant exit %d with %q", c.args, code, stderr, c.code, c.stderr)
		}
		if code != 0 && stdout != "" {
			t.Errorf("%s failed, but stdout has %q", c.args, stdout)
		}
	}
}

func TestStatusLooksLikeTheVendors(t *testing.T) {
	w := instance(t)
	out, _, _ := w.run("status")
	want := `+---------+------+---------------+---------------+----------+---------+-----------+
| replica | task | source        | sink          | database | status  | note      |
+---------+------+---------------+---------------+----------+---------+-----------+
| maple   |    1 | http://a:6041 | http://b:6041 | power    | running | caught up |
| maple   |    2 | http://a:6041 | http://b:6041 | factory  | running | caught up |
| otter   |    1 | http://a:6041 | http://b:6041 | 电力数据 | stopped |           |
+---------+------+---------------+---------------+----------+---------+-----------+
`
	if out != want {
		t.Errorf("status prints\n%swant\n%s", out, want)
	}
}

func TestStatusShowsEachWarningOnce(t *testing.T) {
	w := instance(t)
	w.fake.snap.Tasks[0].Warnings = []string{"raw rows are not read: the sink is older", "the sink is older"}
	w.fake.snap.Tasks[1].Warnings = []string{"the sink is older"}
	out, _, code := w.run("status")
	if want := "+\nmaple/power: warning: raw rows are not read: the sink is older\nmaple/power and 1 more: warning: the sink is older\n"; code != 0 || !strings.HasSuffix(out, want) {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// TestAReplicaWithoutTasksIsShown has one whose databases cannot be looked for, as
// after a first start with a side that is down, and one that has none yet.
func TestAReplicaWithoutTasksIsShown(t *testing.T) {
	w := instance(t)
	w.fake.snap.Replicas = append(w.fake.snap.Replicas,
		core.Replica{ID: "azure", Source: "http://a:6041", Sink: "http://c:6041", Note: "looking for databases: connection refused", MaxInterruptedS: 300},
		core.Replica{ID: "birch", Source: "http://a:6041", Sink: "http://d:6041", MaxInterruptedS: 300})
	w.fake.snap.Instance.Since = w.fake.snap.At.Add(-299 * time.Second)
	out, _, code := w.run("status", "--check")
	if code != 0 || !strings.Contains(out, "| azure   |    – | http://a:6041 | http://c:6041 | –        | –       | looking for databases: connection refused |") ||
		!strings.Contains(out, "| birch   |    – | http://a:6041 | http://d:6041 | –        | –       | no database yet ") {
		t.Errorf("exit %d\n%s", code, out)
	}
	w.fake.snap.Instance.Since = w.fake.snap.At.Add(-300 * time.Second)
	if _, stderr, code := w.run("status", "--check"); code != 5 || stderr != "error: unhealthy: azure: nothing is replicated: looking for databases: connection refused\n" {
		t.Errorf("after five minutes: exit %d, %q", code, stderr)
	}
}

func TestDiffTellsHowOldItsNumbersAre(t *testing.T) {
	w := instance(t)
	out, _, _ := w.run("diff")
	for _, want := range []string{
		"| replica | database | source        | sink          | vgroup_id | current | latest | diff | measured",
		"| maple   | power    | http://a:6041 | http://b:6041 |         5 |      90 |    120 |   30 | now",
		"| otter   | 电力数据 | http://a:6041 | http://b:6041 |         9 |       5 |      7 |    2 | 1h00m ago, at ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("diff prints\n%swithout %q", out, want)
		}
	}
	out, _, code := w.run("diff", "maple", "nosuchdb")
	if code != 0 || strings.Count(out, "\n") != 3 {
		t.Errorf("an unknown database: exit %d\n%swant an empty table", code, out)
	}
}

func TestDocuments(t *testing.T) {
	w := instance(t)
	w.fake.result = core.Result{ID: "maple", Tasks: []core.TaskResult{{Replica: "maple", Database: "power", Outcome: core.OutcomeStopped}}}
	decode := func(v any, args ...string) {
		t.Helper()
		out, stderr, code := w.run(append(args, "-o", "json")...)
		if code != 0 || json.Unmarshal([]byte(out), v) != nil {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, stderr)
		}
	}
	var snap core.Snapshot
	decode(&snap, "status", "maple")
	if len(snap.Tasks) != 2 || len(snap.Replicas) != 1 || !snap.Instance.Running {
		t.Errorf("status: %+v", snap)
	}
	var diff cli.Diff
	decode(&diff, "diff", "maple", "power")
	if len(diff.Vgroups) != 2 || diff.Vgroups[1].Diff != 30 || diff.Vgroups[1].State != core.Running {
		t.Errorf("diff: %+v", diff)
	}
	for _, args := range [][]string{
		{"start", "-i", "maple"}, {"stop", "maple"}, {"restart", "maple"}, {"remove", "maple"},
		{"update", "maple", "--new-database-checking-interval", "60"},
		{"update", "maple", "--max-bytes-per-second", "5MB"}, {"update", "maple", "--max-bytes-per-second", "0"},
		{"update", "maple", "--workers", "auto"}, {"update", "maple", "--workers", "3"},
	} {
		var res core.Result
		decode(&res, args...)
		if res.ID != "maple" || len(res.Tasks) != 1 {
			t.Errorf("%v: %+v", args, res)
		}
	}
	var v cli.Version
	decode(&v, "version")
	if v != (cli.Version{Version: "1.2.3", Commit: "abc", Go: "go1.26"}) {
		t.Errorf("version: %+v", v)
	}
}

func TestStartPrintsTheIDLast(t *testing.T) {
	w := instance(t)
	w.fake.result = core.Result{
		ID:       "fern",
		Tasks:    []core.TaskResult{{Replica: "fern", Database: "power", Outcome: core.OutcomeCreated}},
		Warnings: []string{"the WAL of power is kept for less than a day"},
	}
	pw := filepath.Join(w.dir, "pw")
	if err := os.WriteFile(pw, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TDREPLICA_SINK_PASSWORD", "from-env")
	out, stderr, code := w.run("start", "-f", "WS://A", "-t", "http://me:geheim@c:6041", "--source-password-file", pw,
		"--new-database-checking-interval", "60", "--no-new-databases", "power,factory", "third")
	if code != 0 || out != "fern/power: created\nfern\n" || stderr != "warning: the WAL of power is kept for less than a day\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out, stderr)
	}
	req := w.fake.asked.(core.StartRequest)
	yes, interval := true, int64(60)
	want := core.StartRequest{
		Source:    core.Endpoint{URL: "http://a:6041", PasswordFile: pw},
		Sink:      core.Endpoint{URL: "http://c:6041", User: "me", Password: "geheim"},
		Databases: []string{"power", "factory", "third"},
		Options:   core.Options{NoNewDatabases: &yes, CheckIntervalS: &interval},
		Actor:     req.Actor,
	}
	if !reflect.DeepEqual(req, want) || req.Actor.Via != "command" {
		t.Errorf("asked for %+v\nwant %+v", req, want)
	}
}

func TestCredentials(t *testing.T) {
	w := instance(t)
	w.fake.result = core.Result{ID: "fern"}
	t.Setenv("TDREPLICA_SOURCE_USER", "anna")
	t.Setenv("TDREPLICA_SOURCE_PASSWORD", "p1")
	t.Setenv("TDREPLICA_SINK_TOKEN", "t1")
	if _, stderr, _ := w.run("start", "-f", "http://x:6041", "-t", "http://y:6041"); stderr != "" {
		t.Errorf("credentials of the environment: %q", stderr)
	}
	req := w.fake.asked.(core.StartRequest)
	if req.Source.User != "anna" || req.Source.Password != "p1" || req.Sink.Token != "t1" {
		t.Errorf("the environment's credentials arrived as %+v, %+v", req.Source, req.Sink)
	}
	open := filepath.Join(w.dir, "open")
	if err := os.WriteFile(open, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := w.run("start", "-f", "http://x", "-t", "http://y", "--sink-password-file", open)
	if code != 1 || !strings.Contains(stderr, "sink: the file "+open+" can be read by everybody") {
		t.Errorf("a password that everybody can read: exit %d, %q", code, stderr)
	}
	for _, secret := range []string{"http://u:hush hush@x", "http://u:hush@x:port", "http://u:hush@x/path", "u:hush@x:6030"} {
		_, stderr, code := w.run("start", "-f", secret, "-t", "http://y")
		if strings.Contains(stderr, "hush") {
			t.Errorf("%s: exit %d shows the password: %q", secret, code, stderr)
		}
	}
}

func TestErrorsOfTheInstanceAreShownWithTheirHints(t *testing.T) {
	w := instance(t)
	w.fake.err = &core.RefusedError{Text: "replica maple is running", Hint: "stop it first, or use --force"}
	out, stderr, code := w.run("remove", "maple")
	if want := "error: replica maple is running\nhint: stop it first, or use --force\n"; code != 1 || stderr != want || out != "" {
		t.Errorf("exit %d, stdout %q, stderr %q, want %q", code, out, stderr, want)
	}
	w.fake.err = &core.UnknownReplicaError{ID: "nosuchid", Known: []string{"maple", "otter"}}
	_, stderr, code = w.run("start", "-i", "nosuchid")
	if want := "error: no replica has the id \"nosuchid\"; known: maple, otter\n"; code != 1 || stderr != want {
		t.Errorf("exit %d, stderr %q, want %q", code, stderr, want)
	}
}

func TestWhatARemovalWouldLeaveIsTold(t *testing.T) {
	w := instance(t)
	w.fake.result = core.Result{ID: "maple", Deleted: []string{"replica maple"}, Warnings: []string{"left at http://a:6041: topic tdr_power"}}
	out, stderr, code := w.run("remove", "maple", "--dry-run")
	if code != 0 || out != "would delete replica maple\nnothing was changed\n" || stderr != "warning: left at http://a:6041: topic tdr_power\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out, stderr)
	}
}

func TestCheck(t *testing.T) {
	w := instance(t)
	w.fake.snap.Tasks[1].State = core.Failed
	w.fake.snap.Tasks[1].Note = "the password is wrong"
	out, stderr, code := w.run("status", "--check")
	if code != 5 || !strings.Contains(stderr, "unhealthy: maple/factory: failed: the password is wrong") || !strings.Contains(out, "| failed") {
		t.Errorf("a failed task: exit %d, %q", code, stderr)
	}
	if _, _, code := w.run("status", "--check", "otter"); code != 0 {
		t.Errorf("another replica: exit %d", code)
	}
}

func TestWaiting(t *testing.T) {
	w := instance(t)
	tasks := []core.TaskResult{{Replica: "maple", Database: "power", Outcome: core.OutcomeRestarted}}
	w.fake.result = core.Result{ID: "maple", Tasks: tasks}
	failed := healthy()
	failed.Tasks[0].State, failed.Tasks[0].Note = core.Failed, "there is a gap"
	w.fake.after = &failed
	if _, stderr, code := w.run("restart", "maple", "--wait"); code != 1 || !strings.Contains(stderr, "maple/power failed: there is a gap") {
		t.Errorf("a task that fails: exit %d, %q", code, stderr)
	}
	starting := healthy()
	starting.Tasks[0].State = core.Starting
	w.fake.after = &starting
	done := make(chan int)
	go func() {
		_, _, code := w.run("start", "-i", "maple", "--wait")
		done <- code
	}()
	select {
	case code := <-done:
		t.Errorf("did not wait: exit %d", code)
	case <-time.After(300 * time.Millisecond):
	}
	w.fake.mu.Lock()
	w.fake.snap = healthy()
	w.fake.mu.Unlock()
	if code := <-done; code != 0 {
		t.Errorf("after the task ran: exit %d", code)
	}
	stopped := healthy()
	stopped.Tasks[0].State, stopped.Tasks[0].Desired = core.Stopped, core.WantStopped
	w.fake.after = &stopped
	if _, stderr, code := w.run("stop", "maple", "power", "--wait"); code != 0 {
		t.Errorf("stop --wait: exit %d, %q", code, stderr)
	}
}

func TestNobodyRuns(t *testing.T) {
	w := nobody(t)
	for _, args := range []string{"stop maple", "restart --all", "remove maple", "update maple --new-database-checking-interval 9"} {
		_, stderr, code := w.run(strings.Fields(args)...)
		if code != 4 || !strings.Contains(stderr, "no instance runs on "+w.dir) || !strings.Contains(stderr, "hint: start one with: tdreplica --no-tui") {
			t.Errorf("%s: exit %d, %q", args, code, stderr)
		}
	}
	if out, stderr, code := w.run("status"); code != 0 || !strings.Contains(out, "| replica") || !strings.Contains(stderr, "no instance runs on") {
		t.Errorf("status without state: exit %d, %q, %q", code, out, stderr)
	}
	st, err := store.Open(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	snap := healthy()
	err = errors.Join(
		st.PutReplica(store.Replica{Replica: snap.Replicas[0]},
			store.Task{Replica: "maple", Database: "power", Number: 1, Desired: core.WantRunning, Last: snap.Tasks[0]}),
		st.Close())
	if err != nil {
		t.Fatal(err)
	}
	out, stderr, code := w.run("status")
	if code != 0 || !strings.Contains(out, "| stopped | no instance runs; it was running |") || !strings.Contains(stderr, "this is what was last known") {
		t.Errorf("status: exit %d, %q\n%s", code, stderr, out)
	}
	if out, _, code := w.run("diff", "maple"); code != 0 || !strings.Contains(out, "(stopped)") {
		t.Errorf("diff: exit %d\n%s", code, out)
	}
	if _, _, code := w.run("status", "--check"); code != 4 {
		t.Errorf("status --check: exit %d, want 4", code)
	}
	if _, stderr, code := w.run("start", "-i", "nosuchid"); code != 1 || !strings.Contains(stderr, `no replica has the id "nosuchid"; known: maple`) {
		t.Errorf("start of an unknown id: exit %d, %q", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "tdreplica.log")); err == nil {
		t.Error("an instance was started for an unknown id")
	}
}

func TestWatchRepeatsUntilTheEnd(t *testing.T) {
	w := instance(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := &lines{want: 3, enough: cancel}
	p := cli.Program{Out: out, Err: os.Stderr}
	code := p.Run(ctx, []string{"--state-dir", w.dir, "status", "--watch", "--interval", "100ms", "-o", "json"})
	if code != 0 || out.n < 3 {
		t.Errorf("exit %d after %d documents", code, out.n)
	}
}

// lines counts writes and says when there were enough.
type lines struct {
	n, want int
	enough  func()
}

func (l *lines) Write(b []byte) (int, error) {
	if l.n++; l.n == l.want {
		l.enough()
	}
	return len(b), nil
}

// full takes nothing, as a file on a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// TestOutputThatIsNotWrittenIsAFailure has every command print to a full disk.
func TestOutputThatIsNotWrittenIsAFailure(t *testing.T) {
	w := instance(t)
	w.fake.result = core.Result{ID: "maple", Tasks: []core.TaskResult{{Replica: "maple", Database: "power", Outcome: core.OutcomeStopped}}}
	w.fake.events = []core.Event{{Seq: 1, Level: core.LevelInfo, Text: "shutdown"}}
	for _, args := range []string{
		"status", "status -o json", "diff", "events", "stop maple", "start -i maple", "version", "--help",
		"check -f http://a -t http://b",
	} {
		var errs strings.Builder
		p := cli.Program{Out: full{}, Err: &errs, Inspect: func(context.Context, *config.Config, core.InspectRequest) ([]core.Candidate, error) { return nil, nil }}
		code := p.Run(t.Context(), append([]string{"--state-dir", w.dir}, strings.Fields(args)...))
		if code != 1 || !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%s: exit %d, %q", args, code, errs.String())
		}
	}
}

func TestCompletion(t *testing.T) {
	w := instance(t)
	endpoints := "[endpoints.site-a]\nurl = \"http://u:hush@td1\"\n[endpoints.site-b]\nurl = \"http://td2\"\n"
	if err := os.WriteFile(os.Getenv("TDREPLICA_CONFIG"), []byte(endpoints), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"status ", "maple\thttp://a:6041 → http://b:6041"},
		{"stop ", "otter"},
		{"stop maple ", "factory\trunning"},
		{"start -i ", "maple"},
		{"start -f http://a -t http://b ", "power"},
		{"start -f ", "site-a\thttp://td1:6041\nsite-b\thttp://td2:6041\n:4"},
		{"check -t ", "site-b"},
		{"events --replica ", "otter"},
		{"repair maple --winner ", "source\n:4"},
		{"update maple --workers ", ":4"},
		{"events --database ", ":4"},
		{"start --source-password-file ", ":0"},
		{"status --state-dir ", ":0"},
	} {
		args := append([]string{"__complete"}, strings.Split(c.args, " ")...)
		if out, _, _ := w.run(args...); !strings.Contains(out, c.want) {
			t.Errorf("completing %q gives %q, want %q", c.args, out, c.want)
		}
	}
	if out, _, code := w.run("completion", "bash"); code != 0 || !strings.Contains(out, "__tdreplica") {
		t.Errorf("completion bash: exit %d", code)
	}
}
