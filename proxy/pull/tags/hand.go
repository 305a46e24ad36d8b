package tags

import (
	"context"
	"errors"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/rollout"
)

// ErrNotPulled says that nobody has pulled a tag through the proxy.
var ErrNotPulled = errors.New("the tag was not pulled through this proxy")

// Hold keeps a tag's versions from reaching more hosts than they did, those that come later, too. Steps that are due and
// that nobody asked for yet don't come before it: they may be what the operator wants to hold. Errors wrap ErrNotPulled or
// rollout.ErrHeld.
func (t *Tags) Hold(ctx context.Context, repo name.Repository, tag name.Reference, by, reason string) (*catalog.Rollout,
	error) {
	return t.change(ctx, repo, tag, func(r *catalog.Rollout) error {
		return rollout.Hold(r, by, reason, t.Now())
	})
}

// HoldFor is Hold because of what is wrong since a time; zero: since now. An operator who had a hand in the roll-out after
// that knows. Errors wrap ErrNotPulled, rollout.ErrHeld or rollout.ErrKnown, and come with the roll-out as it stands where
// there is one.
func (t *Tags) HoldFor(ctx context.Context, repo name.Repository, tag name.Reference, reason string,
	since time.Time) (stands *catalog.Rollout, err error) {
	changed, err := t.change(ctx, repo, tag, func(r *catalog.Rollout) error {
		stands = r
		now := t.Now()
		if since.IsZero() || since.After(now) {
			since = now
		}
		return rollout.HoldFor(r, reason, since, now)
	})
	if err == nil {
		stands = changed
	}
	return stands, err
}

// GoOn ends what keeps the newest version of a tag from hosts; with all, all hosts get it at once. The step that is due by
// then begins with it, not with the next pull, so that the operator sees what was let go. Errors wrap ErrNotPulled,
// rollout.ErrNotHeld or rollout.ErrSettled.
func (t *Tags) GoOn(ctx context.Context, repo name.Repository, tag name.Reference, by string, all bool) (*catalog.Rollout,
	error) {
	return t.change(ctx, repo, tag, func(r *catalog.Rollout) error {
		if err := rollout.Release(r, by, all, t.Now()); err != nil {
			return err
		}
		rollout.Advance(r, t.Rule(repo.String()).Rollout, t.Now(), t.look(recordKey(repo, tag)))
		return nil
	})
}

// Rollback gives all hosts the version again that they had before the newest that reached any. Errors wrap ErrNotPulled or
// rollout.ErrNoEarlier.
func (t *Tags) Rollback(ctx context.Context, repo name.Repository, tag name.Reference, by, reason string) (*catalog.Rollout,
	error) {
	return t.change(ctx, repo, tag, func(r *catalog.Rollout) error {
		_, err := rollout.Rollback(r, by, reason, t.Now())
		return err
	})
}
