package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"tdreplica/config"
	"tdreplica/core"
)

// targetFlags choose the tasks of stop and restart.
type targetFlags struct{ all, wait bool }

func (f *targetFlags) flags(cmd *cobra.Command, wait string) {
	cmd.Flags().BoolVar(&f.all, "all", false, "every task of every replica")
	cmd.Flags().BoolVar(&f.wait, "wait", false, wait)
}

func (f *targetFlags) request(cmd *cobra.Command, args []string) (core.TargetRequest, error) {
	req := core.TargetRequest{All: f.all, Actor: Actor()}
	switch {
	case f.all && len(args) > 0:
		return req, usage(cmd, "--all is every replica: it goes without an id")
	case !f.all && len(args) == 0:
		return req, usage(cmd, "%s needs the id of a replica, or --all", cmd.Name())
	case !f.all:
		req.ID, req.Databases = args[0], args[1:]
	}
	if len(req.Databases) == 0 {
		req.Databases = nil
	}
	return req, nil
}

func (c *command) stop() *cobra.Command {
	f := &targetFlags{}
	cmd := &cobra.Command{
		Use:   "stop ID [DB...] | --all",
		Short: "Stop tasks: they finish the write in flight and commit",
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := f.request(cmd, list(args))
			if err != nil {
				return err
			}
			return c.act(cmd.Context(), func(ctrl core.Controller) error {
				res, err := ctrl.Stop(cmd.Context(), req)
				if err != nil {
					return err
				}
				if f.wait {
					if err := c.await(cmd.Context(), ctrl, res.Tasks, isStopped); err != nil {
						return err
					}
				}
				return c.printResult(res)
			})
		},
		ValidArgsFunction: c.completeTarget,
	}
	c.formats(cmd)
	f.flags(cmd, "return only when all of them have stopped")
	return cmd
}

func (c *command) restart() *cobra.Command {
	f := &targetFlags{}
	cmd := &cobra.Command{
		Use:   "restart ID [DB...] | --all",
		Short: "Stop tasks and start them again at the committed offset",
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := f.request(cmd, list(args))
			if err != nil {
				return err
			}
			return c.act(cmd.Context(), func(ctrl core.Controller) error {
				res, err := ctrl.Restart(cmd.Context(), req)
				if err != nil {
					return err
				}
				if f.wait {
					if err := c.await(cmd.Context(), ctrl, res.Tasks, isRunning); err != nil {
						return err
					}
				}
				return c.printResult(res)
			})
		},
		ValidArgsFunction: c.completeTarget,
	}
	c.formats(cmd)
	f.flags(cmd, "return only when all of them run; 1 if one fails")
	return cmd
}

func (c *command) update() *cobra.Command {
	var interval int64
	var rate, workers string
	cmd := &cobra.Command{
		Use:   "update ID [--new-database-checking-interval SECONDS] [--max-bytes-per-second SIZE] [--workers N|auto]",
		Short: "Change a setting of a replica while it runs",
		RunE: func(cmd *cobra.Command, args []string) error {
			fl := cmd.Flags()
			switch {
			case len(args) != 1:
				return usage(cmd, "update needs the id of one replica")
			case !fl.Changed("new-database-checking-interval") && !fl.Changed(rateFlag) && !fl.Changed(workersFlag):
				return usage(cmd, "nothing to update: give --new-database-checking-interval, --%s or --%s", rateFlag, workersFlag)
			case fl.Changed("new-database-checking-interval") && interval < 1:
				return usage(cmd, "--new-database-checking-interval is %d; expected seconds, at least 1", interval)
			}
			req := core.UpdateRequest{ID: args[0], Actor: Actor()}
			if fl.Changed("new-database-checking-interval") {
				req.Options.CheckIntervalS = &interval
			}
			var err error
			if req.Options.MaxBytesPerS, err = rateLimit(cmd, rate); err != nil {
				return err
			}
			if req.Options.Workers, err = workersOf(cmd, workers); err != nil {
				return err
			}
			return c.act(cmd.Context(), func(ctrl core.Controller) error {
				res, err := ctrl.Update(cmd.Context(), req)
				if err != nil {
					return err
				}
				if c.output == "text" && len(res.Tasks) == 0 {
					fmt.Fprintf(c.Out, "%s: %s\n", req.ID, core.OutcomeUpdated)
				}
				return c.printResult(res)
			})
		},
		ValidArgsFunction: c.completeIDs,
	}
	c.formats(cmd)
	cmd.Flags().Int64Var(&interval, "new-database-checking-interval", 0, "how often to look for new databases, in `SECONDS`")
	cmd.Flags().StringVar(&rate, rateFlag, "", rateUsage)
	cmd.Flags().StringVar(&workers, workersFlag, "", workersUsage+"; from the next start of its tasks on")
	return cmd
}

