package taos

import (
	"encoding/json"
	"testing"

	"tdreplica/core"
)

// FuzzOffsets lets a server answer anything to the questions for offsets. What a
// source takes from it must be offsets of the vgroups that were asked for.
func FuzzOffsets(f *testing.F) {
	f.Add(`[{"vgroup_id":2,"offset":-2147467247,"begin":0,"end":9}]`, `[4]`, `[-2147467247]`)
	f.Add(`[{"vgroup_id":2,"offset":0,"begin":7,"end":3},{"vgroup_id":2}]`, `[1,2]`, `[]`)
	f.Add(`[{"vgroup_id":-1,"offset":1e99}]`, `null`, `[-7]`)
	f.Add(`{}`, `["4"]`, `[9223372036854775807]`)
	f.Fuzz(func(t *testing.T, assignment, position, committed string) {
		given := map[string]string{"assignment": assignment, "position": position, "committed": committed}
		for _, text := range given {
			if !json.Valid([]byte(text)) {
				t.Skip("FuzzReply tries what is no JSON")
			}
		}
		answer := func(r received) reply {
			switch text, ask := given[r.Action]; {
			case r.Action == "version":
				return reply{ok("version", "version", "3.3.7.5")}
			case ask:
				return reply{ok(r.Action, r.Action, json.RawMessage(text))}
			}
			return reply{ok(r.Action)}
		}
		src := openSource(t, newFake(t, answer), quick, subscription)
		assigned, err := src.Assignment(t.Context())
		if err != nil {
			return
		}
		seen := map[int32]bool{}
		var vgroups []int32
		for _, a := range assigned {
			if a.Vgroup <= 0 || seen[a.Vgroup] || a.Begin < 0 || a.End < a.Begin {
				t.Errorf("the assignment %+v was taken", a)
			}
			seen[a.Vgroup] = true
			vgroups = append(vgroups, a.Vgroup)
		}
		for name, list := range map[string]func() ([]core.VgroupOffset, error){
			"position":  func() ([]core.VgroupOffset, error) { return src.Position(t.Context(), vgroups) },
			"committed": func() ([]core.VgroupOffset, error) { return src.Committed(t.Context(), vgroups) },
		} {
			offsets, err := list()
			if err != nil {
				continue
			}
			if len(offsets) != len(vgroups) {
				t.Errorf("%s: %d offsets for %d vgroups", name, len(offsets), len(vgroups))
			}
			for _, o := range offsets {
				if !seen[o.Vgroup] || o.Offset < 0 && o.Offset != core.Unknown {
					t.Errorf("%s: the offset %+v was taken", name, o)
				}
			}
		}
	})
}
