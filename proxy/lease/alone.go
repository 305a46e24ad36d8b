package lease

import (
	"context"
	"errors"
	"time"
)

// Alone is a backend that does without the shared one while that is out of reach: leases hold in this process then, and two
// processes that cannot see each other may both have one. When the shared backend is back, each lease is taken there, too,
// at its next renewal; whoever finds another holder has lost it.
type Alone struct {
	shared Backend
	local  *Local
}

var _ Backend = (*Alone)(nil)

// NewAlone returns a backend over a shared one.
func NewAlone(shared Backend) *Alone { return &Alone{shared: shared, local: NewLocal()} }

// Take implements Backend.
func (a *Alone) Take(ctx context.Context, key, owner string, ttl time.Duration) (Grant, error) {
	mine, err := a.local.Take(ctx, key, owner, ttl)
	if err != nil {
		return Grant{}, err
	}
	shared, err := a.shared.Take(ctx, key, owner, ttl)
	switch {
	case err == nil:
		a.local.adopt(shared)
		return shared, nil
	case errors.Is(err, ErrUnavailable) && ctx.Err() == nil:
		return mine, nil
	}
	return Grant{}, errors.Join(err, a.local.Free(ctx, mine))
}

// Renew implements Backend.
func (a *Alone) Renew(ctx context.Context, g Grant, ttl time.Duration) error {
	if err := a.local.Renew(ctx, g, ttl); err != nil {
		return err
	}
	err := a.shared.Renew(ctx, g, ttl)
	if errors.Is(err, ErrUnavailable) {
		return nil
	}
	return err
}

// Free implements Backend.
func (a *Alone) Free(ctx context.Context, g Grant) error {
	return errors.Join(a.local.Free(ctx, g), a.shared.Free(ctx, g))
}
