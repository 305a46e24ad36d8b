package service

import (
	"context"
	"errors"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/lease"
)

const (
	// turnTTL is how long the others wait when a replica dies while it has a turn.
	turnTTL = 15 * time.Second
	// blobPatience is how long a client's first byte is held back while another replica fetches the blob: less than what stands in
	// front of a proxy commonly waits. A blob that takes longer is fetched by each replica that is asked for it.
	blobPatience = 20 * time.Second
	// manifestPatience and checkTurnPatience are the same for a manifest and for the question what a tag stands for.
	manifestPatience  = 5 * time.Second
	checkTurnPatience = time.Second
	// tagPatience bounds the wait for another replica that writes the same tag's record, which takes it moments.
	tagPatience = 2 * time.Second
	// jobTries bounds how often a job is begun again because its lease was lost.
	jobTries = 3
)

// Bounds of the time between two looks at what another replica has done.
const (
	firstLook = 25 * time.Millisecond
	longLook  = 400 * time.Millisecond
)

// turn waits until it is this replica's turn to do a thing, which it ends with release, or until another replica has done it, as done
// says. After the patience it is everyone's turn. Without other replicas it always is.
func (s *Service) turn(ctx context.Context, key string, patience time.Duration, done func(context.Context) bool) (release func(), finished bool) {
	release = func() {}
	if s.Leases == nil {
		return release, false
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	for wait := firstLook; ; wait = min(wait*3/2, longLook) {
		held, err := s.Leases.TryAcquire(ctx, key, turnTTL)
		if err == nil {
			if done(ctx) { // by the one before
				held.Release()
				return release, true
			}
			return held.Release, false
		}
		if !errors.Is(err, lease.ErrHeld) {
			return release, false
		}
		look := time.NewTimer(wait)
		select {
		case <-look.C:
		case <-end.C:
			look.Stop()
			s.Logger.DebugContext(ctx, "another replica takes long, this one does it too", "key", key)
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

// lockTag keeps a tag's record from others who would change it: surely those of this process, and, as far as leases reach, those of
// other replicas.
func (s *Service) lockTag(ctx context.Context, key string) (unlock func()) {
	here := s.tagLocks.Lock(key)
	if s.Leases == nil {
		return here
	}
	limited, stop := context.WithTimeout(ctx, tagPatience)
	defer stop()
	held, err := s.Leases.Acquire(limited, "tag "+key, turnTTL)
	if err != nil {
		s.Logger.DebugContext(ctx, "tag's record is changed without a lease", "tag", key, "error", err)
		return here
	}
	return func() {
		held.Release()
		here()
	}
}

// clockSkew is by how much the clocks of two replicas may differ.
const clockSkew = time.Minute

// overtaken returns the tag's record when another replica has asked the upstream after the given time: what it was told stands. The
// time is the record's fence. One from far in the future was written by a clock that was wrong, and stops nobody.
func (s *Service) overtaken(ctx context.Context, u *update, asked time.Time) *catalog.Tag {
	if s.Leases == nil {
		return nil
	}
	rec, err := s.tag(ctx, u.repo, u.tag)
	if err != nil || rec == nil || !rec.CheckedAt.After(asked) || rec.CheckedAt.After(s.Now().Add(clockSkew)) {
		return nil
	}
	return rec
}
