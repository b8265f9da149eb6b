package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// problemsOf parses a text and returns its problems, each as FILE:LINE:COL: ….
func problemsOf(t *testing.T, text string) []string {
	t.Helper()
	_, err := Parse("r.toml", []byte(text))
	if err == nil {
		return nil
	}
	var all *Errors
	if !errors.As(err, &all) {
		t.Fatalf("the error is a %T, want *Errors: %v", err, err)
	}
	var list []string
	for _, p := range all.Problems {
		list = append(list, p.String())
	}
	return list
}

func TestEachProblemIsNamed(t *testing.T) {
	const pair = "[[replica]]\nsource = \"http://a\"\nsink = \"http://b\"\n"
	tests := []struct{ name, text, want string }{
		{"unknown key", "[engine]\nqueue_byte = \"1MB\"", "r.toml:2:1: engine.queue_byte is not a key of the configuration; did you mean queue_bytes?"},
		{"unknown table", "[enginee]", "r.toml:1:1: enginee is not a key of the configuration; did you mean engine?"},
		{"unknown key without a guess", "[metrics]\n  zzz = 1", "r.toml:2:3: metrics.zzz is not a key of the configuration; allowed here: listen"},
		{"password in the file", "[endpoints.a]\nurl = \"http://a\"\npassword = \"s3cret\"", "r.toml:3:1: endpoints.a.password is not a key of the configuration; did you mean password_file?"},
		{"wrong type", "[instance]\nread_only = \"yes\"", "r.toml:2:13: instance.read_only is text; expected true or false"},
		{"number for text", "[instance]\nname = 5", "r.toml:2:8: instance.name is a whole number; expected text in quotes"},
		{"text for a number", "[engine]\ncommit_messages = \"4\"", "r.toml:2:19: engine.commit_messages is text; expected a whole number"},
		{"bad workers", pair + "workers = \"four\"", `r.toml:4:11: replica[0].workers = "four" is no number of workers; expected 1 to 64, or "auto"`},
		{"no workers", pair + "workers = 0", `r.toml:4:11: replica[0].workers = "0" is no number of workers; expected 1 to 64, or "auto"`},
		{"text for a list", pair + "databases = \"power\"", "r.toml:4:13: replica[0].databases is text; expected a list of texts"},
		{"value for a table", "engine = 3", "r.toml:1:10: engine is a whole number; expected a table"},
		{"table for tables", "[replica]\nid = \"a\"", "r.toml:1:1: replica is a table; expected tables of the form [[replica]]"},
		{"number in a list", pair + "databases = [\"a\", # first\n  7]", "r.toml:5:3: replica[0].databases[1] is a whole number; expected text in quotes"},
		{"no unit", "[engine]\nretry_min = 5", `r.toml:2:13: engine.retry_min = "5" is not a duration; expected a number with its unit, such as "500ms", "30s", "5m" or "1h30m"`},
		{"no unit in quotes", "[engine]\nretry_min = \"5\"", `r.toml:2:13: engine.retry_min = "5" is not a duration; expected a number with its unit, such as "500ms", "30s", "5m" or "1h30m"`},
		{"negative duration", "[engine]\nretry_min = \"-5s\"", `r.toml:2:13: engine.retry_min = "-5s" is a negative duration; expected 0s or more`},
		{"bad size", "[engine]\nqueue_bytes = \"64 tons\"", `r.toml:2:15: engine.queue_bytes = "64 tons" is not a size; expected a whole number with its unit, such as "512KB", "64MB" or "2GB"`},
		{"size too small", "[engine]\nqueue_bytes = \"512KB\"", "r.toml:2:15: engine.queue_bytes = 512KB is out of range; allowed: 1MB to 16GB"},
		{"duration too small", "[engine]\nstall_timeout = \"1s\"", "r.toml:2:17: engine.stall_timeout = 1s is out of range; allowed: 5s to 1h"},
		{"limits in the wrong order", "[engine]\nretry_min = \"30s\"\nretry_max = \"20s\"", "r.toml:2:13: engine.retry_min = 30s is above engine.retry_max = 20s; expected at most that"},
		{"number out of range", "[engine]\ncommit_messages = 0", "r.toml:2:19: engine.commit_messages = 0 is out of range; allowed: 1 to 1000000"},
		{"too many workers", pair + "workers = 65", `r.toml:4:11: replica[0].workers = "65" is no number of workers; expected 1 to 64, or "auto"`},
		{"bad group", pair + "group_name = \"all of us\"", `r.toml:4:14: replica[0].group_name = "all of us" is no name for a group; allowed: up to 64 letters, digits, - and _`},
		{"part of a second", pair + "hold_wal_limit = \"500ms\"", `r.toml:4:18: replica[0].hold_wal_limit = 500ms is no whole number of seconds; allowed: 0s to 8760h`},
		{"limit too small", pair + "max_bytes_per_second = \"1KB\"", `r.toml:4:24: replica[0].max_bytes_per_second = 1KB is out of range; allowed: 0B (no limit), or 64KB or more`},
		{"unknown word", "[console]\nlang = \"cn\"", `r.toml:2:8: console.lang = "cn" is not known; allowed: auto, en, zh (did you mean en?)`},
		{"bad listen", "[metrics]\nlisten = \"9464\"", `r.toml:2:10: metrics.listen = "9464" is not an address; expected HOST:PORT, such as "127.0.0.1:9464", or "" for none`},
		{"bad id", pair + "id = \"Maple 1\"", `r.toml:4:6: replica[0].id = "Maple 1" is not an id; allowed: a small letter, then up to 31 small letters, digits and -`},
		{"same id", pair + "id = \"a\"\n[[replica]]\nid = \"a\"\nsource = \"http://b\"\nsink = \"http://a\"", `r.toml:6:6: replica[1].id = "a" is the id of another replica (line 4); each needs its own`},
		{"same pair", pair + "\n[[replica]]\nsource = \"WS://A:6041/\"\nsink = \"http://u@b\"", "r.toml:5:1: replica[1] has the same source and sink as another replica (line 1): http://a:6041 → http://b:6041; add its databases to that one"},
		{"source is sink", "[endpoints.here]\nurl = \"http://a:6041\"\n[[replica]]\nsource = \"here\"\nsink = \"ws://A\"", "r.toml:5:8: replica[0].sink is the same endpoint as the source: http://a:6041"},
		{"unknown endpoint", "[endpoints.site-a]\nurl = \"http://a\"\n[[replica]]\nsource = \"sitea\"\nsink = \"site-a\"", `r.toml:4:10: replica[0].source = "sitea" is neither a URL nor an endpoint; declare [endpoints.sitea] or write http://HOST:PORT (did you mean "site-a"?)`},
		{"no source", "[[replica]]\nsink = \"http://b\"", "r.toml:1:1: replica[0].source is missing; expected http://HOST:PORT or the name of an endpoint"},
		{"endpoint without url", "[endpoints.a]\nuser = \"root\"", "r.toml:1:1: endpoints.a.url is not usable: the endpoint is empty; expected http://HOST:PORT"},
		{"unknown scheme", "[endpoints.a]\nurl = \"ftp://a\"", `r.toml:2:7: endpoints.a.url is not usable: the endpoint's scheme "ftp" is unknown; allowed: http, https, ws, wss`},
		{"two passwords", "[endpoints.a]\nurl = \"http://u:p@a\"\npassword_env = \"P\"", "r.toml:1:1: endpoints.a has a password in url and password_env; allowed: one of them"},
		{"missing secret", "[endpoints.a]\nurl = \"http://a\"\npassword_file = \"/nowhere/p\"", "r.toml:3:17: endpoints.a.password_file cannot be read: /nowhere/p: no such file or directory"},
		{"empty pattern", pair + "databases = [\"\"]", `r.toml:4:14: replica[0].databases[0] = "" is empty; expected the name of a database, in which * stands for any characters`},
		{"foreign pattern", pair + "exclude = [\"a?\"]", `r.toml:4:12: replica[0].exclude[0] = "a?" is not the name of a database; of patterns only * is known, which stands for any characters`},
		{"dotted pattern", pair + "databases = [\"a.b\"]", `r.toml:4:14: replica[0].databases[0] = "a.b" is not the name of a database; dots, quotes, slashes, spaces and control characters are not allowed`},
		{"syntax", "[engine]\nretry_min = 5s", "r.toml:2:14: is not TOML: expected a top-level item to end with a newline, comment, or EOF, but got 's' instead; texts, sizes and durations stand in quotes, such as \"64MB\""},
		{"table not closed", "[endpoints.a\nurl = \"http://a\"", `r.toml:1:13: is not TOML: expected '.' or ']' to end table name, but got '\n' instead`},
		{"list not closed", "[[replica]]\ndatabases = [\"a\"\nexclude = []", "r.toml:3:1: is not TOML: expected a comma (',') or array terminator (']'), but got 'e'"},
		{"without quotes", "[endpoints.a]\nurl = http://a", "r.toml:2:7: is not TOML: expected value but found (this) instead; texts stand in quotes"},
		{"quotes not closed", "[endpoints.a]\nurl = \"\"\"http://a", "r.toml:2:17: is not TOML: unexpected EOF; expected '\"\"\"'"},
		{"number", "[engine]\nworkers = 12_", "r.toml:2:11: is not TOML: Invalid integer (this): underscores must be surrounded by digits"},
		{"key twice", "[engine]\nworkers = 1\nworkers = 2", "r.toml:3:1: is not TOML: Key 'engine.workers' has already been defined."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := problemsOf(t, tt.text); !reflect.DeepEqual(got, []string{tt.want}) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestAllProblemsInOnePassInTheOrderOfTheFile(t *testing.T) {
	got := problemsOf(t, `
[console]
them = "dark"
refresh = 1
[[replica]]
source = "http://a"
sink = "http://a:6041"
workers = true
[engine]
commit_messages = 0
`)
	want := []string{"r.toml:3:1", "r.toml:4:11", "r.toml:7:8", "r.toml:8:11", "r.toml:10:19"}
	if len(got) != len(want) {
		t.Fatalf("got %d problems, want %d: %q", len(got), len(want), got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]+": ") {
			t.Errorf("problem %d is %q, want it at %s", i, got[i], want[i])
		}
	}
}

func TestSecretsStayOutOfProblemsAndRendering(t *testing.T) {
	const secret = "s3cr3t"
	for _, text := range []string{
		"[endpoints.a]\nurl = \"http://root:s3cr3t@a:99999\"",
		"[endpoints.a]\nurl = \"root:s3cr3t@a:6041\"",
		"[endpoints.a]\nurl = \"http://root:s3cr3t%@a\"",
		"[endpoints.a]\nurl = http://root:s3cr3t@a",
		"[endpoints.a]\npassword = s3cr3t",
		"[endpoints.a]\nurl = [\"s3cr3t\"]",
		"[[replica]]\nsource = \"root:s3cr3t@a\"\nsink = \"http://x:s3cr3t@b:0\"",
		"[[replica]]\nsource = \"http://x:s3cr3t@b\"\nsink = \"http://y:s3cr3t@b\"",
	} {
		got := problemsOf(t, text)
		if len(got) == 0 || strings.Contains(strings.Join(got, "\n"), secret) {
			t.Errorf("%q gives %q", text, got)
		}
	}
	c, err := Parse("r.toml", []byte("[endpoints.a]\nurl = \"ws://root:s3cr3t@a\"\n[[replica]]\nsource = \"a\"\nsink = \"https://u:s3cr3t@b\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	text := c.Redacted()
	for _, want := range []string{`url = "http://root:***@a:6041"`, `source = "a"`, `sink = "https://u:***@b:6041"`, `retry_max = "15s"`, `queue_bytes = "64MB"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the rendering lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, secret) {
		t.Errorf("the rendering holds a secret:\n%s", text)
	}
	if len(c.Warnings) != 2 || strings.Contains(c.Warnings[0].String(), secret) {
		t.Errorf("warnings are %v, want one for each password in a URL", c.Warnings)
	}
}

func TestRenderingIsAConfiguration(t *testing.T) {
	c, err := Parse("/etc/r.toml", []byte("[endpoints.a]\nurl = \"http://a:6041\"\n[[replica]]\nid = \"maple\"\nsource = \"a\"\nsink = \"http://b:6041\"\ndatabases = [\"p*\"]\nmax_lag = \"1h\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("/etc/r.toml", []byte(c.Redacted()))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, again) {
		t.Errorf("got\n%s\nwant\n%s", again.Redacted(), c.Redacted())
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "replica.toml")
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "[endpoints.a]\nurl = \"http://a\"\npassword_file = \"pw\"\n", 0o644)

	write(filepath.Join(dir, "pw"), "x", 0o644)
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "can be read by everybody (mode 0644); chmod 600 "+filepath.Join(dir, "pw")) {
		t.Errorf("a password file that everybody can read gives %v", err)
	}
	write(filepath.Join(dir, "pw"), "x", 0o640)
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Text, "by its group") {
		t.Errorf("a password file that the group can read gives the warnings %v", c.Warnings)
	}
	if got, want := c.Endpoints["a"].PasswordFile, filepath.Join(dir, "pw"); got != want {
		t.Errorf("the password file is %s, want %s", got, want)
	}

	write(file, "[endpoints.a]\nurl = \"http://u:pw@a\"\n", 0o644)
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "everybody can read this file") {
		t.Errorf("a password in a file that everybody can read gives %v", err)
	}
	write(file, "[endpoints.a]\nurl = \"http://u:pw@a\"\n", 0o600)
	if _, err := Load(file); err != nil {
		t.Error(err)
	}
}

func TestFind(t *testing.T) {
	home, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "x.toml")
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("TDREPLICA_CONFIG", "")
	own := filepath.Join(home, "tdreplica", "replica.toml")
	if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, []byte("[instance]\nname = \"own\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(""); err != nil || c.File != own || c.Instance.Name != "own" {
		t.Errorf("Load finds %+v, %v; want %s", c, err, own)
	}
	t.Setenv("TDREPLICA_CONFIG", elsewhere)
	if _, err := Load(""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing $TDREPLICA_CONFIG gives %v", err)
	}
	if _, err := Load(filepath.Join(home, "no.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestStateDirIsAbsolute(t *testing.T) {
	c, err := Parse("/etc/tdreplica/replica.toml", []byte("[instance]\nstate_dir = \"state\"\n"))
	if err != nil || c.Instance.StateDir != "/etc/tdreplica/state" {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestMatchDatabases(t *testing.T) {
	tests := []struct {
		patterns, exclude, name string
		want                    bool
	}{
		{"", "", "power", true},
		{"", "power", "power", false},
		{"power", "", "power", true},
		{"power", "", "powers", false},
		{"Power", "", "power", false},
		{"p*", "", "power", true},
		{"p*", "*r", "power", false},
		{"*we*", "", "power", true},
		{"p*p*r", "", "power", false},
		{"a*a", "", "a", false},
		{"a**b", "", "ab", true},
		{"*", "", "电力", true},
		{"x,*力", "", "电力", true},
	}
	split := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(s, ",")
	}
	for _, tt := range tests {
		if got := MatchDatabases(split(tt.patterns), split(tt.exclude), tt.name); got != tt.want {
			t.Errorf("MatchDatabases(%q, %q, %q) = %v", tt.patterns, tt.exclude, tt.name, got)
		}
	}
}

func TestQuantitiesRoundTrip(t *testing.T) {
	for _, s := range []string{"0s", "20ms", "500ms", "1m", "30m", "1h", "1h30m", "1h0m5s", "2m5s"} {
		var d Duration
		if err := d.UnmarshalText([]byte(s)); err != nil || d.String() != s {
			t.Errorf("%s becomes %s, %v", s, d, err)
		}
	}
	for _, s := range []string{"0B", "1B", "1025B", "1KB", "64MB", "3GB"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(s)); err != nil || b.String() != s {
			t.Errorf("%s becomes %s, %v", s, b, err)
		}
	}
	if got := (Duration{90 * time.Minute}).String(); got != "1h30m" {
		t.Errorf("90 minutes are %s", got)
	}
	for _, s := range []string{"", "MB", "64", "-1MB", "1.5MB", "9999999999GB", "1TB"} {
		if err := new(Bytes).UnmarshalText([]byte(s)); err == nil {
			t.Errorf("the size %q is accepted", s)
		}
	}
}

func TestLocate(t *testing.T) {
	p := locate("\ufeffa.\"b.c\" = \"\"\"x\n[no]\n\"\"\"\n'q' = { x = 1, y = { z = [ 1, 'two' ] } }\n[[t]]\nk=1 # k=2\n[[t]]\n  k = 'it''s'\n[t.sub]\nü = 1\n m = 2\n")
	for path, want := range map[string]place{
		"a.b.c": {1, 11}, "q": {4, 7}, "q.x": {4, 13}, "q.y.z": {4, 26}, "q.y.z[1]": {4, 31},
		"t[0].k": {6, 3}, "t[1].k": {8, 7}, "t[1].sub": {9, 1}, "t[1].sub.m": {11, 6},
	} {
		if got := p.values[path]; got != want {
			t.Errorf("%s is at %v, want %v", path, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(commentedKey.ReplaceAllString(string(example), "$1")))
	for _, s := range []string{
		"", "\ufeff", "a", "[", "[[replica]]\nid=\"\"\"\"\"", "replica=[{id=\"a\"},{source='b',sink=\"b\"}]",
		"[endpoints.\"x y\"]\nurl=\"http://u:p@h\"", "[endpoints]\na=1", "x={y={z=[1,[2,{w=3}]]}}",
		"[engine]\nretry_min=\"9999999999h\"", "[[replica]]\ndatabases=[1,\"*\",[]]", "engine.queue_bytes=\"-1MB\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("/f.toml", data)
		if err != nil {
			var all *Errors
			if !errors.As(err, &all) || len(all.Problems) == 0 {
				t.Fatalf("the error is %T %v", err, err)
			}
			return
		}
		for _, ep := range c.Endpoints {
			if strings.Contains(ep.URL, "@") {
				return // what is redacted does not come back
			}
		}
		for _, r := range c.Replicas {
			if strings.Contains(r.Source+r.Sink, "@") {
				return
			}
		}
		if _, err := Parse("/f.toml", []byte(c.Redacted())); err != nil {
			t.Fatalf("the rendering is refused: %v\n%s", err, c.Redacted())
		}
	})
}
