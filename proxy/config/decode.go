package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Limits on a file. Aliases can make a small file large, hence the limit on values and on nesting.
const (
	maxFile   = 1 << 20 // bytes
	maxValues = 100_000 // values, with those that aliases repeat
	maxNested = 32      // nesting of mappings, lists and aliases
)

// decoder fills a Config from a YAML syntax tree. The YAML library's own strict decoding stops at the first unknown key,
// speaks of Go types and quotes the lines around an error, passwords and all; so only its parser is used.
type decoder struct {
	file     string
	anchors  map[string]ast.Node
	origins  map[string]string // key → where it was set
	problems []Problem
	values   int
}

// nodeDecoder is a type that reads its own syntax tree.
type nodeDecoder interface {
	decodeNode(d *decoder, n ast.Node, key string)
}

// decode reads the document into c and returns where each key was set and what is wrong.
func decode(file string, data []byte, c *Config) (origins map[string]string, problems []Problem) {
	d := &decoder{file: file, anchors: map[string]ast.Node{}, origins: map[string]string{}}
	if len(data) > maxFile {
		return d.origins, []Problem{{Where: file, Message: fmt.Sprintf("is longer than the limit of %d bytes", maxFile)}}
	}
	if err := checkNesting(data); err != nil {
		return d.origins, []Problem{{Where: file, Message: err.Error()}}
	}
	parsed, err := parser.ParseBytes(data, 0)
	if err != nil {
		return d.origins, []Problem{d.syntax(err, data)}
	}
	var documents []ast.Node
	for _, doc := range parsed.Docs {
		if doc.Body != nil {
			documents = append(documents, doc.Body)
		}
	}
	switch {
	case len(documents) > 1:
		d.problem(documents[1], "", "a second document starts here: a configuration is one document")
	case len(documents) == 1:
		ast.Walk(anchorCollector(d.anchors), documents[0])
		d.value(reflect.ValueOf(c).Elem(), documents[0], "", 0)
	}
	return d.origins, d.problems
}

// checkNesting refuses brackets, and lists on one line, nested so deeply that a recursive parser would run out of stack or
// time.
func checkNesting(data []byte) error {
	const most = 1000
	depth, dashes, start := 0, 0, true
	for _, b := range data {
		switch b {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case '\n', '\r':
			dashes, start = 0, true
		}
		switch {
		case start && b == '-':
			dashes++
		case b != ' ' && b != '\n' && b != '\r' && b != '-':
			start = false
		}
		if depth > most || dashes > most {
			return fmt.Errorf("has more than %d lists or mappings inside one another, which is the limit", most)
		}
	}
	return nil
}

type anchorCollector map[string]ast.Node

// Visit implements ast.Visitor.
func (a anchorCollector) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		a[anchor.Name.GetToken().Value] = anchor.Value
	}
	return a
}

// where returns the place of a node as file:line:column.
func (d *decoder) where(n ast.Node) string {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key // a block mapping's own token is its first colon
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return d.file
	}
	p := n.GetToken().Position
	return fmt.Sprintf("%s:%d:%d", d.file, p.Line, p.Column)
}

func (d *decoder) problem(n ast.Node, key, format string, args ...any) {
	d.problems = append(d.problems, Problem{Where: d.where(n), Key: key, Message: fmt.Sprintf(format, args...)})
}

// resolve follows anchors, aliases and tags to the value itself. It returns nil after reporting a problem.
func (d *decoder) resolve(n ast.Node, key string, depth int) ast.Node {
	if d.values++; d.values > maxValues {
		if d.values == maxValues+1 {
			d.problem(n, key, "the file has more than %d values, which is the limit", maxValues)
		}
		return nil
	}
	for ; depth <= maxNested; depth++ {
		switch t := n.(type) {
		case *ast.AnchorNode:
			n = t.Value
		case *ast.TagNode:
			n = t.Value
		case *ast.AliasNode:
			target, ok := d.anchors[t.Value.GetToken().Value]
			if !ok {
				d.problem(n, key, "a value that begins with * needs quotes, such as \"*\"")
				return nil
			}
			n = target
		default:
			return n
		}
	}
	d.problem(n, key, "is nested deeper than %d levels, which is the limit", maxNested)
	return nil
}

// value decodes n into dst.
func (d *decoder) value(dst reflect.Value, n ast.Node, key string, depth int) {
	if n = d.resolve(n, key, depth); n == nil {
		return
	}
	if _, null := n.(*ast.NullNode); null {
		return // a key with nothing after it leaves the default
	}
	d.origins[key] = d.where(n)
	if own, ok := dst.Addr().Interface().(nodeDecoder); ok {
		own.decodeNode(d, n, key)
		return
	}
	if _, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.scalar(dst, n, key)
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		d.structure(dst, n, key, depth)
	case reflect.Map:
		d.mapping(dst, n, key, depth)
	case reflect.Slice:
		d.list(dst, n, key, depth)
	default:
		d.scalar(dst, n, key)
	}
}

