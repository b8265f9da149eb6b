package embedded

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair starts two nodes with the same database and a topic on each.
func pair(t *testing.T, opts Options, options string) (a, b *Node) {
	t.Helper()
	a = start(t, opts)
	opts.FirstVgroupID = 100
	b = start(t, opts)
	for _, n := range []*Node{a, b} {
		must(t, n, "create database d "+options, "create topic tp with meta as database d")
	}
	return a, b
}

func same(t *testing.T, a, b *Node, sql string) {
	t.Helper()
	if x, y := rows(t, a, sql), rows(t, b, sql); x != y {
		t.Errorf("%s differs:\n%s---\n%s", sql, x, y)
	}
}

const everyType = `create table d.a(ts timestamp, b bool, i1 tinyint, i2 smallint, i4 int, i8 bigint,
	u1 tinyint unsigned, u2 smallint unsigned, u4 int unsigned, u8 bigint unsigned, f float, d double, s varchar(20),
	bi binary(10), n nchar(10), vb varbinary(20), g geometry(100), de decimal(10,2), de2 decimal(30,5)) tags(t json)`

const everyValue = `insert into d.a1 using d.a tags('{"a":1,"b":"中文","c":true,"d":null}') values(
	'2025-01-01 00:00:00.123',true,-1,-2,-3,-9007199254740993,1,2,3,18446744073709551615,1.1,2.2,'it''s \\ "q" \n','bin','中文',
	'\x8f4e3e','POINT(1 2)',123.456,-98765432109876543210.12345)
	('2025-01-01 00:00:01',null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null)`

const everyRow = `2025-01-01T00:00:00.123 true -1 -2 -3 -9007199254740993 1 2 3 18446744073709551615 1.1 2.2 it's \ "q" 
 bin 中文 8f4e3e 0101000000000000000000f03f0000000000000040 123.46 -98765432109876543210.12345 {"a":1,"b":"中文","c":true,"d":null}
`

func TestCopy(t *testing.T) {
	a, b := pair(t, Options{}, "vgroups 2 precision 'ms'")
	from, to := consume(t, a.URL(), "tp", "g", nil), writer(t, b.URL(), "d")
	must(t, a, everyType, everyValue,
		"create table d.st(ts timestamp, v int, f float, s varchar(16), n nchar(8)) tags(g int, l varchar(16))",
		"create table d.c1 using d.st tags(1,'one') d.`C2` using d.st tags(2,null)",
		"insert into d.c1 values('2025-01-01 00:00:00',1,1.5,'x','nch')('2025-01-01 00:00:01',2,2.5,null,null) d.`C2` values('2025-01-01 00:00:00',9,null,'','é')",
		"insert into d.c3 using d.st(l) tags('three') values('2025-01-01 00:00:00',1,1.5,'x','nch')",
		"insert into d.c1(ts,v) values('2025-01-01 00:00:00',100)('2025-01-01 00:00:05',5)")
	if got, want := rows(t, a, "select * from d.a limit 1"), everyRow; got != want {
		t.Errorf("select:\n%s want\n%s", got, want)
	}
	pump(t, from, to)
	must(t, a,
		"alter table d.st add column w bigint", "insert into d.c1 values('2025-01-01 00:00:02',3,1.5,'x','nch',99)",
		"alter table d.st modify column s varchar(64)")
	pump(t, from, to) // a column dropped while older rows of another vgroup are on their way breaks them
	must(t, a, "alter table d.st drop column f",
		"alter table d.st add tag z int", "alter table d.c1 set tag g=7", "alter table d.c3 set tag g=8, z=3",
		"delete from d.c1 where ts <= '2025-01-01 00:00:00'",
		"create table d.n1(ts timestamp, a int)", "insert into d.n1 values('2025-01-01 00:00:00',1)",
		"alter table d.n1 add column b varchar(4)", "alter table d.n1 modify column b varchar(9)",
		"alter table d.n1 rename column b bb", "insert into d.n1 values('2025-01-01 00:00:01',2,'ninechars')",
		"create table d.n2(ts timestamp, a int)", "drop table d.n2", "drop table d.a1")
	pump(t, from, to)
	for _, sql := range []string{"select * from d.a", "describe d.a", "describe d.st", "describe d.n1",
		"select tbname,* from d.st order by tbname,ts", "select * from d.n1",
		"select table_name,stable_name from information_schema.ins_tables where db_name='d'",
		"select * from information_schema.ins_tags where db_name='d'"} {
		same(t, a, b, sql)
	}
	for _, n := range []*Node{a, b} {
		if v := n.Violations(); len(v) > 0 {
			t.Errorf("violations: %v", v)
		}
	}
}
