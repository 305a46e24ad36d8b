// Package schema describes documents by JSON Schemas (draft 2020-12) that are made of the Go types which read and write
// them, and of those types' comments. It is used when Strata is built and tested, and the result is committed: a program
// that runs has no use for its own sources.
package schema

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Dialect is the version of JSON Schema that is written.
const Dialect = "https://json-schema.org/draft/2020-12/schema"

// Schema is one schema, as far as these are made here. Its zero value allows everything.
type Schema struct {
	Dialect     string             `json:"$schema,omitempty"`
	ID          string             `json:"$id,omitempty"`
	Ref         string             `json:"$ref,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"` // a name, or a list of them
	Format      string             `json:"format,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Enum        []any              `json:"enum,omitempty"`
	Default     any                `json:"default,omitempty"`
	Examples    []string           `json:"examples,omitempty"`
	Properties  map[string]*Schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Items       *Schema            `json:"items,omitempty"`
	// Additional is false where an object has no other keys, or the schema of their values.
	Additional any                `json:"additionalProperties,omitempty"`
	Defs       map[string]*Schema `json:"$defs,omitempty"`
}

// Maker makes schemas of types. The named structs that it meets become definitions, so that each is described once. Set the
// fields first; a Maker belongs to one goroutine.
type Maker struct {
	// Tag is the key of the struct tag with the names: yaml or json.
	Tag string
	// Refs begins references to definitions: "#/$defs/".
	Refs string
	// Closed says that objects have no keys but those of their type, and Nullable that a key may have nothing after it.
	Closed, Nullable bool
	// Known are types that are written in another way than their kind.
	Known map[reflect.Type]Schema
	// Sources has the comments.
	Sources *Sources
	// Defs are the definitions so far, by the types' names.
	Defs map[string]*Schema

	types map[string]reflect.Type
}

// Of returns the schema of a type; of a named struct, a reference to its definition.
func (m *Maker) Of(t reflect.Type) *Schema {
	if known, ok := m.Known[t]; ok {
		return m.nullable(&known)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return m.Of(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return &Schema{Type: "string", Format: "date-time"}
		}
		return m.define(t)
	case reflect.Map:
		return m.nullable(&Schema{Type: "object", Additional: m.Of(t.Elem())})
	case reflect.Slice, reflect.Array:
		return m.nullable(&Schema{Type: "array", Items: m.Of(t.Elem())})
	case reflect.String:
		return m.text(t)
	case reflect.Bool:
		return m.nullable(&Schema{Type: "boolean"})
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return m.nullable(&Schema{Type: "integer"})
	case reflect.Float64:
		return m.nullable(&Schema{Type: "number"})
	}
	return &Schema{}
}

// text is the schema of a type of strings: one of the constants of that type, where there are any.
func (m *Maker) text(t reflect.Type) *Schema {
	s := &Schema{Type: "string"}
	if t.PkgPath() != "" {
		for _, c := range m.Sources.constants(t) {
			s.Enum = append(s.Enum, c)
		}
	}
	if m.Nullable && len(s.Enum) == 0 {
		s.Type = []string{"string", "number", "null"} // YAML takes a password of digits for a number
		return s
	}
	return m.nullable(s)
}

func (m *Maker) nullable(s *Schema) *Schema {
	if !m.Nullable {
		return s
	}
	switch kind := s.Type.(type) {
	case string:
		s.Type = []string{kind, "null"}
	case []string:
		s.Type = append(slices.Clone(kind), "null")
	}
	if len(s.Enum) > 0 {
		s.Enum = append(slices.Clone(s.Enum), nil)
	}
	return s
}

// define describes a named struct once, and returns a reference to that. Types of one name have the package's before it.
func (m *Maker) define(t reflect.Type) *Schema {
	name := t.Name()
	if other, taken := m.types[name]; taken && other != t {
		name = t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:] + name
	}
	ref := &Schema{Ref: m.Refs + name}
	if m.Defs[name] != nil {
		return ref
	}
	if m.Defs == nil {
		m.Defs, m.types = map[string]*Schema{}, map[string]reflect.Type{}
	}
	s := m.nullable(&Schema{Type: "object", Description: m.Sources.ofType(t), Properties: map[string]*Schema{}})
	m.Defs[name], m.types[name] = s, t
	if m.Closed {
		s.Additional = false
	}
	m.fields(t, s)
	slices.Sort(s.Required)
	return ref
}

// fields adds those of a struct to its schema.
func (m *Maker) fields(t reflect.Type, s *Schema) {
	for field := range structFields(t) {
		name, options, _ := strings.Cut(field.Tag.Get(m.Tag), ",")
		switch {
		case name == "-" || !field.IsExported() && !field.Anonymous:
			continue
		case name == "" && field.Anonymous:
			m.fields(field.Type, s)
			continue
		case name == "":
			name = field.Name
		}
		of := *m.Of(field.Type)
		of.Description = m.Sources.ofField(t, field.Name)
		s.Properties[name] = &of
		if !m.Nullable && !strings.Contains(options, "omit") {
			s.Required = append(s.Required, name)
		}
	}
}

func structFields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// Names lists the definitions so far.
func (m *Maker) Names() []string { return slices.Sorted(maps.Keys(m.Defs)) }
