package upkeep

import (
	"context"
	"errors"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Restorer brings back what was lost. It is safe for concurrent use.
type Restorer interface {
	// Fetch downloads a blob or manifest of a repository, "host/path", into the store again.
	Fetch(ctx context.Context, repository string, d digest.Digest) error
	// Remake makes the image of a tag again when something of it is missing, and returns when that is done.
	Remake(ctx context.Context, repository, tag string) error
}

var errNoRestorer = errors.New("no proxy runs that could bring it back")

// mend brings content back that was put into quarantine, if anything needs it.
func (k *Keeper) mend(ctx context.Context, d digest.Digest) (outcome string, err error) {
	m, err := k.markNow(ctx, k.Policy())
	if err != nil {
		return OutcomeLost, err
	}
	use, known := m.needs.content[d]
	switch {
	case !known:
		return OutcomeUnneeded, nil
	case use == layerIndex:
		return OutcomeLater, nil
	}
	tags, err := k.tagsOf(ctx, m.records, d)
	switch {
	case err != nil:
		return OutcomeLost, err
	case len(tags) == 0:
		// An earlier version, which is served on without it, or an original that the next client fetches.
		return OutcomeLater, nil
	case k.Restorer == nil:
		return OutcomeLost, errNoRestorer
	}
	return k.restore(ctx, m.records, tags, d)
}

// restore gets content back for the tags that need it.
func (k *Keeper) restore(ctx context.Context, r *records, tags []string, d digest.Digest) (string, error) {
	outcome := OutcomeFetched
	var problems error
	for _, key := range tags {
		repository, name := splitTag(key)
		made, err := k.madeFor(ctx, r, r.tags[key], d)
		switch {
		case err != nil:
		case made:
			outcome, err = OutcomeMade, k.Restorer.Remake(ctx, repository, name)
		default:
			err = k.Restorer.Fetch(ctx, repository, d)
		}
		problems = errors.Join(problems, err)
	}
	if _, err := k.Chunks.Stat(ctx, d); outcome == OutcomeFetched && err != nil || problems != nil {
		return OutcomeLost, problems
	}
	return outcome, nil
}

// tagsOf lists the tags whose image, or its source, has content.
func (k *Keeper) tagsOf(ctx context.Context, r *records, d digest.Digest) ([]string, error) {
	var out []string
	for key, t := range r.tags {
		one := newNeeds(r)
		for _, root := range []digest.Digest{t.Digest, t.Source} {
			if err := k.image(ctx, one, root, originalLayer, 0); err != nil {
				return nil, err
			}
		}
		k.lineageOf(one, r, t.Digest)
		if _, has := one.content[d]; has {
			out = append(out, key)
		}
	}
	return out, nil
}

// lineageOf marks what the lineages know of an image, whose manifest may be lost.
func (k *Keeper) lineageOf(n *needs, r *records, image digest.Digest) {
	for _, versions := range r.lineages {
		for i := range versions {
			if versions[i].Digest == image {
				(&marking{needs: n}).version(&versions[i])
			}
		}
	}
}

// madeFor reports whether content was made here for a tag's image, and is not the upstream's.
func (k *Keeper) madeFor(ctx context.Context, r *records, t tag, d digest.Digest) (bool, error) {
	if t.Digest == t.Source {
		return false, nil
	}
	source := newNeeds(r)
	if err := k.image(ctx, source, t.Source, sourceLayer, 0); err != nil {
		return false, err
	}
	_, upstreams := source.content[d]
	return !upstreams, nil
}

// splitTag takes the key of a tag's record apart. A tag holds no colon, but a host may.
func splitTag(key string) (repository, tag string) {
	i := strings.LastIndexByte(key, ':')
	if i < 0 {
		return "", key
	}
	return key[:i], key[i+1:]
}
