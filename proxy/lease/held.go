package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Lease is one that was got. It is safe for concurrent use.
type Lease struct {
	leases   *Leases
	grant    Grant
	ttl      time.Duration
	lost     chan struct{} // closed when it is lost
	released chan struct{} // closed by Release
	ended    chan struct{} // closed when renewing has ended
	release  sync.Once

	mu    sync.Mutex
	until time.Time // it is surely held until then
	gone  bool
}

// newOwner names a holder: no two leases have the same.
func newOwner() string { return rand.Text() }

// Token returns the fencing token.
func (h *Lease) Token() Token { return h.grant.Token }

// Lost is closed when the lease is lost, and stays open when it is released.
func (h *Lease) Lost() <-chan struct{} { return h.lost }

// Bind returns a context for work under the lease: it ends with ctx, and with ErrLost as its cause when the lease is lost.
func (h *Lease) Bind(ctx context.Context) (context.Context, context.CancelFunc) {
	bound, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		select {
		case <-h.lost:
			cancel(fmt.Errorf("lease of %s: %w", h.grant.Key, ErrLost))
		case <-done:
		}
	}()
	var once sync.Once
	return bound, func() { once.Do(func() { close(done); cancel(context.Canceled) }) }
}

// Confirm asks whether the lease is still held, and renews it. It is to be called right before what the lease protects is
// written. Its error wraps ErrLost when it is not, and ErrUnavailable when nobody can say.
func (h *Lease) Confirm(ctx context.Context) error {
	if h.isGone() {
		return fmt.Errorf("lease of %s: %w", h.grant.Key, ErrLost)
	}
	if err := h.extend(ctx); err != nil {
		return fmt.Errorf("lease of %s: %w", h.grant.Key, err)
	}
	return nil
}

// Release gives the lease back; a second call does nothing. It takes a second at the longest.
func (h *Lease) Release() {
	h.release.Do(func() {
		close(h.released)
		<-h.ended
		h.leases.free(h.grant)
	})
}

// renew keeps the lease until it is released or lost. It is renewed when a third of its time is over, and tried often after
// that: a Redis that restarts is to cost nothing.
func (h *Lease) renew() {
	defer close(h.ended)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		select {
		case <-h.released:
			stop()
		case <-ctx.Done():
		}
	}()
	timer := time.NewTimer(h.ttl / 3)
	defer timer.Stop()
	for {
		select {
		case <-h.released:
			return
		case <-timer.C:
		}
		next := h.ttl / 3
		if err := h.extend(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			left := time.Until(h.deadline())
			if errors.Is(err, ErrLost) || left <= 0 {
				h.lose(err)
				return
			}
			next = min(h.ttl/10, left)
		}
		timer.Reset(next)
	}
}

// extend renews the lease once. The time counts from before the question, so that the holder never believes longer than the
// backend does.
func (h *Lease) extend(ctx context.Context) error {
	asked := time.Now()
	limited, stop := context.WithTimeout(ctx, max(h.ttl/3, time.Millisecond))
	defer stop()
	if err := h.leases.backend.Renew(limited, h.grant, h.ttl); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := asked.Add(h.ttl); until.After(h.until) {
		h.until = until
	}
	return nil
}

func (h *Lease) deadline() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.until
}

func (h *Lease) isGone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gone
}

func (h *Lease) lose(cause error) {
	h.mu.Lock()
	h.gone = true
	h.mu.Unlock()
	close(h.lost)
	h.leases.log.Warn("lease was lost", "key", h.grant.Key, "error", cause)
}
