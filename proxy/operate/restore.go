package operate

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
)

// Losses are told that a repository missed something.
type Losses interface{ Note(repo name.Repository) }

// Restorer brings back stored content that was lost; it is upkeep's. It is safe for concurrent use.
type Restorer struct {
	Warmer *Warmer
	// Records say which digests are manifests.
	Records *catalog.Table[digest.Digest, catalog.Manifest]
	Losses  Losses
}

// Fetch downloads a blob or a manifest of a repository again.
func (r *Restorer) Fetch(ctx context.Context, repository string, d digest.Digest) error {
	repo, err := r.Warmer.Names.Repository(repository, "")
	if err != nil {
		return err
	}
	rec, err := r.Records.Get(ctx, d)
	switch {
	case err != nil:
	case rec != nil:
		if _, err = r.Warmer.Manifests.Get(ctx, repo, d); err == nil {
			err = r.Warmer.Blobs.Keep(ctx, repo, d, -1)
		}
	default:
		err = r.Warmer.Blobs.Keep(ctx, repo, d, -1)
	}
	if err != nil {
		return fmt.Errorf("fetching %s again: %w", d, err)
	}
	return nil
}

// Remake makes the image of a tag again when something of it is missing.
func (r *Restorer) Remake(ctx context.Context, repository, tag string) error {
	repo, err := r.Warmer.Names.Repository(repository, "")
	if err != nil {
		return err
	}
	r.Losses.Note(repo)
	err = r.Warmer.Warm(ctx, repository+":"+tag, func(WarmEvent) {})
	if err != nil {
		return fmt.Errorf("%s:%s could not be made again: %w", repository, tag, err)
	}
	return nil
}
