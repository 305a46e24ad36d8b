package tags

import (
	"context"
	"errors"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// Brought is an image that comes to a tag by another way than its upstream, such as by a file.
type Brought struct {
	// Digest and MediaType are what clients get, Source and SourceType what it is known to be made of: its own, where it is
	// served as it is.
	Digest     digest.Digest
	MediaType  string
	Source     digest.Digest
	SourceType string
}

// MayBring returns nil if a tag may be moved to an image that is brought, or an error for who brings it: it is not signed as
// its repository's rule asks, or the tag stood for it before.
func (t *Tags) MayBring(ctx context.Context, repo name.Repository, tag name.Reference, b Brought) error {
	before, err := t.record(ctx, repo, tag)
	if err != nil {
		return err
	}
	m, err := t.Manifests.Get(ctx, repo, b.Source)
	if err != nil {
		return err
	}
	return ofBrought(t.admit(ctx, repo, tag, before, m))
}

// ofBrought tells who brings an image that went out of date what a release, which is for upstreams' tags, does not help.
func ofBrought(err error) error {
	if !errors.Is(err, errRollback) {
		return err
	}
	return registry.DeniedByPolicy("the image is refused: it is an earlier image of the tag").
		WithCause(errRollback)
}

// Bring lets a tag stand for an image that is stored. What it stood for is remembered, as with every other move. Anyway
// moves it to one that may not be brought, too: where signatures are asked for, it is not shown until it has them.
func (t *Tags) Bring(ctx context.Context, repo name.Repository, tag name.Reference, b Brought, anyway bool) error {
	key, now := recordKey(repo, tag), t.Now().UTC()
	m, err := t.Manifests.Get(ctx, repo, b.Source)
	if err != nil {
		return err
	}
	defer t.lock(ctx, key)()
	before, err := t.record(ctx, repo, tag)
	if err != nil {
		return err
	}
	rec := &catalog.Tag{SourceDigest: b.Source, SourceType: b.SourceType, Digest: b.Digest, MediaType: b.MediaType,
		Served: catalog.Original, Rule: string(t.Rule(repo.String()).Rechunk), Policy: t.Guard.Policy(repo.String()),
		CheckedAt: now, UpdatedAt: now}
	if b.Digest != b.Source {
		rec.Served = catalog.Rechunked
	}
	var said *registry.Error
	switch err := t.admit(ctx, repo, tag, before, m); {
	case err == nil:
	case anyway && errors.Is(err, errRollback): // released by who brings it
		was := *before
		was.Released = b.Source
		before = &was
	case anyway && errors.As(err, &said) && said.Status == http.StatusForbidden:
		rec.Policy = ""
	default:
		return ofBrought(err)
	}
	if before != nil {
		rec.Staged, rec.Stable = before.Staged, before.Stable // a roll-out takes it in when the next host asks
		if before.Digest == rec.Digest {
			rec.UpdatedAt = before.UpdatedAt
		}
	}
	if err := t.remember(ctx, repo, rec, before, m); err != nil {
		return err
	}
	t.supersede(key)
	if err := t.Records.Put(ctx, key, rec); err != nil {
		return err
	}
	return t.noteBrought(ctx, key, rec, said)
}

// noteBrought remembers for operators that nothing is shown under a tag that was moved anyway, or that something is.
func (t *Tags) noteBrought(ctx context.Context, key catalog.TagKey, rec *catalog.Tag, said *registry.Error) error {
	switch {
	case t.Refusals == nil || name.Reference(key.Tag).AboutImage():
		return nil
	case said == nil:
		return t.Refusals.Clear(ctx, key)
	}
	return t.Refusals.Note(ctx, key, rec.SourceDigest, t.Guard.Policy(key.Repository), said.Message)
}

// refused reports whether an error says that an image may not be shown, and not that this could not be found out.
func refused(err error) bool {
	var said *registry.Error
	return errors.As(err, &said) && said.Status == http.StatusForbidden
}

// brought looks whether a tag was moved by another way since an update began. Then what it stands for now is what it stood
// for before the update, whose record is changed to say so; where the update may not follow that, the record is returned
// that stays. The caller holds the tag's lock.
func (t *Tags) brought(ctx context.Context, key catalog.TagKey, u *update) (stays *catalog.Tag, err error) {
	now, err := t.Records.Get(ctx, key)
	if err != nil || now == nil || u.before != nil && now.SourceDigest == u.before.SourceDigest {
		return nil, err
	}
	if u.before == nil && now.Policy == "" && now.Seen == nil { // nothing is known that could be lost
		return nil, nil
	}
	m, err := t.Manifests.Get(ctx, u.repo, u.rec.SourceDigest)
	if err != nil {
		return nil, err
	}
	switch err := t.admit(ctx, u.repo, u.tag, now, m); {
	case refused(err):
		return now, nil // the next check says why
	case err != nil:
		return nil, err
	}
	u.before = now
	return nil, t.remember(ctx, u.repo, u.rec, now, m)
}
