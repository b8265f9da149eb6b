package contract

import (
	"fmt"
	"strings"
	"testing"

	"tdreplica/core"
)

// TestOneWayCopiesEveryColumnType copies a backlog and live rows of every type
// in each precision.
func TestOneWayCopiesEveryColumnType(t *testing.T) {
	scenario(t, options{}, copyEveryType)
}

func copyEveryType(e *env) {
	var dbs []string
	for _, p := range []string{"ms", "us", "ns"} {
		db := e.create(database{precision: p}, e.a, e.b)
		dbs = append(dbs, db)
		e.exec(e.a, wideTable(e, db)...)
		e.exec(e.a, wideRows(e, db, p, 0)...)
	}
	in := e.runInstance()
	id := in.replicate(e.a, e.b, dbs...)
	in.caughtUp(id)
	for _, db := range dbs {
		e.equal(e.a, e.b, db)
	}
	for i, db := range dbs {
		e.exec(e.a, wideRows(e, db, []string{"ms", "us", "ns"}[i], 1000)...)
	}
	in.caughtUp(id)
	for _, db := range dbs {
		e.equal(e.a, e.b, db)
		if n := e.rowsOf(e.b, db); n < 12 {
			e.Errorf("%s has %d rows at the sink", db, n)
		}
	}
}

// TestDecimalsStopTheTask: a sink that does not know the type is not given the rows.
func TestDecimalsStopTheTask(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		e.become(e.b, "3.3.0.0")
		if !e.atLeast(e.a, 6) || e.atLeast(e.b, 6) {
			e.Skip("it takes a source that knows DECIMAL, and a sink that does not")
		}
		stopsAt(e, "DECIMAL", "v decimal(10,2)", "1.5")
	})
}

// TestBlobsStopTheTask: a sink whose adapter would crash is not given the rows;
// the task says why it stops at them.
func TestBlobsStopTheTask(t *testing.T) {
	scenario(t, options{}, func(e *env) {
		if !e.atLeast(e.a, 7) || !e.atLeast(e.b, 7) || e.blobs() {
			e.Skip("this version has no BLOB, or copies it")
		}
		db := stopsAt(e, "BLOB", "v blob", `'\x0102ff'`)
		if n := e.rowsOf(e.b, db); n != 0 {
			e.Errorf("%d rows at the sink", n)
		}
	})
}

// stopsAt has a task fail at a row whose value is of a type that its note names.
func stopsAt(e *env, name, column, value string) (db string) {
	e.Helper()
	db = e.create(database{}, e.a, e.b)
	in := e.runInstance()
	id := in.replicate(e.a, e.b, db)
	e.exec(e.a, fmt.Sprintf("create table %s.n(ts timestamp, %s)", db, column), fmt.Sprintf("insert into %s.n values(%d, %s)", db, int64(loadEpoch), value))
	task := in.waitState(core.TaskKey{Replica: id, Database: db}, core.Failed)
	if !strings.Contains(task.Note, name) {
		e.Errorf("the note is %q", task.Note)
	}
	return db
}

// wideTable creates a super table with a column and a tag of every type, one
// with a JSON tag, and a normal table.
func wideTable(e *env, db string) []string {
	columns := "b bool, i8 tinyint, i16 smallint, i32 int, i64 bigint, u8 tinyint unsigned, u16 smallint unsigned, " +
		"u32 int unsigned, u64 bigint unsigned, f float, d double, s varchar(32), n nchar(16), t2 timestamp, " +
		"vb varbinary(32), g geometry(128)"
	tags := "tb bool, ti tinyint, t16 smallint, t32 int, t64 bigint, tu tinyint unsigned, tf float, td double, " +
		"tstr varchar(16), tn nchar(16), tts timestamp, tvb varbinary(16), tg geometry(64)"
	sql := []string{
		fmt.Sprintf("create table %s.wide(ts timestamp, %s) tags(%s)", db, columns, tags),
		fmt.Sprintf("create table %s.tagged(ts timestamp, v int) tags(j json)", db),
		fmt.Sprintf("create table %s.plain(ts timestamp, v int, s nchar(8))", db),
	}
	if e.decimals() {
		sql = append(sql, fmt.Sprintf("create table %s.money(ts timestamp, d1 decimal(38,10), d2 decimal(10,2)) tags(g int)", db))
	}
	if e.blobs() {
		sql = append(sql, fmt.Sprintf("create table %s.bin(ts timestamp, v blob)", db))
	}
	return append(sql, fmt.Sprintf("create table %s.w1 using %s.wide tags(true, -1, -2, -3, -4, 255, 1.5, 2.5, 'tag', '标签', 1735689600000, '\\x0a', 'POINT(1 2)')", db, db))
}

// wideRows writes extremes, ordinary values and NULLs, beginning at an offset
// in units of the precision.
func wideRows(e *env, db, precision string, from int64) []string {
	base := int64(loadEpoch)
	switch precision {
	case "us":
		base *= 1e3
	case "ns":
		base *= 1e6
	}
	base += from
	nulls := "null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null"
	sql := []string{
		fmt.Sprintf("insert into %s.w1 values(%d, true, -127, -32767, -2147483647, -9223372036854775807, 254, 65534, 4294967294, 18446744073709551614, 1.5, -2.25, 'text with ''quotes''', '中文字符', %d, '\\x01ff', 'POINT(3 4)')(%d, %s)",
			db, base, base, base+1, nulls),
		fmt.Sprintf("insert into %s.w2 using %s.wide tags(false, null, null, null, null, null, null, null, null, null, null, null, null) values(%d, false, 127, 32767, 2147483647, 9223372036854775807, 0, 0, 0, 0, -3.5e10, 1e300, '', '', 0, '', 'LINESTRING(1 1, 2 2)')", db, db, base+2),
		fmt.Sprintf("insert into %s.w1(ts, i32, n) values(%d, 7, 'ä')", db, base+3),
		fmt.Sprintf("insert into %s.j1 using %s.tagged tags('{\"k\":1,\"s\":\"值\"}') values(%d, 1)", db, db, base),
		fmt.Sprintf("insert into %s.j2 using %s.tagged tags(null) values(%d, 2)", db, db, base),
		fmt.Sprintf("insert into %s.plain values(%d, 1, '普通')(%d, null, null)", db, base, base+1),
	}
	if e.decimals() {
		sql = append(sql, fmt.Sprintf("insert into %s.m1 using %s.money tags(1) values(%d, 1234567890123456789012345678.0123456789, -12345678.91)(%d, null, null)", db, db, base, base+1))
	}
	if e.blobs() {
		sql = append(sql, fmt.Sprintf("insert into %s.bin values(%d, '\\x0102ff')(%d, null)", db, base, base+1))
	}
	return sql
}
