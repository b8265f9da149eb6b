package tui

import (
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// spokenIn are the packages whose words reach the console as notes and events.
var spokenIn = []string{"../core", "../core/engine", "../core/taos", "../core/control", "../core/audit"}

// spoken collects what an instance may say: steps, and the parts of its errors
// and events, each with {} for what differs.
func spoken(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, dir := range spokenIn {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		var files []*ast.File
		var asked []string // functions that make a part of such a text
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := parser.ParseFile(gotoken.NewFileSet(), name, src, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				for _, e := range words(n) {
					all = append(all, parts(wording(e))...)
					asked = append(asked, functionsIn(e)...)
				}
				return true
			})
		}
		for _, f := range files {
			for _, d := range f.Decls {
				if fn, is := d.(*ast.FuncDecl); is && slices.Contains(asked, fn.Name.Name) {
					for _, e := range returned(fn) {
						all = append(all, parts(wording(e))...)
					}
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// words are the expressions of a node that somebody will read.
func words(n ast.Node) []ast.Expr {
	var out []ast.Expr
	switch n := n.(type) {
	case *ast.KeyValueExpr:
		if k, ok := n.Key.(*ast.Ident); ok && slices.Contains([]string{"Op", "Text", "Hint"}, k.Name) {
			out = append(out, n.Value)
		}
	case *ast.AssignStmt:
		for i, to := range n.Lhs {
			if s, ok := to.(*ast.SelectorExpr); ok && i < len(n.Rhs) && slices.Contains([]string{"Op", "Text", "Hint"}, s.Sel.Name) {
				out = append(out, n.Rhs[i])
			}
		}
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if i < len(n.Values) && strings.HasPrefix(name.Name, "hint") {
				out = append(out, valuesOf(n.Values[i])...)
			}
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "append" && n.Ellipsis == 0 {
			if s, ok := n.Args[0].(*ast.SelectorExpr); ok && slices.Contains([]string{"Deleted", "Kept", "Warnings", "Problems"}, s.Sel.Name) {
				out = append(out, n.Args[1:]...)
			}
		}
		if s, ok := n.Fun.(*ast.SelectorExpr); ok {
			switch {
			case s.Sel.Name == "step" && len(n.Args) > 0, s.Sel.Name == "doing" && len(n.Args) == 1:
				out = append(out, n.Args[0])
			case s.Sel.Name == "say" && len(n.Args) > 2:
				out = append(out, n.Args[2])
			}
		}
	}
	return out
}

// functionsIn are the functions of the same package that a text is made by.
func functionsIn(e ast.Expr) (names []string) {
	ast.Inspect(e, func(n ast.Node) bool {
		if call, is := n.(*ast.CallExpr); is {
			if f, is := call.Fun.(*ast.Ident); is {
				names = append(names, f.Name)
			}
		}
		return true
	})
	return names
}

// returned are the texts that a function of one string returns.
func returned(fn *ast.FuncDecl) (out []ast.Expr) {
	results := fn.Type.Results
	if results == nil || len(results.List) != 1 {
		return nil
	}
	if of, is := results.List[0].Type.(*ast.Ident); !is || of.Name != "string" {
		return nil
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if r, is := n.(*ast.ReturnStmt); is {
			out = append(out, r.Results...)
		}
		return true
	})
	return out
}

// valuesOf are the values of a map, or the value itself.
func valuesOf(e ast.Expr) (out []ast.Expr) {
	table, ok := e.(*ast.CompositeLit)
	if !ok {
		return []ast.Expr{e}
	}
	for _, entry := range table.Elts {
		if kv, ok := entry.(*ast.KeyValueExpr); ok {
			out = append(out, kv.Value)
		}
	}
	return out
}

// glue has no words of its own.
var glue = regexp.MustCompile("^[`\"{}→ ]*(at|is)?[`\"{}→ ]*$")

var verb = regexp.MustCompile(`%[-+#0-9.]*[a-z]`)

// wording is the text of an expression with {} for what is not known yet.
func wording(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return verb.ReplaceAllString(s, "{}")
		}
	case *ast.BinaryExpr:
		return wording(e.X) + wording(e.Y)
	case *ast.CallExpr:
		if s, ok := e.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Sprintf" {
			return wording(e.Args[0])
		}
	}
	return "{}"
}

