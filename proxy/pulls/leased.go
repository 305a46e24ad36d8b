package pulls

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/lease"
)

// leaseTTL is how long the others wait for a manifest's counts when a replica dies while it changes them.
const leaseTTL = 5 * time.Second

// Leased are counters of which only one replica at a time changes those of a manifest, so that none is lost where adding is
// reading and writing. It is safe for concurrent use.
type Leased struct {
	Counters
	leases *lease.Leases
}

var _ Counters = (*Leased)(nil)

// NewLeased returns counters that take turns.
func NewLeased(c Counters, leases *lease.Leases) *Leased { return &Leased{c, leases} }

// Add implements Counters.
func (l *Leased) Add(ctx context.Context, manifest digest.Digest, delta Counts) error {
	held, err := l.leases.Acquire(ctx, "pulls "+manifest.String(), leaseTTL)
	if err != nil {
		return err
	}
	defer held.Release()
	return l.Counters.Add(ctx, manifest, delta)
}
