package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk"
)

// update brings a tag to a new source image: it fetches the manifest, has what the rule says rechunked and moves the tag. It runs
// once however many clients ask, and goes on when they leave.
type update struct {
	repo   name.Repository
	tag    name.Reference
	rule   config.Rule
	target client.Descriptor
	before *catalog.Tag // what the tag stood for; nil for a new one

	// asked is when the upstream last named the target, and kept, when not zero, how long an update that ended is remembered
	// because its record could not be written. Guarded by Service.mu.
	asked, kept time.Time

	// ended is closed when what follows is set.
	ended  chan struct{}
	rec    *catalog.Tag
	origin registry.Origin // of the source manifest
	err    error
}

// startUpdate starts an update, or joins the one that is under way to the same source image. It becomes the one that may move the
// tag. The caller holds the tag's lock.
func (s *Service) startUpdate(repo name.Repository, tag name.Reference, rule config.Rule, target client.Descriptor, before *catalog.Tag) (*update, error) {
	key, now := tagKey(repo, tag), s.Now()
	s.mu.Lock()
	if u := s.updates[key]; u != nil && u.target.Digest == target.Digest && u.rule.Rechunk == rule.Rechunk && u.joinable(now) {
		u.asked = now
		s.mu.Unlock()
		return u, nil
	}
	u := &update{repo: repo, tag: tag, rule: rule, target: target, before: before, asked: now, ended: make(chan struct{})}
	s.updates[key] = u
	s.mu.Unlock()
	if !s.background(func(ctx context.Context) { s.finishUpdate(ctx, key, u) }) {
		s.supersede(key)
		return nil, errClosed
	}
	return u, nil
}

// joinable reports whether an update runs or is remembered.
func (u *update) joinable(now time.Time) bool { return u.kept.IsZero() || now.Before(u.kept) }

// updateSince returns the update of a tag whose target the upstream named after a time, or nil.
func (s *Service) updateSince(key string, after time.Time) *update {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.updates[key]
	if u == nil || !u.joinable(s.Now()) || u.kept.IsZero() && !u.asked.After(after) {
		return nil
	}
	return u
}

// supersede keeps a running update from moving the tag.
func (s *Service) supersede(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.updates, key)
}

// maxUnsaved bounds the updates that are remembered because their records could not be written.
const maxUnsaved = 1000

// finishUpdate runs an update to its end.
func (s *Service) finishUpdate(ctx context.Context, key string, u *update) {
	saved := true
	u.rec, u.err = s.runUpdate(ctx, u)
	if u.err == nil {
		if err := s.moveTag(ctx, key, u); err != nil {
			// What was made can be served all the same, but is not to be made again on every pull.
			saved = false
			s.Logger.ErrorContext(ctx, "tag's record could not be stored", "repository", u.repo.String(), "tag", string(u.tag), "error", err)
		}
	} else {
		u.err = s.closedError(u.err)
	}
	s.mu.Lock()
	switch {
	case s.updates[key] != u:
	case saved || len(s.updates) > maxUnsaved:
		delete(s.updates, key)
	default:
		u.kept = s.Now().Add(firstRetry)
	}
	s.mu.Unlock()
	close(u.ended)
}

// runUpdate finds out what the tag is to stand for.
func (s *Service) runUpdate(ctx context.Context, u *update) (*catalog.Tag, error) {
	m, err := s.byDigest(ctx, u.repo, u.target.Digest)
	if err != nil {
		if ctx.Err() == nil {
			s.outages.note(s.Now(), u.repo.Host(), tagKey(u.repo, u.tag), err)
		}
		return nil, err
	}
	u.origin = m.Origin
	rec := &catalog.Tag{
		SourceDigest: m.Digest, SourceType: m.MediaType, Digest: m.Digest, MediaType: m.MediaType, Served: catalog.Original,
		Rule: string(u.rule.Rechunk),
	}
	if u.rule.Rechunk == config.RechunkNever {
		return rec, nil
	}
	made, err := s.rechunkManifest(ctx, u, m)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if made != nil {
		rec.Digest, rec.MediaType, rec.Served = made.Digest, made.MediaType, catalog.Rechunked
	}
	if err == nil || errors.Is(err, rechunk.ErrPassThrough) {
		return rec, nil
	}
	if before := u.before; before != nil && before.Served == catalog.Rechunked && before.SourceDigest != m.Digest && passing(err) {
		// What can't be fetched can't be served either, and what can't be kept is a whole download: the version before stays.
		stays := *before
		stays.Rule = string(u.rule.Rechunk)
		rec = &stays
	}
	rec.Failure = newFailure(m.Digest, u.before, s.Now(), err)
	s.Logger.WarnContext(ctx, "image could not be rechunked and will be tried again", "repository", u.repo.String(), "tag", string(u.tag),
		"source", m.Digest.String(), "served", string(shown(rec)), "retry_at", rec.Failure.RetryAt, "error", err)
	return rec, nil
}

// moveTag writes the tag's record, which is what makes the new image visible, unless the tag has moved on meanwhile.
func (s *Service) moveTag(ctx context.Context, key string, u *update) error {
	// The catalog first: a repository without tags does less harm than one that is not listed.
	if err := s.noteRepository(ctx, u.repo); err != nil {
		return err
	}
	defer s.lockTag(ctx, key)()
	s.mu.Lock()
	current, asked := s.updates[key] == u, u.asked
	s.mu.Unlock()
	if !current {
		return nil
	}
	if later := s.overtaken(ctx, u, asked); later != nil {
		u.rec = later
		return nil
	}
	u.rec.CheckedAt, u.rec.UpdatedAt = asked.UTC(), s.Now().UTC()
	if u.before != nil && u.before.Digest == u.rec.Digest {
		u.rec.UpdatedAt = u.before.UpdatedAt
	}
	if err := s.records.Tags.Put(ctx, tagOf(u.repo, u.tag), u.rec); err != nil {
		return fmt.Errorf("moving the tag: %w", err)
	}
	return nil
}
