package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tdreplica/core"
)

// sqlClient speaks plain SQL over REST. It shares no code with core/taos, so
// that what the scenarios find at the two sides is a second opinion.
type sqlClient struct {
	addr string // http://host:port
	user *url.Userinfo
	http *http.Client
}

func newSQLClient(endpoint string) (*sqlClient, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("the endpoint is not http://USER:PASSWORD@HOST:PORT")
	}
	user := u.User
	if user == nil {
		user = url.UserPassword("root", "taosdata")
	}
	return &sqlClient{
		addr: u.Scheme + "://" + u.Host,
		user: user,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: 30 * time.Second},
	}, nil
}

func (c *sqlClient) close() { c.http.CloseIdleConnections() }

// sqlError is a refusal by the server, in its own words.
type sqlError struct {
	Code int
	Text string
	SQL  string
}

func (e *sqlError) Error() string {
	return fmt.Sprintf("%.200s: %s [0x%04X]", e.SQL, e.Text, e.Code)
}

// run sends one statement and returns the rows, each cell as compact JSON and
// strings without their quotes.
func (c *sqlClient) run(ctx context.Context, sql string) ([][]string, error) {
	// A server that is just dropping another scenario's database refuses some
	// queries of its system tables.
	const vnodeGone, tries = 0x0503, 20
	for n := 1; ; n++ {
		rows, err := c.once(ctx, sql)
		var refused *sqlError
		if n == tries || !strings.HasPrefix(sql, "select ") || !errors.As(err, &refused) || refused.Code != vnodeGone {
			return rows, err
		}
		if err := core.Pause(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (c *sqlClient) once(ctx context.Context, sql string) ([][]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.addr+"/rest/sql", strings.NewReader(sql))
	if err != nil {
		return nil, err
	}
	password, _ := c.user.Password()
	req.SetBasicAuth(c.user.Username(), password)
	// A connection that an earlier fault has closed is found out by using it: this
	// makes net/http try again on a new one. The header itself is not sent.
	req.Header["Idempotency-Key"] = nil
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Code int                 `json:"code"`
		Desc string              `json:"desc"`
		Data [][]json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("%.200s: HTTP %s: %w", sql, resp.Status, err)
	}
	if doc.Code != 0 {
		return nil, &sqlError{Code: doc.Code, Text: doc.Desc, SQL: sql}
	}
	rows := make([][]string, len(doc.Data))
	for i, cells := range doc.Data {
		rows[i] = make([]string, len(cells))
		for k, cell := range cells {
			rows[i][k] = cellText(cell)
		}
	}
	return rows, nil
}

func cellText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil && string(raw) != "null" {
		return s
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}
