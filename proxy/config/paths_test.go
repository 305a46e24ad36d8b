package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// abs is what a relative path means.
func abs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// absoluteDefault is what Load makes of no configuration at all.
func absoluteDefault(t *testing.T) *Config {
	t.Helper()
	c := Default()
	if problems := c.absolute(); len(problems) > 0 {
		t.Fatal(problems)
	}
	return c
}

// Every path in a configuration is absolute, wherever it stands and however it got there: no key that names one may be
// forgotten.
func TestPathsAreAbsolute(t *testing.T) {
	t.Parallel()
	text := string(uncomment(readExample(t)))
	for _, prefix := range []string{"/etc/strata/", "/run/secrets/", "/var/lib/strata/"} {
		text = strings.ReplaceAll(text, prefix, "rel/../sub/")
	}
	c := Default()
	if _, problems := decode("config.example.yml", []byte(text), c); len(problems) > 0 {
		t.Fatal(&Error{problems})
	}
	if problems := append(applyEnv(c, []string{"STRATA_ADMIN_TOKEN_FILE=t"}, map[string]string{}),
		c.absolute()...); len(problems) > 0 {
		t.Fatal(&Error{problems})
	}
	if want := abs(t, "t"); c.Admin.TokenFile != want {
		t.Errorf("of the environment: %s, want %s", c.Admin.TokenFile, want)
	}
	if got, want := c.Storage.Parameters[rootDirectory], abs(t, "strata-data"); got != want {
		t.Errorf("the store is at %v, want %s", got, want)
	}
	found := 0
	var check func(v reflect.Value, key string)
	check = func(v reflect.Value, key string) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
					check(v.Field(i), join(key, name))
				}
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				check(v.MapIndex(k), join(key, k.String()))
			}
		case reflect.String:
			if !strings.HasSuffix(key, "_file") && !strings.HasSuffix(key, "_dir") {
				return
			}
			if found++; !filepath.IsAbs(v.String()) || strings.Contains(v.String(), "..") {
				t.Errorf("%s is %q", key, v)
			}
		}
	}
	check(reflect.ValueOf(c).Elem(), "")
	if found < 20 {
		t.Errorf("only %d paths were looked at", found)
	}
}

func TestTemporaryDirectoryIsAbsolute(t *testing.T) {
	t.Setenv("TMPDIR", "temp")
	c, _, err := parse("c.yml", []byte("storage: {inmemory: {}}"), nil)
	if want := abs(t, "temp/strata-work"); err != nil || c.WorkDirectory() != want {
		t.Errorf("got %v, %v; want %s", c.WorkDirectory(), err, want)
	}
}
