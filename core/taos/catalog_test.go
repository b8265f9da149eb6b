package taos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/engine"
)

// result is what the fake SQL server answers: columns ("name" for a text,
// "name#" for a number) and rows, or a code.
type result struct {
	code    int
	desc    string
	columns []string
	rows    [][]any
}

func (r result) MarshalJSON() ([]byte, error) {
	if r.code != 0 {
		return json.Marshal(map[string]any{"code": r.code, "desc": r.desc})
	}
	if r.columns == nil {
		r.columns, r.rows = []string{"affected_rows#"}, [][]any{{0}}
	}
	meta := make([][]any, len(r.columns))
	for i, name := range r.columns {
		kind := "VARCHAR"
		if n, number := strings.CutSuffix(name, "#"); number {
			name, kind = n, "INT"
		}
		meta[i] = []any{name, kind, 8}
	}
	if r.rows == nil {
		r.rows = [][]any{}
	}
	return json.Marshal(map[string]any{"code": 0, "column_meta": meta, "data": r.rows, "rows": len(r.rows)})
}

// sqlServer answers each statement by the first script that knows it.
func sqlServer(t *testing.T, scripts ...func(sql string) *result) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, script := range scripts {
			if answer := script(string(body)); answer != nil {
				json.NewEncoder(w).Encode(answer)
				return
			}
		}
		t.Errorf("unexpected SQL: %s", body)
		json.NewEncoder(w).Encode(result{code: 0x2600, desc: "syntax error"})
	}
}

func serverVersion(version string) func(string) *result {
	return func(sql string) *result {
		switch {
		case sql == "select server_version()":
			return &result{columns: []string{"server_version()"}, rows: [][]any{{version}}}
		case strings.HasSuffix(sql, "where name='information_schema'"):
			return &result{columns: []string{"name"}, rows: [][]any{{"information_schema"}}}
		}
		return nil
	}
}

// fakeCatalog connects to a server that answers SQL by scripts, and notes it.
func fakeCatalog(t *testing.T, opts Options, script func(sql string) *result) (engine.Catalog, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	f := newFake(t, handshake("3.3.7.5", func(received) reply { return nil }))
	f.rest = sqlServer(t, serverVersion("3.3.7.5"), func(sql string) *result {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, sql)
		return script(sql)
	})
	cat, err := New(opts).Catalog(t.Context(), f.endpoint())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cat.Close() })
	return cat, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

func TestOldServer(t *testing.T) {
	f := newFake(t, handshake("3.2.9.0", func(received) reply { return nil }))
	f.rest = sqlServer(t, serverVersion("3.2.3.1"))
	_, err := New(Options{}).Catalog(t.Context(), f.endpoint())
	if core.ClassOf(err) != core.ClassOperator || !strings.Contains(err.Error(), "3.2.3.1") || !strings.Contains(err.Error(), "3.3.0.0") {
		t.Errorf("%v", err)
	}
}

// TestServerDown: the adapter lives, taosd does not.
func TestServerDown(t *testing.T) {
	f := newFake(t, handshake("3.3.7.5", func(received) reply { return nil }))
	f.rest = func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() }
	_, err := New(Options{ConnectTimeout: 300 * time.Millisecond}).Catalog(t.Context(), f.endpoint())
	if core.ClassOf(err) != core.ClassReconnect || !strings.Contains(err.Error(), "taosAdapter answers, but its taosd does not") {
		t.Errorf("%v", err)
	}
}

func TestRESTAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		body, text string
		class      core.Class
	}{
		"wrong password": {200, `{"code":855,"desc":"Authentication failure"}`, "wrong user or password for root", core.ClassOperator},
		"401":            {401, `{"code":855,"desc":"Authentication failure"}`, "wrong user or password for root", core.ClassOperator},
		"503":            {503, ``, "overloaded", core.ClassWait},
		"404":            {404, `not found`, "no taosAdapter", core.ClassOperator},
		"redirect":       {302, ``, "no taosAdapter", core.ClassOperator},
		"html":           {200, `<html>`, "no result", core.ClassReconnect},
		"empty":          {200, ``, "no result", core.ClassReconnect},
		"no result":      {200, `{}`, "without columns", core.ClassReconnect},
		"cut off":        {200, `{"code":0,"column_meta":[["a","INT",4]],"data":[[1],[2`, "no result", core.ClassReconnect},
		"rows missing":   {200, `{"code":0,"column_meta":[["a","INT",4]],"data":[[1]],"rows":2}`, "states 2", core.ClassReconnect},
		"too many cells": {200, `{"code":0,"column_meta":[["a","INT",4]],"data":[[1,2]],"rows":1}`, "malformed", core.ClassReconnect},
		"unknown code":   {200, `{"code":31111,"desc":"strange"}`, "strange", core.ClassOperator},
		"taosd is down":  {200, `{"code":11,"desc":"Unable to establish connection"}`, "Unable to establish", core.ClassReconnect},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, nil)
			f.rest = func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			}
			db, err := openDB(f.endpoint(), Options{}.withDefaults())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			err = db.PingContext(t.Context())
			if err == nil || core.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v (%s); want %q (%s)", err, core.ClassOf(err), c.text, c.class)
			}
		})
	}
}

// TestPasswordFileIsReadAgain: after a change of password the pool recovers by
// itself.
func TestPasswordFileIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := newFake(t, nil)
	f.rest = func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "new" {
			json.NewEncoder(w).Encode(result{code: 0x0357, desc: "Authentication failure"})
			return
		}
		json.NewEncoder(w).Encode(result{})
	}
	write("old")
	db, err := openDB(core.Endpoint{URL: f.server.URL, User: "u", PasswordFile: file}, Options{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("x"); core.ClassOf(err) != core.ClassOperator {
		t.Fatalf("old password: %v", err)
	}
	write("new")
	if _, err := db.Exec("x"); err != nil {
		t.Errorf("new password: %v", err)
	}
	if _, err := db.Query("select ?", 1); err == nil {
		t.Error("placeholders were taken")
	}
}

func TestEnsureTopic(t *testing.T) {
	for name, c := range map[string]struct {
		create result
		rows   [][]any
		text   string
		class  core.Class
	}{
		"made":             {result{}, [][]any{{"power", "yes", "db"}}, "", ""},
		"already there":    {result{code: 0x03E0, desc: "Topic already exists"}, [][]any{{"power", "yes", "db"}}, "", ""},
		"another database": {result{}, [][]any{{"factory", "yes", "db"}}, `of database "factory"`, core.ClassOperator},
		"without meta":     {result{}, [][]any{{"power", "no", "db"}}, "with meta", core.ClassOperator},
		"of a super table": {result{}, [][]any{{"power", "yes", "stable"}}, "with meta", core.ClassOperator},
		"vanished":         {result{}, nil, "no such topic", core.ClassOperator},
		"no WAL kept":      {result{code: 0x038C, desc: "WAL retention period is zero"}, nil, "WAL retention period is zero", core.ClassOperator},
	} {
		cat, seen := fakeCatalog(t, Options{}, func(sql string) *result {
			if strings.HasPrefix(sql, "create topic") {
				return &c.create
			}
			return &result{columns: []string{"db_name", "meta", "type"}, rows: c.rows}
		})
		err := cat.EnsureTopic(t.Context(), "tdr_power", "power")
		if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text) || core.ClassOf(err) != c.class || core.HintOf(err) == "") {
			t.Errorf("%s: %v", name, err)
		}
		if want := "create topic if not exists `tdr_power` with meta as database `power`"; seen()[0] != want {
			t.Errorf("%s", seen()[0])
		}
	}
}

func TestDrops(t *testing.T) {
	busy := 2
	cat, seen := fakeCatalog(t, Options{}, func(sql string) *result {
		if busy--; busy >= 0 {
			return &result{code: 0x03EC, desc: "Consumer group being used by some consumer"}
		}
		return &result{code: 0x03E8, desc: "Consumer group not exist"}
	})
	if err := cat.DropGroup(t.Context(), "t", "it`s"); err != nil || len(seen()) != 3 {
		t.Errorf("%v after %d tries", err, len(seen()))
	}
	if want := "drop consumer group if exists `it``s` on `t`"; seen()[0] != want {
		t.Errorf("%s", seen()[0])
	}
	busy = 1 << 30
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var e *core.Error
	if err := cat.DropTopic(ctx, "t"); !errors.As(err, &e) || e.Class != core.ClassOperator || e.Code != 0x03EC {
		t.Errorf("a topic that stays in use: %v", err)
	}
}

