package embedded

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// routes is everything that the adapter serves.
func (n *Node) routes(a *adapter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /rest/sql", n.serveSQL)
	mux.HandleFunc("POST /rest/sql/{db}", n.serveSQL)
	mux.HandleFunc("GET /rest/tmq", func(w http.ResponseWriter, r *http.Request) { n.upgrade(a, w, r, n.serveTMQ) })
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) { n.upgrade(a, w, r, n.serveWS) })
	mux.HandleFunc("GET /-/ping", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	return mux
}

type restError struct {
	Code   int    `json:"code"`
	Desc   string `json:"desc"`
	Timing int64  `json:"timing"`
}

func (n *Node) serveSQL(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		dropHTTP()
	}
	sql, dbName := string(body), r.PathValue("db")
	refuse := func(status int, err error) {
		f := asFault(err)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(restError{f.code, f.text, time.Since(began).Nanoseconds()}) // the client may be gone
	}
	got := n.strike(Request{Action: "sql", Database: dbName, SQL: sql})
	switch {
	case got.DropBefore:
		dropHTTP()
	case got.Code != 0:
		refuse(http.StatusOK, failure(got.Code, "%s", got.Text))
		return
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		refuse(http.StatusUnauthorized, failure(0x1105, "auth failure: no auth header"))
		return
	}
	if strings.TrimSpace(sql) == "" {
		refuse(http.StatusBadRequest, failure(0x1107, "empty sql"))
		return
	}
	out, status, err := n.restAnswer(name, password, dbName, sql)
	switch {
	case got.DropAfter:
		dropHTTP()
	case got.Silent:
		<-r.Context().Done()
	case err != nil:
		refuse(status, err)
	default:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Write(out)
	}
}

func (n *Node) restAnswer(name, password, dbName, sql string) ([]byte, int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.serverDown {
		return nil, http.StatusOK, errUnreachable
	}
	u, err := n.login(name, password)
	if err != nil {
		return nil, http.StatusUnauthorized, err
	}
	if dbName != "" && n.databases[dbName] == nil {
		return nil, http.StatusOK, errDBMissing
	}
	s := &session{n: n, user: u, db: dbName}
	res, err := s.exec(sql)
	if err != nil {
		return nil, http.StatusOK, err
	}
	return appendResult(nil, res), http.StatusOK, nil
}

// appendResult writes a result as the adapter does.
func appendResult(b []byte, res *result) []byte {
	if !res.isQuery {
		b = append(b, `{"code":0,"column_meta":[["affected_rows","INT",4]],"data":[[`...)
		return append(strconv.AppendInt(b, int64(res.affected), 10), `]],"rows":1}`...)
	}
	b = append(b, `{"code":0,"column_meta":[`...)
	for i, c := range res.cols {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = append(b, jsonText(c.name)...)
		b = append(b, `,"`+c.describe(",")+`",`...)
		b = append(strconv.AppendInt(b, int64(c.length()), 10), ']')
	}
	b = append(b, `],"data":[`...)
	for r, row := range res.rows {
		if r > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for i, v := range row {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONValue(b, v)
		}
		b = append(b, ']')
	}
	b = append(b, `],"rows":`...)
	return append(strconv.AppendInt(b, int64(len(res.rows)), 10), '}')
}

func appendJSONValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case float32:
		return appendJSONFloat(b, float64(v), 32)
	case float64:
		return appendJSONFloat(b, v, 64)
	case jsonObject:
		return append(b, v...)
	default:
		return append(b, jsonText(literalText(v))...)
	}
}

func appendJSONFloat(b []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, bits)
}
