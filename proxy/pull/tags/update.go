package tags

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/tracing"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk"
)

// update brings a tag to a new source image: it fetches the manifest, has what the rule says rechunked and moves the
// tag. It runs once however many clients ask, and goes on when they leave.
type update struct {
	repo   name.Repository
	tag    name.Reference
	rule   config.Rule
	target client.Descriptor
	before *catalog.Tag // what the tag stood for; nil for a new one

	// asked is when the upstream last named the target, and kept, when not zero, how long an update that ended is remembered
	// because its record could not be written. Guarded by Tags.mu.
	asked, kept time.Time

	// ended is closed when what follows is set.
	ended  chan struct{}
	rec    *catalog.Tag
	origin registry.Origin // of the source manifest
	err    error
}

// startUpdate starts an update, or joins the one that is under way to the same source image. It becomes the one that
// may move the tag. The caller holds the tag's lock.
func (t *Tags) startUpdate(ctx context.Context, repo name.Repository, tag name.Reference, rule config.Rule,
	target client.Descriptor,
	before *catalog.Tag) (*update, error) {
	key, now := recordKey(repo, tag), t.Now()
	t.mu.Lock()
	if u := t.updates[key]; u != nil && u.target.Digest == target.Digest && u.rule.Rechunk == rule.Rechunk &&
		u.joinable(now) {
		u.asked = now
		t.mu.Unlock()
		return u, nil
	}
	u := &update{repo: repo, tag: tag, rule: rule, target: target, before: before, asked: now, ended: make(chan struct{})}
	t.updates[key] = u
	t.mu.Unlock()
	if !t.Work.GoRelying(ctx, "update", func(ctx context.Context) { t.finishUpdate(ctx, key, u) }) {
		t.supersede(key)
		return nil, background.ErrClosed
	}
	return u, nil
}

// replaces reports whether the tag stood for a rechunked image of another source.
func (u *update) replaces(source digest.Digest) bool {
	return u.before != nil && u.before.Served == catalog.Rechunked && u.before.SourceDigest != source
}

// joinable reports whether an update runs or is remembered.
func (u *update) joinable(now time.Time) bool { return u.kept.IsZero() || now.Before(u.kept) }

// updateSince returns the update of a tag whose target the upstream named after a time, or nil.
func (t *Tags) updateSince(key catalog.TagKey, after time.Time) *update {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.updates[key]
	if u == nil || !u.joinable(t.Now()) || u.kept.IsZero() && !u.asked.After(after) {
		return nil
	}
	return u
}

// supersede keeps a running update from moving the tag.
func (t *Tags) supersede(key catalog.TagKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.updates, key)
}

// maxUnsaved bounds the updates that are remembered because their records could not be written.
const maxUnsaved = 1000

// finishUpdate runs an update to its end.
func (t *Tags) finishUpdate(ctx context.Context, key catalog.TagKey, u *update) {
	saved := true
	ctx, ended := tracing.Start(ctx, "update", "repository", u.repo, "tag", string(u.tag), "source", u.target.Digest)
	err := t.Work.Catch(ctx, "update", func() (err error) {
		if u.rec, err = t.runUpdate(ctx, u); err != nil {
			return err
		}
		err = t.moveTag(ctx, key, u)
		if errors.Is(err, errNotStaged) {
			return err
		}
		if err != nil {
			// What was made can be served all the same, but is not to be made again on every pull.
			saved = false
			t.Logger.ErrorContext(ctx, "tag's record could not be stored", "repository", u.repo.String(), "tag",
				string(u.tag), "error", err)
		}
		return nil
	})
	u.err = t.Work.Explain(err)
	ended(u.err)
	t.mu.Lock()
	switch {
	case t.updates[key] != u:
	case saved || len(t.updates) > maxUnsaved:
		delete(t.updates, key)
	default:
		u.kept = t.Now().Add(firstRetry)
	}
	t.mu.Unlock()
	close(u.ended)
}

