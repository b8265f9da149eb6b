package embedded

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	_ "github.com/taosdata/driver-go/v3/taosRestful"
)

func TestDriverOverREST(t *testing.T) {
	n := start(t, Options{})
	dsn := "root:taosdata@http(" + strings.TrimPrefix(n.URL(), "http://") + ")/"
	db, err := sql.Open("taosRestful", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range []string{"create database d precision 'us'", everyType, everyValue} {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	res, err := db.Exec("insert into d.a1(ts, i4, n) values('2025-01-01 00:00:02.123456', 7, '中')")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := res.RowsAffected(); got != 1 {
		t.Errorf("%d rows affected", got)
	}
	var (
		ts   time.Time
		i4   int
		name string
		null sql.NullString
	)
	row := db.QueryRow("select ts, i4, n, s from d.a where i4 = 7")
	if err := row.Scan(&ts, &i4, &name, &null); err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2025, 1, 1, 0, 0, 2, 123456000, time.UTC); !ts.Equal(want) || i4 != 7 || name != "中" || null.Valid {
		t.Errorf("got %v %v %q %v", ts, i4, name, null)
	}
	rows, err := db.Query("select * from d.a")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for rows.Next() {
		cells := make([]any, len(cols))
		for i := range cells {
			cells[i] = new(any)
		}
		if err := rows.Scan(cells...); err != nil {
			t.Fatal(err)
		}
		count++
	}
	if count != 3 || rows.Err() != nil {
		t.Errorf("%d rows, %v", count, rows.Err())
	}
	if _, err := db.Exec("selec 1"); err == nil || !strings.Contains(err.Error(), `syntax error near "selec 1"`) {
		t.Errorf("a syntax error: %v", err)
	}
	bad, err := sql.Open("taosRestful", strings.Replace(dsn, "taosdata", "wrong", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	if _, err := bad.Exec("select 1"); err == nil || !strings.Contains(err.Error(), "401") && !strings.Contains(err.Error(), "Authentication") {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestSelect(t *testing.T) {
	n := start(t, Options{})
	must(t, n, "create database d vgroups 3 precision 'ns'", "use d")
	must(t, n, "create stable if not exists d.st(ts timestamp, v int, s varchar(8)) tags(g int, l nchar(8))",
		"create table d.c2 using d.st tags(2, 'zwei')",
		"insert into d.c1 using d.st tags(1,'eins') values('2025-01-01T00:00:00.123456789Z',1,'a')(1735689601000000000,2,null)",
		"insert into d.c2 values('2025-01-01 00:00:00',10,'b')('2025-01-01 00:00:00',11,'c')", "create table d.c3 using d.st tags(null,null)")
	for q, want := range map[string]string{
		"select * from d.c1":                         "2025-01-01T00:00:00.123456789 1 a\n2025-01-01T00:00:01 2 <nil>\n",
		"select tbname, v from d.st order by v desc": "c2 11\nc1 2\nc1 1\n",
		"select count(*), sum(v), avg(v), min(v), max(v), first(v), last(v) from d.st": "3 14 4.666666666666667 1 11 11 2\n",
		"select last_row(*) from d.c1":                                                          "2025-01-01T00:00:01 2 <nil>\n",
		"select last_row(s), last(s) from d.c1":                                                 "<nil> a\n",
		"select tbname, count(*) from d.st group by tbname order by tbname":                     "c1 2\nc2 1\nc3 0\n",
		"select g, count(*) c from d.st partition by g order by g":                              "1 2\n2 1\n",
		"select v from d.st where g=1 and v>=2":                                                 "2\n",
		"select v from d.st where tbname in ('c2') or s like 'a%'":                              "1\n11\n",
		"select v from d.st where s is null":                                                    "2\n",
		"select v from d.st where ts between '2025-01-01 00:00:00.5' and '2025-01-01 00:00:02'": "2\n",
		"select v from d.st where not (v < 11) limit 1":                                         "11\n",
		"select distinct tbname, l from d.st where g is not null order by tbname":               "c1 eins\nc2 zwei\n",
		"select count(*) from d.c3":                                                             "0\n",
		"select max(v) from d.c3":                                                               "",
		"select server_version()":                                                               "3.3.7.5\n",
		"select cast(v as varchar(20)), cast('7' as bigint) from d.c2":                          "11 7\n",
		"select current_user()":                                                                 "root@localhost\n",
		"select 1":                                                                              "1\n",
		"select stable_name from information_schema.ins_stables":                                "st\n",
		"select vgroup_id, `v1_applied/committed` from information_schema.ins_vgroups where db_name='d' order by vgroup_id limit 1": fmt.Sprintf("2 %d/%[1]d\n", n.WALEnds("d")[2]-1),
		"show d.stables": "st\n", "show d.tables": "c1\nc2\nc3\n", "show cluster alive": "1\n",
		"show create table d.st": "st CREATE STABLE `st` (`ts` TIMESTAMP, `v` INT, `s` VARCHAR(8)) TAGS (`g` INT, `l` NCHAR(8))\n",
		"show create table d.c1": "c1 CREATE TABLE `c1` USING `st` (`g`, `l`) TAGS (1, \"eins\")\n",
	} {
		if got := rows(t, n, q); got != want {
			t.Errorf("%s:\n%s want\n%s", q, got, want)
		}
	}
	before := rows(t, n, "show create database d")
	created := strings.TrimSpace(before[strings.Index(before, "CREATE"):])
	must(t, n, strings.Replace(created, "`d`", "`copy`", 1))
	if after := rows(t, n, "show create database `copy`"); strings.ReplaceAll(after, "copy", "d") != before {
		t.Errorf("the database made from %q is %q", before, after)
	}
}

func TestStatementErrors(t *testing.T) {
	n := start(t, Options{})
	must(t, n, "create database d", "create table d.st(ts timestamp, v int, s varchar(4)) tags(g int)", "create table d.n(ts timestamp, v tinyint)",
		"create topic tp with meta as database d", "create database zero wal_retention_period 0")
	for q, code := range map[string]int{
		"selec 1": codeSyntax, "select * from nosuchdb.t": codeDBMissing, "select * from d.nosuch": codeTableMissing,
		"select nosuch from d.n": codeInvalidColumn, "select * from t": codeNoDatabase, "create database d": codeDBExists,
		"create table d.st(ts timestamp, v int) tags(g int)": codeStableExists, "create table d.n(ts timestamp, v int)": codeTableExists,
		"create table d.x(v int, w int)": codeSyntax, "create table d.x(ts timestamp, v nosuch)": codeSyntax,
		"insert into d.n values(now,300)": codeSyntax, "insert into d.n values(now)": codeSyntax, "insert into d.n values(null,1)": codeSyntax,
		"insert into d.n(v) values(1)": codeSyntax, "insert into d.n values('2001-01-01 00:00:00',1)": codeTimestamp,
		"insert into d.c using d.st tags(1) values(now,1,'toolong')": codeValueTooLong, "drop database nosuch": codeDBMissing,
		"drop table d.nosuch": codeTableMissing, "alter table d.st drop column nosuch": codeColumnMissing, "alter table d.st add column v int": codeColumnExists,
		"alter table d.st add tag g int": codeTagExists, "alter table d.st drop tag nosuch": codeTagMissing, "alter table d.st modify column s varchar(2)": codeInvalidPara,
		"alter table d.n add column v int": codeVgroupColExists, "create topic tp with meta as database d": codeTopicExists,
		"create topic t2 with meta as database zero": codeWALZero, "alter database d wal_retention_period 0": codeWALZero,
		"drop topic nosuch": codeTopicMissing, "drop consumer group g on tp": codeGroupMissing, "drop user nosuch": codeUser,
		"alter user nosuch pass 'x'": codeUser, "create database e precision 'xs'": codeInvalidPara, "create database e nosuch 1": codeSyntax,
		"delete from d.st where g=": codeSyntax, "insert into d.n values('no time',1)": codeSyntax, "show nosuch": codeNoDatabase,
	} {
		if err := n.Exec(q); err == nil || asFault(err).code != code {
			t.Errorf("%s: %v, want 0x%04X", q, err, code)
		}
	}
	must(t, n, "create database if not exists d", "create table if not exists d.n(ts timestamp, v int)", "drop database if exists nosuch",
		"drop table if exists d.nosuch", "drop topic if exists nosuch", "create topic if not exists tp with meta as database d")
}

func TestRights(t *testing.T) {
	n := start(t, Options{})
	must(t, n, "create database d", "create table d.n(ts timestamp, v int)", "create user u pass 'p'")
	as := func(q string) int {
		n.mu.Lock()
		defer n.mu.Unlock()
		s := &session{n: n, user: n.users["u"]}
		if _, err := s.exec(q); err != nil {
			return asFault(err).code
		}
		return 0
	}
	steps := []struct {
		grant, query string
		code         int
	}{
		{"", "select * from d.n", codePermission}, {"grant read on d.* to u", "select * from d.n", 0},
		{"", "insert into d.n values(now,1)", codePermission}, {"grant write on d.* to u", "insert into d.n values(now,1)", 0},
		{"", "create user x pass 'x'", codeRights}, {"revoke read on d.* from u", "select * from d.n", codePermission},
		{"grant all on *.* to u", "select * from d.n", 0}, {"", "create database e", codePermission},
	}
	for _, s := range steps {
		if s.grant != "" {
			must(t, n, s.grant)
		}
		if got := as(s.query); got != s.code {
			t.Errorf("after %q, %q: 0x%04X, want 0x%04X", s.grant, s.query, got, s.code)
		}
	}
	a := dial(t, n.URL(), "/ws").ask("conn", map[string]any{"user": "u", "password": "no"})
	if a.code() != codeAuth {
		t.Errorf("conn with a wrong password: %v", a)
	}
	must(t, n, "alter user u enable 0")
	if a := dial(t, n.URL(), "/ws").ask("conn", map[string]any{"user": "u", "password": "p"}); a.code() != codeDisabled {
		t.Errorf("conn of a disabled user: %v", a)
	}
}

func TestWriteRawBlockWithFields(t *testing.T) {
	a, b := pair(t, Options{}, "vgroups 1")
	from, to := consume(t, a.URL(), "tp", "g", nil), writer(t, b.URL(), "d")
	must(t, a, "create table d.n(ts timestamp, gone int, s nchar(4), w bigint)", "insert into d.n values('2025-01-01 00:00:00',1,'中文',7)(1735689601000,2,null,8)")
	must(t, b, "create table d.n(ts timestamp, w bigint, s nchar(4), more int)")
	from.poll(100)
	from.poll(100)
	d := from.ok("fetch", map[string]any{"message_id": from.last})
	if d["table_name"] != "n" || d.num("rows") != 2 {
		t.Fatalf("fetch: %v", d)
	}
	_, raw := from.fetch()
	m, err := decodeDataMessage(kindSubmit, raw)
	if err != nil {
		t.Fatal(err)
	}
	// The column that the sink lacks is left out, as one who rewrites rows does.
	keep := []int{0, 2, 3}
	var cols []column
	cells := make([][][]byte, m.blocks[0].rows)
	for _, i := range keep {
		cols = append(cols, m.blocks[0].cols[i])
		for r := range cells {
			cells[r] = append(cells[r], m.blocks[0].cells[i].cell(r))
		}
	}
	e := encoder{}
	e.i64(9)
	e.i64(0)
	e.i64(5)
	e.i32(2)
	e.i16(1)
	e.raw([]byte("n"))
	e.b = appendBlock(e.b, 1, cols, cells)
	for _, c := range cols {
		field := make([]byte, 72)
		copy(field, c.name)
		field[65] = byte(c.typ)
		e.raw(field)
	}
	if err := to.conn.WriteMessage(websocket.BinaryMessage, e.b); err != nil {
		t.Fatal(err)
	}
	_, reply, err := to.conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	if got := decodeAnswer(t, reply); got.code() != 0 || got["action"] != "write_raw_block_with_fields" || got.num("req_id") != 9 {
		t.Errorf("reply: %v", got)
	}
	if got := rows(t, b, "select * from d.n"); got != "2025-01-01T00:00:00 7 中文 <nil>\n2025-01-01T00:00:01 8 <nil> <nil>\n" {
		t.Errorf("rows: %q", got)
	}
	back := consume(t, b.URL(), "tp", "g", nil)
	for m := back.poll(20); m != nil; m = back.poll(20) {
		if m.num("message_type") != 2 {
			t.Errorf("what it wrote carries no mark: %v", m)
		}
	}
}
