package artifacts

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk/image"
)

// maxMissed bounds the images that are found at once.
const maxMissed = 4096

// resume finds the images that tags stand for and whose rules ask for artifacts. Those that have them cost a look.
func (a *Artifacts) resume(ctx context.Context) error {
	var missed []published
	seen := map[published]bool{}
	err := a.Records.Tags.Each(ctx, catalog.Prefix[catalog.TagKey]{}, func(key catalog.TagKey, rec *catalog.Tag) error {
		repo, err := name.Parser{}.Repository(key.Repository, "")
		if err != nil || rec.Served != catalog.Rechunked || len(a.Rule(key.Repository).OCIDeltas.Back) == 0 {
			return ctx.Err()
		}
		for _, d := range a.images(ctx, rec) {
			if p := (published{repo, d}); !seen[p] && len(missed) < maxMissed && !a.paused(p) {
				seen[p] = true
				missed = append(missed, p)
			}
		}
		return ctx.Err()
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.missed = missed
	a.Metrics.ArtifactsWaiting(len(a.waiting) + len(a.missed))
	return err
}

// paused reports whether an image is to be tried again later.
func (a *Artifacts) paused(p published) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed.has(p, a.Now())
}

// images lists the image that a tag stands for, or those of its index.
func (a *Artifacts) images(ctx context.Context, rec *catalog.Tag) []digest.Digest {
	if !image.IsIndex(rec.MediaType) {
		return []digest.Digest{rec.Digest}
	}
	raw, err := a.Chunks.Get(ctx, rec.Digest, image.MaxDocument)
	if err != nil {
		return nil
	}
	idx, err := image.ParseIndex(raw)
	if err != nil {
		return nil
	}
	var out []digest.Digest
	for _, c := range idx.Images(nil) {
		out = append(out, c.Digest)
	}
	return out
}
