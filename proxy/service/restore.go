package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/admin"
)

// Restorer brings back stored content that was lost; it is upkeep's.
type Restorer struct{ s *Service }

// Restorer returns what brings back stored content that was lost.
func (s *Service) Restorer() Restorer { return Restorer{s} }

// Fetch downloads a blob or a manifest of a repository again.
func (r Restorer) Fetch(ctx context.Context, repository string, d digest.Digest) error {
	repo, err := r.s.Names.Repository(repository, "")
	if err != nil {
		return err
	}
	rec, err := r.s.records.Manifests.Get(ctx, d)
	if err != nil {
		return err
	}
	if rec != nil {
		if _, err = r.s.byDigest(ctx, repo, d); err == nil {
			_, err = r.s.Chunks.Stat(ctx, d)
		}
	} else {
		err = r.s.flights.Wait(ctx, d, r.s.fetch(repo, d, -1))
	}
	if err != nil {
		return fmt.Errorf("fetching %s again: %w", d, err)
	}
	return nil
}

// Remake makes the image of a tag again when something of it is missing.
func (r Restorer) Remake(ctx context.Context, repository, tag string) error {
	repo, err := r.s.Names.Repository(repository, "")
	if err != nil {
		return err
	}
	r.s.losses.note(repo, r.s.Now())
	err = r.s.Operator().Warm(ctx, repository+":"+tag, func(admin.WarmEvent) {})
	if errors.Is(err, chunkstore.ErrNotFound) {
		return fmt.Errorf("%s:%s could not be made again: %w", repository, tag, err)
	}
	return err
}
