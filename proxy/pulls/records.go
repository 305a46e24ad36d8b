package pulls

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
)

// Kind is the kind of the records that Recorded keeps, under the manifest's digest; docs/formats.md has their fields.
const Kind = "pulls"

// maxLayers bounds the layers in one record; images have no more.
const maxLayers = 1024

// Store keeps records, as a chunkstore.Store does.
type Store interface {
	GetRecord(ctx context.Context, kind, key string) ([]byte, error)
	PutRecord(ctx context.Context, kind, key string, b []byte) error
	DeleteRecord(ctx context.Context, kind, key string) error
}

// Recorded are Counters in records. Replicas that share a store add up, but for what two of them write in the same instant: the
// later one stays then, and some pulls are not counted. It is safe for concurrent use.
type Recorded struct {
	store Store
	mu    sync.Mutex // held while a record changes
}

var _ Counters = (*Recorded)(nil)

// NewRecorded returns counters in a store.
func NewRecorded(store Store) *Recorded { return &Recorded{store: store} }

// Add implements Counters.
func (r *Recorded) Add(ctx context.Context, manifest digest.Digest, delta Counts) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, err := r.Get(ctx, manifest)
	if err != nil {
		return err
	}
	after := before.plus(delta)
	if len(after.Layers) > maxLayers {
		return fmt.Errorf("counting pulls of %s: %d layers, at most %d", manifest, len(after.Layers), maxLayers)
	}
	b, err := json.Marshal(after)
	if err != nil {
		return fmt.Errorf("counting pulls of %s: %w", manifest, err)
	}
	return r.store.PutRecord(ctx, Kind, manifest.String(), b)
}

// Get implements Counters. A record that is damaged counts as missing: the pulls in it are lost.
func (r *Recorded) Get(ctx context.Context, manifest digest.Digest) (Counts, error) {
	b, err := r.store.GetRecord(ctx, Kind, manifest.String())
	switch {
	case errors.Is(err, chunkstore.ErrNotFound), errors.Is(err, chunkstore.ErrCorrupt), errors.Is(err, chunkstore.ErrTooLarge):
		return Counts{}, nil
	case err != nil:
		return Counts{}, err
	}
	var c Counts
	if json.Unmarshal(b, &c) != nil || len(c.Layers) > maxLayers {
		return Counts{}, nil
	}
	for d, n := range c.Layers {
		if d.Validate() != nil || n < 0 {
			delete(c.Layers, d)
		}
	}
	return c, nil
}

// Forget implements Counters.
func (r *Recorded) Forget(ctx context.Context, manifest digest.Digest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store.DeleteRecord(ctx, Kind, manifest.String())
}
