package tags

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
)

// ErrNothingToRelease says that a tag did not go back to an earlier image.
var ErrNothingToRelease = errors.New("the tag did not go back to an earlier image")

// releasedSince returns a tag's record if it was released after an update had begun, here or by another process: what the
// update found out without that does not take its place. The caller holds the tag's lock.
func (t *Tags) releasedSince(ctx context.Context, key catalog.TagKey, u *update) (*catalog.Tag, error) {
	if u.before == nil {
		return nil, nil
	}
	rec, err := t.Records.Get(ctx, key)
	if err != nil || rec == nil || rec.Released == "" || rec.Released == u.before.Released {
		return nil, err
	}
	return rec, nil
}

// Release allows a tag to stand for the earlier image that its upstream went back to, and returns that. The next pull moves
// the tag. What the tag stood for later than that image counts as newer from then on, and needs no release.
func (t *Tags) Release(ctx context.Context, repo name.Repository, tag name.Reference) (digest.Digest, error) {
	key := recordKey(repo, tag)
	defer t.lock(ctx, key)()
	rec, err := t.record(ctx, repo, tag)
	if err != nil {
		return "", err
	}
	if rec == nil || rec.Failure == nil || !rec.Failure.Rollback {
		return "", fmt.Errorf("%s: %w", key, ErrNothingToRelease)
	}
	rec.Released = rec.Failure.Source
	rec.Failure.RetryAt = t.Now().UTC()
	rec.CheckedAt = time.Time{} // the next pull asks the upstream
	if err := t.Records.Put(ctx, key, rec); err != nil {
		return "", fmt.Errorf("releasing the tag: %w", err)
	}
	t.supersede(key) // an update that began before knows nothing of it
	return rec.Released, nil
}
