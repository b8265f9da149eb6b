// Package demo shows the main job on one machine: two embedded nodes, writers
// on both of them, and an instance in this process that replicates both ways.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"tdreplica/config"
	"tdreplica/core"
	"tdreplica/core/embedded"
	"tdreplica/core/engine"
	"tdreplica/core/store"
	"tdreplica/core/taos"
)

// levelTimeout is how long both sides may take to be level once nobody writes.
const levelTimeout = 60 * time.Second

// Options say how a demo runs. The zero value is one that goes on until its
// context ends, prints nothing and leaves nothing behind.
type Options struct {
	// Duration is how long the writers write; 0 is until the context ends.
	Duration time.Duration
	Out      io.Writer // of Run; nil: nowhere
	// StateDir is where the instance keeps its state. It must be empty, for the
	// nodes of an earlier demo are gone. Empty: a temporary directory, which is
	// deleted at the end.
	StateDir string
	Config   *config.Config // for the engine; nil: the defaults
	Log      *slog.Logger   // of the engine; nil: nowhere
	Version  string         // of the program, for the snapshot
}

// Demo is a running demo. Its methods are safe for concurrent use.
type Demo struct {
	started time.Time
	sides   [2]*site
	engine  *engine.Engine
	store   *store.Store
	dir     string
	tempDir bool

	writers     []*writer
	stopWriters context.CancelFunc
	writing     sync.WaitGroup
	failed      chan error // the first failure of a writer or of the engine

	stopEngine context.CancelFunc
	engineDone chan struct{}
	engineErr  error // read after engineDone is closed

	peak      lagWatch
	watched   bool // the lag was looked at all the time
	closeOnce sync.Once
	closeErr  error
}

// Run does a whole demo: it prints a status line every second, and when the
// time is up or ctx ends it stops the writers, waits until both sides are
// level, compares them row by row and prints the figures. It returns an
// *UnequalError if they differ and a *ViolationError if the replicator broke
// the protocol.
func Run(ctx context.Context, o Options) error {
	if o.Out == nil {
		o.Out = io.Discard
	}
	d, err := Start(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "two embedded nodes, %s and %s; databases %s; replicated both ways\n",
		d.sides[0].node.URL(), d.sides[1].node.URL(), strings.Join(databases, " and "))
	err = d.watch(ctx, o.Duration, o.Out)
	if err == nil {
		// What was begun is brought to its end, also after Ctrl-C.
		err = d.Finish(context.WithoutCancel(ctx), o.Out)
	}
	return errors.Join(err, d.Close())
}

// Start starts the nodes, the instance, both replicas and the writers. The
// caller must Close the demo; ctx bounds the start only.
func Start(ctx context.Context, o Options) (*Demo, error) {
	d := &Demo{started: time.Now(), dir: o.StateDir, failed: make(chan error, 1)}
	if err := d.start(ctx, o); err != nil {
		_ = d.Close() // the first error says more
		return nil, fmt.Errorf("start the demo: %w", err)
	}
	return d, nil
}

func (d *Demo) start(ctx context.Context, o Options) error {
	for i, name := range siteNames {
		// Vgroup ids of two servers rarely coincide; here neither.
		node, err := embedded.Start(embedded.Options{FirstVgroupID: int32(2 + 100*i)})
		if err != nil {
			return err
		}
		d.sides[i] = &site{name: name, node: node}
	}
	if err := createDatabases(d.sides); err != nil {
		return err
	}
	if err := d.startEngine(o); err != nil {
		return err
	}
	for i := range d.sides {
		if err := d.replicate(ctx, d.sides[i], d.sides[1-i]); err != nil {
			return err
		}
	}
	d.startWriters()
	return nil
}

// startEngine makes the instance and sets it going.
func (d *Demo) startEngine(o Options) (err error) {
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "tdreplica-demo-"); err != nil {
			return err
		}
		d.tempDir = true
	}
	if d.store, err = store.Open(d.dir); err != nil {
		return err
	}
	old, err := d.store.Replicas()
	if err != nil {
		return err
	}
	if len(old) > 0 {
		return fmt.Errorf("the state directory %s holds the replicas of an instance; the demo needs an empty one", d.dir)
	}
	cfg := o.Config
	if cfg == nil {
		cfg = config.Default()
	}
	settings := *cfg
	settings.Replicas, settings.Instance.Name, settings.Instance.StateDir = nil, "demo", d.dir
	d.engine, err = engine.New(engine.Options{
		Config: &settings, Store: d.store, Log: o.Log, Version: o.Version, Demo: true,
		Connector: taos.New(taos.Options{
			RequestTimeout: cfg.Engine.RequestTimeout.Duration,
			WriteTimeout:   cfg.Engine.WriteTimeout.Duration,
		}),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.stopEngine, d.engineDone = cancel, make(chan struct{})
	go func() {
		defer close(d.engineDone)
		if d.engineErr = d.engine.Run(ctx); d.engineErr != nil {
			d.fail(fmt.Errorf("run the instance: %w", d.engineErr))
		}
	}()
	return nil
}

// replicate starts a replica of every database from one side to the other.
func (d *Demo) replicate(ctx context.Context, from, to *site) error {
	_, err := d.engine.Start(ctx, core.StartRequest{
		Source: from.endpoint(), Sink: to.endpoint(),
		Actor: core.Actor{Via: "command", User: "demo"},
	})
	if err != nil {
		return fmt.Errorf("replicate %s to %s: %w", from.name, to.name, err)
	}
	return nil
}

func (d *Demo) startWriters() {
	ctx, cancel := context.WithCancel(context.Background())
	d.stopWriters = cancel
	for i, side := range d.sides {
		for j, database := range databases {
			w := newWriter(side, database, i == j)
			d.writers = append(d.writers, w)
			d.writing.Go(func() {
				if err := w.run(ctx); err != nil {
					d.fail(fmt.Errorf("write to %s at %s: %w", w.database, w.side.name, err))
				}
			})
		}
	}
}

// fail keeps the first failure.
func (d *Demo) fail(err error) {
	select {
	case d.failed <- err:
	default:
	}
}

// Controller is the demo's instance.
func (d *Demo) Controller() core.Controller { return d.engine }

// Done is closed when the instance was asked to shut down.
func (d *Demo) Done() <-chan struct{} { return d.engine.Done() }

// Close stops the writers, then the instance, then the nodes, and deletes a
// temporary state directory. It returns what the instance or a node has to
// complain about; further calls return the same.
func (d *Demo) Close() error {
	d.closeOnce.Do(func() { d.closeErr = d.close() })
	return d.closeErr
}

func (d *Demo) close() error {
	var errs []error
	if d.stopWriters != nil {
		d.stopWriters()
		d.writing.Wait()
	}
	if d.stopEngine != nil {
		d.stopEngine()
		<-d.engineDone
		errs = append(errs, d.engineErr)
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	for _, side := range d.sides {
		if side == nil {
			continue
		}
		errs = append(errs, side.node.Close())
		if v := side.node.Violations(); len(v) > 0 {
			errs = append(errs, &ViolationError{Node: side.name, Violations: v})
		}
	}
	if d.tempDir {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

// ViolationError tells that the replicator did what the protocol forbids.
type ViolationError struct {
	Node       string
	Violations []string
}

func (e *ViolationError) Error() string {
	return fmt.Sprintf("node %s saw the protocol broken %d times, first: %s", e.Node, len(e.Violations), e.Violations[0])
}
