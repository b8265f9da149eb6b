package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// validator checks what the types cannot: ranges, words, files, and how the
// parts fit together.
type validator struct {
	*decoder
	config *Config
	dir    string // that relative paths start from
	public bool   // the file itself can be read by everybody
}

func (v *validator) check() {
	v.instance()
	for _, name := range sortedKeys(v.config.Endpoints) {
		v.endpoint(name)
	}
	v.replicas()
	v.engine()
	v.console()
	v.metrics()
}

func (v *validator) instance() {
	in := &v.config.Instance
	v.word("instance.log_level", in.LogLevel, "debug", "info", "warn", "error")
	v.word("instance.log_format", in.LogFormat, "text", "json")
	if in.StateDir == "" {
		in.StateDir = DefaultStateDir()
	}
	v.path("instance.state_dir", &in.StateDir)
	v.path("instance.log_file", &in.LogFile)
	if len(in.Name) > 64 || strings.ContainsFunc(in.Name, func(r rune) bool { return r < ' ' }) {
		v.problem("instance.name", "is longer than 64 bytes or holds control characters")
	}
}

// endpointName is what may name an endpoint: nothing that could be an address.
var endpointName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

func (v *validator) endpoint(name string) {
	path := join("endpoints", name)
	if !EndpointName(name) {
		v.problem(path, "is not a name for an endpoint; allowed: up to 64 letters, digits, - and _")
	}
	ep := v.config.Endpoints[name]
	v.path(join(path, "password_file"), &ep.PasswordFile)
	v.path(join(path, "token_file"), &ep.TokenFile)
	v.path(join(path, "tls_ca_file"), &ep.TLSCAFile)
	v.config.Endpoints[name] = ep

	address, inURL, ok := v.address(join(path, "url"), ep.URL)
	v.credentials(path, ep, inURL)
	v.secretFile(join(path, "password_file"), ep.PasswordFile)
	v.secretFile(join(path, "token_file"), ep.TokenFile)
	if _, err := os.Stat(ep.TLSCAFile); ep.TLSCAFile != "" && err != nil {
		v.problem(join(path, "tls_ca_file"), "cannot be read: %s", cause(err))
	}
	if ok && !address.TLS && (ep.TLSCAFile != "" || ep.TLSSkipVerify) {
		v.warn(path, "has TLS settings, but its url does not use TLS; write https:// to use them")
	}
	if ep.TLSSkipVerify {
		v.warn(join(path, "tls_skip_verify"), "is on: anybody on the way can pose as this endpoint")
	}
}

// credentials refuses more than one password, for only one of them can count.
func (v *validator) credentials(path string, ep Endpoint, inURL bool) {
	var given []string
	if inURL {
		given = append(given, "a password in url")
	}
	for key, value := range map[string]string{
		"password_file": ep.PasswordFile, "password_env": ep.PasswordEnv, "token_file": ep.TokenFile,
	} {
		if value != "" {
			given = append(given, key)
		}
	}
	if len(given) > 1 {
		slices.Sort(given)
		v.problem(path, "has %s; allowed: one of them", strings.Join(given, " and "))
	}
}

// address checks a URL and reports whether it holds a password.
func (v *validator) address(path, url string) (address Address, password, ok bool) {
	if v.bad[path] {
		return Address{}, false, false
	}
	address, user, err := ParseAddress(url)
	if err != nil {
		v.problem(path, "is not usable: %v", err)
		return Address{}, false, false
	}
	if user != nil {
		_, password = user.Password()
	}
	switch {
	case password && v.public:
		v.problem(path, "holds a password, and everybody can read this file; use password_file, or chmod 600 %s", v.file)
	case password:
		v.warn(path, "holds a password in plain text; password_file is safer")
	}
	return address, password, true
}

// path makes a path absolute: the instance may run in another directory.
func (v *validator) path(key string, p *string) {
	if *p == "" || filepath.IsAbs(*p) {
		return
	}
	abs, err := filepath.Abs(filepath.Join(v.dir, *p))
	if err != nil {
		v.problem(key, "cannot be made an absolute path: %s", cause(err))
		return
	}
	*p = abs
}

// secretFile checks that a file with a secret is there and nobody else's to read.
func (v *validator) secretFile(key, path string) {
	if path == "" {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		v.problem(key, "cannot be read: %s", cause(err))
	case info.IsDir():
		v.problem(key, "is a directory; expected a file")
	case info.Mode().Perm()&0o004 != 0:
		v.problem(key, "can be read by everybody (mode %04o); chmod 600 %s", info.Mode().Perm(), path)
	case info.Mode().Perm()&0o040 != 0:
		v.warn(key, "can be read by its group (mode %04o); chmod 600 is safer", info.Mode().Perm())
	}
}