// runUpdate finds out what the tag is to stand for.
func (t *Tags) runUpdate(ctx context.Context, u *update) (*catalog.Tag, error) {
	m, err := t.Manifests.Get(ctx, u.repo, u.target.Digest)
	if err != nil {
		if ctx.Err() == nil {
			t.outages.note(t.Now(), u.repo.Host(), recordKey(u.repo, u.tag).String(), err)
		}
		return nil, err
	}
	u.origin = m.Origin
	policy := t.Guard.Policy(u.repo.String())
	if err := t.admit(ctx, u.repo, u.tag, u.before, m); err != nil {
		return t.refuse(ctx, u, policy, err)
	}
	rec := &catalog.Tag{
		SourceDigest: m.Digest, SourceType: m.MediaType, Digest: m.Digest, MediaType: m.MediaType, Served: catalog.Original,
		Rule: string(u.rule.Rechunk), Policy: policy,
	}
	if err := t.remember(ctx, u.repo, rec, u.before, m); err != nil {
		return nil, err
	}
	if u.rule.Rechunk == config.RechunkNever {
		rec.AsItIs = t.ruledOut(u)
		return rec, nil
	}
	made, err := t.Maker.Make(ctx, jobs.Request{
		Repository: u.repo, Reference: u.tag, Rule: u.rule, Digest: rec.SourceDigest, MediaType: rec.SourceType,
		Whole: u.replaces(rec.SourceDigest),
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if made != nil {
		rec.Digest, rec.MediaType, rec.Served = made.Digest, made.MediaType, catalog.Rechunked
	}
	if errors.Is(err, rechunk.ErrPassThrough) {
		text := strings.ReplaceAll(err.Error(), "\n", "; ")
		rec.AsItIs = text[:min(len(text), maxErrorText)]
		return rec, nil
	}
	if err == nil {
		return rec, nil
	}
	if u.replaces(u.target.Digest) && jobs.Passing(err) {
		// What can't be fetched can't be served either, and what can't be kept is a whole download: the version before
		// stays.
		stays, kept := t.keepBefore(ctx, u, policy, err)
		if kept != nil {
			return nil, kept
		}
		rec = stays
	}
	rec.Failure = newFailure(u.target.Digest, u.before, t.Now(), err)
	t.Logger.WarnContext(ctx, "image could not be rechunked and will be tried again", "repository", u.repo.String(), "tag",
		string(u.tag),
		"source", u.target.Digest.String(), "served", string(served(rec)), "retry_at", rec.Failure.RetryAt, "error", err)
	return rec, nil
}

// ruledOut says why an image is served as it is that no rule has rechunked.
func (t *Tags) ruledOut(u *update) string {
	if t.Behind != nil && t.Behind(u.repo.Host()) {
		return "it is served as the other Strata has it that the upstream's via names: that one rechunks, or says why not"
	}
	return fmt.Sprintf("rechunk: never in its rule, match: %.200s", u.rule.Match)
}

// refuse finds out what a tag is to stand for while what the upstream has is not shown: the image before, if it is good.
func (t *Tags) refuse(ctx context.Context, u *update, policy string, cause error) (*catalog.Tag, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var said *registry.Error
	if !errors.As(cause, &said) || said.Status != http.StatusForbidden {
		return nil, cause // nobody said no
	}
	rec, err := t.keepBefore(ctx, u, policy, cause)
	if err != nil {
		t.noteRefusal(ctx, u, policy, said.Message)
		return nil, err
	}
	rec.Failure = newFailure(u.target.Digest, u.before, t.Now(), cause)
	rec.Failure.Error = said.Message[:min(len(said.Message), maxErrorText)]
	rec.Failure.Refused, rec.Failure.Rollback = true, errors.Is(cause, errRollback)
	if rec.Failure.Rollback && rec.Failure.Tries == 1 && t.Metrics != nil {
		t.Metrics.WentBack()
	}
	t.Logger.WarnContext(ctx, "image is refused, and the version before is served", "repository", u.repo.String(), "tag",
		string(u.tag), "source", u.target.Digest.String(), "retry_at", rec.Failure.RetryAt, "reason", rec.Failure.Error)
	return rec, nil
}

// moveTag writes the tag's record, which is what makes the new image visible, unless the tag has moved on meanwhile.
func (t *Tags) moveTag(ctx context.Context, key catalog.TagKey, u *update) error {
	// The catalog first: a repository without tags does less harm than one that is not listed.
	if err := t.Repositories.Enlist(ctx, u.repo); err != nil {
		return err
	}
	defer t.lock(ctx, key)()
	t.mu.Lock()
	current, asked := t.updates[key] == u, u.asked
	t.mu.Unlock()
	if !current {
		return nil
	}
	if later := t.overtaken(ctx, u, asked); later != nil {
		u.rec = later
		return nil
	}
	if released, err := t.releasedSince(ctx, key, u); released != nil || err != nil {
		if released != nil {
			u.rec = released
		}
		return err
	}
	if stays, err := t.brought(ctx, key, u); stays != nil || err != nil {
		if stays != nil {
			u.rec = stays
		}
		return err
	}
	u.rec.CheckedAt, u.rec.UpdatedAt = asked.UTC(), t.Now().UTC()
	if u.before != nil && u.before.Digest == u.rec.Digest {
		u.rec.UpdatedAt = u.before.UpdatedAt
	}
	if err := t.enroll(ctx, key, u); err != nil {
		return fmt.Errorf("moving the tag: %w", err)
	}
	if err := t.Records.Put(ctx, key, u.rec); err != nil {
		return fmt.Errorf("moving the tag: %w", err)
	}
	t.clearRefusal(ctx, key, u)
	return nil
}
