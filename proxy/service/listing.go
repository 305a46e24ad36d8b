package service

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// Tags implements registry.Listings: the upstream's tags, or, when it is out of reach, those that were pulled through.
func (s *Service) Tags(ctx context.Context, repo name.Repository, p registry.Page) ([]string, bool, error) {
	tags, err := s.Upstream.Tags(ctx, repo)
	if err != nil {
		known, kerr := s.knownTags(ctx, repo)
		if kerr != nil || len(known) == 0 || gone(err) {
			return nil, false, clientError(err, registry.NameUnknown)
		}
		s.Logger.WarnContext(ctx, "upstream could not be asked, the known tags are listed", "repository", repo.String(), "error", err)
		tags = known
	}
	slices.Sort(tags)
	page, more := cut(slices.Compact(tags), p)
	return page, more, nil
}

func (s *Service) knownTags(ctx context.Context, repo name.Repository) ([]string, error) {
	var out []string
	prefix := repo.String() + ":"
	err := s.Chunks.WalkRecords(ctx, kindTag, func(key string, _ time.Time) error {
		if tag, ok := strings.CutPrefix(key, prefix); ok && !strings.Contains(tag, "/") {
			out = append(out, tag)
		}
		return nil
	})
	return out, err
}

// Repositories implements registry.Listings.
func (s *Service) Repositories(ctx context.Context, p registry.Page) ([]string, bool, error) {
	var out []string
	err := s.Chunks.WalkRecords(ctx, kindRepository, func(key string, _ time.Time) error {
		out = append(out, key)
		return nil
	})
	if err != nil {
		return nil, false, clientError(err, registry.NameUnknown)
	}
	slices.Sort(out)
	page, more := cut(out, p)
	return page, more, nil
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
		return all, false
	}
	return all[:p.N], true
}

// Referrers implements registry.Referrers: what refers to an image of the upstream, by its digest or by that of the served image made
// of it.
func (s *Service) Referrers(ctx context.Context, repo name.Repository, d digest.Digest, artifactType string) ([]byte, bool, error) {
	b, filtered, err := s.Upstream.Referrers(ctx, repo, d, artifactType)
	return b, filtered, clientError(err, registry.NameUnknown)
}
