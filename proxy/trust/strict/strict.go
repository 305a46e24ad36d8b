// Package strict reads JSON that somebody signed. Readers of JSON differ in what they make of a member that comes twice, of
// a name in other letters, of what stands behind the document: one could take for good what another takes for something
// else. So all of that is refused, as by the clients that read the same documents.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep documents nest.
const maxDepth = 64

// ErrInvalid marks documents that are refused.
var ErrInvalid = errors.New("invalid JSON")

// Unmarshal reads a document into v, a pointer, as encoding/json does, but refuses at any depth members that come twice, and
// whatever follows the document. Where v has structs, names of members are those of their fields exactly. A field with the
// tag `strict:"required"` has to be there, and a struct with a field `_ struct{}` tagged `strict:"closed"` takes no other
// members. Errors wrap ErrInvalid.
func Unmarshal(b []byte, v any) error {
	if !utf8.Valid(b) {
		return fmt.Errorf("%w: it is no UTF-8", ErrInvalid)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := value(d, reflect.TypeOf(v), 0); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is more after the document", ErrInvalid)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// value reads one value that is meant for a type; nil is any.
func value(d *json.Decoder, t reflect.Type, depth int) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxDepth {
		return fmt.Errorf("it nests deeper than %d", maxDepth)
	}
	if delim == '{' {
		return object(d, t, depth)
	}
	for d.More() {
		if err := value(d, element(t), depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// element is the type of a list's elements, or of a map's; nil for any other.
func element(t reflect.Type) reflect.Type {
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) && t != reflect.TypeFor[json.RawMessage]() {
		return t.Elem()
	}
	return nil
}

// object reads the members of an object and its end.
func object(d *json.Decoder, t reflect.Type, depth int) error {
	s := shapeOf(t)
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if seen[name] {
			return fmt.Errorf("%.100q comes twice", name)
		}
		seen[name] = true
		of, known := s.fields[name]
		switch {
		case known:
		case s.closed:
			return fmt.Errorf("%.100q is unknown", name)
		case s.folds(name):
			return fmt.Errorf("%.100q is written in other letters", name)
		default:
			of = element(t)
		}
		if err := value(d, of, depth+1); err != nil {
			return err
		}
	}
	for _, name := range s.required {
		if !seen[name] {
			return fmt.Errorf("%q is missing", name)
		}
	}
	_, err := d.Token()
	return err
}

// shape is what a struct says of an object. The zero value takes everything.
type shape struct {
	fields   map[string]reflect.Type
	required []string
	closed   bool
}

// folds reports whether encoding/json would take a name for that of a field.
func (s shape) folds(name string) bool {
	for known := range s.fields {
		if strings.EqualFold(known, name) {
			return true
		}
	}
	return false
}

func shapeOf(t reflect.Type) (s shape) {
	if t == nil || t.Kind() != reflect.Struct {
		return s
	}
	s.fields = map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		rule := f.Tag.Get("strict")
		if f.Name == "_" {
			s.closed = s.closed || rule == "closed"
			continue
		}
		s.fields[name] = f.Type
		if rule == "required" {
			s.required = append(s.required, name)
		}
	}
	return s
}
