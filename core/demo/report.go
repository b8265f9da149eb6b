package demo

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tdreplica/core"
)

// samplePause is how often the lag is looked at. Snapshots are not made more
// often.
const samplePause = 250 * time.Millisecond

// lagWatch keeps the highest lag that was seen, in milliseconds.
type lagWatch struct{ highest atomic.Int64 }

func (l *lagWatch) see(s *core.Snapshot) {
	for i := range s.Tasks {
		for lag := s.Tasks[i].LagMS; ; {
			high := l.highest.Load()
			if lag <= high || l.highest.CompareAndSwap(high, lag) {
				break
			}
		}
	}
}

// figures are the sums over the writers and over a snapshot's tasks.
type figures struct {
	written, deleted, ddl int64
	messages, bytes       int64
	messageRate, byteRate float64
	diff, lag             int64
	states                map[core.State]int
}

func (d *Demo) figures(s *core.Snapshot) figures {
	f := figures{states: map[core.State]int{}}
	for _, w := range d.writers {
		f.written += w.rows.Load()
		f.deleted += w.deleted.Load()
		f.ddl += w.ddl.Load()
	}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		f.messages += t.Totals.Messages
		f.bytes += t.Totals.Bytes
		f.messageRate += t.Rate.Messages
		f.byteRate += t.Rate.Bytes
		f.diff += max(t.Diff, 0)
		f.lag = max(f.lag, t.LagMS)
		f.states[t.State]++
	}
	return f
}

// watch prints a status line every second until the time is up, ctx ends, or
// something fails.
func (d *Demo) watch(ctx context.Context, duration time.Duration, out io.Writer) error {
	d.watched = true
	var end <-chan time.Time
	if duration > 0 {
		timer := time.NewTimer(duration)
		defer timer.Stop()
		end = timer.C
	}
	sample := time.NewTicker(samplePause)
	defer sample.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-end:
			return nil
		case <-d.Done():
			return nil
		case err := <-d.failed:
			return err
		case <-sample.C:
		}
		s, err := d.engine.Snapshot(context.WithoutCancel(ctx))
		if err != nil {
			return fmt.Errorf("look at the instance: %w", err)
		}
		d.peak.see(s)
		if n%int(time.Second/samplePause) == 0 {
			fmt.Fprintln(out, d.statusLine(s))
		}
	}
}

func (d *Demo) statusLine(s *core.Snapshot) string {
	f := d.figures(s)
	var states []string
	for _, state := range core.States() {
		if n := f.states[state]; n > 0 {
			states = append(states, fmt.Sprintf("%d %s", n, state))
		}
	}
	return fmt.Sprintf("%4.0fs  %9s rows written  %9s messages  %6.0f/s  %6.2f MB/s  diff %5s  lag %5d ms  tasks: %s",
		time.Since(d.started).Seconds(), grouped(f.written), grouped(f.messages), f.messageRate,
		f.byteRate/1e6, grouped(f.diff), f.lag, strings.Join(states, ", "))
}

// Finish stops the writers, waits until both sides are level, compares them
// row by row and prints the figures. It returns an *UnequalError if they differ.
// The instance goes on until Close.
func (d *Demo) Finish(ctx context.Context, out io.Writer) error {
	d.stopWriters()
	d.writing.Wait()
	select {
	case err := <-d.failed:
		return err
	default:
	}
	stopped := time.Now()
	fmt.Fprintln(out, "the writers have stopped; waiting until both sides are level")
	ctx, cancel := context.WithTimeout(ctx, levelTimeout)
	defer cancel()
	s, err := d.waitLevel(ctx, stopped)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "level after %.1f s\n", time.Since(stopped).Seconds())
	held, err := compare(ctx, d.sides)
	f := d.figures(s)
	fmt.Fprintf(out, "\nrows written   %s, of which %s were deleted again; %s changes of definitions\n",
		grouped(f.written), grouped(f.deleted), grouped(f.ddl))
	for i, side := range d.sides {
		fmt.Fprintf(out, "rows at %-6s %s in %d tables\n", side.name, grouped(held[i].rows), held[i].tables)
	}
	fmt.Fprintf(out, "messages       %s, %.1f MB\n", grouped(f.messages), float64(f.bytes)/1e6)
	if d.watched {
		fmt.Fprintf(out, "peak lag       %d ms\n", d.peak.highest.Load())
	}
	if err != nil {
		return err
	}
	if want := f.written - f.deleted; held[0].rows != want {
		return &UnequalError{Differences: []string{fmt.Sprintf("the writers left %d rows, both sides hold %d", want, held[0].rows)}}
	}
	fmt.Fprintln(out, "both sides are equal, row by row")
	return nil
}

// waitLevel waits until every task has a diff of 0 that was measured after the
// writers had stopped.
func (d *Demo) waitLevel(ctx context.Context, stopped time.Time) (*core.Snapshot, error) {
	tick := time.NewTicker(samplePause)
	defer tick.Stop()
	for {
		s, err := d.engine.Snapshot(ctx)
		if err != nil {
			return nil, fmt.Errorf("look at the instance: %w", err)
		}
		d.peak.see(s)
		behind, err := unlevel(s, stopped)
		if err != nil || behind == "" {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("both sides were not level after %v: %s", levelTimeout, behind)
		case err := <-d.failed:
			return nil, err
		case <-tick.C:
		}
	}
}

// ChangedError tells that somebody stopped, added or removed tasks of the demo:
// its two sides are not meant to be equal any more.
type ChangedError struct{ Text string }

func (e *ChangedError) Error() string { return "the two sides are not compared: " + e.Text }

// unlevel names a task that is not level, or "". A failed task is an error, and
// so is one that nobody wants to run.
func unlevel(s *core.Snapshot, stopped time.Time) (string, error) {
	behind := ""
	if n := len(siteNames) * len(databases); len(s.Tasks) != n {
		return "", &ChangedError{Text: fmt.Sprintf("there are %d tasks and not %d", len(s.Tasks), n)}
	}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if t.Desired != core.WantRunning {
			return "", &ChangedError{Text: fmt.Sprintf("task %s was stopped", t.Key())}
		}
		if t.State == core.Failed {
			return "", fmt.Errorf("task %s failed: %s", t.Key(), t.Note)
		}
		if t.State != core.Running || t.Diff != 0 || !t.MeasuredAt.After(stopped) {
			behind = fmt.Sprintf("task %s is %s with diff %d %s", t.Key(), t.State, t.Diff, t.Note)
		}
	}
	return behind, nil
}

// grouped writes a number with commas between the thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
