package name_test

import (
	"testing"

	"github.com/strata-oci/strata/proxy/name"
)

// A registry's name with the port that all have is the name without, by whichever way it comes: rules know it by one.
func TestDefaultPort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, ns, want string }{
		{"ghcr.io:443/a/b", "", "ghcr.io/a/b"}, {"a/b", "ghcr.io:443", "ghcr.io/a/b"},
		{"ghcr.io/a/b", "ghcr.io:443", "ghcr.io/a/b"},
		{"index.docker.io:443/a/b", "", "docker.io/a/b"}, {"ghcr.io:5000/a/b", "", "ghcr.io:5000/a/b"},
		{"intern:443/a/b", "", "intern:443/a/b"},
	} {
		repo, err := name.Parser{}.Repository(c.path, c.ns)
		if err != nil || repo.String() != c.want {
			t.Errorf("%s with %q: %s, %v", c.path, c.ns, repo, err)
		}
	}
}
