package engine

import (
	"context"
	"fmt"
	"time"

	"tdreplica/core"
)

// groupPatience is how long a group is given to notice that its consumers left.
const groupPatience = 15 * time.Second

// Remove deletes a replica: here, and what it left at the source. Rows at the
// sink stay. If the source cannot be reached, force removes it here anyway and
// says what is left there.
func (e *Engine) Remove(ctx context.Context, req core.RemoveRequest) (_ *core.Result, err error) {
	if !req.DryRun {
		defer func() { e.failed("remove", req.ID, req.Actor, err) }()
	}
	if e.opts.ReadOnly {
		return nil, core.ErrReadOnly
	}
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	r, err := e.find(req.ID)
	if err != nil {
		return nil, err
	}
	tasks, err := e.targets(core.TargetRequest{ID: req.ID})
	if err != nil {
		return nil, err
	}
	waiting := 0
	for _, t := range tasks {
		waiting += e.store.QuarantinedOf(t.key)
	}
	if !req.Force && !req.DryRun {
		if err := removable(req.ID, tasks, waiting); err != nil {
			return nil, err
		}
	}
	res := &core.Result{ID: req.ID, DryRun: req.DryRun, Tasks: []core.TaskResult{}}
	for _, t := range tasks {
		res.Tasks = append(res.Tasks, core.TaskResult{Replica: req.ID, Database: t.key.Database, Outcome: core.OutcomeRemoved})
	}
	if !req.DryRun {
		e.endTasks(tasks)
		if ctx.Err() != nil {
			e.revive(r, tasks)
			return nil, fmt.Errorf("wait for the tasks of %s to stop: %w", req.ID, ctx.Err())
		}
	}
	if err := e.cleanSource(ctx, r, tasks, req, res); err != nil {
		return nil, err
	}
	res.Deleted = append(res.Deleted, fmt.Sprintf("replica %s in this instance, with its tasks (%d)", req.ID, len(tasks)))
	if waiting > 0 {
		res.Deleted = append(res.Deleted, fmt.Sprintf("messages in quarantine, which never reached %s: %d", r.rec.Sink, waiting))
	}
	res.Kept = append(res.Kept, "all rows at "+r.rec.Sink)
	if req.DryRun {
		return res, nil
	}
	if err := e.forget(r); err != nil {
		return nil, err
	}
	e.event(core.Event{Level: core.LevelWarn, Kind: core.EventCommand, Actor: req.Actor, Replica: req.ID, Text: "remove: removed"})
	return res, nil
}

// removable refuses what only --force may do: to remove a replica with messages
// waiting in quarantine, or with a task that works.
func removable(id string, tasks []*task, waiting int) error {
	if waiting > 0 {
		return &core.RefusedError{
			Text: fmt.Sprintf("messages of %s in quarantine: %d; they would be lost", id, waiting),
			Hint: "see `quarantine list`; replay or discard them, or delete them with `remove --force`",
		}
	}
	for _, t := range tasks {
		state := t.current()
		if state == core.Stopping {
			return &core.RefusedError{
				Text: fmt.Sprintf("%s has not stopped yet: it writes what it has read", t.key),
				Hint: fmt.Sprintf("try again when `status` shows it stopped, or `remove %s --force`", id),
			}
		}
		if state.Live() {
			return &core.RefusedError{
				Text: fmt.Sprintf("%s is %s: stop it first, or use --force", t.key, state),
				Hint: fmt.Sprintf("`stop %s`, or `remove %s --force`", id, id),
			}
		}
	}
	return nil
}

// forget deletes a replica whose tasks have ended.
func (e *Engine) forget(r *replica) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	if err := e.store.DeleteReplica(r.rec.ID); err != nil {
		return err
	}
	e.mu.Lock()
	delete(e.replicas, r.rec.ID)
	delete(e.audits, r.rec.ID)
	for name := range r.tasks {
		e.crossings.leave(r.rec.Source, r.rec.Sink, name)
	}
	e.mu.Unlock()
	close(r.gone)
	return e.store.DiscardReplica(r.rec.ID)
}

