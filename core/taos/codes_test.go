package taos

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tdreplica/core"
)

// documented reads the table of codes in docs/protocol.md §7.
func documented(t *testing.T) map[int]core.Class {
	t.Helper()
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## 7. ")
	section, _, _ = strings.Cut(section, "\n## ")
	codes := make(map[int]core.Class)
	entry := regexp.MustCompile(`0x([0-9A-F]{4})(?:-0x([0-9A-F]{4}))?`)
	for _, l := range strings.Split(section, "\n") {
		cells := strings.Split(l, "|")
		if len(cells) != 5 {
			continue
		}
		for _, m := range entry.FindAllStringSubmatch(cells[3], -1) {
			first, _ := strconv.ParseInt(m[1], 16, 32)
			last := first
			if m[2] != "" {
				last, _ = strconv.ParseInt(m[2], 16, 32)
			}
			for code := first; code <= last; code++ {
				if before, twice := codes[int(code)]; twice {
					t.Errorf("0x%04X is documented as %s and again", code, before)
				}
				codes[int(code)] = core.Class(strings.TrimSpace(cells[1]))
			}
		}
	}
	return codes
}

// TestCodes compares the table with its documentation, code by code.
func TestCodes(t *testing.T) {
	codes := documented(t)
	if len(codes) < 130 {
		t.Fatalf("only %d codes are documented", len(codes))
	}
	for code, want := range codes {
		if got := classify(code, "", "unknown"); got != want {
			t.Errorf("0x%04X is %s, documented as %s", code, got, want)
		}
	}
	for code, class := range classByCode {
		if codes[code] != class {
			t.Errorf("0x%04X is %s, but documented as %q", code, class, codes[code])
		}
	}
	if got := classify(0x7abc, "", core.ClassData); got != core.ClassData {
		t.Errorf("an unknown code is %s", got)
	}
	for _, action := range []string{actionWriteRaw, actionNameBlock} { // rows are never refused for ever in silence
		if got := unknownOf(action); got != core.ClassData {
			t.Errorf("an unknown code in reply to %s is %s", action, got)
		}
	}
	for code := range hints {
		if _, ok := classByCode[code]; !ok {
			t.Errorf("0x%04X has a hint and no class", code)
		}
	}
}

func TestAdapterTexts(t *testing.T) {
	for text, want := range map[string]core.Class{
		"tmq not init":                             core.ClassReconnect,
		"server not connected":                     core.ClassReconnect,
		"message has been freed":                   core.ClassReconnect,
		"message ID is not equal":                  core.ClassReconnect,
		"message is nil":                           core.ClassReconnect,
		"whitelist prohibits current IP access":    core.ClassOperator,
		"ip not in whitelist":                      core.ClassOperator,
		"Authentication failure":                   core.ClassOperator,
		"unavailable tmq type:4":                   core.ClassOperator,
		"init tscObj failed":                       core.ClassReconnect,
		"something that was never heard of before": core.ClassReconnect,
	} {
		if got := classify(codeAdapter, text, core.ClassData); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

// TestHints: what an operator has to do most often is said.
func TestHints(t *testing.T) {
	e := endpoint{cred: credentials{user: "root", password: "hidden"}}
	for code, part := range map[int]string{
		0x0357: "password", 0x0303: "rights", 0x2644: "rights", 0x0388: "create the database", 0x03E1: "restart",
		0x038C: "alter database D wal_retention_period 604800", 0x012E: "disk", 0x0805: "licence", 0x4004: "tmqMaxTopicNum",
	} {
		err := e.serverError("do", code|0x80000000, "no", core.ClassOperator)
		if !strings.Contains(err.Hint, part) || err.Code != code {
			t.Errorf("0x%04X: code 0x%04X, hint %q", code, err.Code, err.Hint)
		}
		if s := fmt.Sprintf("%v %+v %#v %v %#v", err, err, err, e.cred, e.cred); strings.Contains(s, "hidden") {
			t.Errorf("the password is in %q", s)
		}
	}
}
