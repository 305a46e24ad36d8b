package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Sizes are shown in decimal units everywhere: who reads 69 MB in one place never meets 66 MiB of the same in another.
// What people write may be binary, and is quoted as it was written.
func TestSizesAreDecimal(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1 << 10: "1.0 kB", 1 << 20: "1.0 MB",
		-(1 << 30): "-1.1 GB", 2e9: "2.0 GB"} {
		if got := size(n); got != want {
			t.Errorf("%d bytes are %s, want %s", n, got, want)
		}
	}
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir() && d.Name() != "testdata" && d.Name() != "bench" && d.Name()[:1] != "." || name == root:
			return err
		case d.IsDir():
			return fs.SkipDir
		case strings.HasSuffix(name, ".html") || strings.HasSuffix(name, ".js"):
			text, err := os.ReadFile(name)
			if unit := binaryUnit.Find(text); unit != nil {
				t.Errorf("%s: %s", name, unit)
			}
			return err
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err == nil {
			ast.Inspect(f, func(n ast.Node) bool {
				if what := showsBinary(n); what != "" {
					t.Errorf("%s: %s", fset.Position(n.Pos()), what)
				}
				return true
			})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// binaryUnit is a number of a format or a template with a binary unit after it. A setting of an encoder is no size that
// people are shown.
var binaryUnit = regexp.MustCompile(`(?:%[0-9.]*[dfvs]|\}\}|\$\{[^}]*\}) ?[KMGT]iB`)

// showsBinary says what of a node shows a size in binary units.
func showsBinary(n ast.Node) string {
	switch n := n.(type) {
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && x.Name == "humanize" && strings.HasSuffix(n.Sel.Name, "IBytes") {
			return "humanize." + n.Sel.Name
		}
		if strings.HasSuffix(n.Sel.Name, "KibiByte") || n.Sel.Name == "SizeB1024" {
			return n.Sel.Name
		}
	case *ast.BasicLit:
		if n.Kind == token.STRING && !strings.Contains(n.Value, "window=") {
			return binaryUnit.FindString(n.Value)
		}
	}
	return ""
}
