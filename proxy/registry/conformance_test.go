package registry_test

import (
	"net/http"
	"testing"

	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/registry/registrytest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		open func(testing.TB) func([]byte) registry.Blob
		wrap func(http.Handler) http.Handler
	}{
		{name: "memory"},
		{name: "file", open: openFile},
		{name: "file behind the access log", open: openFile, wrap: func(h http.Handler) http.Handler {
			return registry.AccessLog(h, nil, nil)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			backend, m, blob := newFake()
			if c.open != nil {
				backend.open = c.open(t)
			}
			h := backend.handler()
			if c.wrap != nil {
				h = c.wrap(h)
			}
			registrytest.Run(t, registrytest.Fixture{
				Handler:    h,
				Repository: testRepo,
				Tag:        testTag,
				Manifest:   registrytest.Object{MediaType: m.MediaType, Bytes: m.Bytes},
				Blob:       registrytest.Object{Bytes: blob},
				Catalog:    true,
			})
		})
	}
}
