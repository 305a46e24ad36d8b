package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// absolute makes the paths of files and directories absolute, so that a path means one place whoever reads it: a library
// that builds a URI of it, or code that runs after a change of the working directory. A path is what a key names that ends
// in _file or _dir, the directory of a filesystem store, and the root of a seed. It returns what could not be resolved.
func (c *Config) absolute() []Problem {
	r := &resolver{}
	r.fields(reflect.ValueOf(c).Elem(), "")
	for _, host := range slices.Sorted(maps.Keys(c.Upstreams)) {
		up := c.Upstreams[host]
		r.fields(reflect.ValueOf(&up).Elem(), "upstreams."+host)
		c.Upstreams[host] = up
	}
	for i := range c.Repositories {
		key, verify := "repositories["+strconv.Itoa(i)+"].verify", &c.Repositories[i].Verify
		for k, file := range verify.Keys {
			if file != "" {
				verify.Keys[k] = r.path(file, key+".keys")
			}
		}
		if verify.Keyless.TrustedRoot != "" {
			verify.Keyless.TrustedRoot = r.path(verify.Keyless.TrustedRoot, key+".keyless.trusted_root")
		}
	}
	if root, ok := c.Storage.Parameters[rootDirectory].(string); ok && c.Storage.Driver == filesystemDriver && root != "" {
		c.Storage.Parameters[rootDirectory] = r.path(root, "storage."+filesystemDriver+"."+rootDirectory)
	}
	c.absoluteSeeds(r)
	return r.problems
}

type resolver struct{ problems []Problem }

// fields resolves the paths in a struct and in the structs in it.
func (r *resolver) fields(v reflect.Value, prefix string) {
	for i := range v.NumField() {
		field, name := v.Field(i), v.Type().Field(i).Tag.Get("yaml")
		switch {
		case field.Kind() == reflect.Struct && keyed(field.Type()):
			r.fields(field, join(prefix, name))
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct && keyed(field.Type().Elem()):
			for k := range field.Len() {
				r.fields(field.Index(k), join(prefix, name)+"["+strconv.Itoa(k)+"]")
			}
		case field.Kind() == reflect.String && isPathKey(name) && field.String() != "":
			field.SetString(r.path(field.String(), join(prefix, name)))
		}
	}
}

func isPathKey(name string) bool {
	return strings.HasSuffix(name, "_file") || strings.HasSuffix(name, "_dir")
}

// path fails only when the working directory is gone.
func (r *resolver) path(path, key string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		r.problems = append(r.problems,
			Problem{"working directory", key, fmt.Sprintf("%s cannot be made absolute: %s", quote(path), err)})
		return path
	}
	return abs
}