const (
	rateFlag     = "max-bytes-per-second"
	rateUsage    = "read no more than `SIZE` in a second, such as 5MB; 0 is no limit"
	workersFlag  = "workers"
	workersUsage = "`N` consumers share the vgroups of each database, or as many as it takes: auto"
)

// workersOf reads --workers; nil if it was not given.
func workersOf(cmd *cobra.Command, given string) (*int, error) {
	if !cmd.Flags().Changed(workersFlag) {
		return nil, nil
	}
	var n config.Workers
	if err := n.UnmarshalText([]byte(given)); err != nil {
		return nil, usage(cmd, "--%s = %q %v", workersFlag, given, err)
	}
	workers := int(n)
	return &workers, nil
}

// rateLimit reads --max-bytes-per-second; nil if it was not given.
func rateLimit(cmd *cobra.Command, given string) (*int64, error) {
	if !cmd.Flags().Changed(rateFlag) {
		return nil, nil
	}
	var size config.Bytes
	if given != "0" {
		if err := size.UnmarshalText([]byte(given)); err != nil {
			return nil, usage(cmd, "--%s = %q %v", rateFlag, given, err)
		}
	}
	rate := int64(size)
	return &rate, nil
}

func (c *command) remove() *cobra.Command {
	var force, dry bool
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Delete a replica, its consumer groups and its topics; rows at the sink stay",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(cmd, "remove needs the id of one replica")
			}
			req := core.RemoveRequest{ID: args[0], Force: force, DryRun: dry, Actor: Actor()}
			return c.act(cmd.Context(), func(ctrl core.Controller) error {
				res, err := ctrl.Remove(cmd.Context(), req)
				if err != nil {
					return err
				}
				if dry && c.output == "text" {
					c.printPlan(res)
					return nil
				}
				return c.printResult(res)
			})
		},
		ValidArgsFunction: c.completeIDs,
	}
	c.formats(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "also while it runs, and even if its source cannot be reached")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be deleted")
	return cmd
}

// printPlan prints what a removal would do, and what it could not delete.
func (c *command) printPlan(res *core.Result) {
	for _, w := range res.Warnings {
		fmt.Fprintf(c.Err, "warning: %s\n", clean(w))
	}
	for _, d := range res.Deleted {
		fmt.Fprintf(c.Out, "would delete %s\n", clean(d))
	}
	for _, k := range res.Kept {
		fmt.Fprintf(c.Out, "would keep %s\n", clean(k))
	}
	fmt.Fprintln(c.Out, "nothing was changed")
}

// Version is the document of `version -o json`.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func (c *command) version() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and Go version",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(cmd, "version takes no arguments")
			}
			if c.output == "json" {
				return json.NewEncoder(c.Out).Encode(c.Version)
			}
			_, err := fmt.Fprintf(c.Out, "tdreplica %s (commit %s, %s)\n", c.Version.Version, c.Version.Commit, c.Version.Go)
			return err
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.formats(cmd)
	return cmd
}
