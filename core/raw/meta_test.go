package raw

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"tdreplica/core"
)

func TestEveryRecordedMetaIsUnderstood(t *testing.T) {
	for _, f := range frames(t) {
		if f.rows() {
			continue
		}
		metas, err := Metas(f.rawType, f.payload)
		if err != nil || len(metas) == 0 {
			t.Errorf("%s, %s: %d metas, %v", f.server, f.step, len(metas), err)
		}
		for _, m := range metas {
			if m.Kind == Unknown {
				t.Errorf("%s, %s: raw type %d is unknown", f.server, f.step, m.RawType)
			}
		}
		if f.rawType != core.RawBatchMeta {
			continue
		}
		items, err := SplitBatch(f.payload)
		if err != nil || len(items) != len(metas) {
			t.Fatalf("%s: %d items, %v", f.step, len(items), err)
		}
		if !bytes.Equal(joinBatch(items), f.payload) {
			t.Errorf("%s, %s: a batch that is split and joined differs", f.server, f.step)
		}
	}
}

func TestDescriptions(t *testing.T) {
	for _, c := range []struct {
		step string
		kind Kind
		want string
	}{
		{"create super table", CreateSuperTable, "create super table st (ts TIMESTAMP, v INT, f FLOAT, … 2 more) tags (g INT, l VARCHAR(16))"},
		{"create child table", CreateTables, "create table c1 using st tags (g = 1, l = 'one')"},
		{"add column to super table", AlterSuperTable, "alter table st add column w BIGINT"},
		{"widen column", AlterSuperTable, "alter table st modify column s VARCHAR(64)"},
		{"drop column of super table", AlterSuperTable, "alter table st drop column f"},
		{"add tag", AlterSuperTable, "alter table st add tag z INT"},
		{"set tag", AlterOneTable, "alter table c1 set tag g = 7"},
		{"create normal table", CreateTables, "create table n1 (ts TIMESTAMP, a INT)"},
		{"alter normal table add column", AlterOneTable, "alter table n1 add column b INT"},
		{"alter normal table rename column", AlterOneTable, "alter table n1 rename column b bb"},
		{"drop normal table", DropTables, "drop table n1"},
		{"json tag", CreateSuperTable, "create super table j (ts TIMESTAMP, v INT) tags (t JSON)"},
		{"drop super table", DropSuperTable, "drop super table j"},
		{"delete a range of a child table", DeleteRows, "delete from c1 where ts >= 1735689600000 and ts <= 1735689600000 (1 table)"},
	} {
		for _, server := range []string{"3.3.3.0", "3.3.7.5"} {
			if got := Describe(find(t, server, c.step, c.kind)); got != c.want {
				t.Errorf("%s:\n got %s\nwant %s", server, got, c.want)
			}
		}
	}
}

