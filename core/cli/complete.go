package cli

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tdreplica/config"
	"tdreplica/core"
)

// completionTime is how long a person who pressed Tab is kept waiting.
const completionTime = 2 * time.Second

const noFiles = cobra.ShellCompDirectiveNoFileComp

// withoutFiles keeps the shell from offering files for flags that take none.
func withoutFiles(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		takes, _ := pflag.UnquoteUsage(f)
		if _, known := cmd.GetFlagCompletionFunc(f.Name); !known && takes != "FILE" && takes != "DIR" {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions)
		}
	})
	for _, sub := range cmd.Commands() {
		withoutFiles(sub)
	}
}

func (c *command) completeIDs(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	snap, err := c.look(ctx)
	if err != nil {
		return nil, noFiles
	}
	var ids []string
	for _, r := range snap.Replicas {
		if !slices.Contains(given, r.ID) {
			ids = append(ids, r.ID+"\t"+r.Source+" → "+r.Sink)
		}
	}
	return ids, noFiles
}

// completeEndpoints completes the names that the configuration gives to endpoints.
func (c *command) completeEndpoints(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	if c.settle() != nil {
		return nil, noFiles
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Endpoints)) {
		if address, _, err := config.ParseAddress(c.cfg.Endpoints[name].URL); err == nil {
			names = append(names, name+"\t"+address.String())
		}
	}
	return names, noFiles
}

// completeTarget completes an id, and after it the databases of that replica.
func (c *command) completeTarget(cmd *cobra.Command, given []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(given) == 0 {
		return c.completeIDs(cmd, given, toComplete)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	snap, err := c.look(ctx)
	if err != nil {
		return nil, noFiles
	}
	var databases []string
	for _, t := range snap.Tasks {
		if t.Replica == given[0] && !slices.Contains(given[1:], t.Database) {
			databases = append(databases, t.Database+"\t"+string(t.State))
		}
	}
	return databases, noFiles
}

// databasesFor completes what start can replicate: the databases that the
// running instance finds at the endpoints.
func (c *command) databasesFor(ctx context.Context, f *startFlags) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	client, err := c.dial(ctx)
	if err != nil {
		return nil, noFiles
	}
	defer client.Close()
	found, err := client.Inspect(ctx, core.InspectRequest{ID: f.id, Source: f.source.ep, Sink: f.sink.ep})
	if err != nil {
		return nil, noFiles
	}
	var databases []string
	for _, d := range found {
		if d.AtSource {
			databases = append(databases, d.Database)
		}
	}
	return databases, noFiles
}
