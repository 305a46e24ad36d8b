package service

import (
	"context"
	"errors"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// updatePatience is how long a pull that can be answered waits for a new version before it gets the one before: enough to find
// one that another tag has brought already.
const updatePatience = 500 * time.Millisecond

// byTag finds what a tag stands for now.
func (s *Service) byTag(ctx context.Context, repo name.Repository, tag name.Reference) (*registry.Manifest, error) {
	rule := s.rule(repo)
	rec, err := s.records.Tags.GetWithin(ctx, tagOf(repo, tag), s.RecordAge)
	if err != nil {
		return nil, err
	}
	if rec != nil && s.fresh(repo, rec, rule) {
		if m, err := s.show(ctx, repo, rec, shown(rec)); err == nil {
			return m, nil
		}
	}
	got, err := s.check(ctx, repo, tag, rule)
	if err != nil {
		return s.stale(ctx, repo, tag, rec, err)
	}
	if got.update == nil {
		return s.show(ctx, repo, got.rec, shown(got.rec))
	}
	return s.awaitUpdate(ctx, repo, rule, got)
}

func (s *Service) rule(repo name.Repository) config.Rule { return s.Rules.Rule(repo.String()) }

// fresh reports whether a tag's record can be believed without asking the upstream.
func (s *Service) fresh(repo name.Repository, rec *catalog.Tag, rule config.Rule) bool {
	age := s.Now().Sub(rec.CheckedAt)
	// A record from the future was written by a clock that was wrong, or is damaged.
	return age >= 0 && age < time.Duration(rule.Refresh) && rec.Rule == string(rule.Rechunk) && !s.losses.since(repo, rec.CheckedAt)
}

// stale answers with what was last known of a tag, when there is anything: an image that the upstream has lost is served on, too.
func (s *Service) stale(ctx context.Context, repo name.Repository, tag name.Reference, rec *catalog.Tag, cause error) (*registry.Manifest, error) {
	if rec == nil || ctx.Err() != nil {
		return nil, cause
	}
	m, err := s.show(ctx, repo, rec, registry.Stale)
	if err != nil {
		if m, err = s.storedManifest(ctx, rec.SourceDigest); m == nil || err != nil {
			return nil, cause
		}
		m.Served = registry.Stale
	}
	s.Logger.DebugContext(ctx, "the last known version is served", "repository", repo.String(), "tag", string(tag), "error", cause)
	return m, nil
}

// show makes the answer that a tag's record stands for.
func (s *Service) show(ctx context.Context, repo name.Repository, rec *catalog.Tag, served registry.Served) (*registry.Manifest, error) {
	if rec.Digest == rec.SourceDigest {
		m, err := s.byDigest(ctx, repo, rec.Digest)
		if err != nil {
			return nil, err
		}
		answer := *m
		answer.Served = served
		return &answer, nil
	}
	b, err := s.manifestBytes(ctx, rec.Digest)
	if err != nil {
		return nil, err
	}
	return &registry.Manifest{
		MediaType: rec.MediaType, Digest: rec.Digest, Bytes: b, Source: rec.SourceDigest, Served: served, Origin: registry.MadeHere,
	}, nil
}

// awaitUpdate answers while a new version is being made: with the one before if there is one, else as first_pull says. Whoever
// can't wait longer gets the original.
func (s *Service) awaitUpdate(ctx context.Context, repo name.Repository, rule config.Rule, got *checked) (*registry.Manifest, error) {
	u, rec := got.update, got.rec
	previous := rec != nil && s.stopgap(ctx, repo, rule, rec, u)
	patience := time.Duration(rule.FirstPullTimeout)
	if previous || rule.FirstPull == config.FirstPullOriginal {
		patience = updatePatience
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-u.ended:
		m, err := s.updated(ctx, repo, u)
		switch {
		case err == nil:
			return m, nil
		case errors.Is(err, errClosed):
			// Whoever is waiting when the proxy ends is still answered.
		case rec != nil:
			return s.stale(ctx, repo, u.tag, rec, err)
		default:
			return nil, err
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timer.C:
	}
	if previous {
		return s.show(ctx, repo, rec, shown(rec))
	}
	return s.byDigest(ctx, repo, u.target.Digest)
}

// stopgap reports whether a tag's record is good enough to be shown while an update runs: a version before that was rechunked, or
// the original of which rechunking is tried once more.
func (s *Service) stopgap(ctx context.Context, repo name.Repository, rule config.Rule, rec *catalog.Tag, u *update) bool {
	good := rec.SourceDigest == u.target.Digest
	if rec.Served == catalog.Rechunked {
		good = rule.Rechunk != config.RechunkNever
	}
	return good && s.intact(ctx, repo, rec)
}

// updated makes the answer that an update led to.
func (s *Service) updated(ctx context.Context, repo name.Repository, u *update) (*registry.Manifest, error) {
	if u.err != nil {
		return nil, u.err
	}
	m, err := s.show(ctx, repo, u.rec, shown(u.rec))
	if err == nil && m.Origin == registry.FromStore {
		m.Origin = u.origin
	}
	return m, err
}
