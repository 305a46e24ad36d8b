package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"ghcr.io/ublue-os/bluefin", "ghcr.io/ublue-os/bluefin", true},
		{"ghcr.io/ublue-os/bluefin", "ghcr.io/ublue-os/bluefin-dx", false},
		{"ghcr.io/ublue-os/*", "ghcr.io/ublue-os/bluefin", true},
		{"ghcr.io/ublue-os/*", "ghcr.io/ublue-os/a/b", false},
		{"ghcr.io/*", "ghcr.io/ublue-os/bluefin", false},
		{"ghcr.io/ublue-os/blue*", "ghcr.io/ublue-os/bluefin", true},
		{"ghcr.io/ublue-os/blue???", "ghcr.io/ublue-os/bluefin", true},
		{"ghcr.io/[a-t]*/x", "ghcr.io/ublue-os/x", false},
		{"ghcr.io/[^a-t]*/x", "ghcr.io/ublue-os/x", true},
		{"ghcr.io/**", "ghcr.io/a", true},
		{"ghcr.io/**", "ghcr.io/a/b/c", true},
		{"ghcr.io/a/**", "ghcr.io/a", false},
		{"ghcr.io", "ghcr.io/a/b", true},
		{"localhost:5000", "localhost:5000/a", true},
		{"ghcr.io", "quay.io/a/b", false},
		{"**", "quay.io/a/b", true},
		{"*/a/b", "quay.io/a/b", true},
		{"**/bluefin", "ghcr.io/ublue-os/bluefin", true},
		{"ghcr.io/**/bluefin", "ghcr.io/bluefin", true},
		{"ghcr.io/**/bluefin", "ghcr.io/a/b/bluefin", true},
		{"ghcr.io/**/bluefin", "ghcr.io/a/b/bluefin/c", false},
		{"ghcr.io/**/a/**/b", "ghcr.io/x/a/y/a/z/b", true},
		{"ghcr.io/**/a/**/b", "ghcr.io/x/y/z/b", false},
	} {
		if got := matchName(tc.pattern, tc.name); got != tc.want {
			t.Errorf("%s, %s: got %v", tc.pattern, tc.name, got)
		}
		if wrong := checkPattern(tc.pattern); wrong != "" {
			t.Errorf("%s: refused: %s", tc.pattern, wrong)
		}
	}
}

func TestCheckPattern(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"", "ublue-os/*", "bluefin", "*", "ghcr.io//x", "ghcr.io/", "/x", "ghcr.io/[a",
		"ghcr.io/a**", "GHCR.io/x", "https://ghcr.io/x"} {
		if checkPattern(pattern) == "" {
			t.Errorf("%q: accepted", pattern)
		}
	}
}

func TestRuleFirstMatchWins(t *testing.T) {
	t.Parallel()
	c, warnings, err := parse("f", []byte(`
repositories:
  - {match: ghcr.io/ublue-os/bluefin, family: bluefin, max_layers: 64}
  - {match: ghcr.io/ublue-os/*, rechunk: always}
  - {match: quay.io, rechunk: never}
`), nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	first := DefaultRule()
	first.Match, first.Family, first.MaxLayers = "ghcr.io/ublue-os/bluefin", "bluefin", 64
	second := DefaultRule()
	second.Match, second.Family, second.Rechunk = "ghcr.io/ublue-os/*", "ghcr.io/ublue-os/aurora", RechunkAlways
	none := DefaultRule()
	none.Family = "ghcr.io/other/image"
	for name, want := range map[string]Rule{
		"ghcr.io/ublue-os/bluefin": first, "ghcr.io/ublue-os/aurora": second, "ghcr.io/other/image": none,
	} {
		if diff := cmp.Diff(want, c.Rule(name)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	if got := c.Rule("quay.io/fedora/fedora-bootc").Rechunk; got != RechunkNever {
		t.Errorf("quay.io: got rechunk: %s", got)
	}
	c.Rule("ghcr.io/ublue-os/aurora").Platforms[0] = "changed"
	if got := c.Rule("ghcr.io/ublue-os/aurora").Platforms[0]; got != "linux/amd64" {
		t.Error("a rule shares memory with the configuration")
	}
}

// A rule that is said to be unreachable must never be the first to match.
func TestCovers(t *testing.T) {
	t.Parallel()
	patterns := []string{"**", "ghcr.io", "ghcr.io/**", "ghcr.io/a/*", "ghcr.io/a/**", "ghcr.io/a/b", "*/a/b", "quay.io/**",
		"ghcr.io/**/b"}
	names := []string{"ghcr.io/a/b", "ghcr.io/a", "ghcr.io/b", "ghcr.io/a/b/c", "quay.io/a/b", "quay.io/a"}
	for _, a := range patterns {
		for _, b := range patterns {
			if !covers(a, b) {
				continue
			}
			for _, n := range names {
				if matchName(b, n) && !matchName(a, n) {
					t.Errorf("%s is said to cover %s, but not %s", a, b, n)
				}
			}
		}
	}
	if !covers("ghcr.io", "ghcr.io/a/*") || covers("ghcr.io/a/*", "ghcr.io/a/b/c") {
		t.Error("wrong about the simple cases")
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("ghcr.io/**/b*", "ghcr.io/a/bc")
	f.Add("**/**/**/a", "a/a/a/a/a/a/a/a/b")
	f.Add("[", "x")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if checkPattern(pattern) != "" {
			return
		}
		if strings.Contains(name, "/") && !matchName("**", name) {
			t.Errorf("** does not match %q", name)
		}
		matchName(pattern, name)
	})
}

func BenchmarkRule(b *testing.B) {
	c := Default()
	for range 50 {
		r := DefaultRule()
		r.Match = "quay.io/fedora/**/x"
		c.Repositories = append(c.Repositories, r)
	}
	for b.Loop() {
		c.Rule("ghcr.io/ublue-os/bluefin")
	}
}
