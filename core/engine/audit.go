package engine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"tdreplica/core"
	"tdreplica/core/audit"
)

const (
	// auditRest is how long an audit leaves the servers alone after a query, in
	// parts of the query's time.
	auditRest = 0.5
	// settlePoll is how often a task is asked whether it has passed a position.
	settlePoll = 50 * time.Millisecond
)

// auditRun is a verify or a repair, running or over.
type auditRun struct {
	cancel context.CancelFunc

	mu  sync.Mutex
	doc core.Audit
	job *audit.Job // of the database that it is at
	at  int
}

// report is the account so far.
func (r *auditRun) report() *core.Audit {
	r.mu.Lock()
	defer r.mu.Unlock()
	doc := r.doc
	doc.Databases = append([]core.DatabaseAudit{}, r.doc.Databases...)
	if r.job != nil {
		doc.Databases[r.at] = r.job.Report()
	}
	return &doc
}

// brief is what concerns one task.
func (r *auditRun) brief(at int) *core.TaskAudit {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.doc.Databases[at]
	if r.job != nil && r.at == at {
		d = r.job.Report()
	}
	text := string(d.State)
	switch {
	case d.State.Over():
		text = summary(&r.doc, &d)
	case d.Step != "":
		text = d.Step
	}
	return &core.TaskAudit{State: d.State, Text: auditName(&r.doc) + ": " + text}
}

// begin makes a job the one that is reported; end keeps what came out.
func (r *auditRun) begin(at int, j *audit.Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.job = at, j
}

func (r *auditRun) end(at int, doc core.DatabaseAudit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job, r.doc.Databases[at] = nil, doc
}

// Verify begins to compare the sides of a replica.
func (e *Engine) Verify(_ context.Context, req core.VerifyRequest) (*core.Audit, error) {
	return e.beginAudit("verify", core.RepairRequest{VerifyRequest: req})
}

// Repair begins to make the sink equal to the source.
func (e *Engine) Repair(_ context.Context, req core.RepairRequest) (*core.Audit, error) {
	if e.opts.ReadOnly {
		return nil, core.ErrReadOnly
	}
	if req.Winner != "" && req.Winner != "source" {
		return nil, &core.RefusedError{Text: fmt.Sprintf("the winner %q is unknown; allowed: source", req.Winner)}
	}
	return e.beginAudit("repair", req)
}

func (e *Engine) beginAudit(kind string, req core.RepairRequest) (*core.Audit, error) {
	tasks, err := e.targets(core.TargetRequest{ID: req.ID, Databases: req.Databases})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(e.hard)
	run := &auditRun{cancel: cancel, doc: core.Audit{
		Replica: req.ID, Kind: kind, DryRun: req.DryRun, State: core.AuditRunning, Since: e.clock.Now(), Actor: req.Actor,
		Databases: []core.DatabaseAudit{},
	}}
	for _, t := range tasks {
		run.doc.Databases = append(run.doc.Databases, audit.Waiting(t.key.Database))
	}
	e.mu.Lock()
	before, r := e.audits[req.ID], e.replicas[req.ID]
	if refusal := e.refuseAudit(before, r, req.ID); refusal != nil {
		e.mu.Unlock()
		cancel()
		return nil, refusal
	}
	e.audits[req.ID] = run
	for i, t := range tasks {
		t.mu.Lock()
		t.audited, t.auditAt = run, i
		t.mu.Unlock()
	}
	e.wg.Go(func() { e.audit(ctx, run, r, tasks, req) })
	e.mu.Unlock()
	e.event(core.Event{Level: core.LevelInfo, Kind: core.EventCommand, Actor: req.Actor, Replica: req.ID, Text: auditName(&run.doc) + ": started"})
	return run.report(), nil
}

// refuseAudit says why an audit cannot begin; the caller holds e.mu.
func (e *Engine) refuseAudit(before *auditRun, r *replica, id string) error {
	switch {
	case r == nil:
		return e.unknown(id)
	case !e.running:
		return &core.RefusedError{Text: "the instance is stopping"}
	case before != nil && !before.report().State.Over():
		return &core.RefusedError{
			Text: fmt.Sprintf("a %s of %s is running already", before.report().Kind, id),
			Hint: fmt.Sprintf("`verify %s --cancel` ends it", id),
		}
	}
	return nil
}

// Audit tells of the audit of a replica that runs, or ran last.
func (e *Engine) Audit(_ context.Context, id string) (*core.Audit, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.replicas[id] == nil {
		return nil, e.unknown(id)
	}
	if run := e.audits[id]; run != nil {
		return run.report(), nil
	}
	return nil, &core.RefusedError{
		Text: fmt.Sprintf("replica %s was not verified since the instance started", id),
		Hint: fmt.Sprintf("`verify %s` does it", id),
	}
}

