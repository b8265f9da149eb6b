package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tdreplica/core"
)

// freshFor is how old numbers may be and still be called those of now.
const freshFor = 5 * time.Second

// Diff is the document of `diff -o json`.
type Diff struct {
	At       time.Time     `json:"at"`
	Instance core.Instance `json:"instance"`
	Vgroups  []VgroupDiff  `json:"vgroups"`
}

// VgroupDiff is a row of diff.
type VgroupDiff struct {
	Replica    string     `json:"replica"`
	Database   string     `json:"database"`
	Source     string     `json:"source"`
	Sink       string     `json:"sink"`
	State      core.State `json:"status"`
	Vgroup     int32      `json:"vgroup_id"`
	Current    int64      `json:"current"`
	Committed  int64      `json:"committed"`
	Latest     int64      `json:"latest"`
	Diff       int64      `json:"diff"`
	LagMS      int64      `json:"lag_ms"`
	Owner      string     `json:"owner,omitempty"`
	MeasuredAt time.Time  `json:"measured_at"`
}

func (c *command) status() *cobra.Command {
	var check bool
	var watch watcher
	cmd := &cobra.Command{
		Use:   "status [ID...]",
		Short: "Show the tasks of all replicas, or of some",
		RunE: func(cmd *cobra.Command, args []string) error {
			if check && watch.on {
				return usage(cmd, "--check and --watch do not go together")
			}
			return watch.run(cmd.Context(), c, func(w io.Writer) error {
				return c.printStatus(cmd.Context(), w, list(args), check)
			})
		},
		ValidArgsFunction: c.completeIDs,
	}
	c.formats(cmd)
	watch.flags(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "exit with 5 if a task failed, is interrupted for too long, or lags too far")
	return cmd
}

func (c *command) printStatus(ctx context.Context, w io.Writer, ids []string, check bool) error {
	snap, err := c.look(ctx)
	if err != nil {
		return err
	}
	shown, err := only(snap, ids)
	if err != nil {
		return err
	}
	if c.output == "json" {
		if err := json.NewEncoder(w).Encode(shown); err != nil {
			return err
		}
	} else {
		statusTable(w, shown)
		statusWarnings(w, shown)
	}
	if check && !snap.Instance.Running {
		return &absentError{dir: c.dir}
	}
	c.sayIfNothingRuns(snap)
	if why := shown.Unhealthy(); check && len(why) > 0 {
		return &unhealthyError{why: why}
	}
	return nil
}

// sayIfNothingRuns tells a person that what was printed is not of now, and how to
// begin where there is nothing to print.
func (c *command) sayIfNothingRuns(s *core.Snapshot) {
	const begin = "tdreplica start -f SOURCE -t SINK creates one"
	switch {
	case s.Instance.Running && len(s.Replicas) == 0:
		fmt.Fprintf(c.Err, "the instance on %s has no replica: %s\n", c.dir, begin)
	case len(s.Replicas) == 0:
		fmt.Fprintf(c.Err, "no instance runs on %s, and there is no replica: %s\n", c.dir, begin)
	case !s.Instance.Running:
		fmt.Fprintf(c.Err, "no instance runs on %s: this is what was last known\n", c.dir)
	}
}

// only is a snapshot of some replicas; of all if no id is given.
func only(s *core.Snapshot, ids []string) (*core.Snapshot, error) {
	if len(ids) == 0 {
		return s, nil
	}
	for _, id := range ids {
		if _, err := known(s, id); err != nil {
			return nil, err
		}
	}
	part := *s
	part.Replicas = slices.DeleteFunc(slices.Clone(s.Replicas), func(r core.Replica) bool { return !slices.Contains(ids, r.ID) })
	part.Tasks = slices.DeleteFunc(slices.Clone(s.Tasks), func(t core.Task) bool { return !slices.Contains(ids, t.Replica) })
	return &part, nil
}

