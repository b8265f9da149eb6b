// Package cli is the command line: it reads arguments, asks an instance
// through its control socket and prints tables or documents. What runs in this
// process (console, headless instance, demo) it gets from its caller.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/control"
	"tdreplica/core/store"
)

// The exit codes of every command.
const (
	ExitDone       = 0
	ExitFailed     = 1
	ExitUsage      = 2
	ExitOwned      = 3 // an instance already runs on the state directory
	ExitNotRunning = 4 // none does, or it cannot be asked
	ExitUnhealthy  = 5 // status --check
)

// Launch is what a mode that runs in this process is given.
type Launch struct {
	Config   *config.Config // with the state directory that is in force
	ReadOnly bool
	Duration time.Duration // of the demo; 0: until the context ends
	Headless bool          // of the demo
}

// Program is what the command line is made of.
type Program struct {
	Version Version
	Out     io.Writer
	Err     io.Writer

	Console  func(context.Context, Launch) error
	Headless func(context.Context, Launch) error
	Demo     func(context.Context, Launch) error
	// Inspect looks at two endpoints from this process.
	Inspect func(context.Context, *config.Config, core.InspectRequest) ([]core.Candidate, error)
}

// command is one run of the program.
type command struct {
	Program
	configPath string
	stateFlag  string
	output     string
	readOnly   bool

	cfg *config.Config
	dir string // the state directory, once settled
}

// usageError is a command line that cannot be understood.
type usageError struct {
	text string
	hint string
}

func (e *usageError) Error() string     { return e.text }
func (e *usageError) ErrorHint() string { return e.hint }

func usage(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...), hint: "usage: " + cmd.UseLine()}
}

// unhealthyError is the verdict of status --check.
type unhealthyError struct{ why []string }

func (e *unhealthyError) Error() string { return "unhealthy: " + strings.Join(e.why, "; ") }

// Run does what args (without the program's name) ask for and returns the exit
// code. Errors are printed as `error: …` with `hint: …` lines below.
func (p Program) Run(ctx context.Context, args []string) int {
	out := &printer{Writer: p.Out}
	p.Out = out
	c := &command{Program: p}
	root := c.root()
	root.SetArgs(args)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		err = fmt.Errorf("print: %w", out.err)
	}
	if err == nil {
		return ExitDone
	}
	fmt.Fprintf(p.Err, "error: %s\n", err)
	if hint := core.HintOf(err); hint != "" {
		fmt.Fprintf(p.Err, "hint: %s\n", strings.ReplaceAll(hint, "\n", "\nhint: "))
	}
	return exitCode(err)
}

// printer remembers the first error, so that nobody takes half an output for all
// of it.
type printer struct {
	io.Writer
	err error
}

func (p *printer) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	if p.err == nil {
		p.err = err
	}
	return n, err
}

func exitCode(err error) int {
	var wrong *usageError
	var owned *store.LockedError
	var unhealthy *unhealthyError
	var denied *control.DeniedError
	switch {
	case errors.As(err, &wrong):
		return ExitUsage
	case errors.As(err, &owned):
		return ExitOwned
	case errors.Is(err, core.ErrNotRunning), errors.As(err, &denied):
		return ExitNotRunning
	case errors.As(err, &unhealthy):
		return ExitUnhealthy
	}
	return ExitFailed
}

func (c *command) root() *cobra.Command {
	var headless, demo bool
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "tdreplica",
		Short: "Replicate TDengine databases between two servers, one way or both ways at once",
		Long: "Replicate TDengine databases between two servers, one way or both ways at once.\n\n" +
			"Without a command this is the console: it attaches to the instance that runs on\n" +
			"the state directory, or runs one itself.",
		Example: "  tdreplica --demo\n" +
			"  tdreplica start -f http://td1:6041 -t http://td2:6041 power\n" +
			"  tdreplica status --watch",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			text := fmt.Sprintf("there is no command %q", args[0])
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				text += "; did you mean " + strings.Join(near, ", ") + "?"
			}
			return &usageError{text: text, hint: "tdreplica --help lists the commands"}
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if duration < 0 || (duration > 0 && !demo) {
				return usage(cmd, "--duration is how long --demo runs, such as 30s")
			}
			return c.launch(cmd.Context(), headless, demo, duration)
		},
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%s", flagError(err)) })
	all := cmd.PersistentFlags()
	all.StringVarP(&c.configPath, "config", "c", "", "configuration `FILE` (default: $TDREPLICA_CONFIG, ~/.config/tdreplica/replica.toml, /etc/tdreplica/replica.toml)")
	all.StringVar(&c.stateFlag, "state-dir", "", "state `DIR` (default: $TDREPLICA_STATE_DIR, the configuration's, else "+config.DefaultStateDir()+")")
	all.BoolVar(&c.readOnly, "read-only", false, "refuse everything that would change anything")
	own := cmd.Flags()
	own.BoolVar(&headless, "no-tui", false, "run the instance without a console, until SIGTERM")
	own.BoolVar(&demo, "demo", false, "replicate between two embedded nodes under live load")
	own.DurationVar(&duration, "duration", 0, "with --demo: how long, such as 30s")
	cmd.AddCommand(c.start(), c.status(), c.diff(), c.stop(), c.restart(), c.update(), c.remove(),
		c.check(), c.verify(), c.repair(), c.events(), c.quarantine(), c.version())
	withoutFiles(cmd)
	return cmd
}

// flagError says what a flag takes, where the library has what its parser said.
func flagError(err error) string {
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return err.Error()
	}
	expected := map[string]string{
		"duration": `a number with its unit, such as "500ms", "30s" or "5m"`, "int": "a whole number", "int64": "a whole number",
		"bool": "true or false",
	}[wrong.GetFlag().Value.Type()]
	if expected == "" {
		return err.Error()
	}
	return fmt.Sprintf("--%s is %q; expected %s", wrong.GetFlag().Name, wrong.GetValue(), expected)
}

func (c *command) launch(ctx context.Context, headless, demo bool, duration time.Duration) error {
	if err := c.settle(); err != nil {
		return err
	}
	l := Launch{Config: c.cfg, ReadOnly: c.readOnly || c.cfg.Instance.ReadOnly, Duration: duration, Headless: headless}
	switch {
	case demo:
		return c.Demo(ctx, l)
	case headless:
		return c.Headless(ctx, l)
	}
	return c.Console(ctx, l)
}

// settle reads the configuration and decides on the state directory.
func (c *command) settle() error {
	if c.cfg != nil {
		return nil
	}
	cfg, err := config.Load(c.configPath)
	if err != nil {
		return err
	}
	dir := cfg.Instance.StateDir
	if env := os.Getenv("TDREPLICA_STATE_DIR"); env != "" {
		dir = env
	}
	if c.stateFlag != "" {
		dir = c.stateFlag
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("find the state directory: %w", err)
	}
	cfg.Instance.StateDir = dir
	c.cfg, c.dir = cfg, dir
	return nil
}

// Actor is who gives the commands of this process.
func Actor() core.Actor {
	name := os.Getenv("SUDO_USER")
	if name == "" {
		name = os.Getenv("USER")
	}
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	return core.Actor{Via: "command", User: name}
}

// list takes arguments apart at commas: `a b` and `a,b` are the same.
func list(args []string) []string {
	var out []string
	for _, a := range args {
		for _, s := range strings.Split(a, ",") {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

// formats adds -o to a command.
func (c *command) formats(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&c.output, "output", "o", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if c.output != "text" && c.output != "json" {
			return usage(cmd, "--output is %q; allowed: text, json", c.output)
		}
		return run(cmd, args)
	}
}
