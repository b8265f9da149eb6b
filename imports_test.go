package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "tdreplica"

// allowedImports are the edges between the packages of this module: each
// package may import those listed and nothing else of ours. It is a design
// decision to add one. Imports point downwards: "config" and "core" are the
// leaves, the program itself is the top.
var allowedImports = map[string][]string{
	".":              {"tui", "core", "config", "core/cli", "core/demo", "core/control", "core/engine", "core/taos", "core/store", "core/metrics", "core/termguard"},
	"config":         {},
	"core":           {},
	"core/audit":     {"core/raw", "core"},
	"core/cli":       {"core/control", "core/store", "config", "core"},
	"core/control":   {"core"},
	"core/demo":      {"core/audit", "core/embedded", "core/engine", "core/taos", "core/store", "config", "core"},
	"core/embedded":  {},
	"core/engine":    {"core/audit", "core/raw", "core/store", "config", "core"},
	"core/metrics":   {"core"},
	"core/raw":       {"core"},
	"core/store":     {"core"},
	"core/taos":      {"core/audit", "core/engine", "core/raw", "config", "core"},
	"core/termguard": {}, // the standard library only: it must be initialised before the console's libraries
	"tui":            {"core", "config"},

	// What only tests and the pictures use.
	"core/internal/bounded": {},
	"tui/internal/scene":    {"core"},
	"tui/paper":             {},
}

// libraryOwners tells which packages may use a library. One that is not listed
// belongs to nobody yet.
var libraryOwners = map[string][]string{
	"github.com/BurntSushi/toml":           {"config"},
	"github.com/charmbracelet/":            {"tui"},
	"github.com/charmbracelet/x/ansi":      {"tui", "tui/paper", "core/cli"}, // widths of text
	"github.com/gorilla/websocket":         {"core/embedded", "core/taos"},
	"github.com/prometheus/client_golang/": {"core/metrics"},
	"github.com/spf13/":                    {"core/cli"},
	"github.com/taosdata/driver-go/":       {"core/taos"},
	"github.com/muesli/termenv":            {"tui"}, // what the terminal can show
	"go.etcd.io/bbolt":                     {"core/store"},
}

// TestImportsPointDownwards reads the imports of every source file, whatever
// its build tags. Tests may import what they test against, so their files do
// not count.
func TestImportsPointDownwards(t *testing.T) {
	for pkg, imports := range sourceImports(t) {
		allowed, known := allowedImports[pkg]
		if !known {
			t.Errorf("package %s is not in the list of packages: add it with what it may import", pkg)
		}
		for _, imported := range imports {
			switch own, ours := strings.CutPrefix(imported, module+"/"); {
			case ours && !slices.Contains(allowed, own):
				t.Errorf("%s imports %s; it may import %v", pkg, own, allowed)
			case !ours && strings.Contains(strings.Split(imported, "/")[0], "."):
				if owners := ownersOf(imported); !slices.Contains(owners, pkg) {
					t.Errorf("%s imports %s, which belongs to %v", pkg, imported, owners)
				}
			}
		}
	}
}

// ownersOf goes by the longest prefix that fits.
func ownersOf(library string) []string {
	longest := ""
	for prefix := range libraryOwners {
		if strings.HasPrefix(library, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	return libraryOwners[longest]
}

// sourceImports maps each package, by its folder, to what its files import.
func sourceImports(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && (name == "testdata" || strings.HasPrefix(name, ".") && name != ".") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(file))
		if _, ok := found[pkg]; !ok {
			found[pkg] = nil // a package without imports is one too
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[pkg] = append(found[pkg], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
