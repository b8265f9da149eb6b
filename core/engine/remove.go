package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tdreplica/core"
)

// Remove implements core.Controller. It waits until every task has ended and
// what can be deleted at the source is deleted.
func (e *Engine) Remove(ctx context.Context, req core.RemoveRequest) (*core.Result, error) {
	if e.opts.ReadOnly && !req.DryRun {
		return nil, core.ErrReadOnly
	}
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	r, err := e.replica(req.ID)
	if err != nil {
		return nil, err
	}
	tasks := e.tasksOf(r, nil)
	if !req.Force && !req.DryRun {
		if err := refuseLive(req.ID, tasks); err != nil {
			return nil, err
		}
	}
	e.mu.Lock()
	endpoint, source, sink := r.rec.SourceEndpoint, r.rec.Source, r.rec.Sink
	e.mu.Unlock()
	cat, err := e.connector.Catalog(ctx, endpoint)
	if err != nil && !req.Force && !req.DryRun {
		return nil, fmt.Errorf("delete the consumer groups of %s: %w", req.ID, err)
	}
	res := &core.Result{ID: req.ID, Tasks: []core.TaskResult{}}
	if !req.DryRun {
		e.end(tasks)
	}
	switch {
	case err != nil:
		res.Warnings = append(res.Warnings, fmt.Sprintf("%v; consumer groups and topics are left there: %s", err, leftovers(tasks)))
	default:
		defer cat.Close()
		for _, t := range tasks {
			e.clear(ctx, cat, source, r, t, req.DryRun, res)
		}
	}
	res.Deleted = append(res.Deleted, "its offsets and history in this instance")
	res.Kept = append(res.Kept, "rows and tables already written at "+sink)
	if req.DryRun {
		return res, nil
	}
	for _, t := range tasks {
		res.Tasks = append(res.Tasks, core.TaskResult{Replica: req.ID, Database: t.key.Database, Outcome: core.OutcomeRemoved})
	}
	if err := e.forget(r); err != nil {
		return nil, err
	}
	e.command(req.Actor, req.ID, "", "remove: deleted "+strings.Join(res.Deleted, "; "))
	return res, nil
}

func refuseLive(id string, tasks []*task) error {
	for _, t := range tasks {
		if s := t.current(); s != core.Stopped && s != core.Failed {
			return &core.RefusedError{
				Text: fmt.Sprintf("replica %s is %s (database `%s`): stop it first, or use --force", id, s, t.key.Database),
			}
		}
	}
	return nil
}

// end stops tasks for good and waits for them; a supervisor bounds its own stop.
func (e *Engine) end(tasks []*task) {
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

// clear deletes what one task has at the source: its consumer group, and the
// topic if nobody else reads it. Failures are told as warnings: the replica
// goes all the same.
func (e *Engine) clear(ctx context.Context, cat Catalog, source string, r *replica, t *task, dry bool, res *core.Result) {
	topic, group := t.rec.Topic, t.rec.Group
	there, err := cat.Topic(ctx, topic)
	if err == nil && there == nil {
		return
	}
	var readers []string
	if err == nil {
		readers, err = e.readers(ctx, cat, source, r, t)
	}
	if err == nil && !dry {
		err = cat.DropGroup(ctx, topic, group)
	}
	if err != nil {
		res.Warnings = append(res.Warnings, fmt.Sprintf("consumer group %s and topic %s are left at %s: %v", group, topic, source, err))
		return
	}
	res.Deleted = append(res.Deleted, fmt.Sprintf("consumer group %s at %s", group, source))
	if len(readers) > 0 {
		res.Kept = append(res.Kept, fmt.Sprintf("topic %s at %s, which %s reads", topic, source, strings.Join(readers, ", ")))
		return
	}
	if !dry {
		if err := cat.DropTopic(ctx, topic); err != nil {
			res.Warnings = append(res.Warnings, fmt.Sprintf("topic %s is left at %s: %v", topic, source, err))
			return
		}
	}
	res.Deleted = append(res.Deleted, fmt.Sprintf("topic %s at %s", topic, source))
}

// readers lists who else uses a task's topic: groups that the server knows, and
// replicas of this instance that have not subscribed yet.
func (e *Engine) readers(ctx context.Context, cat Catalog, source string, r *replica, t *task) ([]string, error) {
	subs, err := cat.Subscriptions(ctx, t.rec.Topic)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range subs {
		if s.Group != t.rec.Group && !slices.Contains(out, "group "+s.Group) {
			out = append(out, "group "+s.Group)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, other := range e.replicas {
		twin := other.tasks[t.key.Database]
		if other == r || other.rec.Source != source || twin == nil || slices.Contains(out, "group "+twin.rec.Group) {
			continue
		}
		out = append(out, "replica "+other.rec.ID)
	}
	slices.Sort(out)
	return out, nil
}

// forget deletes a replica here.
func (e *Engine) forget(r *replica) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.store.DeleteReplica(r.rec.ID); err != nil {
		return err
	}
	close(r.gone)
	delete(e.replicas, r.rec.ID)
	return nil
}

func leftovers(tasks []*task) string {
	var names []string
	for _, t := range tasks {
		names = append(names, t.rec.Group+" on "+t.rec.Topic)
	}
	return listOr(names, "none")
}
