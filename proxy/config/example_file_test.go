package config

import (
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// uncomment sets every key that the example file shows.
func uncomment(example []byte) []byte {
	return regexp.MustCompile(`(?m)^( *)#([^ #])`).ReplaceAll(example, []byte("$1$2"))
}

func readExample(t *testing.T) []byte {
	t.Helper()
	example, err := os.ReadFile("../../config.example.yml")
	if err != nil {
		t.Fatal(err)
	}
	return example
}

// As it is, the example file changes nothing.
func TestExampleIsTheDefault(t *testing.T) {
	t.Parallel()
	c, warnings, err := parse("config.example.yml", readExample(t), nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if diff := cmp.Diff(absoluteDefault(t), c, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-default +example)\n%s", diff)
	}
}

// With all its keys set, the example file shows every key there is, and where it shows a default, the true one.
func TestExampleShowsEveryKey(t *testing.T) {
	t.Parallel()
	c := Default()
	origins, problems := decode("config.example.yml", uncomment(readExample(t)), c)
	if len(problems) > 0 {
		t.Fatal(&Error{problems})
	}
	if len(c.Upstreams) == 0 || len(c.Repositories) == 0 {
		t.Fatal("the example shows no upstream or no rule")
	}
	for _, host := range []string{"ghcr.io"} {
		checkKeys(t, origins, reflect.TypeFor[Upstream](), "upstreams."+host)
		up := c.Upstreams[host]
		if diff := cmp.Diff(DefaultUpstreamSettings(), Upstream{
			MaxConnections: up.MaxConnections, MaxDownloads: up.MaxDownloads, Timeout: up.Timeout, Attempts: up.Attempts,
		}); diff != "" {
			t.Errorf("%s (-default +example)\n%s", host, diff)
		}
	}
	checkKeys(t, origins, reflect.TypeFor[Config](), "")
	checkKeys(t, origins, reflect.TypeFor[Rule](), "repositories[0]")
	checkKeys(t, origins, reflect.TypeFor[AccessRule](), "access.rules[0]")
	if diff := cmp.Diff(DefaultRule(), c.Repositories[0],
		cmpopts.IgnoreFields(Rule{}, "Match", "Family", "Watch", "Verify", "Compression")); diff != "" {
		t.Errorf("rule (-default +example)\n%s", diff)
	}
}

// checkKeys reports the keys of a type, and of the structs in it, that were not set.
func checkKeys(t *testing.T, origins map[string]string, typ reflect.Type, prefix string) {
	t.Helper()
	for i := range typ.NumField() {
		field := typ.Field(i)
		key := join(prefix, field.Tag.Get("yaml"))
		if origins[key] == "" {
			t.Errorf("the example file does not show %s", key)
		}
		if field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[Storage]() &&
			field.Type != reflect.TypeFor[Secret]() && field.Type != reflect.TypeFor[Requirement]() {
			checkKeys(t, origins, field.Type, key)
		}
	}
}
