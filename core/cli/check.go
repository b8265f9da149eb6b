package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tdreplica/core"
)

// Check is the document of `check -o json`.
type Check struct {
	Fit       bool             `json:"fit"` // none that is to be replicated has a problem
	Databases []core.Candidate `json:"databases"`
}

// unfitError names the databases that cannot be replicated as they are.
type unfitError struct{ databases []string }

func (e *unfitError) Error() string {
	return "not fit for replication: " + clean(strings.Join(e.databases, ", "))
}

func (c *command) check() *cobra.Command {
	source := &endpointFlags{side: "source", env: sourceEnv}
	sink := &endpointFlags{side: "sink", env: sinkEnv}
	cmd := &cobra.Command{
		Use:   "check (-f SOURCE -t SINK | ID) [DB...]",
		Short: "Are the two sides alike, and fit for replication? 1 if not",
		Long: "Looks at the databases of two endpoints, or of a replica, without changing\n" +
			"anything: precision, WAL, versions, the rights of the users, and the super\n" +
			"tables of both sides. With -f and -t no instance need run.",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := c.inspect(cmd, source, sink, list(args))
			if err != nil {
				return err
			}
			return c.printCheck(found, len(args) > 0)
		},
		ValidArgsFunction: c.completeTarget,
	}
	c.formats(cmd)
	source.flags(cmd, "f", "from")
	sink.flags(cmd, "t", "to")
	_ = cmd.RegisterFlagCompletionFunc("from", c.completeEndpoints)
	_ = cmd.RegisterFlagCompletionFunc("to", c.completeEndpoints)
	return cmd
}

// inspect looks at two endpoints from here, or lets the instance look at those
// of a replica.
func (c *command) inspect(cmd *cobra.Command, source, sink *endpointFlags, args []string) ([]core.Candidate, error) {
	req := core.InspectRequest{Thorough: true}
	pair := source.ep.URL != "" || sink.ep.URL != ""
	var err error
	switch {
	case pair && (source.ep.URL == "" || sink.ep.URL == ""):
		return nil, usage(cmd, "check needs both -f and -t, or the id of a replica")
	case !pair && len(args) == 0:
		return nil, usage(cmd, "check needs -f and -t, or the id of a replica")
	case pair:
		req.Databases = args
		if req.Source, err = source.endpoint(cmd); err != nil {
			return nil, err
		}
		if req.Sink, err = sink.endpoint(cmd); err != nil {
			return nil, err
		}
		if err := c.settle(); err != nil {
			return nil, err
		}
		return c.Inspect(cmd.Context(), c.cfg, req)
	}
	req.ID, req.Databases = args[0], args[1:]
	client, err := c.dial(cmd.Context())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if len(req.Databases) == 0 {
		if req.Databases, err = databasesOf(cmd.Context(), client, req.ID); err != nil {
			return nil, err
		}
	}
	return client.Inspect(cmd.Context(), req)
}

// databasesOf are those that a replica has tasks for.
func databasesOf(ctx context.Context, ctrl core.Controller, id string) ([]string, error) {
	snap, err := ctrl.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := known(snap, id); err != nil {
		return nil, err
	}
	var names []string
	for i := range snap.Tasks {
		if snap.Tasks[i].Replica == id {
			names = append(names, snap.Tasks[i].Database)
		}
	}
	return names, nil
}

// printCheck prints the verdicts. A database that nobody named and that only one
// side has is no candidate, and nothing to complain about.
func (c *command) printCheck(found []core.Candidate, named bool) error {
	doc := Check{Fit: true, Databases: append([]core.Candidate{}, found...)}
	var unfit []string
	rows := make([][]string, 0, len(found))
	for i := range found {
		d := &found[i]
		verdict := "fit"
		if !named && d.AtSource != d.AtSink {
			verdict = "only one side has it"
		} else if len(d.Problems) > 0 {
			verdict = "not fit"
			unfit = append(unfit, d.Database)
			doc.Fit = false
		} else if len(d.Warnings) > 0 {
			verdict = "fit, with warnings"
		}
		where := slices.DeleteFunc([]string{"source", "sink"}, func(s string) bool { return s == "source" && !d.AtSource || s == "sink" && !d.AtSink })
		rows = append(rows, []string{clean(d.Database), strings.Join(where, ", "), d.Precision, fmt.Sprint(d.Vgroups), verdict})
	}
	if c.output == "json" {
		if err := json.NewEncoder(c.Out).Encode(doc); err != nil {
			return fmt.Errorf("print the check: %w", err)
		}
	} else {
		grid(c.Out, []string{"database", "found at", "precision", "vgroups", "verdict"}, rows)
		if len(rows) == 0 {
			fmt.Fprintln(c.Err, "neither side has a database: create one on both first, or start with --create-databases")
		}
		for i := range found {
			if !named && found[i].AtSource != found[i].AtSink {
				continue
			}
			for _, p := range found[i].Problems {
				fmt.Fprintf(c.Out, "%s: problem: %s\n", clean(found[i].Database), clean(p))
			}
			for _, w := range found[i].Warnings {
				fmt.Fprintf(c.Out, "%s: warning: %s\n", clean(found[i].Database), clean(w))
			}
		}
	}
	if len(unfit) > 0 {
		return &unfitError{databases: unfit}
	}
	return nil
}
