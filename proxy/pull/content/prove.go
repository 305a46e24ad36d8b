package content

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

// provenAtOnce is how many blobs of an image are fetched at once to prove them.
const provenAtOnce = 3

// Prove sees that a repository was proven to have all of an image before anything is made of it: the engine knows
// layers by their digests, whoever they came from. Images that are not rechunked are left; always says that those are,
// too, that are not bootable.
func (b *Blobs) Prove(ctx context.Context, repo name.Repository, m *registry.Manifest, always bool) error {
	if b.Proofs.Has(ctx, repo, "") { // without rules
		return nil
	}
	parsed, err := image.ParseManifest(m.Bytes)
	if err != nil {
		return nil //nolint:nilerr // the engine says what it makes of it
	}
	rc, err := b.Source(repo).Blob(ctx, parsed.Config)
	if err != nil {
		return fmt.Errorf("fetching the config: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(rc, image.MaxDocument+1))
	if err := rc.Close(); err != nil {
		return fmt.Errorf("fetching the config: %w", err)
	}
	if err != nil {
		return fmt.Errorf("fetching the config: %w", err)
	}
	if config, err := image.ParseConfig(parsed, raw); err != nil || !image.Bootable(config) && !always {
		return nil //nolint:nilerr // likewise
	}
	g, bound := errgroup.WithContext(ctx)
	g.SetLimit(provenAtOnce)
	for _, l := range parsed.Layers {
		g.Go(func() error { return b.Keep(bound, repo, l.Digest, l.Size) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("fetching the layers: %w", err)
	}
	b.Proofs.Image(ctx, repo, m.Digest, false)
	return nil
}
