package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tdreplica/core"
)

// auditPoll is the pace at which a verify or a repair is asked how far it is.
const auditPoll = 200 * time.Millisecond

// differentError is a verify or repair that did not end with two equal sides.
type differentError struct {
	audit *core.Audit
}

func (e *differentError) Error() string {
	var parts []string
	for i := range e.audit.Databases {
		if d := &e.audit.Databases[i]; d.State != core.AuditEqual {
			text := d.Database + ": " + string(d.State)
			if d.Note != "" {
				text += ": " + d.Note
			}
			parts = append(parts, clean(text))
		}
	}
	return e.audit.Kind + ": " + strings.Join(parts, "; ")
}

func (e *differentError) ErrorHint() string {
	different := false
	for i := range e.audit.Databases {
		different = different || e.audit.Databases[i].State == core.AuditDifferent
	}
	if !different {
		return ""
	}
	if e.audit.Kind == "verify" {
		return fmt.Sprintf("`tdreplica repair %s --dry-run` shows what a repair would do", e.audit.Replica)
	}
	return "what is left a repair does not mend by itself; see docs/operations.md, \"Verify and repair\""
}

// auditFlags are those that verify and repair share.
type auditFlags struct{ exact, show, cancel, detach bool }

func (f *auditFlags) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&f.exact, "exact", false, "read and compare every value, not only what counts and sums tell apart")
	fl.BoolVar(&f.show, "show", false, "only show the one that runs, or ran last")
	fl.BoolVar(&f.cancel, "cancel", false, "end the one that runs")
	fl.BoolVar(&f.detach, "detach", false, "do not wait for the end: it goes on in the instance")
}

func (c *command) verify() *cobra.Command {
	f := &auditFlags{}
	cmd := &cobra.Command{
		Use:   "verify ID [DB...]",
		Short: "Compare the rows of both sides while replication goes on; 1 if they differ",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.audit(cmd, f, args, func(ctrl core.Controller, req core.VerifyRequest) (*core.Audit, error) {
				return ctrl.Verify(cmd.Context(), req)
			})
		},
		ValidArgsFunction: c.completeTarget,
	}
	c.formats(cmd)
	f.flags(cmd)
	return cmd
}

func (c *command) repair() *cobra.Command {
	f := &auditFlags{}
	req := core.RepairRequest{}
	cmd := &cobra.Command{
		Use:   "repair ID [DB...]",
		Short: "Make the sink equal to the source where they differ; 1 if they still do",
		RunE: func(cmd *cobra.Command, args []string) error {
			if req.Winner != "" && req.Winner != "source" {
				return usage(cmd, "--winner is %q; allowed: source", req.Winner)
			}
			if c.readOnly {
				return core.ErrReadOnly
			}
			return c.audit(cmd, f, args, func(ctrl core.Controller, v core.VerifyRequest) (*core.Audit, error) {
				req.VerifyRequest = v
				return ctrl.Repair(cmd.Context(), req)
			})
		},
		ValidArgsFunction: c.completeTarget,
	}
	c.formats(cmd)
	f.flags(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&req.DryRun, "dry-run", false, "only say what would be done")
	fl.BoolVar(&req.DeleteExtra, "delete-extra", false, "also delete rows that only the sink has")
	fl.StringVar(&req.Winner, "winner", "", "`source`: its rows are right, where the sink is the source of another replica")
	_ = cmd.RegisterFlagCompletionFunc("winner", cobra.FixedCompletions([]string{"source"}, noFiles))
	fl.BoolVar(&req.Gap, "gap", false, "first let tasks that failed at a gap in the WAL go on behind it")
	return cmd
}

// audit begins a verify or a repair, or looks at one, and prints it.
func (c *command) audit(cmd *cobra.Command, f *auditFlags, args []string, begin func(core.Controller, core.VerifyRequest) (*core.Audit, error)) error {
	args = list(args)
	if len(args) == 0 {
		return usage(cmd, "%s needs the id of a replica", cmd.Name())
	}
	client, err := c.dial(cmd.Context())
	if err != nil {
		return err
	}
	defer client.Close()
	req := core.VerifyRequest{ID: args[0], Databases: args[1:], Exact: f.exact, Actor: Actor()}
	var a *core.Audit
	switch {
	case f.cancel:
		a, err = client.CancelAudit(cmd.Context(), core.TargetRequest{ID: req.ID, Actor: req.Actor})
	case f.show:
		a, err = client.Audit(cmd.Context(), req.ID)
	default:
		a, err = begin(client, req)
	}
	if err == nil && !f.show && !f.detach {
		a, err = c.followAudit(cmd.Context(), client, a)
	}
	if err != nil {
		return err
	}
	if c.output == "json" {
		err = json.NewEncoder(c.Out).Encode(a)
	} else {
		c.printAudit(a)
	}
	if err == nil && a.State.Over() && a.State != core.AuditEqual {
		return &differentError{audit: a}
	}
	return err
}

