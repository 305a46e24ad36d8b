package tags

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

// Guard says which images may be shown, by their signatures.
type Guard interface {
	// Policy names what the images of a repository, "host/path", are checked by; "" says that they are not.
	Policy(repository string) string
	// Admit returns nil for an image that may be shown under a tag.
	Admit(ctx context.Context, repo name.Repository, tag name.Reference, m *registry.Manifest) error
	// Covers reports whether a signature covers a source digest that was admitted, or an index that names it.
	Covers(ctx context.Context, repo name.Repository, source digest.Digest) (bool, error)
}

// unguarded lets all images through.
type unguarded struct{}

// Policy implements Guard.
func (unguarded) Policy(string) string { return "" }

// Admit implements Guard.
func (unguarded) Admit(context.Context, name.Repository, name.Reference, *registry.Manifest) error {
	return nil
}

// Covers implements Guard.
func (unguarded) Covers(context.Context, name.Repository, digest.Digest) (bool, error) {
	return false, nil
}

// maxSeen bounds the digests that are remembered of a tag's earlier versions. An index takes as many as it has images, and
// one more, so the bound is large enough for a thousand versions of an index with three of them.
const maxSeen = 4096

// errRollback marks a tag that went back to an image that it stood for before.
var errRollback = errors.New("the tag went back to an earlier image")

// admit returns nil for an image that a tag may be moved to. before is what the tag stands for, or nil. An index that
// brings back an image of an earlier version goes back as a whole: anybody can write an index of signed images.
func (t *Tags) admit(ctx context.Context, repo name.Repository, tag name.Reference, before *catalog.Tag,
	m *registry.Manifest) error {
	if err := t.Guard.Admit(ctx, repo, tag, m); err != nil {
		return err
	}
	if before == nil || tag.AboutImage() || t.Guard.Policy(repo.String()) == "" || m.Digest == before.SourceDigest ||
		m.Digest == before.Released {
		return nil
	}
	named, err := names(m.Digest, m.MediaType, m.Bytes)
	if err != nil {
		return err
	}
	for _, d := range named {
		if slices.Contains(before.Seen, d) {
			return registry.DeniedByPolicy("the image is refused: the upstream's tag went back to " + d.String() +
				", an earlier image; strata release " + repo.String() + ":" + string(tag) + " allows it").
				WithCause(errRollback)
		}
	}
	return nil
}

// names lists a source's digest and all that it names, if it is an index, whatever is said of these: clients choose by
// platform, and heed no annotations.
func names(d digest.Digest, mediaType string, b []byte) ([]digest.Digest, error) {
	out := []digest.Digest{d}
	if !image.IsIndex(mediaType) {
		return out, nil
	}
	idx, err := image.ParseIndex(b)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", d, err)
	}
	for _, child := range idx.Manifests() {
		out = append(out, child.Digest)
	}
	return out, nil
}

