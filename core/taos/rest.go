package taos

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/taosdata/driver-go/v3/common"

	"tdreplica/core"
)

// openDB opens an endpoint for SQL through database/sql. It does not connect yet.
// There is no session: no current database, no transactions, no placeholders
// (QuoteIdent and QuoteString write values).
//
// driver-go decodes the replies. The transport is ours, because its REST
// driver's knows no certificate authority, follows the environment's proxies
// and leaves a connection behind for each one that is closed.
func openDB(ep core.Endpoint, opts Options) (*sql.DB, error) {
	e, err := resolve(ep)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: opts.ConnectTimeout}).DialContext,
		TLSClientConfig:     e.tls,
		TLSHandshakeTimeout: opts.ConnectTimeout,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     time.Minute,
	}
	db := sql.OpenDB(&restConnector{
		ep:        ep,
		opts:      opts,
		transport: transport,
		client: &http.Client{
			Transport: transport,
			// Credentials go where they were meant to go, or nowhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	db.SetMaxIdleConns(4)
	return db, nil
}

// restConnector makes the pool's connections. They hold the credentials as they
// were read when the connection was made; all share one HTTP transport.
type restConnector struct {
	ep        core.Endpoint
	opts      Options
	transport *http.Transport
	client    *http.Client
}

func (r *restConnector) Connect(context.Context) (driver.Conn, error) {
	e, err := resolve(r.ep)
	if err != nil {
		return nil, err
	}
	return &restConn{ep: e, opts: r.opts, client: r.client}, nil
}

func (r *restConnector) Driver() driver.Driver { return restDriver{} }

// Close is called by sql.DB when it is closed.
func (r *restConnector) Close() error {
	r.transport.CloseIdleConnections()
	return nil
}

type restDriver struct{}

func (restDriver) Open(string) (driver.Conn, error) {
	return nil, errors.New("open an endpoint with openDB")
}

// restConn sends each statement as a request of its own.
type restConn struct {
	ep       endpoint
	opts     Options
	client   *http.Client
	rejected bool // the credentials were: read them again with a new connection
}

var errNoStatements = errors.New("REST has no prepared statements, placeholders or transactions")

func (c *restConn) Prepare(string) (driver.Stmt, error) { return nil, errNoStatements }
func (c *restConn) Begin() (driver.Tx, error)           { return nil, errNoStatements }
func (c *restConn) Close() error                        { return nil }
func (c *restConn) IsValid() bool                       { return !c.rejected }

func (c *restConn) Ping(ctx context.Context) error {
	_, err := c.run(ctx, "select server_version()")
	return err
}

func (c *restConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) > 0 {
		return nil, errNoStatements
	}
	reply, err := c.run(ctx, query)
	if err != nil {
		return nil, err
	}
	return &restRows{reply: reply}, nil
}

func (c *restConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) > 0 {
		return nil, errNoStatements
	}
	reply, err := c.run(ctx, query)
	if err != nil {
		return nil, err
	}
	if len(reply.Data) != 1 || len(reply.ColNames) != 1 || reply.ColNames[0] != "affected_rows" {
		return driver.RowsAffected(0), nil
	}
	n, _ := row{"n": reply.Data[0][0]}.number("n")
	return driver.RowsAffected(n), nil
}

// run sends one statement and returns its whole result.
func (c *restConn) run(ctx context.Context, statement string) (*common.TDEngineRestfulResp, error) {
	limited, cancel := context.WithTimeout(ctx, c.opts.RequestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodPost, c.ep.String()+"/rest/sql", strings.NewReader(statement))
	if err != nil {
		return nil, fmt.Errorf("prepare a request to %s: %w", c.ep, err)
	}
	if token := c.ep.cred.token; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	} else {
		req.SetBasicAuth(c.ep.cred.user, c.ep.cred.password)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, c.transportError(ctx, limited, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, c.statusError(resp)
	}
	reply, err := decodeREST(io.LimitReader(resp.Body, c.opts.MaxFrame))
	if limited.Err() != nil {
		return nil, c.transportError(ctx, limited, limited.Err())
	}
	if err != nil {
		return nil, c.ep.nonsense("run SQL at "+c.ep.String(), "an answer that is no result: "+err.Error())
	}
	if reply.Code != 0 {
		return nil, c.refused(reply.Code, reply.Desc)
	}
	return reply, nil
}

func (c *restConn) transportError(ctx, limited context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("run SQL at %s: %w", c.ep, ctx.Err())
	}
	var asURL *url.Error // its text repeats the address
	if limited.Err() != nil && errors.As(err, &asURL) || errors.Is(err, context.DeadlineExceeded) {
		return &core.Error{
			Class: core.ClassReconnect,
			Op:    "run SQL at " + c.ep.String(),
			Text:  fmt.Sprintf("no answer within %s", c.opts.RequestTimeout),
		}
	}
	return connectError(limited, c.ep, err)
}

func (c *restConn) refused(code int, text string) error {
	err := c.ep.serverError("run SQL at "+c.ep.String(), code, text, core.ClassOperator)
	c.rejected = err.Code == codeAuthFailure
	return err
}

// statusError explains an HTTP status other than 200. The adapter gives a
// code and a text with it; who does not is no adapter.
func (c *restConn) statusError(resp *http.Response) error {
	var reply struct {
		Code int    `json:"code"`
		Desc string `json:"desc"`
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	decoded := json.Unmarshal(body, &reply) == nil && reply.Code != 0
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return c.refused(codeAuthFailure, reply.Desc)
	case !decoded && resp.StatusCode == http.StatusServiceUnavailable, decoded && reply.Code == codeAdapter && resp.StatusCode == http.StatusServiceUnavailable:
		return &core.Error{
			Class: core.ClassWait,
			Op:    "run SQL at " + c.ep.String(),
			Text:  "the adapter is overloaded (HTTP 503)",
			Hint:  "it accepts no more connections or is short of memory",
		}
	case decoded:
		return c.refused(reply.Code, reply.Desc)
	default:
		return handshakeError(c.ep, resp.StatusCode, fmt.Errorf("HTTP status %d", resp.StatusCode))
	}
}

// decodeREST decodes a reply and refuses what is none. The decoder panics on
// some malformed input and takes a cut-off reply for a short one.
func decodeREST(r io.Reader) (reply *common.TDEngineRestfulResp, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed reply: %v", p)
		}
	}()
	reply, err = common.UnmarshalRestfulBody(r, 4096)
	switch {
	case err != nil:
		return nil, err
	case reply.Code != 0:
		return reply, nil
	case len(reply.ColNames) == 0, len(reply.ColTypes) != len(reply.ColNames):
		return nil, errors.New("a reply without columns")
	case reply.Rows != len(reply.Data):
		return nil, fmt.Errorf("a reply with %d rows that states %d", len(reply.Data), reply.Rows)
	}
	return reply, nil
}

// restRows is a result. All of it is in memory.
type restRows struct {
	reply *common.TDEngineRestfulResp
	next  int
}

func (r *restRows) Columns() []string { return r.reply.ColNames }
func (r *restRows) Close() error      { return nil }

func (r *restRows) Next(dest []driver.Value) error {
	if r.next >= len(r.reply.Data) {
		return io.EOF
	}
	copy(dest, r.reply.Data[r.next])
	r.next++
	return nil
}

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (r *restRows) ColumnTypeDatabaseTypeName(i int) string {
	return common.GetTypeName(r.reply.ColTypes[i])
}
