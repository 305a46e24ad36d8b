package config

import (
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Storage is where images and records are kept: one of distribution's storage drivers. In the file it is a mapping with one
// key, the driver's name; the parameters below it are handed to the driver as they are.
type Storage struct {
	// Driver is the driver's name: filesystem, s3, inmemory.
	Driver string
	// Parameters are the driver's own. They may hold secrets.
	Parameters map[string]any
}

// String names the driver and which parameters are set, without their values.
func (s Storage) String() string {
	return s.Driver + "(" + strings.Join(slices.Sorted(maps.Keys(s.Parameters)), ", ") + ")"
}

// GoString returns String, so that %#v shows no secrets.
func (s Storage) GoString() string { return s.String() }

// LogValue returns String.
func (s Storage) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns String.
func (s Storage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// decodeNode takes the one driver of a mapping.
func (s *Storage) decodeNode(d *decoder, n ast.Node, key string) {
	pairs, ok := d.pairs(n, key)
	if !ok {
		return
	}
	if len(pairs) != 1 {
		names := make([]string, len(pairs))
		for i, p := range pairs {
			names[i] = p.name
		}
		d.problem(n, key, "needs exactly one storage driver but has %d (%s): keep one", len(pairs),
			strings.Join(names, ", "))
		return
	}
	driver := pairs[0]
	parameters := map[string]any{}
	switch value := d.any(driver.value, key+"."+driver.name, 0).(type) {
	case nil:
	case map[string]any:
		parameters = value
	default:
		d.problem(driver.value, key+"."+driver.name, "needs a mapping of the driver's parameters")
		return
	}
	*s = Storage{Driver: driver.name, Parameters: parameters}
	s.complete()
}

// set overrides one parameter. The driver must be the one in use, unless replace is true.
func (s *Storage) set(driver, parameter, value string, replace bool) bool {
	if driver != s.Driver {
		if !replace {
			return false
		}
		*s = Storage{Driver: driver}
	}
	parameters := maps.Clone(s.Parameters)
	if parameters == nil {
		parameters = map[string]any{}
	}
	parameters[parameter] = value
	s.Parameters = parameters
	s.complete()
	return true
}

// complete fills in the directory of a filesystem store.
func (s *Storage) complete() {
	if _, ok := s.Parameters[rootDirectory]; s.Driver == filesystemDriver && !ok {
		s.Parameters[rootDirectory] = defaultRoot
	}
}
