package service

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// update brings a tag to a new source image: it fetches the manifest, has what the rule says rechunked and moves the tag. It runs
// once however many clients ask, and goes on when they leave.
type update struct {
	repo   name.Repository
	tag    name.Reference
	rule   config.Rule
	target upstream.Descriptor
	before *tagRecord
	// ended is closed when rec and err are set.
	ended chan struct{}
	rec   *tagRecord
	err   error
}

// startUpdate starts an update, or joins the one that is under way to the same source image.
func (s *Service) startUpdate(repo name.Repository, tag name.Reference, rule config.Rule, target upstream.Descriptor, before *tagRecord) (*update, error) {
	key := tagKey(repo, tag) + "@" + target.Digest.String()
	s.mu.Lock()
	if u := s.updates[key]; u != nil {
		s.mu.Unlock()
		return u, nil
	}
	u := &update{repo: repo, tag: tag, rule: rule, target: target, before: before, ended: make(chan struct{})}
	s.updates[key] = u
	s.mu.Unlock()

	work := func(ctx context.Context) {
		u.rec, u.err = s.runUpdate(ctx, u)
		s.mu.Lock()
		delete(s.updates, key)
		s.mu.Unlock()
		close(u.ended)
	}
	if !s.background(work) {
		s.mu.Lock()
		delete(s.updates, key)
		s.mu.Unlock()
		return nil, errClosed
	}
	return u, nil
}

func (s *Service) runUpdate(ctx context.Context, u *update) (*tagRecord, error) {
	raw, err := s.sourceManifest(ctx, u.repo, u.target)
	if err != nil {
		return nil, err
	}
	rec := &tagRecord{
		SourceDigest: u.target.Digest, SourceType: u.target.MediaType,
		Digest: u.target.Digest, MediaType: u.target.MediaType, Served: registry.Original,
	}
	if u.rule.Rechunk != config.RechunkNever {
		made, err := s.rechunkManifest(ctx, u, raw)
		switch {
		case err == nil:
			rec.Digest, rec.MediaType, rec.Served = made.Digest, made.MediaType, registry.Rechunked
		case errors.Is(err, rechunk.ErrPassThrough):
		case errors.Is(err, errClosed), ctx.Err() != nil:
			return nil, err
		case u.before != nil && u.before.Served == registry.Rechunked && outOfReach(err):
			// What can't be fetched can't be served either: the version before stays until the upstream is back.
			s.setOffline(tagKey(u.repo, u.tag))
			return nil, err
		default:
			s.noteFailure(rec, u.before, err)
		}
	}
	if err := s.moveTag(ctx, u, rec); err != nil {
		return nil, err
	}
	return rec, nil
}

// Failures are tried again, but not in a loop: after a minute at first, then ever later.
const (
	firstRetry = time.Minute
	lastRetry  = 6 * time.Hour
)

// outOfReach reports whether it was the upstream that failed, and only for now.
func outOfReach(err error) bool {
	var up *upstream.Error
	return errors.As(err, &up) && up.Transient()
}

// noteFailure lets the tag show the original and sets when rechunking is tried again.
func (s *Service) noteFailure(rec, before *tagRecord, err error) {
	if before != nil && before.SourceDigest == rec.SourceDigest {
		rec.Failures = before.Failures
	}
	rec.Failures++
	wait := firstRetry << min(rec.Failures-1, 10)
	rec.RetryAt = s.Now().Add(min(wait, lastRetry)).UTC()
	rec.Error = err.Error()
}

// moveTag writes the tag's record, which is what makes the new image visible.
func (s *Service) moveTag(ctx context.Context, u *update, rec *tagRecord) error {
	now := s.Now().UTC()
	rec.CheckedAt, rec.UpdatedAt = now, now
	if u.before != nil && u.before.Digest == rec.Digest {
		rec.UpdatedAt = u.before.UpdatedAt
	}
	if err := s.putRecord(ctx, kindTag, tagKey(u.repo, u.tag), rec); err != nil {
		return err
	}
	return s.noteRepository(ctx, u.repo)
}

// sourceManifest returns the upstream's manifest by its digest, fetching and storing it when it is not there.
func (s *Service) sourceManifest(ctx context.Context, repo name.Repository, d upstream.Descriptor) ([]byte, error) {
	if b, err := s.manifestBytes(ctx, d.Digest); err == nil {
		return b, nil
	}
	m, err := s.Upstream.Manifest(ctx, repo, name.Reference(d.Digest))
	if err != nil {
		return nil, err
	}
	_, err = s.storeManifest(ctx, m.Bytes, manifestRecord{MediaType: m.MediaType, Source: m.Digest, Served: registry.Original})
	return m.Bytes, err
}

// made is the result of rechunking a manifest or an index.
type made struct {
	Digest    digest.Digest
	MediaType string
}

// rechunkManifest rechunks an image, or the configured platforms of an index.
func (s *Service) rechunkManifest(ctx context.Context, u *update, raw []byte) (*made, error) {
	if image.IsIndex(u.target.MediaType) {
		return s.rechunkIndex(ctx, u, raw)
	}
	r, err := s.jobs.do(ctx, jobRequest{repo: u.repo, ref: u.tag, digest: u.target.Digest, manifest: raw, rule: u.rule})
	if err != nil {
		return nil, err
	}
	rec := manifestRecord{MediaType: r.MediaType, Source: u.target.Digest, Served: registry.Rechunked}
	return &made{r.Digest, r.MediaType}, s.putRecord(ctx, kindManifest, r.Digest.String(), rec)
}

// rechunkIndex rechunks the configured platforms of an index. When some of them can't be, the others are served rechunked all the same.
func (s *Service) rechunkIndex(ctx context.Context, u *update, raw []byte) (*made, error) {
	idx, err := image.ParseIndex(raw)
	if err != nil {
		return nil, err
	}
	replaced := map[digest.Digest]image.Document{}
	var failures []error
	for _, child := range idx.Images(u.rule.Platforms) {
		doc, err := s.rechunkChild(ctx, u, child)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			failures = append(failures, err)
			continue
		}
		replaced[child.Digest] = *doc
	}
	if len(replaced) == 0 {
		for _, err := range failures {
			if !errors.Is(err, rechunk.ErrPassThrough) {
				return nil, err
			}
		}
		return nil, rechunk.ErrPassThrough
	}
	doc, err := idx.Replace(replaced)
	if err != nil {
		return nil, err
	}
	_, err = s.storeManifest(ctx, doc.Bytes, manifestRecord{MediaType: doc.MediaType, Source: u.target.Digest, Served: registry.Rechunked})
	return &made{doc.Digest, doc.MediaType}, err
}

func (s *Service) rechunkChild(ctx context.Context, u *update, child image.Child) (*image.Document, error) {
	raw, err := s.sourceManifest(ctx, u.repo, upstream.Descriptor{Digest: child.Digest, MediaType: child.MediaType})
	if err != nil {
		return nil, err
	}
	r, err := s.jobs.do(ctx, jobRequest{
		repo: u.repo, ref: u.tag, platform: child.Platform, digest: child.Digest, manifest: raw, rule: u.rule,
	})
	if err != nil {
		return nil, err
	}
	b, err := s.manifestBytes(ctx, r.Digest)
	if err != nil {
		return nil, err
	}
	rec := manifestRecord{MediaType: r.MediaType, Source: child.Digest, Served: registry.Rechunked}
	return &image.Document{MediaType: r.MediaType, Digest: r.Digest, Bytes: b}, s.putRecord(ctx, kindManifest, r.Digest.String(), rec)
}