// followAudit waits for the end and tells on the way how far it is.
func (c *command) followAudit(ctx context.Context, ctrl core.Controller, a *core.Audit) (*core.Audit, error) {
	told := ""
	for !a.State.Over() {
		if err := core.Pause(ctx, auditPoll); err != nil {
			return nil, &core.RefusedError{
				Text: fmt.Sprintf("the %s of %s goes on in the instance", a.Kind, a.Replica),
				Hint: fmt.Sprintf("`tdreplica verify %s --show` tells how far it is, `--cancel` ends it", a.Replica),
			}
		}
		next, err := ctrl.Audit(ctx, a.Replica)
		if err != nil {
			return nil, err
		}
		if !next.Since.Equal(a.Since) {
			return nil, &core.RefusedError{Text: fmt.Sprintf("another %s of %s has begun meanwhile", next.Kind, a.Replica)}
		}
		a = next
		if line := progress(a); line != told && line != "" && c.output == "text" {
			fmt.Fprintln(c.Err, line)
			told = line
		}
	}
	return a, nil
}

// progress says what an audit is at, without numbers that change all the time.
func progress(a *core.Audit) string {
	for i := range a.Databases {
		if d := &a.Databases[i]; d.State == core.AuditRunning {
			step, _, _ := strings.Cut(d.Step, ": window")
			return clean(d.Database + ": " + step)
		}
	}
	return ""
}

func (c *command) printAudit(a *core.Audit) {
	head := []string{"database", "state", "tables", "rows", "windows", "rounds", "differences", "undecided"}
	if a.Kind == "repair" {
		head = append(head, "written", "deleted", "changes")
	}
	var rows [][]string
	for i := range a.Databases {
		d := &a.Databases[i]
		differences := int64(0)
		for _, n := range d.Differences {
			differences += n
		}
		row := []string{clean(d.Database), string(d.State), count(d.Tables), count(d.Rows), count(d.Windows), fmt.Sprint(d.Rounds), count(differences), count(d.Undecided)}
		if a.Kind == "repair" {
			row = append(row, count(d.Written), count(d.Deleted), fmt.Sprint(len(d.Changes)))
		}
		rows = append(rows, row)
	}
	grid(c.Out, head, rows)
	for i := range a.Databases {
		c.printFindings(a, &a.Databases[i])
	}
	if a.DryRun {
		fmt.Fprintln(c.Out, "nothing was changed")
	}
}

// printFindings prints the differences of a database, and what was done.
func (c *command) printFindings(a *core.Audit, d *core.DatabaseAudit) {
	done := "done"
	if a.DryRun {
		done = "would be done"
	}
	for _, change := range d.Changes {
		fmt.Fprintf(c.Out, "%s: %s: %s\n", clean(d.Database), done, clean(change))
	}
	for _, kind := range core.DifferenceKinds() {
		n := d.Differences[kind]
		if n == 0 {
			continue
		}
		fmt.Fprintf(c.Out, "%s: %s: %d\n", clean(d.Database), kind.Words(), n)
		shown := int64(0)
		for _, e := range d.Examples {
			if e.Kind == kind {
				shown++
				fmt.Fprintf(c.Out, "  %s\n", clean(strings.Join(nonempty(e.Table, e.Time, e.Text), "  ")))
			}
		}
		if n > shown {
			fmt.Fprintf(c.Out, "  … %d more\n", n-shown)
		}
	}
	if d.Undecided > 0 {
		fmt.Fprintf(c.Out, "%s: undecided rows: %d; they differed at each look, and each time with other values\n", clean(d.Database), d.Undecided)
	}
}

func nonempty(parts ...string) (out []string) {
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return out
}
