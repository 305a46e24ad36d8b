package main

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// What the tree is held to; docs/contributing.md says why.
const (
	maxFunctionLines = 60
	maxFileLines     = 400
	maxColumns       = 125 // as .editorconfig says; a tab counts four
	maxContexts      = 5   // fields that hold a context.Context, each with its reason beside it
	leastDocumented  = 0.97
	leastWrapped     = 0.85 // of the fmt.Errorf calls that are given an error
)

// survey is what the tree's files add up to.
type survey struct {
	fset                 *token.FileSet
	exported, documented int
	errorfs, wrapped     int
	contexts             []string
	faults               []string
}

func (s *survey) fault(pos token.Pos, what string) {
	s.faults = append(s.faults, s.fset.Position(pos).String()+": "+what)
}

func TestHouse(t *testing.T) {
	t.Parallel()
	s := &survey{fset: token.NewFileSet()}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || len(d.Name()) > 2 && d.Name()[0] == '.'):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		return s.read(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range s.faults {
		t.Error(fault)
	}
	if len(s.contexts) > maxContexts {
		t.Errorf("%d fields hold a context, at most %d:\n%s", len(s.contexts), maxContexts, strings.Join(s.contexts, "\n"))
	}
	if share := float64(s.documented) / float64(s.exported); share < leastDocumented {
		t.Errorf("%d of %d exported names are documented, %.3f; at least %.2f", s.documented, s.exported, share,
			leastDocumented)
	}
	if share := float64(s.wrapped) / float64(s.errorfs); share < leastWrapped {
		t.Errorf("%d of %d errors made of others wrap them, %.3f; at least %.2f", s.wrapped, s.errorfs, share, leastWrapped)
	}
}

// read surveys one file. Tests count for their format and the width of lines only.
func (s *survey) read(name string) error {
	src, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(s.fset, name, src, parser.ParseComments)
	if err != nil {
		return err
	}
	if formatted, err := format.Source(src); err != nil || !bytes.Equal(formatted, src) {
		s.fault(f.Pos(), "it is not formatted, run gofmt -w")
	}
	lines, texts := bytes.Split(src, []byte("\n")), s.texts(f)
	for i, line := range lines {
		if !texts[i+1] && utf8.RuneCount(bytes.ReplaceAll(line, []byte("\t"), []byte("    "))) > maxColumns {
			s.fault(s.fset.File(f.Pos()).LineStart(i+1), "the line is too long")
		}
	}
	if strings.HasSuffix(name, "_test.go") {
		return nil
	}
	if len(lines) > maxFileLines {
		s.fault(f.Pos(), "the file is too long")
	}
	ast.Inspect(f, s.visit)
	for _, decl := range f.Decls {
		s.documentation(decl)
	}
	return nil
}

// texts are the lines that hold long strings, which read better whole.
func (s *survey) texts(f *ast.File) map[int]bool {
	out := map[int]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING && len(text.Value) > 20 {
			for line := s.fset.Position(text.Pos()).Line; line <= s.fset.Position(text.End()).Line; line++ {
				out[line] = true
			}
		}
		return true
	})
	return out
}

func (s *survey) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if lines := s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1; lines > maxFunctionLines {
			s.fault(n.Pos(), n.Name.Name+" is too long")
		}
		if n.Name.Name == "init" && n.Recv == nil {
			s.fault(n.Pos(), "init hides what happens at the start")
		}
	case *ast.StructType:
		for _, field := range n.Fields.List {
			if selector(field.Type) == "context.Context" {
				s.contexts = append(s.contexts, s.fset.Position(field.Pos()).String())
			}
		}
	case *ast.CallExpr:
		s.errorf(n)
	}
	return true
}

// errorf counts calls of fmt.Errorf that are given an error, and those that wrap it.
func (s *survey) errorf(call *ast.CallExpr) {
	if selector(call.Fun) != "fmt.Errorf" || len(call.Args) == 0 {
		return
	}
	given := false
	for _, arg := range call.Args[1:] {
		name := ""
		switch arg := arg.(type) {
		case *ast.Ident:
			name = arg.Name
		case *ast.SelectorExpr:
			name = arg.Sel.Name
		}
		given = given || strings.HasPrefix(name, "err") || strings.HasPrefix(name, "Err")
	}
	format, ok := call.Args[0].(*ast.BasicLit)
	wraps := ok && strings.Contains(format.Value, "%w")
	if given || wraps {
		s.errorfs++
	}
	if wraps {
		s.wrapped++
	}
}

func selector(e ast.Expr) string {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return pkg.Name + "." + sel.Sel.Name
}

// documentation counts exported names at the top level, methods of exported types, and which of them have a comment. A
// comment on a group of constants or variables counts for all of them.
func (s *survey) documentation(decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type))) {
			s.count(d.Doc != nil)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() {
					s.count(d.Doc != nil || spec.Doc != nil || spec.Comment != nil)
				}
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if name.IsExported() {
						s.count(d.Doc != nil || spec.Doc != nil || spec.Comment != nil)
					}
				}
			}
		}
	}
}

func (s *survey) count(documented bool) {
	s.exported++
	if documented {
		s.documented++
	}
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
