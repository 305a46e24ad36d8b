package service

import (
	"context"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// shown says what kind of answer a tag's record stands for, now that it was checked.
func shown(r *catalog.Tag) registry.Served {
	if r.Failure != nil && r.Failure.Source != r.SourceDigest {
		return registry.Stale // the upstream has another image, which could not be had
	}
	return registry.Served(r.Served)
}

// tagOf names a tag in records.
func tagOf(repo name.Repository, tag name.Reference) catalog.TagKey {
	return catalog.TagKey{Repository: repo.String(), Tag: string(tag)}
}

// tagKey names a tag in maps.
func tagKey(repo name.Repository, tag name.Reference) string { return tagOf(repo, tag).String() }

// tag returns a tag's record, or nil.
func (s *Service) tag(ctx context.Context, repo name.Repository, tag name.Reference) (*catalog.Tag, error) {
	return s.records.Tags.Get(ctx, tagOf(repo, tag))
}

// manifestAges is by how much older than a tag's the record of a manifest may be: nothing but its removal changes it.
const manifestAges = 60

func (s *Service) manifestAge() time.Duration { return manifestAges * s.RecordAge }

// noteRepository lists a repository in the catalog.
func (s *Service) noteRepository(ctx context.Context, repo name.Repository) error {
	if rec, err := s.records.Repositories.Get(ctx, repo.String()); rec != nil || err != nil {
		return err
	}
	return s.records.Repositories.Put(ctx, repo.String(), &catalog.Repository{Since: s.Now().UTC()})
}
