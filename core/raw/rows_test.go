package raw

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"tdreplica/core"
)

func payloadOf(tb testing.TB, server, step string) frame {
	tb.Helper()
	for _, f := range frames(tb) {
		if f.server == server && f.step == step && f.rows() {
			return f
		}
	}
	tb.Fatalf("no rows in step %q of %s", step, server)
	return frame{}
}

func TestRowsAsTheServerSentThem(t *testing.T) {
	for _, server := range []string{"3.3.3.0", "3.3.7.5"} {
		f := payloadOf(t, server, "insert rows")
		blocks, created, err := Rows(f.rawType, f.payload)
		if err != nil || len(blocks) != 1 || created != nil {
			t.Fatalf("%d blocks, %v created, %v", len(blocks), created, err)
		}
		b := blocks[0]
		if b.Table != "c1" || b.Rows != 2 || b.Precision != "ms" || len(b.Columns) != 5 {
			t.Fatalf("%+v", b)
		}
		want := [][]string{
			{"ts", "1735689600000", "1735689601000"}, {"v", "1", "2"}, {"f", "1.5", "2.5"},
			{"s", "'x'", "NULL"}, {"n", "'nch'", "NULL"},
		}
		for i, w := range want {
			c := &b.Columns[i]
			if got := []string{c.Name, c.Text(0), c.Text(1)}; !slices.Equal(got, w) {
				t.Errorf("column %d: got %q, want %q", i, got, w)
			}
		}
		s, err := Stats(f.rawType, f.payload)
		if err != nil || s != (Stat{Blocks: 1, Rows: 2, First: 1735689600000, Last: 1735689601000, Precision: "ms"}) {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

func TestRowsWithTheirTables(t *testing.T) {
	for _, server := range []string{"3.3.3.0", "3.3.7.5"} {
		f := payloadOf(t, server, "json tag child")
		var named []string
		err := Tables(f.rawType, f.payload, func(t TableRef) { named = append(named, fmt.Sprint(string(t.Name), t.Created)) })
		if err != nil || !slices.Equal(named, []string{"j1false", "j1true"}) {
			t.Errorf("tables %q, %v", named, err)
		}
		blocks, created, err := Rows(f.rawType, f.payload)
		if err != nil || len(blocks) != 1 || len(created) != 1 {
			t.Fatalf("%d blocks, %+v, %v", len(blocks), created, err)
		}
		if got := describeTables(created); got != "create table j1 using j tags (k = 1)" {
			t.Error(got)
		}
	}
}

// TestEncodeRowsIsTheServersOwn: but for the offsets and the schema's version,
// which a writer ignores, what is built equals what came.
func TestEncodeRowsIsTheServersOwn(t *testing.T) {
	for _, f := range frames(t) {
		if !f.rows() {
			continue
		}
		blocks, created, err := Rows(f.rawType, f.payload)
		if err != nil {
			t.Fatalf("%s, %s: %v", f.server, f.step, err)
		}
		rawType, payload := EncodeRows(blocks, created)
		if rawType != f.rawType {
			t.Errorf("%s: raw type %d", f.step, rawType)
		}
		const offsets = 1 + 4 + 18
		if got, want := payload[offsets:], f.payload[offsets:]; !bytes.Equal(got, want) {
			t.Errorf("%s, %s:\n got %x\nwant %x", f.server, f.step, got, want)
		}
		again, createdAgain, err := Rows(rawType, payload)
		if err != nil || !reflect.DeepEqual(again, blocks) || !reflect.DeepEqual(createdAgain, created) {
			t.Errorf("%s, %s: decoded again it differs: %v", f.server, f.step, err)
		}
	}
}

func TestFitLeavesOutWhatTheSinkLacks(t *testing.T) {
	f := payloadOf(t, "3.3.7.5", "insert rows")
	blocks, _, err := Rows(f.rawType, f.payload)
	if err != nil {
		t.Fatal(err)
	}
	b := &blocks[0]
	ts, v := core.Column{Name: "ts", Type: "TIMESTAMP", Length: 8}, core.Column{Name: "v", Type: "INT", Length: 4}
	narrow := core.Column{Name: "s", Type: "VARCHAR", Length: 1}
	fit, left, err := b.Fit([]core.Column{narrow, v, ts})
	if err != nil || !slices.Equal(left, []string{"f", "n"}) || len(fit.Columns) != 3 {
		t.Fatalf("%+v, left %q, %v", fit, left, err)
	}
	if c := &fit.Columns[2]; c.Name != "s" || c.Length() != 1 || c.Text(0) != "'x'" || b.Columns[3].Length() != 16 {
		t.Errorf("%+v", c)
	}
	if fields := fit.AppendFields(nil); len(fields) != 3*72 || string(fields[72:74]) != "v\x00" || fields[72+65] != 4 || fields[72+68] != 4 {
		t.Errorf("fields %x", fields)
	}
	if block := fit.AppendBlock(nil); int(little(block[4:8])) != len(block) {
		t.Errorf("a block of %d bytes states %d", len(block), little(block[4:8]))
	}
	for _, bad := range [][]core.Column{
		{v}, {ts, {Name: "v", Type: "BIGINT", Length: 8}}, {ts, {Name: "n", Type: "NCHAR", Length: 2}}, {},
	} {
		if _, _, err := b.Fit(bad); err == nil {
			t.Errorf("rows fit into %+v", bad)
		}
	}
}

// rawRows is a message of raw rows as 3.3.7.5 sent it, of its four blocks the last two.
const rawRows = "" +
	"110800000000000000110900000000000000020000000100ad0102000000000000000000000000000000000097000000" +
	"8004d2520a5d50030e431500a043d721976b02030400010029000000017c291f94010000010000000000000000000000" +
	"0c2c7b0000310000004c8800000400010029000000027c291f940100000200000000000000000000000c2c7b00003200" +
	"00004c8800000400010029000000037c291f940100000300000000000000000000000c2c7b0000330000004c88000043" +
	"3a741da20100000374320067020000000000000000000000000000000000510000008004d2520a5d50030e431600a043" +
	"d721976b02010400010035000000007c291f94010000010000000000000000000000186c000000610000007400000065" +
	"0000007300000074000000433a741da201000006746c617374000000000000000000"

func rawRowsPayload(tb testing.TB) []byte {
	tb.Helper()
	payload, err := hex.DecodeString(rawRows)
	if err != nil {
		tb.Fatal(err)
	}
	return payload
}

// TestTablesOfRawRows: they are named, and their columns do not come with them.
func TestTablesOfRawRows(t *testing.T) {
	payload := rawRowsPayload(t)
	var names []string
	err := Tables(core.RawRows, payload, func(ref TableRef) {
		names = append(names, string(ref.Name))
		if ref.Created || len(ref.Schema) != 0 {
			t.Errorf("%+v", ref)
		}
	})
	if want := []string{"t2", "tlast"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("tables %q, %v; want %q", names, err, want)
	}
	for n := range len(payload) - 8 { // the last bytes are a time that nobody waits for
		if err := Tables(core.RawRows, payload[:n], func(TableRef) {}); !errors.Is(err, ErrMalformed) {
			t.Fatalf("of %d bytes: %v", n, err)
		}
	}
	if _, _, err := Rows(core.RawRows, payload); !errors.Is(err, ErrMalformed) {
		t.Errorf("their rows can be read: %v", err)
	}
}

func TestLiterals(t *testing.T) {
	for _, c := range []struct {
		t     Type
		b     []byte
		scale uint8
		want  string
	}{
		{Bool, []byte{1}, 0, "true"}, {TinyInt, []byte{0xff}, 0, "-1"}, {UTinyInt, []byte{0xff}, 0, "255"},
		{Decimal64, []byte{0x85, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 2, "-1.23"},
		{Decimal64, []byte{5, 0, 0, 0, 0, 0, 0, 0}, 2, "0.05"},
		{VarChar, []byte("it's\n"), 0, `'it''s\n'`}, {VarBinary, []byte{1, 0xab}, 0, `'\x01ab'`},
		{NChar, []byte{0x2d, 0x4e, 0, 0}, 0, "'中'"}, {Timestamp, []byte{1}, 0, "1"},
	} {
		if got := literal(c.t, c.b, c.scale); got != c.want {
			t.Errorf("%s %x: got %s, want %s", c.t, c.b, got, c.want)
		}
	}
}

// manyRows is a message as a busy table's: blocks of 4096 rows of three columns.
func manyRows(tables int) []byte {
	const rows = 4096
	ts := make([]byte, 0, 8*rows)
	for i := range rows {
		ts = appendI64(ts, 1735689600000+int64(i))
	}
	b := Block{Rows: rows, Precision: "ms", Columns: []ColumnData{
		{Column{Name: "ts", Type: Timestamp, Bytes: 8, ID: 1}, make([]byte, rows/8), ts, 8},
		{Column{Name: "current", Type: Float, Bytes: 4, ID: 2}, make([]byte, rows/8), make([]byte, 4*rows), 4},
		{Column{Name: "voltage", Type: Int, Bytes: 4, ID: 3}, make([]byte, rows/8), make([]byte, 4*rows), 4},
	}}
	var blocks []Block
	for range tables {
		b.Table = "d1001"
		blocks = append(blocks, b)
	}
	_, payload := EncodeRows(blocks, nil)
	return payload
}

func BenchmarkStats(b *testing.B) {
	payload := manyRows(4)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if s, err := Stats(core.RawData, payload); err != nil || s.Rows != 4*4096 {
			b.Fatal(s, err)
		}
	}
}

func BenchmarkRows(b *testing.B) {
	payload := manyRows(4)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if blocks, _, err := Rows(core.RawData, payload); err != nil || len(blocks) != 4 {
			b.Fatal(err)
		}
	}
}