// parts splits as the console does, and leaves out what has no words.
func parts(s string) []string {
	var out []string
	for _, half := range strings.Split(s, "; ") {
		for _, p := range strings.Split(half, ": ") {
			// A statement stays what it is: it is there to be copied.
			if !glue.MatchString(p) && !strings.HasPrefix(p, "alter ") {
				out = append(out, p)
			}
		}
	}
	return out
}

func TestWhatTheInstanceSaysIsTranslated(t *testing.T) {
	said := spoken(t)
	if len(said) < 40 {
		t.Fatalf("only %d texts were found: does the test still look at the right places?", len(said))
	}
	for _, p := range said {
		example := p
		for n := 1; strings.Contains(example, "{}"); n++ {
			example = strings.Replace(example, "{}", fmt.Sprint("X", n), 1)
		}
		if chinese.translate(example) == example {
			t.Errorf("not translated: %q", p)
		}
	}
}

func TestNotesAreTranslatedPartByPart(t *testing.T) {
	for en, zh := range map[string]string{
		"the instance started": "实例已启动",
		"start: created":       "启动: 已创建",
		"interrupted: list the databases at http://b:6041: dial tcp 10.0.0.1:6041: connect: connection refused":                        "已中断: 列出数据库 (http://b:6041): 连接 10.0.0.1:6041: 连接: 连接被拒绝",
		"look for database \"power\" at http://a:6041: Database not exist [0x0388]":                                                    "查找数据库 \"power\" (http://a:6041): Database not exist [0x0388]",
		"apply a deletion of rows of vgroup 4, read at offset 71: no answer within 5s":                                                 "应用虚拟组 4 在偏移 71 处读到的 一次行删除: 5s 内没有响应",
		"they were written after 2026-03-14T13:01:40Z, when the last message before them was applied, and before 2026-03-14T13:22:41Z": "写入时间：2026-03-14T13:01:40Z（此前最后一条消息的应用时刻）之后，2026-03-14T13:22:41Z 之前",
		"alter table m add column a int": "alter table m add column a int",
	} {
		if got := chinese.translate(en); got != zh {
			t.Errorf("%q became %q, want %q", en, got, zh)
		}
		if got := english.translate(en); got != en {
			t.Errorf("in English %q became %q", en, got)
		}
	}
	for i, en := range english.Phrase {
		a, b := blank.FindAllString(en, -1), blank.FindAllString(chinese.Phrase[i], -1)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("%q and %q differ in their blanks", en, chinese.Phrase[i])
		}
	}
}

func TestWhatDoesNotFitLosesWhatSaysLeast(t *testing.T) {
	a := newApp(t.Context(), Options{})
	a.setLanguage(&english)
	lost := "send commit_offset: the connection to http://b:6041 was lost: write tcp 127.0.0.1:49860->127.0.0.1:7041: i/o timeout"
	refused := "apply 21 bytes of rows of vgroup 5: write rows at http://b:6041: dial tcp 10.0.3.7:6041: connect: connection refused; is taosAdapter running there?"
	for _, c := range []struct {
		s    string
		w    int
		want string
	}{
		{lost, 200, lost},
		{lost, 90, "… send commit_offset: the connection to http://b:6041 was lost: i/o timeout"},
		{lost, 60, "… the connection to http://b:6041 was lost: i/o timeout"},
		{lost, 20, "… the connection to http://b:6041 was lost: i/o timeout"}, // the cause alone says too little
		{refused, 100, "… write rows at http://b:6041: connection refused; is taosAdapter running there?"},
		{refused, 60, "… connection refused; is taosAdapter running there?"},
		{"one word", 3, "one word"},
	} {
		if got := a.brief(c.s, c.w); got != c.want {
			t.Errorf("in %d cells: %q, want %q", c.w, got, c.want)
		}
	}
}
