// Package lease lets one of several do a thing: goroutines of a process, and processes that share a Redis.
//
// A lease is held under a key until it is released, or another takes it when its time to live has passed without a renewal;
// renewing happens in the background. Whoever holds one is told when it is lost. Each lease has a fencing token that is
// greater than those of all leases of its key before it: what the lease protects keeps the token of its last writer, and
// refuses a lower one, so that a holder that was paused and came back cannot undo what its successor did.
//
// A lease makes work happen once. It is no proof: between the last confirmation and a write, time passes. So what is written
// under one has to be right even when two write it, and the token decides which of the two stays.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Errors of this package, to be tested with errors.Is.
var (
	// ErrHeld says that somebody else has the lease.
	ErrHeld = errors.New("the lease is held by another")
	// ErrLost says that a lease ended before it was released: it could not be renewed in time, or another took it.
	ErrLost = errors.New("the lease was lost")
	// ErrUnavailable says that the place where leases are kept does not answer, so that nobody knows who has one.
	ErrUnavailable = errors.New("leases can't be reached")
)

// Token is a fencing token. Of two leases of one key the later has the greater token. It is a number of microseconds since
// 1970, or one more than the token before it where that is greater, so that it grows on when the memory of it is lost.
type Token int64

// Grant is a lease as a backend knows it.
type Grant struct {
	Key string
	// Owner is a name that no other lease has.
	Owner string
	Token Token
}

// Backend keeps who has which lease. It is safe for concurrent use.
type Backend interface {
	// Take gives key to owner for a time, or returns an error that wraps ErrHeld. An owner that has it already gets a new
	// token and the whole time again.
	Take(ctx context.Context, key, owner string, ttl time.Duration) (Grant, error)
	// Renew starts a lease's time anew, or returns an error that wraps ErrLost. One whose time has passed is still held
	// while there was no greater token: a process that was paused, or a backend that lost its memory, is to cost nothing
	// without need.
	Renew(ctx context.Context, g Grant, ttl time.Duration) error
	// Free gives a lease back. When its owner does not have it, nothing happens.
	Free(ctx context.Context, g Grant) error
}

// Leases hands leases out. It is safe for concurrent use.
type Leases struct {
	backend Backend
	log     *slog.Logger
}

// New returns the leases of a backend. The logger hears of leases that are lost; nil discards that.
func New(backend Backend, log *slog.Logger) *Leases {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Leases{backend: backend, log: log}
}

// Bounds of the time between two attempts to get a lease that another holds.
const (
	firstWait = 20 * time.Millisecond
	longWait  = 500 * time.Millisecond
)

// Acquire waits for the lease of a key until ctx ends. Who waits is served in no particular order.
func (l *Leases) Acquire(ctx context.Context, key string, ttl time.Duration) (*Lease, error) {
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		got, err := l.TryAcquire(ctx, key, ttl)
		if !errors.Is(err, ErrHeld) {
			return got, err
		}
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("waiting for the lease of %s: %w", key, context.Cause(ctx))
		}
	}
}

// TryAcquire takes the lease of a key if nobody has it; otherwise its error wraps ErrHeld. ttl bounds how long others wait
// when this process dies; it is at least a second. The lease lives until Release, whatever becomes of ctx.
func (l *Leases) TryAcquire(ctx context.Context, key string, ttl time.Duration) (*Lease, error) {
	ttl = max(ttl, time.Second)
	owner := newOwner()
	asked := time.Now()
	grant, err := l.backend.Take(ctx, key, owner, ttl)
	if err != nil {
		if !errors.Is(err, ErrHeld) {
			l.free(Grant{Key: key, Owner: owner}) // it may have been taken all the same
		}
		return nil, fmt.Errorf("lease of %s: %w", key, err)
	}
	held := &Lease{leases: l, grant: grant, ttl: ttl, until: asked.Add(ttl),
		lost: make(chan struct{}), released: make(chan struct{}), ended: make(chan struct{})}
	go held.renew()
	return held, nil
}

// releaseTimeout bounds how long the end of a lease takes: one that is not given back ends by itself.
const releaseTimeout = time.Second

func (l *Leases) free(g Grant) {
	ctx, stop := context.WithTimeout(context.Background(), releaseTimeout)
	defer stop()
	if err := l.backend.Free(ctx, g); err != nil {
		l.log.Debug("lease was not given back and ends by itself", "key", g.Key, "error", err)
	}
}
