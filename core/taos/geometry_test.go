package taos

import (
	"encoding/hex"
	"testing"
)

func TestGeometriesAsText(t *testing.T) {
	for wkb, want := range map[string]string{
		"0101000000000000000000f83f0000000000000040":                                         "POINT(1.5 2)",
		"00000000013ff80000000000004000000000000000":                                         "POINT(1.5 2)",
		"010200000002000000000000000000f03f000000000000f03f00000000000000400000000000000040": "LINESTRING(1 1, 2 2)",
		"0103000000010000000400000000000000000000000000000000000000000000000000f03f0000000000000000000000000000f03f000000000000f03f" + "00000000000000000000000000000000": "POLYGON((0 0, 1 0, 1 1, 0 0))",
		"0104000000010000000101000000000000000000f83f0000000000000040": "MULTIPOINT((1.5 2))",
		"0107000000010000000101000000000000000000f83f0000000000000040": "GEOMETRYCOLLECTION(POINT(1.5 2))",
		"010200000000000000": "LINESTRING EMPTY",
	} {
		b, err := hex.DecodeString(wkb)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := geometryText(b); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", wkb, got, err, want)
		}
		if got, err := geometryText(b[:len(b)-1]); err == nil {
			t.Errorf("%s, cut off: %q", wkb, got)
		}
	}
	for _, bad := range []string{"", "01", "0100000000", "01ff000000", "0102000000ffffffff"} {
		b, _ := hex.DecodeString(bad)
		if got, err := geometryText(b); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
}
