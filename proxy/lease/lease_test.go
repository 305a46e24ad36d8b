package lease_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-oci/strata/proxy/lease"
)

// faulty is a backend that can be out of reach.
type faulty struct {
	lease.Backend
	down atomic.Bool
}

func (f *faulty) Take(ctx context.Context, key, owner string, ttl time.Duration) (lease.Grant, error) {
	if f.down.Load() {
		return lease.Grant{}, lease.ErrUnavailable
	}
	return f.Backend.Take(ctx, key, owner, ttl)
}

func (f *faulty) Renew(ctx context.Context, g lease.Grant, ttl time.Duration) error {
	if f.down.Load() {
		return lease.ErrUnavailable
	}
	return f.Backend.Renew(ctx, g, ttl)
}

func (f *faulty) Free(ctx context.Context, g lease.Grant) error {
	if f.down.Load() {
		return lease.ErrUnavailable
	}
	return f.Backend.Free(ctx, g)
}

const ttl = 30 * time.Second

func acquire(t *testing.T, l *lease.Leases) *lease.Lease {
	t.Helper()
	held, err := l.TryAcquire(t.Context(), "k", ttl)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

func isLost(held *lease.Lease) bool {
	synctest.Wait()
	select {
	case <-held.Lost():
		return true
	default:
		return false
	}
}

func TestLeaseIsRenewedUntilItIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := lease.New(lease.NewLocal(), nil)
		held := acquire(t, l)
		ctx, stop := held.Bind(t.Context())
		defer stop()
		time.Sleep(10 * ttl)
		if _, err := l.TryAcquire(t.Context(), "k", ttl); !errors.Is(err, lease.ErrHeld) {
			t.Errorf("second holder: %v", err)
		}
		if err := held.Confirm(t.Context()); err != nil || ctx.Err() != nil || isLost(held) {
			t.Errorf("confirm %v, context %v", err, ctx.Err())
		}
		held.Release()
		held.Release()
		if isLost(held) || ctx.Err() != nil {
			t.Error("a released lease counts as lost")
		}
		next := acquire(t, l)
		defer next.Release()
		if next.Token() <= held.Token() {
			t.Errorf("token %d after %d", next.Token(), held.Token())
		}
	})
}

func TestAcquireWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := lease.New(lease.NewLocal(), nil)
		held := acquire(t, l)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if _, err := l.Acquire(ctx, "k", ttl); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		got := make(chan *lease.Lease)
		go func() {
			next, err := l.Acquire(t.Context(), "k", ttl)
			if err != nil {
				t.Error(err)
			}
			got <- next
		}()
		time.Sleep(time.Minute)
		held.Release()
		released := time.Now()
		(<-got).Release()
		if waited := time.Since(released); waited > 2*time.Second {
			t.Errorf("got it %s after the release", waited)
		}
	})
}

// A backend that goes away costs the lease only after its time, and one that comes back before costs nothing.
func TestOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &faulty{Backend: lease.NewLocal()}
		l := lease.New(b, nil)
		held := acquire(t, l)
		defer held.Release()
		ctx, stop := held.Bind(t.Context())
		defer stop()

		b.down.Store(true)
		time.Sleep(ttl / 2)
		if err := held.Confirm(t.Context()); !errors.Is(err, lease.ErrUnavailable) || isLost(held) {
			t.Errorf("confirm in an outage: %v", err)
		}
		b.down.Store(false)
		time.Sleep(10 * ttl)
		if isLost(held) {
			t.Error("lost by a short outage")
		}
		b.down.Store(true)
		time.Sleep(2 * ttl)
		if !isLost(held) || !errors.Is(context.Cause(ctx), lease.ErrLost) {
			t.Errorf("after a long outage: context %v", context.Cause(ctx))
		}
		b.down.Store(false)
		if err := held.Confirm(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("confirm of a lost lease: %v", err)
		}
	})
}

// Another took it while this holder was paused.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		local := lease.NewLocal()
		b := &faulty{Backend: local}
		held := acquire(t, lease.New(b, nil))
		defer held.Release()
		b.down.Store(true)
		time.Sleep(ttl - time.Millisecond)
		if _, err := local.Take(t.Context(), "k", "other", ttl); !errors.Is(err, lease.ErrHeld) {
			t.Errorf("taken before its time: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
		if _, err := local.Take(t.Context(), "k", "other", ttl); err != nil {
			t.Fatal(err)
		}
		b.down.Store(false)
		if err := held.Confirm(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("confirm: %v", err)
		}
	})
}

func TestAloneOutlivesTheSharedBackend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := lease.NewLocal()
		link := &faulty{Backend: shared}
		mine, others := lease.New(lease.NewAlone(link), nil), lease.New(shared, nil)

		held := acquire(t, mine)
		link.down.Store(true)
		time.Sleep(5 * ttl)
		if err := held.Confirm(t.Context()); err != nil || isLost(held) {
			t.Errorf("confirm: %v", err)
		}
		if _, err := mine.TryAcquire(t.Context(), "k", ttl); !errors.Is(err, lease.ErrHeld) {
			t.Errorf("two holders in one process: %v", err)
		}
		other := acquire(t, others) // on the far side of the partition
		link.down.Store(false)
		time.Sleep(ttl)
		if !isLost(held) {
			t.Error("two holders after the partition")
		}
		held.Release()
		if err := other.Confirm(t.Context()); err != nil || other.Token() <= held.Token() {
			t.Errorf("the other: %v, token %d after %d", err, other.Token(), held.Token())
		}
		other.Release()
	})
}

// A lease that was taken during an outage, or was forgotten by the shared backend, is taken there afterwards.
func TestAloneComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := lease.NewLocal()
		link := &faulty{Backend: shared}
		link.down.Store(true)
		held := acquire(t, lease.New(lease.NewAlone(link), nil))
		link.down.Store(false)
		time.Sleep(ttl)
		if _, err := lease.New(shared, nil).TryAcquire(t.Context(), "k", ttl); !errors.Is(err, lease.ErrHeld) {
			t.Errorf("others do not see it: %v", err)
		}
		held.Release()
		next := acquire(t, lease.New(shared, nil))
		next.Release()
	})
}
