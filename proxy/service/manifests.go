package service

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
)

const (
	// checkPatience is how long a pull that could be answered from the records waits for the upstream's word.
	checkPatience = 10 * time.Second
	// offlineFor is how long an upstream that did not answer is not asked again for the same tag.
	offlineFor = 15 * time.Second
	// updatePatience is how long a pull waits for a new version before it gets the one before: enough to find one that
	// another tag has brought already.
	updatePatience = 500 * time.Millisecond
)

// Manifest implements registry.Manifests.
func (s *Service) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error) {
	var m *registry.Manifest
	var err error
	if ref.IsDigest() {
		m, err = s.byDigest(ctx, repo, digest.Digest(ref))
	} else {
		m, err = s.byTag(ctx, repo, ref)
	}
	return m, clientError(err, registry.ManifestUnknown)
}

// byDigest returns exactly the named bytes: a served image that Strata made, or an original.
func (s *Service) byDigest(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	var rec manifestRecord
	known, err := s.getRecord(ctx, kindManifest, d.String(), &rec)
	if err != nil {
		return nil, err
	}
	if known {
		b, err := s.manifestBytes(ctx, d)
		if err == nil {
			s.Metrics.Hit(metrics.KindManifest)
			return &registry.Manifest{MediaType: rec.MediaType, Digest: d, Bytes: b, Source: rec.Source, Served: rec.Served}, nil
		}
		if !errors.Is(err, chunkstore.ErrNotFound) && !errors.Is(err, chunkstore.ErrCorrupt) {
			return nil, err
		}
	}
	s.Metrics.Miss(metrics.KindManifest)
	m, err := s.Upstream.Manifest(ctx, repo, name.Reference(d))
	if err != nil {
		return nil, err
	}
	rec = manifestRecord{MediaType: m.MediaType, Source: d, Served: registry.Original}
	if _, err := s.storeManifest(ctx, m.Bytes, rec); err != nil {
		// The client can be served all the same.
		s.Logger.WarnContext(ctx, "manifest could not be stored", "repository", repo.String(), "digest", d.String(), "error", err)
	}
	return &registry.Manifest{MediaType: m.MediaType, Digest: d, Bytes: m.Bytes, Source: d, Served: registry.Original}, nil
}

// byTag finds what a tag stands for now.
func (s *Service) byTag(ctx context.Context, repo name.Repository, tag name.Reference) (*registry.Manifest, error) {
	rule := s.Rules.Rule(repo.String())
	rec, err := s.tag(ctx, repo, tag)
	if err != nil {
		return nil, err
	}
	if rec != nil && s.Now().Sub(rec.CheckedAt) < time.Duration(rule.Refresh) {
		if m, err := s.show(ctx, repo, rec, rec.Served); err == nil {
			s.Metrics.Hit(metrics.KindManifest)
			return m, nil
		}
	}
	s.Metrics.Miss(metrics.KindManifest)
	got, err := s.check(ctx, repo, tag, rule)
	if err != nil {
		return s.stale(ctx, repo, tag, rec, err)
	}
	if got.update == nil {
		return s.show(ctx, repo, got.rec, got.rec.Served)
	}
	return s.awaitUpdate(ctx, repo, rule, got)
}

// stale answers with what was last known of a tag, when there is anything.
func (s *Service) stale(ctx context.Context, repo name.Repository, tag name.Reference, rec *tagRecord, cause error) (*registry.Manifest, error) {
	if rec == nil || ctx.Err() != nil {
		return nil, cause
	}
	m, err := s.show(ctx, repo, rec, registry.Stale)
	if err != nil {
		return nil, cause
	}
	s.Logger.WarnContext(ctx, "upstream could not be asked, the last known version is served", "repository", repo.String(), "tag", string(tag), "error", cause)
	return m, nil
}

// show makes the answer that a tag's record stands for.
func (s *Service) show(ctx context.Context, repo name.Repository, rec *tagRecord, served registry.Served) (*registry.Manifest, error) {
	b, err := s.manifestBytes(ctx, rec.Digest)
	if errors.Is(err, chunkstore.ErrNotFound) && rec.Digest == rec.SourceDigest {
		b, err = s.sourceManifest(ctx, repo, upstream.Descriptor{Digest: rec.Digest, MediaType: rec.MediaType})
	}
	if err != nil {
		return nil, err
	}
	return &registry.Manifest{MediaType: rec.MediaType, Digest: rec.Digest, Bytes: b, Source: rec.SourceDigest, Served: served}, nil
}

