package embedded

import "testing"

func TestKeysInOrder(t *testing.T) {
	for _, c := range []struct {
		typ  typeID
		a, b string // a is before b
	}{
		{typeInt, "\xff\xff\xff\xff", "\x00\x00\x00\x00"},
		{typeUInt, "\x00\x00\x00\x00", "\xff\xff\xff\xff"},
		{typeBigint, "\xff\xff\xff\xff\xff\xff\xff\xff", "\x01\x00\x00\x00\x00\x00\x00\x00"},
		{typeUBigint, "\x00\x01\x00\x00\x00\x00\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff"},
		{typeVarchar, "", "a"},
		{typeInt, "", "\x00\x00\x00\x00"}, // none came
	} {
		col := newColumn("k", c.typ, 8)
		if col.compare([]byte(c.a), []byte(c.b)) >= 0 || col.compare([]byte(c.b), []byte(c.a)) <= 0 || col.compare([]byte(c.a), []byte(c.a)) != 0 {
			t.Errorf("%s: %q is not before %q", typeInfos[c.typ].name, c.a, c.b)
		}
	}
}