// CancelAudit ends the audit of a replica; one that is over stays as it was.
func (e *Engine) CancelAudit(ctx context.Context, req core.TargetRequest) (*core.Audit, error) {
	if _, err := e.Audit(ctx, req.ID); err != nil {
		return nil, err
	}
	e.mu.Lock()
	run := e.audits[req.ID]
	e.mu.Unlock()
	run.cancel()
	return run.report(), nil
}

// audit goes through the databases one after the other.
func (e *Engine) audit(ctx context.Context, run *auditRun, r *replica, tasks []*task, req core.RepairRequest) {
	defer e.endWith(r, run.cancel)()
	worst := core.AuditEqual
	for i, t := range tasks {
		doc := e.auditDatabase(ctx, run, i, t, req)
		run.end(i, doc)
		if whole(&doc) {
			t.filled()
		}
		worst = worse(worst, doc.State)
		e.auditEnded(&run.doc, t, &doc, req)
	}
	run.mu.Lock()
	run.doc.State, run.doc.Until = worst, e.clock.Now()
	run.mu.Unlock()
	e.changed()
}

// whole reports whether the sink has all that the source has. What only the sink
// has may be rows whose deletion was missed: no repair brings them back.
func whole(d *core.DatabaseAudit) bool {
	missing := d.Undecided > 0 || d.State != core.AuditEqual && d.State != core.AuditDifferent
	for kind := range d.Differences {
		missing = missing || kind != core.ExtraRow && kind != core.ExtraTable
	}
	return !missing
}

// worse orders the ways in which an audit can end.
func worse(a, b core.AuditState) core.AuditState {
	for _, s := range []core.AuditState{core.AuditCancelled, core.AuditFailed, core.AuditDifferent} {
		if a == s || b == s {
			return s
		}
	}
	return core.AuditEqual
}

// auditDatabase compares one database, and repairs it if that is asked.
func (e *Engine) auditDatabase(ctx context.Context, run *auditRun, at int, t *task, req core.RepairRequest) (doc core.DatabaseAudit) {
	doc = audit.Waiting(t.key.Database)
	fail := func(err error) core.DatabaseAudit {
		doc.State, doc.Note = core.AuditFailed, explain(err)
		if ctx.Err() != nil {
			doc.State, doc.Note = core.AuditCancelled, ""
		}
		return doc
	}
	defer func() {
		if v := recover(); v != nil {
			doc = fail(t.panicked(v))
		}
	}()
	if ctx.Err() != nil {
		return fail(ctx.Err())
	}
	rec := e.replicaRecord(t.replica)
	source, err := e.side(ctx, rec.SourceEndpoint)
	if err != nil {
		return fail(err)
	}
	defer source.Close()
	sink, err := e.side(ctx, rec.SinkEndpoint)
	if err != nil {
		return fail(err)
	}
	defer sink.Close()
	o := audit.Options{
		Database: t.key.Database, Source: source, Sink: sink, Exact: req.Exact, Rest: auditRest,
		Settle: func(ctx context.Context) error { return e.settled(ctx, t) },
	}
	err = e.beforeAudit(ctx, func() (err error) {
		o.Precision, err = bothPrecision(ctx, t.key.Database, source, sink)
		return err
	})
	if err != nil {
		return fail(err)
	}
	if run.doc.Kind == "repair" {
		if o.Repair, err = e.repairOf(ctx, t, sink, rec.SinkEndpoint, req); err != nil {
			return fail(err)
		}
	}
	// Not before it is clear that the repair may follow.
	if req.Gap && !req.DryRun {
		if err := t.passGap(ctx); err != nil {
			return fail(err)
		}
	}
	j := audit.New(o)
	run.begin(at, j)
	return j.Run(ctx)
}

// auditTries is how often an audit tries what it needs before it can begin: one of
// many databases should not fail because an adapter is just being started again.
const auditTries = 5

