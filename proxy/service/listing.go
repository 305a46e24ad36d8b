package service

import (
	"context"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// Tags implements registry.Listings: the upstream's tags, or, when it is out of reach, those that were pulled through.
func (s *Service) Tags(ctx context.Context, repo name.Repository, p registry.Page) ([]string, bool, error) {
	tags, err := s.upstreamTags(ctx, repo)
	if err != nil {
		known, kerr := s.knownTags(ctx, repo)
		if kerr != nil || len(known) == 0 || gone(err) {
			return nil, false, clientError(err, registry.NameUnknown)
		}
		s.Logger.WarnContext(ctx, "upstream could not be asked, the known tags are listed", "repository", repo.String(), "error", err)
		tags = known
	}
	page, more := cut(tags, p)
	return page, more, nil
}

// upstreamTags returns the upstream's tags, sorted, as new as refresh asks: clients read long lists in many small pages.
func (s *Service) upstreamTags(ctx context.Context, repo name.Repository) ([]string, error) {
	refresh := time.Duration(s.rule(repo).Refresh)
	if tags := s.tagLists.get(repo, s.Now().Add(-refresh)); tags != nil {
		return tags, nil
	}
	return shared(ctx, s, &s.listings, repo.String(), func(ctx context.Context) ([]string, error) {
		tags, err := s.Upstream.Tags(ctx, repo)
		if err != nil {
			return nil, err
		}
		slices.Sort(tags)
		tags = slices.Compact(tags)
		if refresh > 0 {
			s.tagLists.put(repo, tags, s.Now())
		}
		return tags, nil
	})
}

// knownTags returns the tags of a repository that were pulled through, sorted.
func (s *Service) knownTags(ctx context.Context, repo name.Repository) ([]string, error) {
	var out []string
	err := s.records.Tags.List(ctx, catalog.TagsOf(repo.String()), func(key catalog.TagKey, _ time.Time) error {
		out = append(out, key.Tag)
		return nil
	})
	slices.Sort(out)
	return out, err
}

// Repositories implements registry.Listings.
func (s *Service) Repositories(ctx context.Context, p registry.Page) ([]string, bool, error) {
	all, err := s.repositories(ctx)
	if err != nil {
		return nil, false, clientError(err, registry.NameUnknown)
	}
	page, more := cut(all, p)
	return page, more, nil
}

// repositories returns the names of those that were pulled through, sorted.
func (s *Service) repositories(ctx context.Context) ([]string, error) {
	var out []string
	err := s.records.Repositories.List(ctx, catalog.Prefix[string]{}, func(key string, _ time.Time) error {
		out = append(out, key)
		return nil
	})
	return out, err
}

// cut returns one page of a sorted list.
func cut(all []string, p registry.Page) ([]string, bool) {
	if p.Last != "" {
		i, found := slices.BinarySearch(all, p.Last)
		if found {
			i++
		}
		all = all[i:]
	}
	if p.N < 0 || len(all) <= p.N {
		return slices.Clone(all), false
	}
	return slices.Clone(all[:p.N]), true
}

// Referrers implements registry.Referrers: what the upstream says, about its own manifests. Nothing refers to a rechunked image: a
// signature of the source image would not fit it.
func (s *Service) Referrers(ctx context.Context, repo name.Repository, d digest.Digest, artifactType string) ([]byte, bool, error) {
	b, filtered, err := s.Upstream.Referrers(ctx, repo, d, artifactType)
	return b, filtered, clientError(err, registry.NameUnknown)
}
