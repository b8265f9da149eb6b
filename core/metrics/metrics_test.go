package metrics

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tdreplica/core"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixed is an instance that always looks the same.
type fixed struct {
	core.Controller
	snapshot *core.Snapshot
	err      error
}

func (f fixed) Snapshot(context.Context) (*core.Snapshot, error) { return f.snapshot, f.err }

func scrape(t *testing.T, ctrl core.Controller) (int, string) {
	t.Helper()
	s, err := Serve("127.0.0.1:0", ctrl)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	res, err := client.Get("http://" + s.Addr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// TestEveryFigureIsDocumented compares what is scraped, of a task of which everything
// is known, with what docs/operations.md names.
func TestEveryFigureIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, body := scrape(t, fixed{snapshot: &core.Snapshot{Tasks: []core.Task{{Vgroups: []core.Vgroup{{ID: 4}}}}}})
	name := regexp.MustCompile(`tdreplica_[a-z_]+`)
	scraped, documented := map[string]bool{}, map[string]bool{}
	for _, n := range name.FindAllString(body, -1) {
		scraped[n] = true
	}
	for _, n := range name.FindAllString(string(text), -1) {
		documented[n] = true
	}
	if !maps.Equal(scraped, documented) {
		t.Errorf("scraped:    %q\ndocumented: %q", slices.Sorted(maps.Keys(scraped)), slices.Sorted(maps.Keys(documented)))
	}
}

func TestScrapeShowsTheSnapshot(t *testing.T) {
	status, body := scrape(t, fixed{snapshot: &core.Snapshot{
		Instance: core.Instance{Name: "site-a", ID: "9f3c", Version: "v1", Since: time.UnixMilli(1700000000500)},
		Tasks: []core.Task{{
			Replica: "maple", Database: `电"力`, Source: "http://a:6041", Sink: "http://b:6041",
			State: core.Running, Diff: 12, LagMS: 1500, QueueBytes: 7, Quarantined: 2,
			Totals:  core.Totals{Messages: 3, Bytes: 400, Rows: core.Unknown, Commits: 2},
			Vgroups: []core.Vgroup{{ID: 4, Current: 100, Committed: core.Unknown, Latest: 112}},
		}},
	}})
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	const task = `{database="电\"力",replica="maple",sink="http://b:6041",source="http://a:6041"`
	for _, want := range []string{
		`tdreplica_instance_info{id="9f3c",name="site-a",version="v1"} 1`,
		`tdreplica_start_time_seconds 1.7000000005e+09`,
		`tdreplica_task_diff_versions` + task + `} 12`,
		`tdreplica_task_lag_seconds` + task + `} 1.5`,
		`tdreplica_task_messages_total` + task + `} 3`,
		`tdreplica_task_quarantined_messages` + task + `} 2`,
		`tdreplica_task_state` + task + `,state="running"} 1`,
		`tdreplica_task_state` + task + `,state="failed"} 0`,
		`tdreplica_vgroup_current_version` + task + `,vgroup_id="4"} 100`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("%s is missing from:\n%s", want, body)
		}
	}
	for _, unknown := range []string{"tdreplica_task_rows_total{", "tdreplica_vgroup_committed_version{"} {
		if strings.Contains(body, unknown) {
			t.Errorf("%s is shown although it is unknown", unknown)
		}
	}
}

func TestScrapeFailsWhenTheInstanceDoes(t *testing.T) {
	if status, body := scrape(t, fixed{err: errors.New("it is stopping")}); status != http.StatusInternalServerError || !strings.Contains(body, "it is stopping") {
		t.Errorf("status %d: %s", status, body)
	}
}

func TestServeNamesAnAddressThatIsTaken(t *testing.T) {
	s, err := Serve("127.0.0.1:0", fixed{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Serve(s.Addr(), fixed{}); err == nil || !strings.Contains(err.Error(), "listen for metrics: listen tcp "+s.Addr()) || !strings.Contains(core.HintOf(err), "metrics.listen") {
		t.Errorf("got %v", err)
	}
}
