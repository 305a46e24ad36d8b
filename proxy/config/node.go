package config

import (
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// pair is a key of a mapping and its value.
type pair struct {
	name  string
	node  ast.Node // the key's
	value ast.Node
}

// pairs returns a mapping's keys in order. Those that a merge key (<<) brings come last and give way to the mapping's own.
// It returns false after reporting a problem.
func (d *decoder) pairs(n ast.Node, key string) ([]pair, bool) {
	seen := map[string]bool{}
	pairs, ok := d.collect(nil, seen, n, key, 0)
	return pairs, ok
}

func (d *decoder) collect(pairs []pair, seen map[string]bool, n ast.Node, key string, depth int) ([]pair, bool) {
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		d.problem(n, key, "needs a mapping of keys to values but has %s", describe(n))
		return pairs, false
	}
	var merged []ast.Node
	for _, v := range mapping.Values {
		if v.Key.IsMergeKey() {
			merged = append(merged, v.Value)
			continue
		}
		name, ok := scalarText(v.Key)
		if !ok {
			d.problem(v.Key, key, "has a key that is not plain text")
			return pairs, false
		}
		if !seen[name] {
			seen[name] = true
			pairs = append(pairs, pair{name, v.Key, v.Value})
		}
	}
	for len(merged) > 0 {
		source := d.resolve(merged[0], key, depth)
		merged = merged[1:]
		if source == nil {
			return pairs, false
		}
		if list, ok := source.(*ast.SequenceNode); ok && depth < maxNested {
			merged = append(append([]ast.Node{}, list.Values...), merged...)
			continue
		}
		if pairs, ok = d.collect(pairs, seen, source, key, depth+1); !ok {
			return pairs, false
		}
	}
	return pairs, true
}

// describe names the kind of value that a node is.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	}
	return "something else"
}

func kindName(k reflect.Kind) string {
	if k == reflect.Bool {
		return "true or false"
	}
	return "a whole number"
}

// newElement returns a settable value of type t that holds the type's defaults.
func newElement(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if d, ok := v.Interface().(defaulter); ok {
		d.setDefaults()
	}
	return v.Elem()
}

// fieldByKey returns the field of a struct that has the given key.
func fieldByKey(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == key && key != "" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// fieldKeys returns a struct's keys in order.
func fieldKeys(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// join appends a name to a key.
func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// suggest ends a message about an unknown word: with the word that was meant when one is close, else with all of them.
func suggest(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if n := editDistance(word, k); n < distance {
			best, distance = k, n
		}
	}
	if best != "" {
		return ": did you mean " + best + "?"
	}
	const most = 16
	if len(known) > most {
		return ""
	}
	return "; the keys here are " + strings.Join(known, ", ")
}

// editDistance is the number of letters to insert, remove or replace to get from a to b. Words of very different length are
// just far apart.
func editDistance(a, b string) int {
	if d := len(a) - len(b); d > 3 || d < -3 {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
