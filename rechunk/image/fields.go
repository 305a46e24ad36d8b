package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"
)

// fields are the members of a JSON object, values as they were written, so that what this program does not know survives an
// edit.
type fields map[string]json.RawMessage

// parseFields reads a JSON object. One that names a member twice, in whatever case, is refused: some readers take the first,
// some the last, and those in Go both, so that what it says depends on who reads it. what names the object in errors. JSON's
// null gives no fields.
func parseFields(what string, raw []byte) (fields, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	start, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, what, err)
	}
	if start == nil {
		return nil, nil
	}
	if start != json.Delim('{') {
		return nil, fmt.Errorf("%w: %s is no JSON object", ErrInvalid, what)
	}
	f, seen := fields{}, map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		var value json.RawMessage
		if err == nil {
			err = dec.Decode(&value)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, what, err)
		}
		name, _ := key.(string)                          // nothing else stands before a colon
		folded := strings.ToLower(strings.ToUpper(name)) // as strings.EqualFold sees it: ſ and K have one of both only
		if seen[folded] {
			return nil, fmt.Errorf("%w: %s names %q twice", ErrInvalid, what, name)
		}
		seen[folded], f[name] = true, value
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, what, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: %s: something follows the JSON object", ErrInvalid, what)
	}
	return f, nil
}

// checkMembers counts the members and elements of a JSON document without reading it, so that one of many is refused before
// it takes memory. It counts the commas and brackets outside of strings.
func checkMembers(what string, raw []byte, most int) error {
	n, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == '{' || c == '['):
			n++
		}
	}
	if n > most {
		return fmt.Errorf("%w: %s of %d members, at most %d", ErrInvalid, what, n, most)
	}
	return nil
}

// get returns a member, nil if there is none. Like the readers of encoding/json it takes the name in any case.
func (f fields) get(name string) json.RawMessage {
	for k, v := range f {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return nil
}

// has reports whether there is a member that is not null.
func (f fields) has(name string) bool {
	v := f.get(name)
	return v != nil && string(v) != "null"
}

// set replaces a member, whatever the case of its name was.
func (f fields) set(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("field %s: %w", name, err)
	}
	f.remove(name)
	f[name] = b
	return nil
}

// remove takes a member away, whatever the case of its name is.
func (f fields) remove(name string) {
	maps.DeleteFunc(f, func(k string, _ json.RawMessage) bool { return strings.EqualFold(k, name) })
}