// endTasks stops supervisors for good and waits for them, which takes little more
// than the configured time to stop at the most: a task that has not ended cannot be
// given back. One that was never supervised has nothing to end.
func (e *Engine) endTasks(tasks []*task) {
	for _, t := range tasks {
		t.want(func(i *intent) { i.remove = true })
	}
	for _, t := range tasks {
		e.mu.Lock()
		supervised := t.supervised
		e.mu.Unlock()
		if supervised {
			<-t.ended
		}
	}
}

// cleanSource drops the groups and, where nobody else reads them, the topics.
func (e *Engine) cleanSource(ctx context.Context, r *replica, tasks []*task, req core.RemoveRequest, res *core.Result) error {
	rec := e.replicaRecord(r)
	limited, cancel := context.WithTimeout(ctx, checkTimeout)
	source, err := e.connector.Catalog(limited, rec.SourceEndpoint)
	cancel()
	if err == nil {
		defer source.Close()
	}
	for _, t := range tasks {
		topic, group := topicName(t.key.Database), t.group()
		terr := err
		if terr == nil {
			terr = e.dropHold(ctx, source, rec.Source, t, req, res)
		}
		if terr == nil {
			terr = e.cleanTask(ctx, source, rec.Source, topic, group, rec.GroupName != "", req.DryRun, res)
		}
		switch {
		case terr == nil:
		case req.Force || req.DryRun:
			res.Warnings = append(res.Warnings, fmt.Sprintf("left at %s: consumer group %s and topic %s (%v)", rec.Source, group, topic, terr))
		default:
			e.revive(r, tasks)
			return fmt.Errorf("clean up at the source (--force removes the replica here all the same): %w", terr)
		}
	}
	return nil
}

// group is the consumer group that the task was in last; before its first
// start the one that would be its own.
func (t *task) group() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rec.Group != "" {
		return t.rec.Group
	}
	return groupName(t.e.store.InstanceID(), t.key)
}

// revive takes back the end of tasks whose removal failed half-way, or was given
// up: they are there again, stopped.
func (e *Engine) revive(r *replica, tasks []*task) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range tasks {
		rec := t.keep(e.clock.Now())
		rec.Desired = core.WantStopped
		r.tasks[t.key.Database] = newTask(e, r, rec)
	}
	e.supervise(r)
}

func (e *Engine) cleanTask(ctx context.Context, source Catalog, at, topic, group string, shared, dry bool, res *core.Result) error {
	ctx, cancel := context.WithTimeout(ctx, 2*groupPatience)
	defer cancel()
	found, err := source.Topic(ctx, topic)
	if err != nil || found == nil {
		return err
	}
	subs, err := source.Subscriptions(ctx, topic)
	if err != nil {
		return err
	}
	other, groups := "", []string{group}
	for _, s := range subs {
		switch {
		case s.Group == scoutGroup(group):
			groups = []string{s.Group, group}
		case s.Group != group:
			other = s.Group
		case shared && s.Consumer != "":
			res.Kept = append(res.Kept, fmt.Sprintf("consumer group %s at %s: other instances share it", group, at))
			return nil
		}
	}
	for _, g := range groups {
		if !dry {
			if err := e.patiently(ctx, func() error { return source.DropGroup(ctx, topic, g) }); err != nil {
				return err
			}
		}
		res.Deleted = append(res.Deleted, fmt.Sprintf("consumer group %s with its offsets at %s", g, at))
	}
	if other != "" {
		res.Kept = append(res.Kept, fmt.Sprintf("topic %s at %s: the consumer group %s reads it too", topic, at, other))
		return nil
	}
	if !dry {
		if err := e.patiently(ctx, func() error { return source.DropTopic(ctx, topic) }); err != nil {
			return err
		}
	}
	res.Deleted = append(res.Deleted, fmt.Sprintf("topic %s at %s", topic, at))
	return nil
}

// patiently repeats a drop while the server still counts consumers that have
// just left.
func (e *Engine) patiently(ctx context.Context, drop func() error) error {
	deadline := e.clock.Now().Add(groupPatience)
	for {
		err := drop()
		if err == nil || !core.ClassOf(err).Retryable() && core.ClassOf(err) != core.ClassDone || e.clock.Now().After(deadline) {
			return err
		}
		select {
		case <-e.clock.After(time.Second):
		case <-ctx.Done():
			return err
		}
	}
}
