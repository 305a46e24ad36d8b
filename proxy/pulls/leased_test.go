package pulls_test

import (
	"testing"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/proxy/pulls/pullstest"
)

// Each replica has counters of its own on the store, and none is lost.
func TestLeased(t *testing.T) {
	t.Parallel()
	pullstest.Run(t, func(t *testing.T) func() pulls.Counters {
		chunks, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		leases := lease.New(lease.NewLocal(), nil)
		return func() pulls.Counters {
			return pulls.NewLeased(pulls.NewRecorded(catalog.New(chunks, nil).Pulls), leases)
		}
	})
}