// cause is an error of the file system with its path.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Sprintf("%s: %v", p.Path, p.Err)
	}
	return err.Error()
}

func (v *validator) engine() {
	e := &v.config.Engine
	if e.QueueBytes < 1<<20 || e.QueueBytes > 16<<30 {
		v.problem("engine.queue_bytes", "= %v is out of range; allowed: 1MB to 16GB", e.QueueBytes)
	}
	v.duration("engine.commit_interval", e.CommitInterval, 10*time.Millisecond, 10*time.Minute)
	v.number("engine.commit_messages", e.CommitMessages, 1, 1_000_000)
	v.duration("engine.retry_min", e.RetryMin, 10*time.Millisecond, time.Hour)
	v.duration("engine.retry_max", e.RetryMax, 10*time.Millisecond, 24*time.Hour)
	v.ordered("engine.retry_min", e.RetryMin, "engine.retry_max", e.RetryMax)
	v.duration("engine.request_timeout", e.RequestTimeout, time.Second, 10*time.Minute)
	v.duration("engine.write_timeout", e.WriteTimeout, time.Second, time.Hour)
	v.duration("engine.poll_wait_min", e.PollWaitMin, time.Millisecond, time.Minute)
	v.duration("engine.poll_wait_max", e.PollWaitMax, time.Millisecond, time.Minute)
	v.ordered("engine.poll_wait_min", e.PollWaitMin, "engine.poll_wait_max", e.PollWaitMax)
	v.duration("engine.stall_timeout", e.StallTimeout, 5*time.Second, time.Hour)
	v.duration("engine.stop_timeout", e.StopTimeout, time.Second, 10*time.Minute)
	v.word("engine.on_poison", e.OnPoison, PoisonStop, PoisonQuarantine)
	if e.Quarantine < 1<<20 || e.Quarantine > 1<<40 {
		v.problem("engine.quarantine_bytes", "= %v is out of range; allowed: 1MB to 1024GB", e.Quarantine)
	}
	if e.ConflictBytes != 0 && (e.ConflictBytes < 64<<10 || e.ConflictBytes > 16<<30) {
		v.problem("engine.conflict_bytes", "= %v is out of range; allowed: 0B (conflicts are not looked for), or 64KB to 16GB", e.ConflictBytes)
	}
}

func (v *validator) console() {
	c := &v.config.Console
	v.word("console.lang", c.Lang, "auto", "en", "zh")
	v.word("console.theme", c.Theme, "auto", "dark", "light", "colorblind")
	v.duration("console.refresh", c.Refresh, 200*time.Millisecond, time.Minute)
}

func (v *validator) metrics() {
	listen := v.config.Metrics.Listen
	if listen == "" {
		return
	}
	_, port, err := net.SplitHostPort(listen)
	n, numErr := strconv.Atoi(port)
	if err != nil || numErr != nil || n < 0 || n > 65535 {
		v.problem("metrics.listen", "= %q is not an address; expected HOST:PORT, such as \"127.0.0.1:9464\", or \"\" for none", listen)
	}
}

func (v *validator) word(path, found string, allowed ...string) {
	if slices.Contains(allowed, found) {
		return
	}
	text := fmt.Sprintf("= %q is not known; allowed: %s", found, strings.Join(allowed, ", "))
	if meant := closest(found, allowed); meant != "" {
		text += " (did you mean " + meant + "?)"
	}
	v.problem(path, "%s", text)
}

func (v *validator) number(path string, found, low, high int) {
	if found < low || found > high {
		v.problem(path, "= %d is out of range; allowed: %d to %d", found, low, high)
	}
}

func (v *validator) duration(path string, found Duration, low, high time.Duration) {
	if found.Duration < low || found.Duration > high {
		v.problem(path, "= %v is out of range; allowed: %v to %v", found, Duration{low}, Duration{high})
	}
}

// seconds checks a duration that is kept in whole seconds: a part of one would
// become none, which is no limit at all.
func (v *validator) seconds(path string, found Duration, low, high time.Duration) {
	if found.Duration%time.Second != 0 {
		v.problem(path, "= %v is no whole number of seconds; allowed: %v to %v", found, Duration{low}, Duration{high})
		return
	}
	v.duration(path, found, low, high)
}

// ordered checks two limits that are each in their range.
func (v *validator) ordered(lowPath string, low Duration, highPath string, high Duration) {
	if low.Duration > high.Duration && !v.bad[lowPath] && !v.bad[highPath] {
		v.problem(lowPath, "= %v is above %s = %v; expected at most that", low, highPath, high)
	}
}