func (d *decoder) structure(dst reflect.Value, n ast.Node, key string, depth int) {
	pairs, ok := d.pairs(n, key)
	if !ok {
		return
	}
	for _, p := range pairs {
		field, found := fieldByKey(dst, p.name)
		if !found {
			d.problem(p.node, join(key, p.name), "there is no such key%s", suggest(p.name, fieldKeys(dst.Type())))
			continue
		}
		d.value(field, p.value, join(key, p.name), depth+1)
	}
}

func (d *decoder) mapping(dst reflect.Value, n ast.Node, key string, depth int) {
	pairs, ok := d.pairs(n, key)
	if !ok {
		return
	}
	m := reflect.MakeMapWithSize(dst.Type(), len(pairs))
	for _, p := range pairs {
		element := newElement(dst.Type().Elem())
		d.value(element, p.value, join(key, p.name), depth+1)
		d.origins[join(key, p.name)] = d.where(p.node)
		m.SetMapIndex(reflect.ValueOf(p.name), element)
	}
	dst.Set(m)
}

func (d *decoder) list(dst reflect.Value, n ast.Node, key string, depth int) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		d.problem(n, key, "needs a list but has %s", describe(n))
		return
	}
	items := reflect.MakeSlice(dst.Type(), 0, len(sequence.Values))
	for i, item := range sequence.Values {
		element := newElement(dst.Type().Elem())
		d.value(element, item, key+"["+strconv.Itoa(i)+"]", depth+1)
		items = reflect.Append(items, element)
	}
	dst.Set(items)
}

func (d *decoder) scalar(dst reflect.Value, n ast.Node, key string) {
	text, ok := scalarText(n)
	if !ok {
		if _, mapping := n.(*ast.MappingNode); mapping && ipv6.MatchString(strings.ReplaceAll(n.String(), ": ", ":")) {
			d.problem(n, key, "%s", quoteIPv6)
			return
		}
		d.problem(n, key, "needs one value but has %s", describe(n))
		return
	}
	_, number := n.(*ast.IntegerNode)
	_, truth := n.(*ast.BoolNode)
	_, own := dst.Addr().Interface().(encoding.TextUnmarshaler)
	if !own && (dst.Kind() == reflect.Int && !number || dst.Kind() == reflect.Bool && !truth) {
		d.problem(n, key, "needs %s but has %s", kindName(dst.Kind()), describe(n))
		return
	}
	if err := setText(dst, text); err != nil {
		d.problem(n, key, "%s", err)
	}
}

// any returns a value as maps, slices and scalars.
func (d *decoder) any(n ast.Node, key string, depth int) any {
	if n = d.resolve(n, key, depth); n == nil {
		return nil
	}
	d.origins[key] = d.where(n)
	switch t := n.(type) {
	case *ast.MappingNode:
		pairs, _ := d.pairs(n, key)
		m := make(map[string]any, len(pairs))
		for _, p := range pairs {
			m[p.name] = d.any(p.value, join(key, p.name), depth+1)
		}
		return m
	case *ast.SequenceNode:
		items := make([]any, len(t.Values))
		for i, item := range t.Values {
			items[i] = d.any(item, key+"["+strconv.Itoa(i)+"]", depth+1)
		}
		return items
	case *ast.StringNode, *ast.LiteralNode:
		text, _ := scalarText(n)
		return text
	case *ast.IntegerNode:
		if u, ok := t.Value.(uint64); ok && u <= math.MaxInt64 {
			return int(u)
		}
		return t.Value
	case ast.ScalarNode:
		return t.GetValue()
	}
	d.problem(n, key, "cannot be used here")
	return nil
}

// setText sets a field of a simple type from text.
func setText(dst reflect.Value, text string) error {
	if u, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch dst.Kind() {
	case reflect.String:
		dst.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%s is neither true nor false", quote(text))
		}
		dst.SetBool(text == "true")
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fmt.Errorf("%s is no whole number of at most 32 bits", quote(text))
		}
		dst.SetInt(n)
	default:
		return fmt.Errorf("cannot be set from text")
	}
	return nil
}

// scalarText returns a scalar as it is written, so that a password 0123 keeps its zero.
func scalarText(n ast.Node) (string, bool) {
	switch t := n.(type) {
	case *ast.StringNode:
		return t.Value, true
	case *ast.LiteralNode:
		return t.Value.Value, true
	case ast.ScalarNode:
		return strings.TrimSpace(t.GetToken().Value), true
	}
	return "", false
}
