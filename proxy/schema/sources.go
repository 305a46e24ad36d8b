package schema

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// Sources read comments and constants of a module's types from its files. They belong to one goroutine.
type Sources struct {
	module, root string
	packages     map[string]*comments
	// Err is the first failure to read a package; what it would have said is missing then.
	Err error
}

// comments are those of one package: of types by their names, of fields as "Type.Field". constants are the strings of a
// type.
type comments struct {
	text      map[string]string
	constants map[string][]string // the strings of a type
}

// NewSources returns the sources of a module, "example.org/name", that lies in the directory root.
func NewSources(module, root string) *Sources {
	return &Sources{module: module, root: root, packages: map[string]*comments{}}
}

func (s *Sources) ofType(t reflect.Type) string { return s.of(t).text[t.Name()] }

func (s *Sources) ofField(t reflect.Type, field string) string {
	return s.of(t).text[t.Name()+"."+field]
}

// constants returns the strings that a package has as constants of one of its types, in the order of the files.
func (s *Sources) constants(t reflect.Type) []string { return s.of(t).constants[t.Name()] }

// of reads the package of a type; of one outside the module nothing is known.
func (s *Sources) of(t reflect.Type) *comments {
	path := t.PkgPath()
	if c := s.packages[path]; c != nil {
		return c
	}
	c := &comments{text: map[string]string{}, constants: map[string][]string{}}
	s.packages[path] = c
	dir, inside := strings.CutPrefix(path, s.module+"/")
	if !inside {
		return c
	}
	files, err := filepath.Glob(filepath.Join(s.root, dir, "*.go"))
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || err != nil {
			continue
		}
		var parsed *ast.File
		if parsed, err = parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments); err == nil {
			c.read(parsed)
		}
	}
	if err != nil && s.Err == nil {
		s.Err = fmt.Errorf("comments of %s: %w", path, err)
	}
	return c
}

func (c *comments) read(file *ast.File) {
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				c.readType(spec, text(group.Doc, spec.Doc))
			case *ast.ValueSpec:
				c.readConstant(spec)
			}
		}
	}
}

func (c *comments) readType(spec *ast.TypeSpec, doc string) {
	c.text[spec.Name.Name] = doc
	structure, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	shared := "" // one comment may be on several fields that follow each other
	for _, field := range structure.Fields.List {
		doc := text(field.Doc, field.Comment)
		for _, name := range field.Names {
			if doc == "" && strings.Contains(shared, name.Name) {
				doc = shared
			}
			c.text[spec.Name.Name+"."+name.Name] = doc
		}
		shared = doc
	}
}

func (c *comments) readConstant(spec *ast.ValueSpec) {
	of, ok := spec.Type.(*ast.Ident)
	if !ok {
		return
	}
	for _, value := range spec.Values {
		if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if s, err := strconv.Unquote(literal.Value); err == nil {
				c.constants[of.Name] = append(c.constants[of.Name], s)
			}
		}
	}
}

// text puts comments on one line.
func text(groups ...*ast.CommentGroup) string {
	var words []string
	for _, g := range groups {
		words = append(words, strings.Fields(g.Text())...)
	}
	return strings.Join(words, " ")
}
