package raw

import (
	"bufio"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"

	"tdreplica/core"
	"tdreplica/core/internal/bounded"
)

// frame is a payload that a real server sent.
type frame struct {
	step, server string
	rawType      core.RawType
	payload      []byte
}

func frames(tb testing.TB) []frame {
	tb.Helper()
	f, err := os.Open("testdata/frames.txt")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var list []frame
	step := ""
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if s, ok := strings.CutPrefix(lines.Text(), "# "); ok {
			step = s
			continue
		}
		part := strings.Fields(lines.Text())
		t, err := strconv.ParseUint(part[1], 10, 16)
		if err != nil {
			tb.Fatal(err)
		}
		payload, err := hex.DecodeString(part[2])
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, frame{step, part[0], core.RawType(t), payload})
	}
	return list
}

func (f frame) rows() bool { return f.rawType == core.RawData || f.rawType == core.RawMetadata }

// find returns the metas of the first frame of a step.
func find(tb testing.TB, server, step string, kind Kind) Meta {
	tb.Helper()
	for _, f := range frames(tb) {
		if f.server != server || f.step != step || f.rows() {
			continue
		}
		metas, err := Metas(f.rawType, f.payload)
		if err != nil {
			tb.Fatal(err)
		}
		for _, m := range metas {
			if m.Kind == kind {
				return m
			}
		}
	}
	tb.Fatalf("no %s in step %q of %s", kind, step, server)
	return Meta{}
}

func FuzzMetas(f *testing.F) {
	for _, fr := range frames(f) {
		if !fr.rows() {
			f.Add(uint16(fr.rawType), fr.payload)
		}
	}
	f.Fuzz(func(t *testing.T, rawType uint16, payload []byte) {
		var metas []Meta
		var err error
		bounded.Memory(t, len(payload), 1<<20, func() { metas, err = Metas(core.RawType(rawType), payload) })
		if err != nil {
			return
		}
		for _, m := range metas {
			if line := Describe(m); line == "" || strings.ContainsAny(line, "\n\x1b") {
				t.Errorf("description %q", line)
			}
			if m.Delete != nil && len(m.Delete.UIDs) > 0 {
				_, _ = RewriteDelete(m, "c1")
			}
			if m.Kind == CreateTables {
				again, err := Metas(core.RawCreateTbl, EncodeCreate(m.Tables))
				if err != nil || len(again[0].Tables) != len(m.Tables) {
					t.Errorf("encoded again: %v", err)
				}
			}
		}
	})
}

func FuzzRows(f *testing.F) {
	for _, fr := range frames(f) {
		if fr.rows() {
			f.Add(uint16(fr.rawType), fr.payload)
		}
	}
	f.Add(uint16(core.RawRows), rawRowsPayload(f))
	f.Fuzz(func(t *testing.T, rawType uint16, payload []byte) {
		_, _ = Stats(core.RawType(rawType), payload)
		named := 0
		namesErr := Tables(core.RawType(rawType), payload, func(TableRef) { named++ })
		var blocks []Block
		var created []NewTable
		var err error
		bounded.Memory(t, len(payload), 1<<20, func() { blocks, created, err = Rows(core.RawType(rawType), payload) })
		if err != nil {
			return
		}
		if parts, err := Divide(core.RawType(rawType), payload); err != nil || len(parts) == 1 {
			t.Errorf("divided into %d parts, %v", len(parts), err)
		}
		if namesErr != nil || named != len(blocks)+len(created) {
			t.Errorf("%d tables, %v, of %d blocks and %d creations", named, namesErr, len(blocks), len(created))
		}
		for i := range blocks {
			for j := range blocks[i].Columns {
				for row := range min(blocks[i].Rows, 8) {
					_ = blocks[i].Columns[j].Text(row)
				}
			}
		}
		if _, _, err := Rows(EncodeRows(blocks, created)); err != nil {
			t.Errorf("encoded again: %v", err)
		}
	})
}
