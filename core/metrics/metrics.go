// Package metrics answers Prometheus: the figures of an instance's snapshot at
// the moment it is asked.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tdreplica/core"
)

const (
	// scrapeTime is how long a snapshot may take.
	scrapeTime = 5 * time.Second
	// closeTime is how long scrapes in flight may take when the server closes.
	closeTime = time.Second
)

// Handler answers with the figures of ctrl. It asks nothing of the endpoints
// and changes nothing.
func Handler(ctrl core.Controller) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{ctrl})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// Server answers GET /metrics.
type Server struct {
	http     *http.Server
	listener net.Listener
	done     chan error
}

// Serve listens on address (host:port; port 0 is a free one) until Close.
func Serve(address string, ctrl core.Controller) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &core.RefusedError{
			Text: fmt.Sprintf("listen for metrics: %v", err),
			Hint: "metrics.listen in the configuration says where; another process may have that port",
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", Handler(ctrl))
	s := &Server{
		http:     &http.Server{Handler: mux, ReadHeaderTimeout: scrapeTime, WriteTimeout: 2 * scrapeTime, IdleTimeout: time.Minute},
		listener: l,
		done:     make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends the server and waits for it.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // a scrape that did not end in time is cut off
	}
	if err := <-s.done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// The figures. Times are in seconds, sizes in bytes, positions in WAL versions.
var (
	labelsTask   = []string{"replica", "database", "source", "sink"}
	labelsVgroup = append(append([]string(nil), labelsTask...), "vgroup_id")

	instanceInfo = describe("instance_info", "Always 1; the labels tell which instance this is.", "name", "id", "version")
	startTime    = describe("start_time_seconds", "When the instance started, in Unix time.")

	taskState    = describe("task_state", "1 for the state that the task is in, 0 for the others.", append(append([]string(nil), labelsTask...), "state")...)
	taskDiff     = describe("task_diff_versions", "WAL versions that are not applied yet, over all vgroups.", labelsTask...)
	taskLag      = describe("task_lag_seconds", "Age of the oldest message that is not applied yet.", labelsTask...)
	taskQueue    = describe("task_queue_bytes", "Messages held between reading and writing.", labelsTask...)
	taskMessages = describe("task_messages_total", "Messages applied since the instance started.", labelsTask...)
	taskBytes    = describe("task_bytes_total", "Bytes of messages applied since the instance started.", labelsTask...)
	taskRows     = describe("task_rows_total", "Rows applied since the instance started, where they are counted.", labelsTask...)
	taskDDL      = describe("task_ddl_total", "Changes of definitions applied since the instance started.", labelsTask...)
	taskRetries  = describe("task_retries_total", "Tries after a failure since the instance started.", labelsTask...)
	taskPoisoned = describe("task_quarantined_messages", "Messages that the sink refused and that wait in quarantine.", labelsTask...)
	taskConflict = describe("task_conflict_rows_total", "Rows read since the instance started that the other side had written too.", labelsTask...)
	taskUnknown  = describe("task_unchecked_rows_total", "Rows read since the instance started that could not be checked for conflicts.", labelsTask...)
	taskHeld     = describe("task_wal_held_seconds", "For how long the WAL that the source keeps for the task waits for a commit.", labelsTask...)
	taskCommits  = describe("task_commits_total", "Offsets committed at the source since the instance started.", labelsTask...)

	vgroupCurrent   = describe("vgroup_current_version", "The next WAL version to apply.", labelsVgroup...)
	vgroupCommitted = describe("vgroup_committed_version", "The offset stored at the source.", labelsVgroup...)
	vgroupLatest    = describe("vgroup_latest_version", "The end of the WAL, exclusive.", labelsVgroup...)
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tdreplica_"+name, help, labels, nil)
}

// collector turns one snapshot into figures. What is unknown is left out:
// nobody should draw -1.
type collector struct{ ctrl core.Controller }

// Describe sends nothing: the figures depend on the snapshot.
func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	s, err := c.ctrl.Snapshot(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(instanceInfo, fmt.Errorf("look at the instance: %w", err))
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(instanceInfo, 1, s.Instance.Name, s.Instance.ID, s.Instance.Version)
	gauge(startTime, float64(s.Instance.Since.UnixMilli())/1000)
	for i := range s.Tasks {
		collectTask(out, &s.Tasks[i])
	}
}

func collectTask(out chan<- prometheus.Metric, t *core.Task) {
	labels := []string{t.Replica, t.Database, t.Source, t.Sink}
	with := func(more string) []string { return append(append([]string(nil), labels...), more) }
	known := func(d *prometheus.Desc, kind prometheus.ValueType, v int64, unit float64, labels []string) {
		if v != core.Unknown {
			out <- prometheus.MustNewConstMetric(d, kind, float64(v)*unit, labels...)
		}
	}
	for _, state := range core.States() {
		in := int64(0)
		if t.State == state {
			in = 1
		}
		known(taskState, prometheus.GaugeValue, in, 1, with(string(state)))
	}
	known(taskDiff, prometheus.GaugeValue, t.Diff, 1, labels)
	known(taskLag, prometheus.GaugeValue, t.LagMS, 1e-3, labels)
	known(taskQueue, prometheus.GaugeValue, t.QueueBytes, 1, labels)
	known(taskPoisoned, prometheus.GaugeValue, int64(t.Quarantined), 1, labels)
	known(taskHeld, prometheus.GaugeValue, t.WALHeldMS, 1e-3, labels)
	known(taskConflict, prometheus.CounterValue, t.Conflicts.Rows, 1, labels)
	known(taskUnknown, prometheus.CounterValue, t.Conflicts.Unchecked, 1, labels)
	known(taskMessages, prometheus.CounterValue, t.Totals.Messages, 1, labels)
	known(taskBytes, prometheus.CounterValue, t.Totals.Bytes, 1, labels)
	known(taskRows, prometheus.CounterValue, t.Totals.Rows, 1, labels)
	known(taskDDL, prometheus.CounterValue, t.Totals.DDL, 1, labels)
	known(taskRetries, prometheus.CounterValue, t.Totals.Retries, 1, labels)
	known(taskCommits, prometheus.CounterValue, t.Totals.Commits, 1, labels)
	for _, v := range t.Vgroups {
		labels := with(strconv.Itoa(int(v.ID)))
		known(vgroupCurrent, prometheus.GaugeValue, v.Current, 1, labels)
		known(vgroupCommitted, prometheus.GaugeValue, v.Committed, 1, labels)
		known(vgroupLatest, prometheus.GaugeValue, v.Latest, 1, labels)
	}
}
