package embedded

import (
	"testing"
)

// FuzzWriteRaw throws bytes at the raw writer: whatever comes, it answers.
func FuzzWriteRaw(f *testing.F) {
	n, err := Start(Options{})
	if err != nil {
		f.Fatal(err)
	}
	defer n.Close()
	for _, sql := range []string{"create database s", "create database d", "create topic tp with meta as database s"} {
		if err := n.Exec(sql); err != nil {
			f.Fatal(err)
		}
	}
	for _, sql := range everyStatement {
		if err := n.Exec(inDatabase(sql, "s")); err != nil {
			f.Fatal(err)
		}
	}
	for _, vg := range n.databases["s"].vgroups {
		for i := range vg.entries {
			en := &vg.entries[i]
			switch en.kind {
			case kindNoop, kindCommit:
			case kindSubmit:
				kind, raw := encodeDataMessage(0, 1, []*entry{en})
				f.Add(kind, raw)
			default:
				f.Add(en.kind, en.data)
				f.Add(kindBatchMeta, encodeBatchMeta([]*entry{en}))
			}
		}
	}
	f.Fuzz(func(_ *testing.T, kind uint16, raw []byte) {
		n.mu.Lock()
		s := &session{n: n, user: n.users["root"], db: "d", marked: true}
		n.mu.Unlock()
		_ = s.writeRaw(kind, raw)
	})
}

// FuzzSQL throws text at the parser: whatever comes, it answers.
func FuzzSQL(f *testing.F) {
	n, err := Start(Options{})
	if err != nil {
		f.Fatal(err)
	}
	defer n.Close()
	for _, sql := range append(append([]string{"create database d", "show create database d", "grant read on d.* to u"}, everyStatement...), everyQuestion...) {
		f.Add(sql)
	}
	f.Fuzz(func(_ *testing.T, sql string) { _, _ = n.Query(sql) })
}
