package pulls

import (
	"context"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
)

// Recorded are Counters in records. Replicas that share a store add up, but for what two of them write in the same instant:
// the later one stays then, and some pulls are not counted. It is safe for concurrent use.
type Recorded struct {
	records *catalog.Table[digest.Digest, catalog.Pulls]
	mu      sync.Mutex // held while a record changes
}

var _ Counters = (*Recorded)(nil)

// NewRecorded returns counters in the records of a store.
func NewRecorded(records *catalog.Table[digest.Digest, catalog.Pulls]) *Recorded {
	return &Recorded{records: records}
}

// Add implements Counters.
func (r *Recorded) Add(ctx context.Context, manifest digest.Digest, delta Counts) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, err := r.Get(ctx, manifest)
	if err != nil {
		return err
	}
	after := catalog.Pulls(before.Plus(delta))
	if len(after.Layers) > catalog.MaxPulledLayers {
		return fmt.Errorf("counting pulls of %s: %d layers, at most %d", manifest, len(after.Layers),
			catalog.MaxPulledLayers)
	}
	return r.records.Put(ctx, manifest, &after)
}

// Get implements Counters. A record that is damaged counts as missing: the pulls in it are lost.
func (r *Recorded) Get(ctx context.Context, manifest digest.Digest) (Counts, error) {
	c, err := r.records.Get(ctx, manifest)
	if c == nil || err != nil {
		return Counts{}, err
	}
	return Counts(*c), nil
}

// Forget implements Counters.
func (r *Recorded) Forget(ctx context.Context, manifest digest.Digest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records.Delete(ctx, manifest)
}
