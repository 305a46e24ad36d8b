package tags

import (
	"context"
	"slices"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
)

const (
	// leaseTTL is how long the others wait when a replica dies with a lease.
	leaseTTL = 15 * time.Second
	// lockPatience bounds the wait for another replica that writes the same tag's record, which takes it moments.
	lockPatience = 2 * time.Second
	// clockSkew is by how much the clocks of two replicas may differ.
	clockSkew = time.Minute
)

// lock keeps a tag's record from others who would change it: surely those of this process, and, as far as leases and locks
// reach, those of other replicas and of commands that run beside them.
func (t *Tags) lock(ctx context.Context, key catalog.TagKey) (unlock func()) {
	return t.lockName(ctx, "tag "+key.String())
}

// lockName is lock for other records of a tag.
func (t *Tags) lockName(ctx context.Context, name string) (unlock func()) {
	held := []func(){t.locks.Lock(name)}
	limited, stop := context.WithTimeout(ctx, lockPatience)
	defer stop()
	take := func(unlock func(), err error) {
		if err != nil {
			t.Logger.DebugContext(ctx, "a record is changed without a lock", "of", name, "error", err)
			return
		}
		held = append(held, unlock)
	}
	if t.Beside != nil {
		take(t.Beside(limited, name))
	}
	if t.Leases != nil {
		l, err := t.Leases.Acquire(limited, name, leaseTTL)
		if err != nil {
			take(nil, err)
		} else {
			take(l.Release, nil)
		}
	}
	return func() {
		for _, unlock := range slices.Backward(held) {
			unlock()
		}
	}
}

// overtaken returns the tag's record when another replica has asked the upstream after the given time: what it was told
// stands. The time is the record's fence. One from far in the future was written by a clock that was wrong, and stops
// nobody.
func (t *Tags) overtaken(ctx context.Context, u *update, asked time.Time) *catalog.Tag {
	if t.Leases == nil {
		return nil
	}
	rec, err := t.record(ctx, u.repo, u.tag)
	if err != nil || rec == nil || !rec.CheckedAt.After(asked) || rec.CheckedAt.After(t.Now().Add(clockSkew)) {
		return nil
	}
	return rec
}
