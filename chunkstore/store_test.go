package chunkstore_test

import (
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openDriver(t testing.TB, name string, params map[string]any) storagedriver.StorageDriver {
	t.Helper()
	driver, err := chunkstore.OpenDriver(t.Context(), name, params)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

func TestInMemory(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storagedriver.StorageDriver { return openDriver(t, "inmemory", nil) })
}

func TestFilesystem(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storagedriver.StorageDriver {
		return openDriver(t, "filesystem", map[string]any{"rootdirectory": t.TempDir()})
	})
}