// covered lists what signatures cover of a source that was admitted. What else an index names may be made up, and is not
// remembered: it would take the place of what is.
func (t *Tags) covered(ctx context.Context, repo name.Repository, d digest.Digest, mediaType string, b []byte) (
	[]digest.Digest, error) {
	named, err := names(d, mediaType, b)
	if err != nil {
		return nil, err
	}
	var out []digest.Digest
	for _, d := range named {
		covered, err := t.Guard.Covers(ctx, repo, d)
		if err != nil {
			return nil, err
		}
		if covered && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out, nil
}

// remember notes in a tag's new record what signatures cover of its source m, and what it stood for before.
func (t *Tags) remember(ctx context.Context, repo name.Repository, rec, before *catalog.Tag, m *registry.Manifest) error {
	if before != nil {
		rec.Seen, rec.Newer = before.Seen, before.Newer
	}
	if rec.Policy == "" && (before == nil || before.Policy == "") {
		return nil
	}
	var err error
	if rec.Policy != "" { // else it is shown to nobody who asks for signatures, and is none that could be gone back to
		if rec.Signed, err = t.covered(ctx, repo, m.Digest, m.MediaType, m.Bytes); err != nil {
			return err
		}
	}
	if before == nil || before.SourceDigest == rec.SourceDigest {
		return nil
	}
	was := before.Signed
	if len(was) == 0 { // it was recorded without them
		was = []digest.Digest{before.SourceDigest}
		if b, err := t.Manifests.Proven(ctx, repo, before.SourceDigest); err == nil {
			found, err := t.covered(ctx, repo, before.SourceDigest, before.SourceType, b)
			if err == nil && len(found) > 0 {
				was = found
			}
		}
	}
	now := append([]digest.Digest{rec.SourceDigest}, rec.Signed...)
	named, err := names(m.Digest, m.MediaType, m.Bytes)
	if err != nil {
		return err
	}
	older, newer := slices.Concat(before.Seen, was), before.Newer
	back, forth := lastOf(before.Seen, named), lastOf(newer, named)
	switch {
	case rec.SourceDigest == before.Released && back >= 0:
		// What the tag stood for since is newer than what it goes back to, and no way back for it.
		older, newer = before.Seen[:back], slices.Concat(before.Seen[back+1:], was, newer)
	case forth >= 0:
		older, newer = slices.Concat(older, newer[:forth+1]), newer[forth+1:]
	default: // what nobody has seen before is newer than all
		older, newer = slices.Concat(older, newer), nil
	}
	rec.Seen, rec.Newer = others(older, now), others(newer, now)
	return nil
}

// lastOf returns the index of the last of some digests that is named, or -1.
func lastOf(all, named []digest.Digest) int {
	for i := len(all) - 1; i >= 0; i-- {
		if slices.Contains(named, all[i]) {
			return i
		}
	}
	return -1
}

// others returns the newest of some digests, each once where it came last, without those that a tag stands for now.
func others(all, now []digest.Digest) []digest.Digest {
	var out []digest.Digest
	for i, d := range all {
		if !slices.Contains(now, d) && !slices.Contains(all[i+1:], d) {
			out = append(out, d)
		}
	}
	return out[max(len(out)-maxSeen, 0):]
}

// trusted reports whether the image of a tag's record was checked by what its repository asks for now.
func (t *Tags) trusted(repo name.Repository, rec *catalog.Tag) bool {
	return rec.Policy == t.Guard.Policy(repo.String())
}

// keepBefore returns what the tag stood for as its record of today, where a new image cannot be shown: if it may itself be
// shown still. The cause is returned where it may not.
func (t *Tags) keepBefore(ctx context.Context, u *update, policy string, cause error) (*catalog.Tag, error) {
	if u.before == nil {
		return nil, cause
	}
	stays := *u.before
	stays.Rule, stays.Failure = string(u.rule.Rechunk), nil
	if stays.Policy == policy {
		return &stays, nil
	}
	m, err := t.Manifests.Get(ctx, u.repo, stays.SourceDigest)
	if err == nil {
		err = t.Guard.Admit(ctx, u.repo, u.tag, m)
	}
	if err != nil {
		return nil, cause
	}
	stays.Policy = policy
	return &stays, nil
}

// noteRefusal remembers for operators that nothing is shown under a tag. Pulls do not depend on it.
func (t *Tags) noteRefusal(ctx context.Context, u *update, policy, reason string) {
	if t.Refusals == nil || policy == "" {
		return
	}
	err := t.Repositories.Enlist(ctx, u.repo)
	if err == nil {
		err = t.Refusals.Note(ctx, recordKey(u.repo, u.tag), u.target.Digest, policy, reason)
	}
	if err != nil {
		t.Logger.WarnContext(ctx, "a refused tag could not be noted", "repository", u.repo.String(), "tag", string(u.tag),
			"error", err)
	}
}

// clearRefusal forgets that nothing was shown under a tag. Where the record before was good there is nothing to forget.
func (t *Tags) clearRefusal(ctx context.Context, key catalog.TagKey, u *update) {
	if t.Refusals == nil || u.before != nil && u.before.Policy == u.rec.Policy {
		return
	}
	if err := t.Refusals.Clear(ctx, key); err != nil {
		t.Logger.WarnContext(ctx, "a refused tag could not be forgotten", "tag", key.String(), "error", err)
	}
}