const fullCreate = "CREATE DATABASE `po wer` BUFFER 256 CACHESIZE 1 CACHEMODEL 'none' KEEP 3650d,3650d,3650d PRECISION 'us' REPLICA 3 VGROUPS 2 WAL_RETENTION_PERIOD 3600 WAL_RETENTION_SIZE 0 ENCRYPT_ALGORITHM 'none' SS_CHUNKPAGES 131072"

func TestCreateDatabaseLike(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		cat, seen := fakeCatalog(t, Options{}, func(sql string) *result {
			switch {
			case strings.HasPrefix(sql, "create database") && refuses && strings.Contains(sql, "BUFFER"):
				return &result{code: 0x2600, desc: "syntax error"}
			case strings.HasPrefix(sql, "create database"):
				return &result{}
			case strings.HasPrefix(sql, "show create"):
				return &result{columns: []string{"Database", "Create Database"}, rows: [][]any{{"po wer", fullCreate}}}
			}
			return &result{columns: []string{"name", "precision", "vgroups#", "wal_retention_period#"}, rows: [][]any{{"po wer", "us", 2, 3600}}}
		})
		if err := cat.CreateDatabaseLike(t.Context(), core.Database{Name: "po wer", Precision: "us", CreateSQL: fullCreate}); err != nil {
			t.Fatal(err)
		}
		want := []string{"create database if not exists `po wer` BUFFER 256 CACHESIZE 1 CACHEMODEL 'none' KEEP 3650d,3650d,3650d PRECISION 'us' VGROUPS 2 WAL_RETENTION_PERIOD 3600 WAL_RETENTION_SIZE 0"}
		if refuses {
			want = append(want, "create database if not exists `po wer` KEEP 3650d,3650d,3650d PRECISION 'us' WAL_RETENTION_PERIOD 3600 WAL_RETENTION_SIZE 0")
		}
		if got := seen()[:len(want)]; !slices.Equal(got, want) {
			t.Errorf("refused %v:\n%s", refuses, strings.Join(got, "\n"))
		}
		err := cat.CreateDatabaseLike(t.Context(), core.Database{Name: "po wer", Precision: "ms", CreateSQL: fullCreate})
		if core.ClassOf(err) != core.ClassOperator || !strings.Contains(err.Error(), "another precision") {
			t.Errorf("another precision: %v", err)
		}
	}
}

func TestSystemTables(t *testing.T) {
	cat, _ := fakeCatalog(t, Options{}, func(sql string) *result {
		switch {
		case strings.Contains(sql, "ins_subscriptions"):
			return &result{columns: []string{"topic_name", "consumer_group", "vgroup_id#", "consumer_id", "offset"}, rows: [][]any{
				{"t", "g", 2, "0x1", "wal:10/25"}, {"t", "g", 3, nil, nil}, {"t", "g", 4, nil, "earliest/30"}, {"t", "g", 5, nil, "tsdb:1|2/7"}}}
		case strings.Contains(sql, "ins_vgroups") && strings.Contains(sql, "'new'"):
			return &result{columns: []string{"vgroup_id#", "v1_applied/committed", "v2_applied/committed"}, rows: [][]any{
				{2, "7/9", "8/12"}, {3, "0/0", nil}}}
		case strings.Contains(sql, "ins_vgroups"):
			return &result{columns: []string{"vgroup_id#", "v1_status"}, rows: [][]any{{2, "leader"}}}
		case strings.HasPrefix(sql, "describe"):
			return &result{columns: []string{"field", "type", "length#", "note"}, rows: [][]any{
				{"ts", "TIMESTAMP", 8, ""}, {"名", "NCHAR", 10, ""}, {"g", "INT", 4, "TAG"}}}
		}
		return &result{code: 0x2603, desc: "Table does not exist"}
	})
	subs, err := cat.Subscriptions(t.Context(), "t")
	want := []core.Subscription{
		{Topic: "t", Group: "g", Vgroup: 2, Consumer: "0x1", Position: 10, End: 25},
		{Topic: "t", Group: "g", Vgroup: 3, Position: core.Unknown, End: core.Unknown},
		{Topic: "t", Group: "g", Vgroup: 4, Position: core.Unknown, End: 30},
		{Topic: "t", Group: "g", Vgroup: 5, Position: core.Unknown, End: 7},
	}
	if err != nil || !slices.Equal(subs, want) {
		t.Errorf("%+v, %v", subs, err)
	}
	if ends, told, err := cat.WALEnds(t.Context(), "new"); err != nil || !told || fmt.Sprint(ends) != "map[2:13 3:1]" {
		t.Errorf("%v %v %v", ends, told, err)
	}
	if ends, told, err := cat.WALEnds(t.Context(), "old"); err != nil || told || len(ends) != 0 {
		t.Errorf("%v %v %v", ends, told, err)
	}
	table, err := cat.Describe(t.Context(), "d", "st")
	if err != nil || len(table.Columns) != 2 || len(table.Tags) != 1 || table.Columns[1] != (core.Column{Name: "名", Type: "NCHAR", Length: 10}) {
		t.Errorf("%+v, %v", table, err)
	}
	if _, err := cat.SuperTables(t.Context(), "d"); core.ClassOf(err) != core.ClassData || !strings.Contains(err.Error(), "list the super tables") {
		t.Errorf("%v", err)
	}
}

