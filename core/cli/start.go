package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tdreplica/core"
	"tdreplica/core/control"
	"tdreplica/core/store"
)

// startFlags are those of start.
type startFlags struct {
	id              string
	source, sink    endpointFlags
	noNewDatabases  bool
	createDatabases bool
	interval        int64
	rate, workers   string
	groupName       string
	rawRows         bool
	holdWAL         bool
	holdLimit       time.Duration
	wait            bool
}

func (c *command) start() *cobra.Command {
	f := &startFlags{
		source: endpointFlags{side: "source", env: sourceEnv},
		sink:   endpointFlags{side: "sink", env: sinkEnv},
	}
	cmd := &cobra.Command{
		Use:   "start (-f SOURCE -t SINK | -i ID) [DB...]",
		Short: "Create a replica, extend one, or start what is stopped; prints its id on the last line",
		Long: "Create a replica of databases from one endpoint to another, extend one, or start\n" +
			"what is stopped. The same source and sink are always the same replica. Without DB\n" +
			"it takes all databases but the system's, and new ones as they appear on both sides.\n" +
			"If no instance runs on the state directory, one is started in the background.\n\n" +
			"The replica's id stands alone on the last line of the output.",
		Example: "  tdreplica start -f http://td1:6041 -t http://td2:6041\n" +
			"  tdreplica start -f http://td1:6041 -t http://td2:6041 --source-password-file ~/td1.pw power\n" +
			"  tdreplica start -i maple factory --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := f.request(cmd, list(args))
			if err != nil {
				return err
			}
			return c.runStart(cmd.Context(), req, f.wait)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			return c.databasesFor(cmd.Context(), f)
		},
	}
	c.formats(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.id, "id", "i", "", "`ID` of a replica, instead of -f and -t")
	f.source.flags(cmd, "f", "from")
	f.sink.flags(cmd, "t", "to")
	_ = cmd.RegisterFlagCompletionFunc("from", c.completeEndpoints)
	_ = cmd.RegisterFlagCompletionFunc("to", c.completeEndpoints)
	fl.BoolVar(&f.noNewDatabases, "no-new-databases", false, "do not look for databases that appear later")
	fl.Int64Var(&f.interval, "new-database-checking-interval", int64(core.DefaultCheckInterval/time.Second), "how often to look for new databases, in `SECONDS`")
	fl.StringVar(&f.rate, rateFlag, "", rateUsage)
	fl.StringVar(&f.workers, workersFlag, "", workersUsage)
	fl.BoolVar(&f.rawRows, "raw-rows", false, "read rows as the source stores them: one way only, into an empty database")
	fl.StringVar(&f.groupName, "group-name", "", "share the vgroups with other instances that give the same `NAME`")
	fl.BoolVar(&f.holdWAL, "hold-wal", false, "have the source keep its WAL until it is committed, where it can")
	fl.DurationVar(&f.holdLimit, "hold-wal-limit", core.DefaultHoldLimit, "let go of the WAL when nothing was committed for so long; 0 never")
	fl.BoolVar(&f.createDatabases, "create-databases", false, "create databases that the sink lacks, with the source's options")
	fl.BoolVar(&f.wait, "wait", false, "return only when all tasks run; 1 if one fails")
	_ = cmd.RegisterFlagCompletionFunc("id", c.completeIDs)
	return cmd
}

func (f *startFlags) request(cmd *cobra.Command, databases []string) (core.StartRequest, error) {
	req := core.StartRequest{ID: f.id, Databases: databases, Actor: Actor()}
	pairGiven := f.source.ep.URL != "" || f.sink.ep.URL != ""
	switch {
	case cmd.Flags().Changed("id") && (pairGiven || f.source.given() || f.sink.given()):
		return req, usage(cmd, "-i names a replica that has its endpoints: leave out -f, -t and their options")
	case cmd.Flags().Changed("id") && f.id == "":
		return req, usage(cmd, "-i is empty; expected the id of a replica")
	case f.id == "" && !pairGiven:
		return req, usage(cmd, "start needs a source and a sink (-f, -t), or the id of a replica (-i)")
	case f.id == "" && f.source.ep.URL == "":
		return req, usage(cmd, "the source is missing: -f SOURCE")
	case f.id == "" && f.sink.ep.URL == "":
		return req, usage(cmd, "the sink is missing: -t SINK")
	}
	if f.id == "" {
		var err error
		if req.Source, err = f.source.endpoint(cmd); err != nil {
			return req, err
		}
		if req.Sink, err = f.sink.endpoint(cmd); err != nil {
			return req, err
		}
	}
	if cmd.Flags().Changed("new-database-checking-interval") {
		if f.interval < 1 {
			return req, usage(cmd, "--new-database-checking-interval is %d; expected seconds, at least 1", f.interval)
		}
		req.Options.CheckIntervalS = &f.interval
	}
	var err error
	if req.Options.MaxBytesPerS, err = rateLimit(cmd, f.rate); err != nil {
		return req, err
	}
	if req.Options.Workers, err = workersOf(cmd, f.workers); err != nil {
		return req, err
	}
	if cmd.Flags().Changed("raw-rows") {
		req.Options.RawRows = &f.rawRows
	}
	if cmd.Flags().Changed("group-name") {
		req.Options.GroupName = &f.groupName
	}
	if cmd.Flags().Changed("hold-wal") {
		req.Options.HoldWAL = &f.holdWAL
	}
	if cmd.Flags().Changed("hold-wal-limit") {
		if f.holdLimit < 0 || f.holdLimit%time.Second != 0 {
			return req, usage(cmd, "--hold-wal-limit is %v; allowed: a whole number of seconds from 0 (no limit), such as 24h", f.holdLimit)
		}
		seconds := int64(f.holdLimit / time.Second)
		req.Options.HoldWALLimitS = &seconds
	}
	if cmd.Flags().Changed("no-new-databases") {
		req.Options.NoNewDatabases = &f.noNewDatabases
	}
	if cmd.Flags().Changed("create-databases") {
		req.Options.CreateDatabases = &f.createDatabases
	}
	return req, nil
}

