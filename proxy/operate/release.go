package operate

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/tags"
)

var (
	// ErrNothingToRelease says that a tag did not go back to an earlier image.
	ErrNothingToRelease = errors.New("nothing to release")
	// ErrReference marks what is no tag of a repository.
	ErrReference = errors.New("not a tag's reference")
)

// TagReleaser lets a tag go back to an earlier image.
type TagReleaser interface {
	Release(ctx context.Context, repo name.Repository, tag name.Reference) (digest.Digest, error)
}

// Releaser lets tags go back to earlier images, which is refused while signatures are asked for.
type Releaser struct {
	Tags  TagReleaser
	Names name.Parser
}

// Release allows a tag, "host/path:tag", to stand for the earlier image that its upstream went back to, and returns that
// image's digest. Errors wrap ErrNothingToRelease or ErrReference.
func (r *Releaser) Release(ctx context.Context, ref string) (string, error) {
	repo, tag, err := tagReference(r.Names, ref)
	if err != nil {
		return "", err
	}
	d, err := r.Tags.Release(ctx, repo, tag)
	if errors.Is(err, tags.ErrNothingToRelease) {
		return "", fmt.Errorf("%w: %w", ErrNothingToRelease, err)
	}
	return d.String(), err
}
