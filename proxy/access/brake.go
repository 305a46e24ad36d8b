package access

import (
	"context"
	"net/netip"
	"time"
)

// How many logins from one address wait for being looked at.
const (
	maxWaiting          = 128 // of clients: hosts of a whole fleet may share an address
	maxWaitingOperators = 16  // of operators, whose listener has fewer places
)

// brake slows down who guesses. It has one login from each address looked at at a time, the newest first, and after some
// wrong ones from there one in half a second. Who is known to be right does not go through it. It is safe for concurrent
// use.
type brake struct {
	lanes    *lanes
	failures *failures
}

func newBrake(waiting int) *brake { return &brake{newLanes(waiting), newFailures()} }

// try has a login from an address looked at when it is its turn. It returns nil for one that is right, ErrDenied for one
// that is wrong, a *BusyError when its turn did not come, and what right returns.
func (b *brake) try(ctx context.Context, from netip.Addr, right func() (bool, error)) error {
	leave, err := b.lanes.enter(ctx, from)
	if err != nil {
		return err
	}
	ok, err := right()
	switch {
	case ok || err != nil:
		leave()
		return err
	case b.failures.note(from, time.Now()):
		time.AfterFunc(failurePause, leave) // whoever leaves does not shorten it
	default:
		leave()
	}
	return ErrDenied
}

// wrong is try for a login that is known to be wrong.
func (b *brake) wrong(ctx context.Context, from netip.Addr) error {
	return b.try(ctx, from, func() (bool, error) { return false, nil })
}