func TestSuperTable(t *testing.T) {
	m := find(t, "3.3.7.5", "widen column", AlterSuperTable)
	s := m.Super
	if s.Name != "st" || s.SUID != 1576713542731120306 || s.ColumnVersion != 3 || s.TagVersion != 1 {
		t.Errorf("%+v", s)
	}
	want := core.Table{Name: "st",
		Columns: []core.Column{
			{Name: "ts", Type: "TIMESTAMP", Length: 8}, {Name: "v", Type: "INT", Length: 4},
			{Name: "f", Type: "FLOAT", Length: 4}, {Name: "s", Type: "VARCHAR", Length: 64},
			{Name: "n", Type: "NCHAR", Length: 8}, {Name: "w", Type: "BIGINT", Length: 8},
		},
		Tags: []core.Column{{Name: "g", Type: "INT", Length: 4, Note: "TAG"}, {Name: "l", Type: "VARCHAR", Length: 16, Note: "TAG"}},
	}
	if got := s.Table(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if m.Alter.Statement != "alter table rec.st modify column s varchar(64)" || m.Marked {
		t.Errorf("%+v, marked %v", m.Alter, m.Marked)
	}
}

// TestDropIsReadByNewerServers: what a server that does not log uids has dropped
// gets one, behind the id of the super table, and loses nothing.
func TestDropIsReadByNewerServers(t *testing.T) {
	m := find(t, "3.3.3.0", "drop child table", DropTables)
	item := m.Drop(0)
	again, err := Metas(item.RawType, item.Payload)
	if err != nil || len(again) != 1 || len(item.Payload) != len(m.Payload)+8 {
		t.Fatalf("%x, of %x: %v", item.Payload, m.Payload, err)
	}
	d := again[0].Dropped
	if len(d) != 1 || d[0].completed || d[0].Name != "c3" || d[0].SUID != m.Dropped[0].SUID || d[0].UID != 0 || d[0].IfExists {
		t.Errorf("%+v", d)
	}
	if m := find(t, "3.3.7.5", "drop child table", DropTables); string(m.Drop(0).Payload) != string(m.Payload) {
		t.Error("a drop with a uid was changed")
	}
}

func TestDropTellsWhichTable(t *testing.T) {
	if d := find(t, "3.3.7.5", "drop child table", DropTables).Dropped; len(d) != 1 || d[0].Name != "c3" || d[0].SUID != 1576713542731120306 || d[0].UID != 2988736946599107961 || d[0].IfExists {
		t.Errorf("%+v", d)
	}
	if d := find(t, "3.3.3.0", "drop child table", DropTables).Dropped; len(d) != 1 || d[0].Name != "c3" || d[0].SUID != 1574477627300331117 || d[0].UID != 0 || d[0].IfExists {
		t.Errorf("%+v", d)
	}
}

func TestMarkIsSeen(t *testing.T) {
	step := "the same, without msg_consume_excluded"
	for _, kind := range []Kind{CreateSuperTable, AlterSuperTable, CreateTables, AlterOneTable, DeleteRows} {
		for _, server := range []string{"3.3.3.0", "3.3.7.5"} {
			if !find(t, server, step, kind).Marked {
				t.Errorf("%s: %s written by replication is not marked", server, kind)
			}
		}
	}
}

func TestRewriteDelete(t *testing.T) {
	step := "delete on a super table with a tag filter"
	for _, server := range []string{"3.3.3.0", "3.3.7.5"} {
		m := find(t, server, step, DeleteRows)
		if len(m.Delete.UIDs) != 1 || m.Delete.Table != "st" {
			t.Fatalf("%+v", m.Delete)
		}
		payload, err := RewriteDelete(m, "c 1'中")
		if err != nil {
			t.Fatal(err)
		}
		again, err := Metas(core.RawDeleteRows, payload)
		if err != nil {
			t.Fatal(err)
		}
		want := *m.Delete
		want.Table = "c 1'中"
		if !reflect.DeepEqual(*again[0].Delete, want) {
			t.Errorf("got %+v\nwant %+v", *again[0].Delete, want)
		}
		if _, err := RewriteDelete(m, strings.Repeat("x", 192)); !errors.Is(err, ErrDeleteTooLong) {
			t.Errorf("a name that would be cut: %v", err)
		}
	}
	empty := Meta{Kind: DeleteRows, Delete: &Delete{Table: "st", From: math.MinInt64}}
	if _, err := RewriteDelete(empty, "c1"); err == nil {
		t.Error("a delete of nothing was rewritten")
	}
}

func TestEncodeCreate(t *testing.T) {
	m := find(t, "3.3.7.5", "create child table", CreateTables)
	got, err := Metas(core.RawCreateTbl, EncodeCreate(m.Tables))
	if err != nil || !reflect.DeepEqual(got[0].Tables, m.Tables) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTruncatedPayloadsFail(t *testing.T) {
	for _, f := range frames(t) {
		for n := range len(f.payload) {
			short := f.payload[:n]
			if f.rows() {
				if _, _, err := Rows(f.rawType, short); err != nil && !errors.Is(err, ErrMalformed) {
					t.Fatal(err)
				}
				continue
			}
			if _, err := Metas(f.rawType, short); err != nil && !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
		}
	}
}

func TestNamesAreFitForATerminal(t *testing.T) {
	for name, want := range map[string]string{
		"meters": "meters", "Meters": "`Meters`", "a b": "`a b`", "a`b": "`a``b`",
		"表": "`表`", "a\x1b[31m": "`a\\x1b[31m`", "": "``", "1a": "`1a`",
	} {
		if got := quoted(name); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}

func TestWhatDestroys(t *testing.T) {
	for step, want := range map[string]bool{
		"add column to super table": false, "widen column": false, "add tag": false, "drop column of super table": true,
	} {
		for _, server := range []string{"3.3.3.0", "3.3.7.5"} {
			if got := find(t, server, step, AlterSuperTable).Destroys(); got != want {
				t.Errorf("%s: %v", step, got)
			}
		}
	}
	if !find(t, "3.3.7.5", "drop super table", DropSuperTable).Destroys() || find(t, "3.3.7.5", "drop child table", DropTables).Destroys() {
		t.Error("a dropped super table destroys, a dropped child does not")
	}
}

// joinBatch is the opposite of SplitBatch: one payload of type
// core.RawBatchMeta that applies the items in order.
func joinBatch(items []Item) []byte {
	dst := appendI32(nil, int32(len(items)))
	var head [batchHead]byte
	for _, it := range items {
		rec := append(make([]byte, 0, batchHead+8+len(it.Payload)), head[:]...)
		rec = append(rec, noOffset, byte(it.RawType), byte(it.RawType>>8))
		dst = appendBlob(dst, appendBlob(rec, it.Payload))
	}
	return dst
}

// TestRenameTags gives tags other names and back, and leaves some out.
func TestRenameTags(t *testing.T) {
	decode := func(it Item) *Alter {
		t.Helper()
		metas, err := Metas(it.RawType, it.Payload)
		if err != nil {
			t.Fatal(err)
		}
		return metas[0].Alter
	}
	whole := func(m Meta) {
		t.Helper()
		longer, any := RenameTags(m, func(v SetTagValue) (string, bool) { return v.Name + " of old", true })
		if !any || decode(longer).Tags[0].Name != m.Alter.Tags[0].Name+" of old" {
			t.Fatalf("%v: renamed it is %+v", m.Alter, decode(longer))
		}
		m.Alter, m.Payload = decode(longer), longer.Payload
		back, _ := RenameTags(m, func(v SetTagValue) (string, bool) { return strings.TrimSuffix(v.Name, " of old"), true })
		if again := decode(back); again.Tags[0].ID != m.Alter.Tags[0].ID || again.Table != m.Alter.Table || len(again.Tags) != len(m.Alter.Tags) {
			t.Errorf("%v: there and back it is %+v", m.Alter, again)
		}
		if _, any := RenameTags(m, func(SetTagValue) (string, bool) { return "", false }); any {
			t.Error("something is left of nothing")
		}
	}
	seen := 0
	for _, f := range frames(t) {
		metas, err := Metas(core.RawType(f.rawType), f.payload)
		if err != nil || len(metas) != 1 || metas[0].Alter == nil || metas[0].Alter.Change != SetTag {
			continue
		}
		seen++
		whole(metas[0])
		same, _ := RenameTags(metas[0], func(v SetTagValue) (string, bool) { return v.Name, true })
		if !bytes.Equal(same.Payload[messageHead:], metas[0].Payload[messageHead:]) {
			t.Errorf("%s: %x became %x", f.step, metas[0].Payload, same.Payload)
		}
	}
	if seen == 0 {
		t.Fatal("the recordings have no change of a tag")
	}
	record := append(appendCStr(nil, "c"), byte(SetTags), 0, 0, 0, 0)
	record = appendVarint(record, 2)
	record = append(appendCStr(appendVarint(record, 3), "g"), 1, byte(Int)) // NULL
	record = appendBlob(append(appendCStr(appendVarint(record, 4), "h"), 0, byte(VarChar)), []byte("text"))
	item := Item{core.RawAlterTbl, withHead(func(dst []byte) []byte {
		return appendFrame(dst, func(dst []byte) []byte { return appendI64(append(dst, record...), 7) })
	})}
	several := Meta{Item: item, Alter: decode(item)}
	whole(several)
	one, any := RenameTags(several, func(v SetTagValue) (string, bool) { return "hh", v.ID == 4 })
	if left := decode(one).Tags; !any || len(left) != 1 || left[0].Name != "hh" || left[0].ID != 4 || string(left[0].Value) != "text" {
		t.Errorf("one is left: %+v", left)
	}
}
