package tags

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// Guard says which images may be shown, by their signatures.
type Guard interface {
	// Policy names what the images of a repository, "host/path", are checked by; "" says that they are not.
	Policy(repository string) string
	// Admit returns nil for an image that may be shown under a tag.
	Admit(ctx context.Context, repo name.Repository, tag name.Reference, m *registry.Manifest) error
}

// unguarded lets all images through.
type unguarded struct{}

// Policy implements Guard.
func (unguarded) Policy(string) string { return "" }

// Admit implements Guard.
func (unguarded) Admit(context.Context, name.Repository, name.Reference, *registry.Manifest) error {
	return nil
}

// maxSeen bounds the versions of a tag that are remembered.
const maxSeen = 256

// errRollback marks a tag that went back to an image that it stood for before.
var errRollback = errors.New("the tag went back to an earlier image")

// admit returns nil for an image that a tag may be moved to. before is what the tag stands for, or nil.
func (t *Tags) admit(ctx context.Context, repo name.Repository, tag name.Reference, before *catalog.Tag,
	m *registry.Manifest) error {
	if err := t.Guard.Admit(ctx, repo, tag, m); err != nil {
		return err
	}
	if before == nil || t.Guard.Policy(repo.String()) == "" || m.Digest == before.SourceDigest ||
		m.Digest == before.Released || !slices.Contains(before.Seen, m.Digest) {
		return nil
	}
	return registry.Denied("the image is refused: the upstream's tag went back to " + m.Digest.String() +
		", an earlier image; strata release " + repo.String() + ":" + string(tag) + " allows it").WithCause(errRollback)
}

// remember notes in a tag's new record what it stood for before.
func remember(rec, before *catalog.Tag) {
	if rec.Policy == "" || before == nil || before.SourceDigest == rec.SourceDigest {
		if before != nil {
			rec.Seen = before.Seen
		}
		return
	}
	seen := slices.DeleteFunc(slices.Clone(before.Seen), func(d digest.Digest) bool {
		return d == rec.SourceDigest || d == before.SourceDigest
	})
	seen = append(seen, before.SourceDigest)
	rec.Seen = seen[max(len(seen)-maxSeen, 0):]
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
