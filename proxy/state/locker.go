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

// Beside lets engines of several processes on one machine take turns by locks on names.
type Beside func(ctx context.Context, name string) (unlock func(), err error)

var _ rechunk.Locker = Beside(nil)

// Lock implements rechunk.Locker.
func (b Beside) Lock(ctx context.Context, key string) (rechunk.Lock, error) {
	unlock, err := b(ctx, "lineage "+key)
	if err != nil {
		return nil, err
	}
	return namedLock(unlock), nil
}

// namedLock is not lost while its process lives, and has no number.
type namedLock func()

// Fence implements rechunk.Lock, and so do the next three.
func (namedLock) Fence() int64 { return 0 }

// Bind returns ctx.
func (namedLock) Bind(ctx context.Context) (context.Context, context.CancelFunc) {
	return ctx, func() {}
}

// Confirm returns nil.
func (namedLock) Confirm(context.Context) error { return nil }

// Unlock gives the name back.
func (l namedLock) Unlock() { l() }
