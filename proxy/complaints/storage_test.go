package complaints

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/chunkstore/storetest"
	"github.com/strata-oci/strata/proxy/config"
)

// remoteDriver is the name of a storage that stands for one on another machine, where every call is a request.
const remoteDriver = "remote"

// given makes the driver that is among its parameters.
type given struct{}

// Create implements factory.StorageDriverFactory.
func (given) Create(_ context.Context, parameters map[string]any) (storagedriver.StorageDriver, error) {
	driver, ok := parameters["driver"].(storagedriver.StorageDriver)
	if !ok {
		return nil, fmt.Errorf("the storage %q has no driver", remoteDriver)
	}
	return driver, nil
}

// A blob that is stored costs a look and a read, a HEAD the look alone; a manifest that was served a moment ago costs
// nothing.
func storageRequests(t *testing.T) {
	backend := storetest.NewOutage(inmemory.New())
	u := newUpstream(t)
	u.push("os/image:stable", image(1, 100_000, "amd64"))
	p := newProxy(t, u, rechunks, func(c *config.Config) {
		c.Storage = config.Storage{Driver: remoteDriver, Parameters: map[string]any{"driver": backend}}
		c.WorkDir = t.TempDir()
		c.Repositories[0].Refresh = config.Duration(time.Hour)
	})
	m := p.want("/v2/os/image/manifests/stable", http.StatusOK, "rechunked")
	if err := p.pull("os/image", "stable"); err != nil {
		t.Fatal(err)
	}
	blob := "/v2/os/image/blobs/" + layersOf(m.body)[0]
	for _, tc := range []struct {
		method, path string
		header       []string
		want         map[string]int
	}{
		{http.MethodGet, blob, nil, map[string]int{"Stat": 1, "Reader": 1}},
		{http.MethodGet, blob, []string{"Range", "bytes=100-200"}, map[string]int{"Stat": 1, "Reader": 1}},
		{http.MethodHead, blob, nil, map[string]int{"Stat": 1}},
	} {
		backend.Calls()
		a := p.ask(tc.method, tc.path, tc.header...)
		if got := backend.Calls(); a.status >= 300 || !cmp.Equal(got, tc.want) {
			t.Errorf("%s %v: %s: %v, want %v", tc.method, tc.header, a, got, tc.want)
		}
	}
	start, pulls := time.Now(), 50
	for range pulls {
		p.want("/v2/os/image/manifests/stable", http.StatusOK, "rechunked")
	}
	seconds := int(time.Since(start)/time.Second) + 2
	if n := backend.Calls()["Reader"]; n > seconds {
		t.Errorf("%d reads for %d pulls of a tag within %d s, want one a second at most", n, pulls, seconds)
	}
}
