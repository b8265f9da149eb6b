package taos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tdreplica/core"
)

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TDREPLICA_TEST_PASSWORD", "from environment")
	const url = "http://td1:6041"
	for name, c := range map[string]struct {
		ep   core.Endpoint
		want credentials
	}{
		"nothing":        {core.Endpoint{URL: url}, credentials{user: "root", password: "taosdata"}},
		"token":          {core.Endpoint{URL: url, Token: "tok", User: "u", Password: "p"}, credentials{token: "tok"}},
		"token file":     {core.Endpoint{URL: url, TokenFile: file}, credentials{token: "from file"}},
		"user, password": {core.Endpoint{URL: url, User: "u", Password: "p", PasswordFile: file}, credentials{user: "u", password: "p"}},
		"file":           {core.Endpoint{URL: url, User: "u", PasswordFile: file}, credentials{user: "u", password: "from file"}},
		"environment":    {core.Endpoint{URL: url, User: "u", PasswordEnv: "TDREPLICA_TEST_PASSWORD"}, credentials{user: "u", password: "from environment"}},
		"URL":            {core.Endpoint{URL: "http://u:p%40%2F%3A@td1:6041"}, credentials{user: "u", password: "p@/:"}},
		"URL, file":      {core.Endpoint{URL: "http://u@td1:6041", PasswordFile: file}, credentials{user: "u", password: "from file"}},
		"user over URL":  {core.Endpoint{URL: "http://u:p@td1:6041", User: "v"}, credentials{user: "v", password: "p"}},
	} {
		e, err := resolve(c.ep)
		if err != nil || e.cred != c.want {
			t.Errorf("%s: %+v, %v", name, []string{e.cred.user, e.cred.password, e.cred.token}, err)
		}
	}
}

func TestBadEndpoints(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for part, ep := range map[string]core.Endpoint{
		"native":                  {URL: "td1:6030"},
		"no password is given":    {URL: "http://td1", User: "u"},
		"is empty":                {URL: "http://td1", PasswordFile: empty},
		"no such file":            {URL: "http://td1", TokenFile: empty + "x"},
		"TDREPLICA_NOT_SET":       {URL: "http://td1", PasswordEnv: "TDREPLICA_NOT_SET"},
		"address is not https":    {URL: "http://td1", TLSCAFile: empty},
		"no certificate":          {URL: "https://td1", TLSCAFile: empty},
		"not a URL":               {URL: "http://u:hid%zz@td1"},
		"more than host and port": {URL: "http://u:hidden@td1/path"},
	} {
		_, err := resolve(ep)
		if err == nil || core.ClassOf(err) != core.ClassOperator || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "hid") {
			t.Errorf("%+v: %v", ep, err)
		}
	}
}

func TestQuoting(t *testing.T) {
	for in, want := range map[string]string{
		"power": "`power`", "a b.c": "`a b.c`", "中文": "`中文`", "a`b": "`a``b`", "`": "````", "x'; drop database d": "`x'; drop database d`",
	} {
		if got := QuoteIdent(in); got != want {
			t.Errorf("QuoteIdent(%q) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"power": "'power'", "it's": `'it\'s'`, `a\`: `'a\\'`, `\'`: `'\\\''`, "中文": "'中文'",
	} {
		if got := QuoteString(in); got != want {
			t.Errorf("QuoteString(%q) = %s, want %s", in, got, want)
		}
	}
}
