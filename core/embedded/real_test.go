package embedded

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// realURL is the REST address of a real server, which the node's payloads are
// tried against.
func realURL(t *testing.T) string {
	u := os.Getenv("TDREPLICA_TEST_A")
	if u == "" {
		t.Skip("TDREPLICA_TEST_A is not set: the payloads are not tried against a real server")
	}
	return u
}

// realSQL runs a statement on a real server and returns its rows as JSON.
func realSQL(t *testing.T, base, sql string) string {
	t.Helper()
	req, err := http.NewRequest("POST", base+"/rest/sql", strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("root", "taosdata")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := struct {
		Code int
		Desc string
		Data json.RawMessage
	}{}
	if err := json.Unmarshal(body, &out); err != nil || out.Code != 0 {
		t.Fatalf("%s: %s", sql, body)
	}
	return string(out.Data)
}

var everyStatement = []string{
	everyType, everyValue,
	"create table d.st(ts timestamp, v int, f float, s varchar(16), n nchar(8)) tags(g int, l varchar(16))",
	"create table d.c1 using d.st tags(1,'one')", "create table d.c2 using d.st tags(2,null)",
	"insert into d.c1 values('2025-01-01 00:00:00',1,1.5,'x','nch')('2025-01-01 00:00:01',2,2.5,null,null) d.c2 values('2025-01-01 00:00:00',9,null,'','é')",
	"insert into d.c3 using d.st(l) tags('three') values('2025-01-01 00:00:00',1,1.5,'x','nch')",
	"insert into d.c1(ts,v) values('2025-01-01 00:00:00',100)('2025-01-01 00:00:05',5)",
	"insert into d.c4 using d.st tags(4,'sixteen bytes...') values('2025-01-01 00:00:00',1,1.5,'x','nch')('2025-01-01 00:00:07',1,1.5,'x','nch')",
	"alter table d.st add column w bigint", "insert into d.c1 values('2025-01-01 00:00:02',3,1.5,'x','nch',99)",
	"alter table d.st modify column s varchar(64)", "alter table d.st drop column f",
	"alter table d.st add tag z int", "alter table d.c1 set tag g=7",
	"delete from d.c1 where ts <= '2025-01-01 00:00:00'", "delete from d.c4 where ts < '2025-01-01 00:00:30'",
	"create table d.n1(ts timestamp, a int)", "insert into d.n1 values('2025-01-01 00:00:00',1)",
	"alter table d.n1 add column b varchar(4)", "alter table d.n1 modify column b varchar(9)",
	"alter table d.n1 rename column b bb", "insert into d.n1 values('2025-01-01 00:00:01',2,'ninechars')",
	"create table d.n2(ts timestamp, a decimal(12,3))", "insert into d.n2 values('2025-01-01 00:00:01',1.5)",
	"alter table d.n2 add column c decimal(30,2)", "create table d.n3(ts timestamp, a int)", "drop table d.n3",
	"create table d.k(ts timestamp, k varchar(8) primary key, v int) tags(g int)",
	"insert into d.k1 using d.k tags(1) values('2025-01-01 00:00:00','b',1)('2025-01-01 00:00:00','',2)('2025-01-01 00:00:00','b',3)",
	"insert into d.k1(ts,k) values('2025-01-01 00:00:00','b')('2025-01-01 00:00:01','a')",
	"create table d.k2(ts timestamp, k int primary key, v int)",
	"insert into d.k2 values('2025-01-01 00:00:00',-1,1)('2025-01-01 00:00:00',2,2)('2025-01-01 00:00:01',0,3)('2025-01-01 00:00:00',1,4)",
	"delete from d.k2 where ts > '2025-01-01 00:00:00'",
}

var everyQuestion = []string{
	"select * from d.a order by ts", "describe d.a", "describe d.st", "describe d.n1", "describe d.n2",
	"describe d.k", "describe d.k2", "select * from d.k order by ts,k", "select * from d.k2 order by ts,k",
	"select tbname,* from d.st order by tbname,ts", "select * from d.n1 order by ts", "select * from d.n2 order by ts",
	"select table_name,stable_name from information_schema.ins_tables where db_name='d' order by table_name",
	"select count(*) from d.st", "select last_row(*) from d.c1", "select tbname, count(*), max(v) from d.st group by tbname order by tbname",
}

// statementsFor leaves out what a version does not know.
func statementsFor(v version) []string {
	if v.decimals() {
		return everyStatement
	}
	var list []string
	for _, s := range everyStatement {
		s = strings.Replace(s, ", de decimal(10,2), de2 decimal(30,5)", "", 1)
		s = strings.Replace(s, ",123.456,-98765432109876543210.12345", "", 1)
		if strings.HasPrefix(s, "insert into d.a1 ") {
			s = strings.Replace(s, "null,null,null)", "null)", 1)
		}
		if !strings.Contains(s, "decimal") && !strings.Contains(s, "d.n2") {
			list = append(list, s)
		}
	}
	return list
}

func questionsFor(v version) []string {
	if v.decimals() {
		return everyQuestion
	}
	return slices.DeleteFunc(slices.Clone(everyQuestion), func(q string) bool { return strings.Contains(q, "d.n2") || strings.HasPrefix(q, "describe") })
}

// TestPayloadsOfAndForRealServers copies every kind of statement from a node to
// a real server and back, and compares what each says at the end.
func TestPayloadsOfAndForRealServers(t *testing.T) {
	real := realURL(t)
	text := strings.Trim(realSQL(t, real, "select server_version()"), `[]"`)
	opts := Options{Version: strings.Join(strings.Split(text, ".")[:4], ".")}
	v, err := parseVersion(opts.Version)
	if err != nil {
		t.Fatal(err)
	}
	setUp := func(db string) {
		realSQL(t, real, "drop topic if exists "+db+"_tp")
		realSQL(t, real, "drop database if exists "+db)
		realSQL(t, real, "create database "+db+" vgroups 1")
		t.Cleanup(func() {
			realSQL(t, real, "drop topic if exists "+db+"_tp")
			realSQL(t, real, "drop database if exists "+db)
		})
	}
	t.Run("from a node to a real server", func(t *testing.T) {
		setUp("emb_sink")
		n := start(t, opts)
		must(t, n, "create database d vgroups 1", "create topic tp with meta as database d")
		from, to := consume(t, n.URL(), "tp", "g", nil), writer(t, real, "emb_sink")
		for _, sql := range statementsFor(v) {
			must(t, n, sql)
			for from.poll(0) != nil {
				kind, raw := from.fetch()
				if a := to.write(kind, raw); a.code() != 0 {
					t.Errorf("%s: type %d: %v", sql, kind, a)
				}
			}
		}
		for _, q := range questionsFor(v) {
			got := string(restData(t, n, q))
			if want := realSQL(t, real, inDatabase(q, "emb_sink")); got != want {
				t.Errorf("%s:\nnode %s\nreal %s", q, got, want)
			}
		}
	})
	t.Run("from a real server to a node", func(t *testing.T) {
		setUp("emb_source")
		realSQL(t, real, "create topic emb_source_tp with meta as database emb_source")
		n := start(t, opts)
		must(t, n, "create database d vgroups 3")
		from, to := consume(t, real, "emb_source_tp", "g", nil), writer(t, n.URL(), "d")
		for _, sql := range append(statementsFor(v), "create table d.lastly(ts timestamp, a int)") {
			realSQL(t, real, inDatabase(sql, "emb_source"))
			for from.poll(1000) != nil {
				kind, raw := from.fetch()
				if a := to.write(kind, raw); a.code() != 0 {
					t.Errorf("%s: type %d: %v\n%x", sql, kind, a, raw)
				}
			}
		}
		for _, q := range questionsFor(v) {
			got := string(restData(t, n, q))
			if want := realSQL(t, real, inDatabase(q, "emb_source")); got != want {
				t.Errorf("%s:\nnode %s\nreal %s", q, got, want)
			}
		}
		from.ok("unsubscribe", nil)
	})
}

func restData(t *testing.T, n *Node, sql string) json.RawMessage {
	t.Helper()
	return json.RawMessage(realSQL(t, n.URL(), sql))
}

// inDatabase gives a statement on database d another one.
func inDatabase(sql, db string) string {
	return strings.ReplaceAll(strings.ReplaceAll(sql, " d.", " "+db+"."), "'d'", "'"+db+"'")
}
