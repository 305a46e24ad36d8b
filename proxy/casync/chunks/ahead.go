package chunks

import (
	"context"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk/image"
)

// Published is told of an image that was made just now. Its chunks are made before clients ask for them, where they are
// to be made ahead and there is no crowd of those who ask. It does not wait.
func (c *Chunks) Published(repo name.Repository, manifest digest.Digest) {
	s := c.Settings()
	if !s.On || len(s.Sizes) == 0 || c.waiting.Load() > maxWaiting/2 {
		return
	}
	c.Work.Go("chunks ahead", func(ctx context.Context) { _ = c.Ahead(ctx, repo, manifest) })
}

// Ahead makes the chunks of an image that nobody has asked for yet, and waits for them: in the sizes that clients ask
// the repository for, and, where the settings say so, in that by default. What cannot be cut is logged, and no error:
// it is served otherwise. An index has none, its images do.
func (c *Chunks) Ahead(ctx context.Context, repo name.Repository, manifest digest.Digest) error {
	s := c.Settings()
	if !s.On || len(s.Sizes) == 0 {
		return nil
	}
	wanted, err := c.wanted(ctx, repo, s)
	for _, sizes := range wanted {
		if err == nil {
			err = c.ahead(ctx, repo, manifest, sizes)
		}
	}
	if err != nil && ctx.Err() == nil {
		c.Logger.InfoContext(ctx, "chunks were not made ahead", "repository", repo.String(), "image", manifest.String(),
			"error", err)
	}
	return ctx.Err()
}

// wanted are the sizes in which chunks are made ahead.
func (c *Chunks) wanted(ctx context.Context, repo name.Repository, s Settings) ([]casync.Sizes, error) {
	asked := map[string]bool{}
	err := c.Records.ChunkIndexes.List(ctx, catalog.ChunkIndexesOf(repo.String()),
		func(k catalog.ChunkIndexKey, _ time.Time) error {
			asked[k.Sizes] = true
			return nil
		})
	wanted := slices.Clone(s.Sizes)
	first := wanted[0]
	return slices.DeleteFunc(wanted, func(size casync.Sizes) bool {
		return !asked[size.String()] && !(s.Always && size == first)
	}), err
}

func (c *Chunks) ahead(ctx context.Context, repo name.Repository, manifest digest.Digest, s casync.Sizes) error {
	m, err := c.Manifests.Get(ctx, repo, manifest)
	if err != nil || image.IsIndex(m.MediaType) {
		return err
	}
	key := catalog.ChunkIndexKey{ContentKey: catalog.ContentKey{Repository: repo.String(), Digest: manifest},
		Sizes: s.String()}
	t, err := c.load(ctx, key)
	if err != nil || t != nil {
		return err
	}
	_, err = c.make(ctx, repo, key, m.Bytes, nil)
	return err
}
