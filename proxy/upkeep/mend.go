package upkeep

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk"
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
	m, err := k.mark(ctx, rules{policy: k.Policy()})
	if err != nil {
		return OutcomeLost, err
	}
	defer m.close()
	use, err := m.use(d)
	switch {
	case err != nil:
		return OutcomeLost, err
	case use == 0:
		return OutcomeUnneeded, nil
	case use&^(catalog.LayerIndex|catalog.DeltaOf|catalog.ChunkOf) == 0:
		return OutcomeLater, nil
	}
	tags, err := m.tagsOf(ctx, d)
	switch {
	case err != nil:
		return OutcomeLost, err
	case len(tags) == 0:
		// An earlier version, which is served on without it, or an original that the next client fetches.
		return OutcomeLater, nil
	case k.Restorer == nil:
		return OutcomeLost, errNoRestorer
	}
	return m.restore(ctx, tags, d)
}

// needy is a tag that needs content.
type needy struct {
	key catalog.TagKey
	tag *catalog.Tag
}

// restore gets content back for the tags that need it.
func (m *marking) restore(ctx context.Context, tags []needy, d digest.Digest) (string, error) {
	outcome := OutcomeFetched
	var problems error
	for _, t := range tags {
		made, err := m.madeFor(ctx, t.tag, d)
		switch {
		case err != nil:
		case made:
			outcome, err = OutcomeMade, m.Restorer.Remake(ctx, t.key.Repository, t.key.Tag)
		default:
			err = m.Restorer.Fetch(ctx, t.key.Repository, d)
		}
		problems = errors.Join(problems, err)
	}
	if _, err := m.Chunks.Stat(ctx, d); outcome == OutcomeFetched && err != nil || problems != nil {
		return OutcomeLost, problems
	}
	return outcome, nil
}

// tagsOf lists the tags whose image, or its source, has content; images of which it is known by their lineages, too, since
// the manifest may be lost.
func (m *marking) tagsOf(ctx context.Context, d digest.Digest) ([]needy, error) {
	versions := map[digest.Digest]bool{}
	err := m.records.Lineages.Each(ctx, catalog.Prefix[catalog.LineageKey]{},
		func(_ catalog.LineageKey, l *rechunk.Lineage) error {
			for i := range l.Versions {
				for _, t := range catalog.VersionLeads(&l.Versions[i]) {
					if t.Digest == d {
						versions[l.Versions[i].Digest] = true
					}
				}
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	var out []needy
	err = m.records.Tags.Each(ctx, catalog.Prefix[catalog.TagKey]{}, func(key catalog.TagKey, t *catalog.Tag) error {
		has := versions[t.Digest]
		for _, root := range []digest.Digest{t.Digest, t.SourceDigest} {
			names, err := m.names(ctx, root, d)
			if err != nil {
				return err
			}
			has = has || names
		}
		if has {
			out = append(out, needy{key, t})
		}
		return nil
	})
	return out, err
}

// names reports whether an image consists of content, among other.
func (m *marking) names(ctx context.Context, image, d digest.Digest) (has bool, err error) {
	root := catalog.Target{Digest: image, Use: catalog.OriginalLayer, Image: true}
	err = m.follow(ctx, root, m.made, func(t catalog.Target) error {
		has = has || t.Digest == d
		return nil
	})
	return has, err
}

// madeFor reports whether content was made here for a tag's image, and is not the upstream's.
func (m *marking) madeFor(ctx context.Context, t *catalog.Tag, d digest.Digest) (bool, error) {
	if t.Digest == t.SourceDigest {
		return false, nil
	}
	upstreams, err := m.names(ctx, t.SourceDigest, d)
	return !upstreams && err == nil, err
}