func statusTable(w io.Writer, s *core.Snapshot) {
	rows := make([][]string, 0, len(s.Tasks))
	for i := range s.Tasks {
		t := &s.Tasks[i]
		rows = append(rows, []string{
			t.Replica, fmt.Sprint(t.Number), t.Source, t.Sink, clean(t.Database), string(t.State), clean(noteOf(s, t)),
		})
	}
	for i := range s.Replicas {
		if r := &s.Replicas[i]; r.Note != "" || !s.HasTasks(r.ID) {
			rows = append(rows, []string{r.ID, "–", r.Source, r.Sink, "–", "–", clean(noteOfReplica(r))})
		}
	}
	grid(w, []string{"replica", "task", "source", "sink", "database", "status", "note"}, rows)
}

// statusWarnings prints each warning once, with the first task that has it.
func statusWarnings(w io.Writer, s *core.Snapshot) {
	var texts []string
	who := map[string][]string{}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		for _, text := range t.Warnings {
			if who[text] == nil {
				texts = append(texts, text)
			}
			who[text] = append(who[text], t.Key().String())
		}
	}
	for _, text := range texts {
		tasks := clean(who[text][0])
		if more := len(who[text]) - 1; more > 0 {
			tasks += fmt.Sprintf(" and %d more", more)
		}
		fmt.Fprintf(w, "%s: warning: %s\n", tasks, clean(text))
	}
}

// noteOfReplica is what a replica's tasks cannot tell, as it may have none yet.
func noteOfReplica(r *core.Replica) string {
	if r.Note != "" {
		return r.Note
	}
	return "no database yet"
}

// noteOf is a task's note, with what only its other fields tell.
func noteOf(s *core.Snapshot, t *core.Task) string {
	var parts []string
	if next := t.Retry.Next; t.State == core.Interrupted && !next.IsZero() {
		wait := max(0, next.Sub(s.At)).Round(time.Second)
		parts = append(parts, fmt.Sprintf("%s (try %d in %v)", t.Note, t.Retry.Tries+1, wait))
	} else if t.Note != "" {
		parts = append(parts, t.Note)
	} else if t.Phase != "" {
		parts = append(parts, strings.ReplaceAll(string(t.Phase), "-", " "))
	}
	if t.Quarantined > 0 {
		parts = append(parts, fmt.Sprintf("in quarantine: %d (see `quarantine list`)", t.Quarantined))
	}
	if t.Conflicts.Rows > 0 {
		parts = append(parts, fmt.Sprintf("rows written on both sides: %d (see the events)", t.Conflicts.Rows))
	}
	if t.Conflicts.Unchecked > 0 {
		parts = append(parts, fmt.Sprintf("rows not checked for conflicts: %d", t.Conflicts.Unchecked))
	}
	if r := s.Replica(t.Replica); r != nil && r.Undeclared {
		parts = append(parts, "undeclared: no longer in the configuration")
	}
	return strings.Join(parts, "; ")
}

func (c *command) diff() *cobra.Command {
	var watch watcher
	cmd := &cobra.Command{
		Use:   "diff [ID [DB...]]",
		Short: "Show how far each vgroup is behind, in WAL versions",
		RunE: func(cmd *cobra.Command, args []string) error {
			return watch.run(cmd.Context(), c, func(w io.Writer) error {
				return c.printDiff(cmd.Context(), w, list(args))
			})
		},
		ValidArgsFunction: c.completeTarget,
	}
	c.formats(cmd)
	watch.flags(cmd)
	return cmd
}