// checked is the outcome of asking the upstream: the tag's record as it stands, and the update that is on its way if it does not
// show the upstream's image.
type checked struct {
	rec    *tagRecord
	update *update
}

// check asks the upstream what a tag stands for: one HEAD, shared by everyone who waits.
func (s *Service) check(ctx context.Context, repo name.Repository, tag name.Reference, rule config.Rule) (checked, error) {
	key := tagKey(repo, tag)
	if s.isOffline(key) {
		return checked{}, registry.Unavailable(repo.Host+" did not answer a moment ago", offlineFor)
	}
	result := s.checks.DoChan(key, func() (any, error) { return s.askUpstream(s.ctx, repo, tag, rule) })
	select {
	case r := <-result:
		if r.Err != nil {
			return checked{}, r.Err
		}
		return r.Val.(checked), nil
	case <-ctx.Done():
		return checked{}, context.Cause(ctx)
	}
}

func (s *Service) askUpstream(ctx context.Context, repo name.Repository, tag name.Reference, rule config.Rule) (checked, error) {
	// Whoever waited for an earlier call has a new record now.
	rec, err := s.tag(ctx, repo, tag)
	if err != nil {
		return checked{}, err
	}
	if rec != nil && s.complete(ctx, rec) {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, checkPatience)
		defer stop()
	}
	d, err := s.Upstream.Head(ctx, repo, tag)
	if err != nil {
		if rec != nil && !gone(err) {
			s.setOffline(tagKey(repo, tag))
		}
		return checked{}, err
	}
	if rec != nil && rec.SourceDigest == d.Digest && s.settled(rec) && s.complete(ctx, rec) {
		rec.CheckedAt = s.Now().UTC()
		return checked{rec: rec}, s.putRecord(ctx, kindTag, tagKey(repo, tag), rec)
	}
	u, err := s.startUpdate(repo, tag, rule, d, rec)
	return checked{rec, u}, err
}

// settled reports whether a tag's record needs no other try at rechunking.
func (s *Service) settled(rec *tagRecord) bool {
	return rec.RetryAt.IsZero() || s.Now().Before(rec.RetryAt)
}

// complete reports whether the manifest that a record leads to is stored.
func (s *Service) complete(ctx context.Context, rec *tagRecord) bool {
	_, err := s.Chunks.Stat(ctx, rec.Digest)
	return err == nil
}

func (s *Service) isOffline(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.offline[key]
	if ok && !s.Now().Before(until) {
		delete(s.offline, key)
		return false
	}
	return ok
}

// maxOffline bounds the memory for tags whose upstream does not answer.
const maxOffline = 10_000

func (s *Service) setOffline(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.offline) >= maxOffline {
		clear(s.offline)
	}
	s.offline[key] = s.Now().Add(offlineFor)
}

// awaitUpdate answers while a new version is being made: with the rechunked version before if there is one, else as first_pull
// says. Whoever can't wait longer gets the original.
func (s *Service) awaitUpdate(ctx context.Context, repo name.Repository, rule config.Rule, got checked) (*registry.Manifest, error) {
	u, patience := got.update, time.Duration(rule.FirstPullTimeout)
	previous := got.rec != nil && got.rec.Served == registry.Rechunked && s.complete(ctx, got.rec)
	if previous || rule.FirstPull == config.FirstPullOriginal {
		patience = updatePatience
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-u.ended:
		switch {
		case u.err == nil:
			return s.show(ctx, repo, u.rec, u.rec.Served)
		case errors.Is(u.err, errClosed):
			// The proxy is about to end; whoever is waiting is still answered.
		case got.rec != nil:
			return s.stale(ctx, repo, u.tag, got.rec, u.err)
		default:
			return nil, u.err
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timer.C:
	}
	if previous {
		return s.show(ctx, repo, got.rec, got.rec.Served)
	}
	b, err := s.sourceManifest(ctx, repo, u.target)
	if err != nil {
		return nil, err
	}
	return &registry.Manifest{MediaType: u.target.MediaType, Digest: u.target.Digest, Bytes: b, Source: u.target.Digest, Served: registry.Original}, nil
}
