package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tdreplica/core"
)

// eventPoll is the pace of `events -f`, eventPage how many are asked for at once.
const (
	eventPoll = 500 * time.Millisecond
	eventPage = 1000
)

// eventFilter chooses events.
type eventFilter struct {
	replica, database, level string
	last                     int
}

func (f *eventFilter) takes(e *core.Event) bool {
	levels := []core.Level{core.LevelInfo, core.LevelWarn, core.LevelError}
	return (f.replica == "" || e.Replica == f.replica) && (f.database == "" || e.Database == f.database) &&
		slices.Index(levels, e.Level) >= slices.Index(levels, core.Level(f.level))
}

func (c *command) events() *cobra.Command {
	var follow bool
	f := &eventFilter{}
	cmd := &cobra.Command{
		Use:   "events [-f]",
		Short: "Print what happened, oldest first; -f goes on with what happens",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 0:
				return usage(cmd, "events takes no arguments; --replica and --database choose")
			case !slices.Contains([]string{"info", "warn", "error"}, f.level):
				return usage(cmd, "--level is %q; allowed: info, warn, error", f.level)
			case f.last < 0:
				return usage(cmd, "--last is %d; expected a number from 0 (all that are kept)", f.last)
			}
			client, err := c.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			return c.printEvents(cmd.Context(), client, f, follow)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.formats(cmd)
	fl := cmd.Flags()
	fl.BoolVarP(&follow, "follow", "f", false, "wait for new ones, until it is interrupted")
	fl.StringVar(&f.replica, "replica", "", "only those of the replica `ID`")
	_ = cmd.RegisterFlagCompletionFunc("replica", c.completeIDs)
	fl.StringVar(&f.database, "database", "", "only those of the database `DB`")
	fl.StringVar(&f.level, "level", "info", "only those of this level or above: info, warn or error")
	fl.IntVar(&f.last, "last", 0, "only the newest `N`; 0: all that are kept")
	_ = cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions([]string{"info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// printEvents prints events page by page: each a line, or a JSON document.
func (c *command) printEvents(ctx context.Context, ctrl core.Controller, f *eventFilter, follow bool) error {
	after, begun := uint64(0), false
	var chosen []core.Event
	for {
		page, err := ctrl.Events(ctx, after, eventPage)
		if err != nil && ctx.Err() != nil {
			return nil // interrupted: that is how -f ends
		}
		if err != nil {
			return err
		}
		for i := range page {
			after = max(after, page[i].Seq)
			if f.takes(&page[i]) {
				chosen = append(chosen, page[i])
			}
		}
		if !begun && f.last > 0 && len(chosen) > f.last {
			chosen = slices.Clone(chosen[len(chosen)-f.last:])
		}
		more := len(page) == eventPage
		if !more || begun || f.last == 0 {
			if err := c.writeEvents(chosen); err != nil {
				return err
			}
			chosen = chosen[:0]
		}
		switch {
		case more:
			continue
		case !follow:
			return nil
		}
		begun = true
		if core.Pause(ctx, eventPoll) != nil {
			return nil
		}
	}
}

func (c *command) writeEvents(events []core.Event) error {
	enc := json.NewEncoder(c.Out)
	for i := range events {
		e := &events[i]
		if c.output == "json" {
			if err := enc.Encode(e); err != nil {
				return fmt.Errorf("print the events: %w", err)
			}
			continue
		}
		about := strings.Join(nonempty(e.Replica, e.Database), "/")
		line := nonempty(moment(e.At), fmt.Sprintf("%-5s", e.Level), about, e.Actor.String(), e.Text)
		if _, err := fmt.Fprintln(c.Out, clean(strings.Join(line, "  "))); err != nil {
			return fmt.Errorf("print the events: %w", err)
		}
	}
	return nil
}