func (c *command) printDiff(ctx context.Context, w io.Writer, args []string) error {
	snap, err := c.look(ctx)
	if err != nil {
		return err
	}
	ids := args[:min(len(args), 1)]
	if len(args) > 1 && snap.Replica(args[1]) != nil && snap.Task(core.TaskKey{Replica: args[0], Database: args[1]}) == nil {
		return &usageError{
			text: fmt.Sprintf("%q is a replica, not a database of %s", args[1], args[0]),
			hint: "one replica at a time: tdreplica diff ID [DB...]",
		}
	}
	shown, err := only(snap, ids)
	if err != nil {
		return err
	}
	var databases []string
	if len(args) > 1 {
		databases = args[1:]
	}
	doc := diffOf(shown, databases)
	if c.output == "json" {
		if err := json.NewEncoder(w).Encode(doc); err != nil {
			return err
		}
	} else {
		diffTable(w, doc)
	}
	c.sayIfNothingRuns(snap)
	return nil
}

func diffOf(s *core.Snapshot, databases []string) *Diff {
	doc := &Diff{At: s.At, Instance: s.Instance, Vgroups: []VgroupDiff{}}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if len(databases) > 0 && !slices.Contains(databases, t.Database) {
			continue
		}
		for _, v := range t.Vgroups {
			doc.Vgroups = append(doc.Vgroups, VgroupDiff{
				Replica: t.Replica, Database: t.Database, Source: t.Source, Sink: t.Sink, State: t.State,
				Vgroup: v.ID, Current: v.Current, Committed: v.Committed, Latest: v.Latest, Diff: v.Diff,
				LagMS: v.LagMS, Owner: v.Owner, MeasuredAt: t.MeasuredAt,
			})
		}
	}
	return doc
}

// diffTable says who reads a vgroup if any of them is shared with others.
func diffTable(w io.Writer, d *Diff) {
	shared := slices.ContainsFunc(d.Vgroups, func(v VgroupDiff) bool { return v.Owner != "" })
	heads := []string{"replica", "database", "source", "sink", "vgroup_id", "current", "latest", "diff", "measured"}
	if shared {
		heads = append(heads, "owner")
	}
	rows := make([][]string, 0, len(d.Vgroups))
	for _, v := range d.Vgroups {
		row := []string{
			v.Replica, clean(v.Database), v.Source, v.Sink, fmt.Sprint(v.Vgroup),
			count(v.Current), count(v.Latest), count(v.Diff), measured(d.At, &v),
		}
		if shared {
			row = append(row, clean(v.Owner))
		}
		rows = append(rows, row)
	}
	grid(w, heads, rows)
}

// measured says when a row's numbers were true.
func measured(now time.Time, v *VgroupDiff) string {
	old := now.Sub(v.MeasuredAt)
	switch {
	case v.MeasuredAt.IsZero():
		return "not yet"
	case old <= freshFor && v.State.Live():
		return "now"
	}
	return fmt.Sprintf("%s ago, at %s (%s)", age(old), v.MeasuredAt.Local().Format(time.DateTime), v.State)
}

// watcher repeats what a command prints.
type watcher struct {
	on    bool
	every time.Duration
}

func (r *watcher) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&r.on, "watch", "w", false, "repeat until Ctrl-C")
	cmd.Flags().DurationVar(&r.every, "interval", 2*time.Second, "with --watch: how often")
}

// run prints once, or again and again until ctx ends. On a terminal each time
// takes the place of the one before; elsewhere they follow each other.
func (r *watcher) run(ctx context.Context, c *command, show func(io.Writer) error) error {
	if !r.on {
		return show(c.Out)
	}
	if r.every < 100*time.Millisecond {
		return &usageError{text: "--interval is too short; at least 100ms"}
	}
	inPlace := c.output == "text" && isTerminal(c.Out)
	for {
		var b strings.Builder
		err := show(&b)
		if ctx.Err() != nil {
			return nil // Ctrl-C is how this ends
		}
		if err != nil {
			return err
		}
		if inPlace {
			fmt.Fprintf(c.Out, "\x1b[H\x1b[2J%s\n\n", time.Now().Format(time.DateTime))
		}
		if _, err := io.WriteString(c.Out, b.String()); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		if core.Pause(ctx, r.every) != nil {
			return nil
		}
	}
}

func isTerminal(w io.Writer) bool {
	if p, ok := w.(*printer); ok {
		w = p.Writer
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
