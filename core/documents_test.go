package core_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"tdreplica/core"
)

// TestEveryFieldIsDocumented looks every field of the documents up in docs/json.md.
func TestEveryFieldIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[reflect.Type]bool{}
	fields := 0
	var look func(reflect.Type)
	look = func(of reflect.Type) {
		for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer || of.Kind() == reflect.Map {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || seen[of] {
			return
		}
		seen[of] = true
		for i := range of.NumField() {
			field := of.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name != "" && name != "-" {
				fields++
				if !strings.Contains(string(text), "`"+name+"`") {
					t.Errorf("%s.%s: docs/json.md does not name `%s`", of, field.Name, name)
				}
			}
			look(field.Type)
		}
	}
	for _, document := range []any{
		core.Snapshot{}, core.TaskDetail{}, core.Result{}, core.Candidate{}, core.Audit{}, core.Event{}, core.Quarantined{},
		core.StartRequest{}, core.UpdateRequest{}, core.InspectRequest{}, core.RepairRequest{},
	} {
		look(reflect.TypeOf(document))
	}
	if fields < 100 {
		t.Errorf("only %d fields were looked up", fields)
	}
}