func (c *command) runStart(ctx context.Context, req core.StartRequest, wait bool) error {
	if c.readOnly {
		return core.ErrReadOnly
	}
	client, fresh, err := c.dialOrStart(ctx, req)
	if err != nil {
		return err
	}
	defer client.Close()
	res, err := client.Start(ctx, req)
	if err != nil {
		if fresh {
			c.withdraw(ctx, client)
		}
		return err
	}
	if wait {
		err = c.await(ctx, client, res.Tasks, isRunning)
	}
	return errors.Join(c.printStart(res), err)
}

// dialOrStart returns a client of the instance that runs, or of one that it
// starts (fresh).
func (c *command) dialOrStart(ctx context.Context, req core.StartRequest) (client *control.Client, fresh bool, err error) {
	client, err = c.dial(ctx)
	var absent *absentError
	if !errors.As(err, &absent) {
		return client, false, err
	}
	if req.ID != "" {
		// An instance that would not know the id need not be started.
		snap, err := c.lookOffline()
		if err != nil {
			return nil, false, err
		}
		if _, err := known(snap, req.ID); err != nil && len(c.cfg.Replicas) == 0 {
			return nil, false, err
		}
	}
	process, err := Background(ctx, c.cfg)
	if err != nil {
		return nil, false, err
	}
	fmt.Fprintf(c.Err, "started an instance in the background (pid %d, log %s)\n", process.PID, process.Log)
	return control.NewClient(c.dir), true, nil
}

// withdraw ends an instance that was started for nothing, and waits for its
// end, so that the next command does not meet it on its way out.
func (c *command) withdraw(ctx context.Context, client *control.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	snap, err := client.Snapshot(ctx)
	if err != nil || len(snap.Replicas) > 0 || client.Shutdown(ctx, Actor()) != nil {
		return
	}
	for {
		if _, owned := store.Owner(c.dir); !owned {
			fmt.Fprintln(c.Err, "the instance has no replica and was stopped again")
			return
		}
		if core.Pause(ctx, pollEvery) != nil {
			return
		}
	}
}

func (c *command) printStart(res *core.Result) error {
	if c.output == "json" {
		return c.printResult(res)
	}
	if err := c.printResult(res); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.Out, res.ID)
	return err
}

// printResult prints what a request did, a line for each task.
func (c *command) printResult(res *core.Result) error {
	for _, w := range res.Warnings {
		fmt.Fprintf(c.Err, "warning: %s\n", clean(w))
	}
	if c.output == "json" {
		if res.Tasks == nil {
			res.Tasks = []core.TaskResult{}
		}
		return json.NewEncoder(c.Out).Encode(res)
	}
	for _, t := range res.Tasks {
		name := t.Replica
		if t.Database != "" {
			name += "/" + clean(t.Database)
		}
		fmt.Fprintf(c.Out, "%s: %s\n", name, t.Outcome)
	}
	for _, d := range res.Deleted {
		fmt.Fprintf(c.Out, "deleted %s\n", clean(d))
	}
	for _, k := range res.Kept {
		fmt.Fprintf(c.Out, "kept %s\n", clean(k))
	}
	return nil
}

// goal tells of a task whether it is where it should be, or never will be.
type goal func(*core.Task) (reached bool, err error)

func isRunning(t *core.Task) (bool, error) {
	switch t.State {
	case core.Running:
		return true, nil
	case core.Failed:
		return false, fmt.Errorf("%s failed: %s", t.Key(), t.Note)
	case core.Stopping, core.Stopped, core.Removing:
		if t.Desired != core.WantRunning {
			return false, fmt.Errorf("%s was stopped meanwhile", t.Key())
		}
	}
	return false, nil
}

func isStopped(t *core.Task) (bool, error) {
	if t.Desired == core.WantRunning {
		return false, fmt.Errorf("%s was started meanwhile", t.Key())
	}
	return !t.State.Live() && t.State != core.Stopping, nil
}

// await returns when every task has reached the goal, or with the errors of
// those that cannot.
func (c *command) await(ctx context.Context, client core.Controller, tasks []core.TaskResult, reached goal) error {
	for {
		snap, err := client.Snapshot(ctx)
		if err != nil {
			return err
		}
		var failed []error
		waiting := false
		for _, r := range tasks {
			t := snap.Task(core.TaskKey{Replica: r.Replica, Database: r.Database})
			if t == nil {
				continue // removed meanwhile: nothing to wait for
			}
			done, err := reached(t)
			failed = append(failed, err)
			waiting = waiting || !done && err == nil
		}
		if !waiting {
			return errors.Join(failed...)
		}
		if err := core.Pause(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the tasks: %w", err)
		}
	}
}
