package storetest

import (
	"testing"

	"github.com/strata-oci/strata/chunkstore"
)

// InMemory returns an empty store that lasts as long as the test.
func InMemory(t testing.TB) *chunkstore.Store {
	t.Helper()
	driver, err := chunkstore.OpenDriver(t.Context(), "inmemory", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := chunkstore.NewContext(t.Context(), driver, chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
