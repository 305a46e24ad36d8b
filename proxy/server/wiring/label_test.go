package wiring

import (
	"fmt"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
)

// An image's version is what its manifest says, else its config, and an index's that of its first image; it is a line that
// terminals can show, and "" while not all that might say it is stored.
func TestLabels(t *testing.T) {
	t.Parallel()
	store, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(format string, args ...any) digest.Digest {
		d, err := store.Put(t.Context(), fmt.Appendf(nil, format, args...))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const labelled = `{"config":{"Labels":{"org.opencontainers.image.version":"%s"}}}`
	const of = `{"config":{"digest":"%s","size":1}}`
	config := put(labelled, `42.1\u001b[31m\n red`)
	image := put(of, config)
	later := fmt.Sprintf(labelled, "42.2")
	for name, c := range map[string]struct {
		of   digest.Digest
		want string
	}{
		"config": {image, `42.1\u001b[31m\n red`},
		"manifest": {put(`{"annotations":{"org.opencontainers.image.version":"42"},"config":{"digest":"%s"}}`,
			config), "42"},
		"index":            {put(`{"manifests":[{"digest":"%s"},{"digest":"%s"}]}`, image, config), `42.1\u001b[31m\n red`},
		"index of indexes": {put(`{"manifests":[{"digest":"%s"}]}`, put(`{"manifests":[{"digest":"%s"}]}`, image)), ""},
		"long": {put(of, put(labelled, strings.Repeat("é", 100))),
			strings.Repeat("é", catalog.MaxFleetLabel/2)},
		"without":            {put(of, put(`{"config":{}}`)), ""},
		"no document":        {put(`[]`), ""},
		"not stored":         {digest.FromString("x"), ""},
		"config comes later": {put(of, digest.FromString(later)), ""},
	} {
		l := newLabels(store)
		for range 2 {
			if got := l.of(t.Context(), "", c.of); got != c.want {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
		if name == "config comes later" {
			put("%s", later)
			if got := l.of(t.Context(), "", c.of); got != "42.2" {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}
