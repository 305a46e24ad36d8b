package state

import (
	"context"
	"time"

	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/rechunk"
)

// Locker lets engines of several replicas take turns by leases. It is safe for concurrent use.
type Locker struct {
	leases *lease.Leases
	ttl    time.Duration
}

var _ rechunk.Locker = (*Locker)(nil)

// NewLocker returns a locker. ttl is how long the others wait when this process dies.
func NewLocker(leases *lease.Leases, ttl time.Duration) *Locker { return &Locker{leases, ttl} }

// Lock implements rechunk.Locker.
func (l *Locker) Lock(ctx context.Context, key string) (rechunk.Lock, error) {
	held, err := l.leases.Acquire(ctx, "lineage "+key, l.ttl)
	if err != nil {
		return nil, err
	}
	return lineageLock{held}, nil
}

type lineageLock struct{ *lease.Lease }

// Fence implements rechunk.Lock.
func (l lineageLock) Fence() int64 { return int64(l.Token()) }

// Unlock implements rechunk.Lock.
func (l lineageLock) Unlock() { l.Release() }
