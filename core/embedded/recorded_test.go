package embedded

import (
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestRecordedFrames writes what real servers handed out, and compares each
// answer with the real one's, and the end with what the real sink held.
func TestRecordedFrames(t *testing.T) {
	const held = `c1 2025-01-01T00:00:02 3 x nch 99 7 one <nil>
c1 2025-01-01T00:00:05 5 <nil> <nil> <nil> 7 one <nil>
`
	for _, v := range []string{"3.3.3.0", "3.3.7.5"} {
		text, err := os.ReadFile("testdata/frames-" + v + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		n := start(t, Options{Version: v})
		must(t, n, "create database d")
		w := writer(t, n.URL(), "d")
		for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			f := strings.Split(line, "\t")
			if len(f) != 4 {
				continue
			}
			kind, kindErr := strconv.Atoi(f[0])
			raw, rawErr := hex.DecodeString(f[3])
			if kindErr != nil || rawErr != nil {
				t.Fatalf("%s line %d: %v %v", v, i+1, kindErr, rawErr)
			}
			if a := w.write(uint16(kind), raw); strconv.Itoa(a.code()) != f[1] || a["message"] != f[2] {
				t.Errorf("%s line %d: type %d answers %v, the real one %s %q", v, i+1, kind, a, f[1], f[2])
			}
		}
		if got := rows(t, n, "select tbname,* from d.st order by tbname,ts"); got != held {
			t.Errorf("%s holds\n%s, the real one\n%s", v, got, held)
		}
	}
}
