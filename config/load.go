package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Find returns the file that is used if none is named: $TDREPLICA_CONFIG if
// that is set, else the first of $XDG_CONFIG_HOME/tdreplica/replica.toml (by
// default ~/.config) and /etc/tdreplica/replica.toml that exists. It returns ""
// if there is none: then every setting has its default.
func Find() string {
	if path := os.Getenv("TDREPLICA_CONFIG"); path != "" {
		return path
	}
	var candidates []string
	if dir := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		candidates = append(candidates, filepath.Join(dir, "tdreplica", "replica.toml"))
	} else if home, err := os.UserHomeDir(); err == nil {
		candidates = append(candidates, filepath.Join(home, ".config", "tdreplica", "replica.toml"))
	}
	for _, path := range append(candidates, "/etc/tdreplica/replica.toml") {
		// A file that cannot be looked at is found too: reading it says why.
		if _, err := os.Stat(path); err == nil || errors.Is(err, fs.ErrPermission) {
			return path
		}
	}
	return ""
}

// Load reads a file, or what Find finds if path is empty, fills in the defaults
// and checks everything. The error is an *Errors unless the file could not be
// read.
func Load(path string) (*Config, error) {
	if path == "" {
		path = Find()
	}
	if path == "" {
		return Default(), nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return parse(path, data, info.Mode().Perm())
}

// Parse is Load for a text at hand. The name stands for the file in problems,
// and paths in the text are relative to its directory.
func Parse(name string, data []byte) (*Config, error) {
	return parse(name, data, 0o600)
}

func parse(name string, data []byte, mode fs.FileMode) (*Config, error) {
	c := Default()
	c.File = name
	d := &decoder{file: name, bad: map[string]bool{}}
	d.decode(string(data), c)
	v := &validator{decoder: d, config: c, dir: filepath.Dir(name), public: mode&0o004 != 0}
	v.check()
	if len(d.problems) > 0 {
		slices.SortStableFunc(d.problems, func(a, b Problem) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, &Errors{Problems: d.problems}
	}
	c.Warnings = d.warnings
	return c, nil
}

// Endpoint returns the endpoint that a replica's source or sink means: the one
// declared under that name, else one with that URL and nothing more.
func (c *Config) Endpoint(ref string) Endpoint {
	if ep, ok := c.Endpoints[ref]; ok {
		return ep
	}
	return Endpoint{URL: ref}
}
