package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"tdreplica/config"
	"tdreplica/core/cli"
	"tdreplica/core/control"
	"tdreplica/core/engine"
	"tdreplica/core/metrics"
	"tdreplica/core/store"
	"tdreplica/core/taos"
)

// closeTime is how long requests on the socket may take to end when the
// instance does.
const closeTime = 2 * time.Second

// instance is everything that runs on a state directory.
type instance struct {
	store  *store.Store
	engine *engine.Engine
	server *control.Server
	// metrics is nil if the configuration asks for none.
	metrics *metrics.Server

	cancel  context.CancelFunc // of the engine: a graceful stop
	running chan error         // the engine's end
	serving chan error         // the server's end
}

// openInstance takes the state directory and starts what belongs to it. It
// goes on until close, whatever happens to ctx.
func openInstance(ctx context.Context, l cli.Launch, log *slog.Logger, version string) (*instance, error) {
	st, err := store.Open(l.Config.Instance.StateDir)
	if err != nil {
		return nil, err
	}
	i := &instance{store: st, running: make(chan error, 1), serving: make(chan error, 1)}
	tuning := l.Config.Engine
	i.engine, err = engine.New(engine.Options{
		Config: l.Config, Store: st, Log: log, Version: version, ReadOnly: l.ReadOnly,
		Connector: taos.New(taos.Options{
			RequestTimeout: tuning.RequestTimeout.Duration, WriteTimeout: tuning.WriteTimeout.Duration,
		}),
	})
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	// The socket comes before the engine's first task: if it cannot be had,
	// nothing has happened.
	listener, err := control.Listen(st.Dir())
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	if address := l.Config.Metrics.Listen; address != "" {
		if i.metrics, err = metrics.Serve(address, i.engine); err != nil {
			return nil, errors.Join(err, listener.Close(), st.Close())
		}
	}
	i.server = control.NewServer(i.engine, l.ReadOnly, log)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	i.cancel = cancel
	go func() { i.running <- i.engine.Run(running) }()
	go func() { i.serving <- i.server.Serve(listener) }()
	if err := i.remember(ctx); err != nil {
		return nil, errors.Join(err, i.close())
	}
	return i, nil
}

// remember tells the state file who runs, for `status` when nobody does.
func (i *instance) remember(ctx context.Context) error {
	snap, err := i.engine.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("describe the instance: %w", err)
	}
	return i.store.PutInstance(snap.Instance)
}

// wait returns when the instance should end: ctx did, it was asked to over its
// socket, or something it cannot do without has failed.
func (i *instance) wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-i.engine.Done():
	case err := <-i.running:
		i.running <- err
	case err := <-i.serving:
		i.serving <- err
	}
}

// close stops the tasks gracefully, then the socket, then gives the state
// directory back.
func (i *instance) close() error {
	i.cancel()
	err := <-i.running
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	// A request that did not end in time is cut off; that is no failure.
	_ = i.server.Close(ctx)
	err = errors.Join(err, <-i.serving)
	if i.metrics != nil {
		err = errors.Join(err, i.metrics.Close())
	}
	return errors.Join(err, i.store.Close())
}

// headless runs an instance until ctx ends or it is asked to stop.
func headless(ctx context.Context, l cli.Launch, version string) error {
	log, done, err := newLog(l.Config.Instance, os.Stderr)
	if err != nil {
		return err
	}
	defer done()
	for _, w := range l.Config.Warnings {
		log.Warn("configuration", "problem", w.String())
	}
	i, err := openInstance(ctx, l, log, version)
	if err != nil {
		return err
	}
	log.Info("instance started", "pid", os.Getpid(), "version", version,
		"state_dir", i.store.Dir(), "instance_id", i.store.InstanceID(), "config", l.Config.File)
	i.wait(ctx)
	log.Info("instance stopping")
	if err := i.close(); err != nil {
		return err
	}
	log.Info("instance stopped")
	return nil
}

// newLog makes the log of an instance: to the configured file, else to out.
func newLog(c config.Instance, out io.Writer) (*slog.Logger, func(), error) {
	done := func() {}
	if c.LogFile != "" {
		f, err := os.OpenFile(c.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("open the log: %w", err)
		}
		out, done = f, func() { _ = f.Close() }
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		done()
		return nil, nil, fmt.Errorf("read the log level: %w", err)
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, opts)), done, nil
	}
	return slog.New(slog.NewTextHandler(out, opts)), done, nil
}