func (e *Engine) beforeAudit(ctx context.Context, try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if err == nil || n == auditTries || !core.ClassOf(err).Retryable() {
			return err
		}
		select {
		case <-e.clock.After(e.pause(err, n)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (e *Engine) side(ctx context.Context, ep core.Endpoint) (s audit.Side, err error) {
	err = e.beforeAudit(ctx, func() (err error) {
		s, err = e.connector.Side(ctx, ep)
		return err
	})
	return s, err
}

// bothPrecision is the precision of a database's times, which must be the same
// on both sides.
func bothPrecision(ctx context.Context, name string, source, sink audit.Side) (string, error) {
	var both [2]string
	for i, s := range []audit.Side{source, sink} {
		db, err := s.Database(ctx, name)
		if err != nil {
			return "", err
		}
		if db == nil {
			return "", noDatabase(name, []string{"source", "sink"}[i])
		}
		both[i] = db.Precision
	}
	if both[0] != both[1] {
		return "", &core.RefusedError{Text: fmt.Sprintf("its precision is %s at the source and %s at the sink", both[0], both[1])}
	}
	return both[0], nil
}

// repairOf says how to write, and refuses where it is not clear that the source
// is right: where the sink is the source of somebody, in this instance or not.
func (e *Engine) repairOf(ctx context.Context, t *task, sink audit.Side, ep core.Endpoint, req core.RepairRequest) (*audit.Repair, error) {
	topic, err := sink.Topic(ctx, topicName(t.key.Database))
	if err != nil {
		return nil, err
	}
	if topic != nil && req.Winner == "" && !req.DryRun {
		return nil, &core.RefusedError{
			Text: fmt.Sprintf("database `%s` is replicated from the sink, too: either side may be right where they differ", t.key.Database),
			Hint: "`--winner source` overwrites the sink's rows that differ, `--dry-run` shows what would be done; rows that only the sink has stay unless `--delete-extra` is given",
		}
	}
	v, err := core.ParseVersion(sink.Versions().Server)
	if err != nil {
		return nil, err
	}
	return &audit.Repair{
		DryRun: req.DryRun, DeleteExtra: req.DeleteExtra, Blobs: v.AtLeast(blobRows),
		Open:    func(ctx context.Context) (audit.Writer, error) { return e.connector.Sink(ctx, ep, t.key.Database) },
		Changed: t.sinkChanged,
	}, nil
}

// sinkChanged makes a running pump open its connections to the sink anew.
func (t *task) sinkChanged() {
	t.mu.Lock()
	p := t.pump
	t.mu.Unlock()
	if p != nil {
		p.mended.changed()
	}
	t.bySQL()
}

// auditEnded makes the result known.
func (e *Engine) auditEnded(run *core.Audit, t *task, doc *core.DatabaseAudit, req core.RepairRequest) {
	level := core.LevelInfo
	if doc.State != core.AuditEqual {
		level = core.LevelWarn
	}
	e.event(core.Event{
		Level: level, Kind: core.EventCommand, Actor: req.Actor, Replica: t.key.Replica, Database: t.key.Database,
		Text: auditName(run) + ": " + summary(run, doc),
	})
}

// auditName is what events call an audit.
func auditName(run *core.Audit) string {
	if run.DryRun {
		return "repair, dry run"
	}
	return run.Kind
}

// summary tells in one line how an audit of a database ended.
func summary(run *core.Audit, doc *core.DatabaseAudit) string {
	parts := []string{string(doc.State)}
	if doc.Note != "" {
		return string(doc.State) + ": " + doc.Note
	}
	parts = append(parts, fmt.Sprintf("tables compared: %d; rows compared: %d", doc.Tables, doc.Rows))
	for _, k := range core.DifferenceKinds() {
		if n := doc.Differences[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", k.Words(), n))
		}
	}
	if doc.Undecided > 0 {
		parts = append(parts, fmt.Sprintf("undecided rows: %d", doc.Undecided))
	}
	switch {
	case run.DryRun:
		parts = append(parts, fmt.Sprintf("rows to write: %d; rows to delete: %d; other changes: %d", doc.Written, doc.Deleted, len(doc.Changes)))
	case run.Kind == "repair":
		parts = append(parts, fmt.Sprintf("rows written: %d; rows deleted: %d; other changes: %d", doc.Written, doc.Deleted, len(doc.Changes)))
	}
	return strings.Join(parts, "; ")
}

// settled returns when what was written at either side has been applied at the
// other, as far as this instance brings it there.
func (e *Engine) settled(ctx context.Context, t *task) error {
	if err := t.passed(ctx); err != nil {
		return err
	}
	rec := e.replicaRecord(t.replica)
	e.mu.Lock()
	var back *task
	for _, r := range e.replicas {
		if r.rec.Source == rec.Sink && r.rec.Sink == rec.Source {
			back = r.tasks[t.key.Database]
		}
	}
	e.mu.Unlock()
	if back == nil {
		return nil
	}
	return back.passed(ctx)
}

// passed waits until the task has applied everything that was in the source's
// WAL at the time of the call. A task that does not run moves nothing: then
// there is nothing to wait for. One that is interrupted is waited for.
func (t *task) passed(ctx context.Context) error {
	asked := t.e.clock.Now()
	var ends map[int32]int64
	for {
		t.mu.Lock()
		live, p := t.state.Live(), t.pump
		t.mu.Unlock()
		if !live {
			return ctx.Err()
		}
		if ends == nil {
			ends = t.meter.endsSince(asked)
		}
		if ends != nil && t.meter.hasPassed(ends) {
			return nil
		}
		if p != nil {
			p.hurry.Store(t.e.clock.Now().UnixNano())
		}
		select {
		case <-t.e.clock.After(settlePoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
