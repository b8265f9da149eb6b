package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tdreplica/core"
)

const (
	// maxRounds is how often what differed is looked at again. A row that is
	// updated all the time is undecided after as many.
	maxRounds = 4
	// maxRepairs is how often a repair writes and looks whether it was enough: a
	// row that replication brought at the same time may be newer than what was
	// written over it.
	maxRepairs = 3
	// maxTries is how often a request is made to an endpoint that is away: for a
	// minute and a half.
	maxTries = 24
)

// Options are what a Job is made of.
type Options struct {
	Database     string
	Source, Sink Side
	Precision    string // of the database: ms, us or ns
	Exact        bool   // read every row
	// Settle returns when everything that was written before the call has gone to
	// the other side, as far as it is ours to bring it there. Nil means that
	// nothing is on its way.
	Settle func(ctx context.Context) error
	// Rest is how much of the time of a query is waited before the next one, so
	// that the servers have time for others: 0.5 is half as long again.
	Rest   float64
	Repair *Repair // nil: only compare
}

// Repair says how to write.
type Repair struct {
	DryRun      bool
	DeleteExtra bool
	// Open connects to the sink.
	Open func(ctx context.Context) (Writer, error)
	// Blobs reports whether the sink takes values of type BLOB.
	Blobs bool
	// Changed is called after a table of the sink was made or changed.
	Changed func()
}

// Job compares one database, and repairs it if that is asked. It is used once.
type Job struct {
	opts   Options
	sides  [2]Side // source, sink
	writer Writer  // opened with the first write
	page   int     // rows of a table that are read at once
	// scanned are the columns that the rows of a table have been compared by; what
	// is not there was not compared.
	scanned map[string]map[string]bool

	mu  sync.Mutex
	doc core.DatabaseAudit
}

// New prepares a job.
func New(o Options) *Job {
	return &Job{opts: o, sides: [2]Side{o.Source, o.Sink}, page: pageRows, scanned: map[string]map[string]bool{}, doc: Waiting(o.Database)}
}

// Waiting is the account of a database whose turn has not come.
func Waiting(database string) core.DatabaseAudit {
	return core.DatabaseAudit{
		Database: database, State: core.AuditWaiting,
		Differences: map[core.DifferenceKind]int64{}, Examples: []core.Difference{}, Changes: []string{},
	}
}

// Report is the account so far. It may be called at any time.
func (j *Job) Report() core.DatabaseAudit {
	j.mu.Lock()
	defer j.mu.Unlock()
	doc := j.doc
	doc.Differences = maps.Clone(doc.Differences)
	doc.Examples, doc.Changes = slices.Clone(doc.Examples), slices.Clone(doc.Changes)
	return doc
}

// update changes the account.
func (j *Job) update(f func(d *core.DatabaseAudit)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.doc)
}

func (j *Job) step(format string, args ...any) {
	j.update(func(d *core.DatabaseAudit) { d.Step = fmt.Sprintf(format, args...) })
}

// Run does it, and returns the account, which holds what went wrong, too.
func (j *Job) Run(ctx context.Context) core.DatabaseAudit {
	j.update(func(d *core.DatabaseAudit) { d.State = core.AuditRunning })
	f, err := j.run(ctx)
	if j.writer != nil {
		j.writer.Close()
	}
	j.update(func(d *core.DatabaseAudit) {
		d.Step = ""
		if f != nil {
			f.tell(d)
		}
		switch {
		case err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
			d.State = core.AuditCancelled
		case err != nil:
			d.State, d.Note = core.AuditFailed, err.Error()
			if hint := core.HintOf(err); hint != "" {
				d.Note += "; " + hint
			}
		case len(d.Differences) > 0 || d.Undecided > 0:
			d.State = core.AuditDifferent
		default:
			d.State = core.AuditEqual
		}
	})
	return j.Report()
}

func (j *Job) run(ctx context.Context) (*findings, error) {
	suspects, err := j.scanAll(ctx)
	if err != nil {
		return nil, err
	}
	found, suspects, err := j.decide(ctx, suspects)
	for n := 0; err == nil && j.opts.Repair != nil && !found.clean() && n < maxRepairs; n++ {
		if err = j.repair(ctx, found, suspects); err != nil || j.opts.Repair.DryRun {
			break
		}
		found, suspects, err = j.decide(ctx, suspects)
	}
	return found, err
}

// decide looks again at what differed until it stays the same, and returns what
// is left with the windows that it is in.
func (j *Job) decide(ctx context.Context, suspects []suspect) (*findings, []suspect, error) {
	var before *findings
	for round := 1; ; round++ {
		if j.opts.Settle != nil {
			j.step("wait until replication has passed what was there at the last look")
			if err := j.opts.Settle(ctx); err != nil {
				return nil, nil, err
			}
		}
		j.update(func(d *core.DatabaseAudit) { d.Rounds++ })
		f := newFindings(before)
		s, err := j.structure(ctx)
		if err != nil {
			return nil, nil, err
		}
		f.structure = s
		if suspects, err = j.scanNew(ctx, s, suspects); err != nil {
			return nil, nil, err
		}
		if suspects, err = j.look(ctx, suspects, f); err != nil {
			return nil, nil, err
		}
		if f.clean() || j.opts.Settle == nil || round > 1 && f.stable() || round == maxRounds {
			return f, suspects, nil
		}
		before = f
	}
}

// insist asks again, after growing pauses, while an endpoint is away: an audit of
// hours need not begin anew because an adapter was restarted.
func insist(ctx context.Context, f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == maxTries || errors.Is(err, ErrTooLong) || !core.ClassOf(err).Retryable() {
			return err
		}
		if err := core.Pause(ctx, min(time.Duration(try)*500*time.Millisecond, 5*time.Second)); err != nil {
			return err
		}
	}
}

// ask runs one query at each side, at the same time, and rests afterwards.
func ask[T any](ctx context.Context, j *Job, f func(s Side) (T, error)) (out [2]T, took time.Duration, err error) {
	began := time.Now()
	var errs [2]error
	var wg sync.WaitGroup
	for i, s := range j.sides {
		wg.Go(func() {
			errs[i] = insist(ctx, func() (err error) { out[i], err = f(s); return err })
		})
	}
	wg.Wait()
	took = time.Since(began)
	if err := oneOf(errs); err != nil {
		return out, took, err
	}
	return out, took, core.Pause(ctx, time.Duration(j.opts.Rest*float64(took)))
}

// oneOf is the error of a side, with its name.
func oneOf(errs [2]error) error {
	for i, which := range []string{"source", "sink"} {
		if errs[i] != nil {
			return fmt.Errorf("at the %s: %w", which, errs[i])
		}
	}
	return nil
}
