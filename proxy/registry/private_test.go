package registry_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// Where not everybody may pull everything, no shared cache keeps content, nor answers one client with another's.
func TestContentUnderRulesIsPrivate(t *testing.T) {
	t.Parallel()
	backend, m, blob := newFake()
	for _, ruled := range []bool{false, true} {
		h := registry.New(registry.Options{
			Manifests: backend, Blobs: backend, Names: name.Parser{}, Ruled: func() bool { return ruled },
		})
		for _, path := range []string{blobURL(blob), "/v2/" + testRepo + "/manifests/" + testTag, "/v2/" + testRepo +
			"/manifests/" + m.Digest.String()} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				got := call(h, method, path).Header()
				private := strings.HasPrefix(got.Get("Cache-Control"), "private") &&
					slices.Contains(got.Values("Vary"), "Authorization")
				if private != ruled || strings.Contains(got.Get("Cache-Control"), "public") == ruled &&
					!strings.Contains(path, testTag) {
					t.Errorf("%s %s, ruled %t: %v", method, path, ruled, got)
				}
			}
		}
	}
}
