package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tdreplica/core"
	"tdreplica/core/store"
)

// oldValues is what an operator must know before replaying.
const oldValues = "a replayed message brings its old values back: rows that were written again since, with the same timestamps, get what they had then"

// Quarantine is the document of `quarantine list|replay|discard -o json`.
type Quarantine struct {
	Messages []core.Quarantined `json:"messages"`
}

func (c *command) quarantine() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine list|show|replay|discard",
		Short: "List, show, replay or discard messages that the sink refused",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(cmd, "there is no %q; allowed: list, show, replay, discard", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usage(cmd, "say what to do: list, show, replay or discard")
		},
	}
	cmd.AddCommand(c.quarantineList(), c.quarantineShow(),
		c.quarantineDecide("replay", "Write messages to the sink as they were: their old values come back", oldValues, core.Controller.Replay),
		c.quarantineDecide("discard", "Delete messages for good", "the rows of a discarded message never reach the sink", core.Controller.Discard))
	return cmd
}

// kept lists the messages in quarantine, also while no instance runs.
func (c *command) kept(ctx context.Context) ([]core.Quarantined, error) {
	client, err := c.dial(ctx)
	if err == nil {
		defer client.Close()
		return client.Quarantined(ctx)
	}
	var absent *absentError
	if !errors.As(err, &absent) {
		return nil, err
	}
	st, err := store.OpenReadOnly(c.dir)
	if errors.Is(err, store.ErrNoState) {
		return []core.Quarantined{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return st.Quarantined(), nil
}

func (c *command) quarantineList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [ID...]",
		Short: "List the messages in quarantine, of all replicas or of some",
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := c.kept(cmd.Context())
			if err != nil {
				return err
			}
			if ids := list(args); len(ids) > 0 {
				all = slices.DeleteFunc(all, func(m core.Quarantined) bool { return !slices.Contains(ids, m.Replica) })
			}
			if c.output == "json" {
				return json.NewEncoder(c.Out).Encode(Quarantine{Messages: all})
			}
			rows := make([][]string, 0, len(all))
			for i := range all {
				m := &all[i]
				rows = append(rows, []string{
					m.ID, m.Replica, clean(m.Database), fmt.Sprint(m.Vgroup), fmt.Sprint(m.Offset), moment(m.At),
					count(m.Rows), clean(tablesOf(m, 2)), rangeOf(m), clean(m.Error + m.Damaged),
				})
			}
			grid(c.Out, []string{"id", "replica", "database", "vgroup_id", "offset", "refused", "rows", "tables", "time range", "error"}, rows)
			return nil
		},
		ValidArgsFunction: c.completeIDs,
	}
	c.formats(cmd)
	return cmd
}

func (c *command) quarantineShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show MESSAGE",
		Short: "Show what is in a message in quarantine, and why it was refused",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(cmd, "show needs the id of one message")
			}
			all, err := c.kept(cmd.Context())
			if err != nil {
				return err
			}
			found, err := chosen(all, args)
			if err != nil {
				return err
			}
			if c.output == "json" {
				return json.NewEncoder(c.Out).Encode(found[0])
			}
			c.printMessage(&found[0])
			return nil
		},
		ValidArgsFunction: c.completeMessages,
	}
	c.formats(cmd)
	return cmd
}

func (c *command) printMessage(m *core.Quarantined) {
	for _, line := range [][2]string{
		{"message", m.ID}, {"task", m.Replica + "/" + clean(m.Database)},
		{"read at", fmt.Sprintf("vgroup %d, offset %d", m.Vgroup, m.Offset)},
		{"refused", moment(m.At)}, {"error", clean(m.Error)},
		{"bytes", count(m.Bytes)}, {"rows", count(m.Rows)},
		{"tables", clean(tablesOf(m, core.QuarantineTables))}, {"time range", rangeOf(m)},
	} {
		fmt.Fprintf(c.Out, "%-11s %s\n", line[0], line[1])
	}
	if m.Damaged != "" {
		fmt.Fprintf(c.Out, "%-11s %s\n", "damaged", clean(m.Damaged))
	}
	fmt.Fprintln(c.Out, "\n"+oldValues)
}

// quarantineDecide is replay and discard: both cannot be taken back.
func (c *command) quarantineDecide(verb, short, warning string, do func(core.Controller, context.Context, core.QuarantineRequest) (*core.Quarantined, error)) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   verb + " --yes MESSAGE...",
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids := list(args)
			switch {
			case len(ids) == 0:
				return usage(cmd, "%s needs the ids of messages", verb)
			case !yes:
				return &usageError{text: warning, hint: fmt.Sprintf("to do it all the same: tdreplica quarantine %s --yes %s", verb, strings.Join(ids, " "))}
			}
			return c.act(cmd.Context(), func(ctrl core.Controller) error {
				return c.decide(cmd.Context(), ctrl, verb, ids, do)
			})
		},
		ValidArgsFunction: c.completeMessages,
	}
	c.formats(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do it, knowing that "+warning)
	return cmd
}

// decide goes through messages in the order in which they were refused, so that
// the newest of several values is what stays. It ends at the first that fails.
func (c *command) decide(ctx context.Context, ctrl core.Controller, verb string, ids []string, do func(core.Controller, context.Context, core.QuarantineRequest) (*core.Quarantined, error)) error {
	all, err := ctrl.Quarantined(ctx)
	if err != nil {
		return err
	}
	which, err := chosen(all, ids)
	if err != nil {
		return err
	}
	doc := Quarantine{Messages: []core.Quarantined{}}
	for _, m := range which {
		if _, err = do(ctrl, ctx, core.QuarantineRequest{ID: m.ID, Actor: Actor()}); err != nil {
			break
		}
		doc.Messages = append(doc.Messages, m)
		if c.output == "text" {
			fmt.Fprintf(c.Out, "%s: %sed\n", m.ID, verb)
		}
	}
	if c.output == "json" {
		return errors.Join(err, json.NewEncoder(c.Out).Encode(doc))
	}
	return err
}

// chosen returns the messages of these ids, in the order of the list.
func chosen(all []core.Quarantined, ids []string) ([]core.Quarantined, error) {
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(m core.Quarantined) bool { return m.ID == id }) {
			return nil, &core.RefusedError{Text: fmt.Sprintf("no message in quarantine has the id %q", id), Hint: "tdreplica quarantine list shows them"}
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(m core.Quarantined) bool { return !slices.Contains(ids, m.ID) }), nil
}

func (c *command) completeMessages(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	all, err := c.kept(ctx)
	if err != nil {
		return nil, noFiles
	}
	var ids []string
	for i := range all {
		if !slices.Contains(given, all[i].ID) {
			ids = append(ids, all[i].ID+"\t"+clean(tablesOf(&all[i], 2)))
		}
	}
	return ids, noFiles
}

// tablesOf names the first tables of a message and counts the others.
func tablesOf(m *core.Quarantined, most int) string {
	shown := m.Tables[:min(most, len(m.Tables))]
	s := strings.Join(shown, ", ")
	if more := m.TableCount - len(shown); more > 0 {
		s += fmt.Sprintf(", … %d more", more)
	}
	return s
}

func rangeOf(m *core.Quarantined) string {
	if m.From.IsZero() {
		return "–"
	}
	return moment(m.From) + " – " + moment(m.To)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.Local().Format("2006-01-02 15:04:05.000")
}