func TestRights(t *testing.T) {
	for name, c := range map[string]struct {
		privileges [][]any
		edition    string
		super      int
		read       bool
	}{
		"granted":          {[][]any{{"u", "read", "power"}}, "enterprise", 0, true},
		"all of it":        {[][]any{{"u", "all", "all"}}, "enterprise", 0, true},
		"another database": {[][]any{{"u", "read", "factory"}}, "enterprise", 0, false},
		"only write":       {[][]any{{"u", "write", "power"}}, "enterprise", 0, false},
		"not enforced":     {nil, "TDengine TSDB-OSS", 0, true},
		"super user":       {nil, "enterprise", 1, true},
	} {
		f := newFake(t, handshake("3.3.7.5", func(received) reply { return nil }))
		f.rest = sqlServer(t, serverVersion("3.3.7.5"), func(sql string) *result {
			switch {
			case strings.Contains(sql, "ins_user_privileges"):
				return &result{columns: []string{"user_name", "privilege", "db_name"}, rows: c.privileges}
			case strings.Contains(sql, "ins_users"):
				return &result{columns: []string{"name", "super#"}, rows: [][]any{{"u", c.super}}}
			}
			return &result{columns: []string{"version"}, rows: [][]any{{c.edition}}}
		})
		ep := f.endpoint()
		ep.User = "u"
		cat, err := New(Options{}).Catalog(t.Context(), ep)
		if err != nil {
			t.Fatal(err)
		}
		err = cat.CanSubscribe(t.Context(), "power")
		if c.read != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (core.ClassOf(err) != core.ClassOperator || core.HintOf(err) != "grant read on `power`.* to u") {
			t.Errorf("%s: %v, hint %q", name, err, core.HintOf(err))
		}
		cat.Close()
	}
}

// TestEmptyAnswersAreDoubted: a server that is just dropping another database may
// leave a vgroup's tables out. Its children are not taken for dropped at once.
func TestEmptyAnswersAreDoubted(t *testing.T) {
	for found := 1; found <= emptyAnswers+1; found++ {
		asked := 0
		cat, _ := fakeCatalog(t, Options{}, func(sql string) *result {
			asked++
			r := &result{columns: []string{"table_name", "stable_name", "id", "vgroup_id#"}}
			if asked >= found {
				r.rows = [][]any{{"c1", "st", "9000000000000000001", 2}}
			}
			return r
		})
		names, err := cat.TableNames(t.Context(), "d", []int64{9000000000000000001, 7})
		want := map[int64]string{9000000000000000001: "c1"}
		if found > emptyAnswers {
			want = map[int64]string{}
		}
		if err != nil || !maps.Equal(names, want) || asked != min(found, emptyAnswers) {
			t.Errorf("told at answer %d: %v, %v after %d statements", found, names, err, asked)
		}
	}
}
