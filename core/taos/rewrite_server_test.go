package taos

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tdreplica/core"
	"tdreplica/core/engine"
	"tdreplica/core/raw"
)

// pair is a database of one name on two real servers, with a consumer at the
// first and a writer at the second.
type pair struct {
	t        *testing.T
	name     string
	a, b     *sql.DB
	from, to engine.Catalog
	src      engine.Source
	sink     *sink
	back     engine.Source // reads the second server as the other direction would
}

func newPair(t *testing.T, options string) *pair {
	epA, epB := realEndpoints(t)
	ctx := t.Context()
	conn := New(Options{})
	p := &pair{t: t, name: fmt.Sprintf("raw_%d", time.Now().UnixNano())}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	p.a, err = openDB(epA, Options{}.withDefaults())
	must(err)
	p.b, err = openDB(epB, Options{}.withDefaults())
	must(err)
	p.from, err = conn.Catalog(ctx, epA)
	must(err)
	p.to, err = conn.Catalog(ctx, epB)
	must(err)
	for _, side := range []struct {
		db  *sql.DB
		cat engine.Catalog
		ep  core.Endpoint
		src *engine.Source
	}{{p.a, p.from, epA, &p.src}, {p.b, p.to, epB, &p.back}} {
		mustExec(t, side.db, "create database "+p.name+" wal_retention_period 3600 "+options)
		must(side.cat.EnsureTopic(ctx, p.name+"_t", p.name))
		*side.src, err = conn.Source(ctx, side.ep, engine.Subscription{Topic: p.name + "_t", Group: p.name, ClientID: "test", MaxPollInterval: time.Hour})
		must(err)
		t.Cleanup(func() {
			ctx := context.WithoutCancel(ctx)
			(*side.src).Close(ctx)
			side.cat.DropGroup(ctx, p.name+"_t", p.name)
			if err := side.cat.DropTopic(ctx, p.name+"_t"); err != nil {
				t.Error(err)
			}
			mustExec(t, side.db, "drop database "+p.name)
			side.cat.Close()
			side.db.Close()
		})
	}
	k, err := conn.Sink(ctx, epB, p.name)
	must(err)
	p.sink = k.(*sink)
	t.Cleanup(func() { k.Close() })
	return p
}

