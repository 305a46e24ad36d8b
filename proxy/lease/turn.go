package lease

import (
	"context"
	"errors"
	"time"
)

// Bounds of the time between two looks at what another holder has done.
const (
	firstLook = 25 * time.Millisecond
	longLook  = 400 * time.Millisecond
)

// Turn waits until a thing that is to be done once is the caller's to do, who then ends it with release, or until another
// holder has done it, as done says. After the patience everyone does it. On nil Leases, which know no others, it always is
// the caller's.
func (l *Leases) Turn(
	ctx context.Context, key string, ttl, patience time.Duration, done func(context.Context) bool,
) (release func(), finished bool) {
	release = func() {}
	if l == nil {
		return release, false
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	for wait := firstLook; ; wait = min(wait*3/2, longLook) {
		got, err := l.TryAcquire(ctx, key, ttl)
		if err == nil {
			if done(ctx) { // by the one before
				got.Release()
				return release, true
			}
			return got.Release, false
		}
		if !errors.Is(err, ErrHeld) {
			return release, false
		}
		look := time.NewTimer(wait)
		select {
		case <-look.C:
		case <-end.C:
			look.Stop()
			l.log.DebugContext(ctx, "another replica takes long, this one does it too", "key", key)
			return release, false
		case <-ctx.Done():
			look.Stop()
			return release, false
		}
		if done(ctx) {
			return release, true
		}
	}
}
