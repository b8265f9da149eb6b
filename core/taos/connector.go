package taos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tdreplica/core"
	"tdreplica/core/engine"
)

// Options are the limits of every connection that a Connector opens. A zero
// field takes the default.
type Options struct {
	// ConnectTimeout bounds all of reaching an endpoint for SQL: look-up, dial,
	// TLS, versions and log-in. Default 4.5 s, so that an operator who mistyped
	// an address has his answer within 5 s.
	ConnectTimeout time.Duration
	// RequestTimeout is how long a request may go without a single byte of
	// reply. Default 30 s.
	RequestTimeout time.Duration
	// SubscribeTimeout bounds joining a consumer group, which waits for the
	// server's rebalancing. Default 150 s.
	SubscribeTimeout time.Duration
	// WriteTimeout is how long the sink may take to acknowledge one message.
	// Default 5 min.
	WriteTimeout time.Duration
	// SessionTimeout is how long the server keeps a consumer that fell silent.
	// 6 s to 30 min, default 12 s.
	SessionTimeout time.Duration
	// MaxFrame is the largest message that is accepted, in bytes. Default 512 MB.
	MaxFrame int64
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.ConnectTimeout, 4500 * time.Millisecond},
		{&o.RequestTimeout, 30 * time.Second},
		{&o.SubscribeTimeout, 150 * time.Second},
		{&o.WriteTimeout, 5 * time.Minute},
		{&o.SessionTimeout, 12 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	o.SessionTimeout = min(max(o.SessionTimeout, 6*time.Second), 30*time.Minute)
	if o.MaxFrame <= 0 {
		o.MaxFrame = 512 << 20
	}
	return o
}

// Connector opens connections to taosAdapters. It holds no connection itself
// and is safe for concurrent use.
type Connector struct {
	opts Options
}

var _ engine.Connector = (*Connector)(nil)

// New returns a connector with these limits.
func New(opts Options) *Connector {
	return &Connector{opts: opts.withDefaults()}
}

// Catalog connects for SQL: it asks the adapter and the server for their
// versions, which also proves the credentials. It answers within
// Options.ConnectTimeout, with a sentence about what is wrong if it fails.
func (c *Connector) Catalog(ctx context.Context, ep core.Endpoint) (engine.Catalog, error) {
	e, err := resolve(ep)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	adapter, err := c.adapterVersion(limited, e)
	if err != nil {
		return nil, err
	}
	db, err := openDB(ep, c.opts)
	if err != nil {
		return nil, err
	}
	cat := &catalog{db: db, ep: e, opts: c.opts, versions: core.Versions{Adapter: adapter}}
	cat.connect = func(ctx context.Context) (*socket, error) {
		k, err := c.Sink(ctx, ep, "")
		if err != nil {
			return nil, err
		}
		return k.(*sink).s, nil
	}
	cat.versions.Server, err = cat.serverVersion(limited)
	if err != nil {
		db.Close()
		if limited.Err() != nil && ctx.Err() == nil {
			err = &core.Error{
				Class: core.ClassReconnect,
				Op:    "connect to " + e.String(),
				Text:  fmt.Sprintf("taosAdapter answers, but its taosd does not (within %s)", c.opts.ConnectTimeout),
				Hint:  "is taosd running on that host?",
			}
		}
		return nil, err
	}
	return cat, nil
}

// adapterVersion asks an adapter for its version without logging in. An
// endpoint that answers something else is no taosAdapter; one that answers
// nothing may be one that has too much to do.
func (c *Connector) adapterVersion(ctx context.Context, e endpoint) (string, error) {
	s, err := dial(ctx, e, pathSource, c.opts)
	if err != nil {
		return "", err
	}
	defer s.close()
	v, err := s.version(ctx)
	switch {
	case err == nil:
		return v, nil
	case ctx.Err() == nil && s.closed():
		return "", err // an adapter that is just stopping, or a line that was cut
	case ctx.Err() == nil:
		return "", notAdapter(e, err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		slow := notAdapter(e, err)
		slow.Class = core.ClassReconnect
		slow.Text = fmt.Sprintf("the port answers, but does not tell its version within %s: it is no taosAdapter, or one that is overloaded", c.opts.ConnectTimeout)
		return "", slow
	}
	return "", err
}

// Source joins a consumer group. It returns before the first poll.
func (c *Connector) Source(ctx context.Context, ep core.Endpoint, sub engine.Subscription) (engine.Source, error) {
	e, err := resolve(ep)
	if err != nil {
		return nil, err
	}
	s, err := c.dialFor(ctx, e, pathSource)
	if err != nil {
		return nil, err
	}
	src := &source{s: s, ep: e, sub: sub, opts: c.opts}
	src.pollOp, src.fetchOp = src.op("poll"), src.op("fetch a message of")
	if err := src.subscribe(ctx); err != nil {
		s.close()
		return nil, c.explainLogin(ctx, ep, err)
	}
	return src, nil
}

// explainLogin finds out why a consumer could not be created. The adapter
// answers with the same code and a vague text whether the password is wrong or
// taosd is down; SQL tells them apart, and only the first needs a person.
func (c *Connector) explainLogin(ctx context.Context, ep core.Endpoint, err error) error {
	var e *core.Error
	if !errors.As(err, &e) || e.Code != codeAdapter {
		return err
	}
	cat, sqlErr := c.Catalog(ctx, ep)
	if sqlErr == nil {
		cat.Close()
		return err
	}
	if core.ClassOf(sqlErr) == core.ClassOperator {
		return sqlErr
	}
	return err
}

// Sink connects for writing into a database, which must exist.
func (c *Connector) Sink(ctx context.Context, ep core.Endpoint, database string) (engine.Sink, error) {
	e, err := resolve(ep)
	if err != nil {
		return nil, err
	}
	s, err := c.dialFor(ctx, e, pathSink)
	if err != nil {
		return nil, err
	}
	k := &sink{s: s, ep: e, database: database, opts: c.opts}
	k.writeOp = fmt.Sprintf("write to database %q at %s", database, e)
	if err := k.login(ctx); err != nil {
		s.close()
		return nil, err
	}
	return k, nil
}

func (c *Connector) dialFor(ctx context.Context, e endpoint, path string) (*socket, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	return dial(ctx, e, path, c.opts)
}