// read returns what a consumer gets until nothing comes any more.
func read(t *testing.T, src engine.Source) []*core.Message {
	t.Helper()
	var list []*core.Message
	for quiet := 0; quiet < 4; {
		m, err := src.Poll(t.Context(), 300*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if m == nil {
			quiet++
			continue
		}
		quiet = 0
		list = append(list, m)
	}
	return list
}

func (p *pair) write(m *core.Message) {
	p.t.Helper()
	if err := p.sink.Write(p.t.Context(), m); err != nil {
		p.t.Fatalf("write of raw type %d: %v", m.RawType, err)
	}
}

func (p *pair) copy() {
	p.t.Helper()
	for _, m := range read(p.t, p.src) {
		p.write(m)
	}
}

func (p *pair) sql(statements ...string) {
	p.t.Helper()
	for i := range statements {
		statements[i] = strings.ReplaceAll(statements[i], "DB.", p.name+".")
	}
	mustExec(p.t, p.a, statements...)
}

// table lists the rows of a query, one text each.
func (p *pair) table(db *sql.DB, query string) []string {
	p.t.Helper()
	rows, err := db.Query(strings.ReplaceAll(query, "DB.", p.name+"."))
	if err != nil {
		p.t.Fatal(err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		p.t.Fatal(err)
	}
	var list []string
	for rows.Next() {
		vals, refs := make([]any, len(cols)), make([]any, len(cols))
		for i := range vals {
			refs[i] = &vals[i]
		}
		if err := rows.Scan(refs...); err != nil {
			p.t.Fatal(err)
		}
		list = append(list, fmt.Sprint(vals...))
	}
	return list
}

func (p *pair) equal(query string) {
	p.t.Helper()
	if a, b := p.table(p.a, query), p.table(p.b, query); !slices.Equal(a, b) {
		p.t.Errorf("%s:\nsource %q\n  sink %q", query, a, b)
	}
}

// returned lists, in words, what the other direction would carry back.
func (p *pair) returned() []string {
	p.t.Helper()
	var list []string
	for _, m := range read(p.t, p.back) {
		if m.Kind != core.KindMeta {
			blocks, created, err := raw.Rows(m.RawType, m.Payload())
			list = append(list, fmt.Sprintf("%d blocks, %d tables %v", len(blocks), len(created), err))
			continue
		}
		metas, err := raw.Metas(m.RawType, m.Payload())
		if err != nil {
			p.t.Error(err)
		}
		for _, x := range metas {
			list = append(list, raw.Describe(x))
		}
	}
	return list
}

// TestRealDelete: a delete with a tag condition, applied to the children that it
// concerned and to no other, and not delivered back.
func TestRealDelete(t *testing.T) {
	p := newPair(t, "vgroups 2")
	p.sql("create table DB.st (ts timestamp, v int) tags (g int)")
	for i := range 6 {
		p.sql(fmt.Sprintf("insert into DB.`c %d` using DB.st tags (%d) values (1735689600000, 1) (1735689601000, 2) (1735689602000, 3)", i, i%2))
	}
	p.copy()
	everything := "select tbname, ts, v from DB.st order by tbname, ts"
	p.equal(everything)

	p.sql("delete from DB.st where g = 1 and ts <= 1735689601000", "delete from DB.`c 0` where ts > 1735689602000")
	uids := map[string]string{}
	rows, err := p.a.Query("select cast(uid as varchar(20)), table_name from information_schema.ins_tables where db_name = '" + p.name + "'")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var uid, name string
		if err := rows.Scan(&uid, &name); err != nil {
			t.Fatal(err)
		}
		uids[uid] = name
	}
	rows.Close()
	written := 0
	for _, m := range read(t, p.src) {
		metas, err := raw.Metas(m.RawType, m.Payload())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range metas {
			t.Logf("vgroup %d: %s; uids %d, from %d", m.Vgroup, raw.Describe(d), d.Delete.UIDs, d.Delete.From)
			for _, uid := range d.Delete.UIDs {
				name, ok := uids[strconv.FormatInt(uid, 10)]
				if !ok {
					t.Fatalf("uid %d is not in %v", uid, maps.Keys(uids))
				}
				payload, err := raw.RewriteDelete(d, name)
				if err != nil {
					t.Fatal(err)
				}
				p.write(raw.Item{RawType: core.RawDeleteRows, Payload: payload}.Message(m))
				written++
			}
		}
	}
	if written < 3 {
		t.Errorf("%d deletes of single tables", written)
	}
	p.equal(everything)
	if back := p.returned(); len(back) != 0 {
		t.Errorf("delivered back: %q", back)
	}
}

// TestRealRewrittenRows: rows of every type lose a column on the way, by both
// ways of writing them, and are not delivered back.
func TestRealRewrittenRows(t *testing.T) {
	t.Run("table by table", func(t *testing.T) {
		rewriteRows(t, func(p *pair, _ *core.Message, fit []raw.Block) {
			for i := range fit {
				if err := p.sink.writeBlock(t.Context(), &fit[i]); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
	t.Run("as one message", func(t *testing.T) {
		rewriteRows(t, func(p *pair, m *core.Message, fit []raw.Block) {
			rawType, payload := raw.EncodeRows(fit, nil)
			p.write(raw.Item{RawType: rawType, Payload: payload}.Message(m))
		})
	})
}

func rewriteRows(t *testing.T, write func(*pair, *core.Message, []raw.Block)) {
	p := newPair(t, "vgroups 2 precision 'us'")
	columns := "ts timestamp, b bool, i1 tinyint, i2 smallint, i4 int, gone float, i8 bigint, u1 tinyint unsigned, u2 smallint unsigned, " +
		"u4 int unsigned, u8 bigint unsigned, f4 float, f8 double, v varchar(20), n nchar(10), t2 timestamp, x varbinary(20), p geometry(64)"
	version, err := core.ParseVersion(p.from.Versions().Server)
	if err != nil {
		t.Fatal(err)
	}
	newer := version.AtLeast(core.Version{3, 3, 6, 0})
	if newer {
		columns += ", d1 decimal(10,2), d2 decimal(30,5)"
	}
	p.sql("create table DB.st ("+columns+") tags (g int, name nchar(8))",
		"create table DB.c1 using DB.st tags (1, '一')", "create table DB.c2 using DB.st tags (2, null)")
	p.copy()
	mustExec(t, p.b, "alter table "+p.name+".st drop column gone")
	p.returned() // the change above, which is the user's

	values := "true, -1, -2, -3, 1.5, -4, 1, 2, 3, 4, 1.25, -2.5, 'it''s', '中文', 1735689600000001, '\\x01ab', 'POINT(1 2)'"
	nulls := strings.Repeat(", null", 17)
	if newer {
		values += ", '12.34', '-5.00001'"
		nulls += ", null, null"
	}
	for _, c := range []string{"c1", "c2"} {
		p.sql("insert into DB." + c + " values (1735689600000000, " + values + ") (1735689600000001" + nulls + ")")
	}
	described, err := p.to.Describe(t.Context(), p.name, "st")
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range read(t, p.src) {
		if err := p.sink.Write(t.Context(), m); i == 0 {
			t.Logf("as it came: %v", err)
		}
		blocks, _, err := raw.Rows(m.RawType, m.Payload())
		if err != nil {
			t.Fatal(err)
		}
		var fit []raw.Block
		for j := range blocks {
			for k := range blocks[j].Columns {
				c := &blocks[j].Columns[k]
				t.Logf("%s %s: %s, %s", blocks[j].Table, c.Name, c.TypeName(), c.Text(0))
			}
			f, left, err := blocks[j].Fit(described.Columns)
			if err != nil || slices.Contains(left, "ts") {
				t.Fatalf("left out %q, %v", left, err)
			}
			fit = append(fit, f)
		}
		write(p, m, fit)
	}
	var names []string
	for _, c := range described.Columns {
		names = append(names, c.Name)
	}
	query := "select tbname, " + strings.Join(names, ", ") + " from DB.st order by tbname, ts"
	if n := len(p.table(p.a, query)); n != 4 {
		t.Errorf("%d rows at the source", n)
	}
	p.equal(query)
	if back := p.returned(); len(back) != 0 {
		t.Errorf("delivered back: %q", back)
	}
}

// TestRealCreateFromRows: the requests that travel with rows create their tables
// on their own.
func TestRealCreateFromRows(t *testing.T) {
	p := newPair(t, "vgroups 1")
	p.sql("create table DB.st (ts timestamp, v int) tags (g int, j nchar(4))")
	p.copy()
	p.sql("insert into DB.c1 using DB.st tags (7, '七') values (1735689600000, 1)")
	for _, m := range read(t, p.src) {
		_, created, err := raw.Rows(m.RawType, m.Payload())
		if err != nil || len(created) != 1 {
			t.Fatalf("%+v, %v", created, err)
		}
		p.write(raw.Item{RawType: core.RawCreateTbl, Payload: raw.EncodeCreate(created)}.Message(m))
	}
	p.equal("select distinct tbname, g, j from DB.st")
	var n int
	if err := p.b.QueryRow("select count(*) from information_schema.ins_tables where db_name = '" + p.name + "'").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d tables at the sink, %v", n, err)
	}
	if back := p.returned(); len(back) != 0 {
		t.Errorf("delivered back: %q", back)
	}
}

// TestRealLongDelete: the limit that Check keeps is where raw deletes go wrong.
func TestRealLongDelete(t *testing.T) {
	p := newPair(t, "vgroups 1")
	last := 0 // the longest name that Check lets pass
	d := raw.Delete{TSColumn: "ts", From: 1735689600000, To: 1735689601000, UIDs: []int64{1}}
	for n := range 193 {
		if d.Table = strings.Repeat("x", n); d.Check() == nil {
			last = n
		}
	}
	for _, n := range []int{last - 1, last, last + 1, last + 2} {
		name := strings.Repeat("x", n)
		mustExec(t, p.b, "create table "+p.name+"."+name+" (ts timestamp, v int)",
			"insert into "+p.name+"."+name+" values (1735689600000, 1) (1735689601000, 2)")
		d.Table = name
		err := p.sink.Write(t.Context(), raw.Item{RawType: core.RawDeleteRows, Payload: raw.EncodeDelete(d)}.Message(nil))
		var left int
		if err := p.b.QueryRow("select count(*) from " + p.name + "." + name).Scan(&left); err != nil {
			t.Fatal(err)
		}
		t.Logf("a name of %d bytes: write %v, %d rows left, check %v", n, err, left, d.Check())
		if done := err == nil && left == 0; done != !errors.Is(d.Check(), raw.ErrDeleteTooLong) {
			t.Errorf("a name of %d bytes: write %v, %d rows left, but check says %v", n, err, left, d.Check())
		}
	}
}
