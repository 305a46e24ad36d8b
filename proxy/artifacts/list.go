package artifacts

import (
	"context"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk/delta/ocidelta"
	"github.com/strata-oci/strata/rechunk/image"
)

// maxListed bounds the artifacts of one image that are listed.
const maxListed = 64

// Referrers lists the artifacts that lead to an image, as far as the repository may serve them and all of them is there.
func (a *Artifacts) Referrers(ctx context.Context, repo name.Repository, d digest.Digest) ([]ocispec.Descriptor, error) {
	var out []ocispec.Descriptor
	err := a.Records.Artifacts.Each(ctx, catalog.ArtifactsOf(d), func(_ catalog.ArtifactKey, rec *catalog.Artifact) error {
		if len(out) == maxListed || !a.Proofs.Has(ctx, repo, rec.Digest) {
			return ctx.Err()
		}
		if m := a.read(ctx, rec); m != nil {
			out = append(out, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: rec.Digest,
				Size:         rec.Size,
				ArtifactType: rec.Type, Annotations: m.Annotations()})
		}
		return ctx.Err()
	})
	return out, err
}

// read returns an artifact all of whose blobs are stored, or nil.
func (a *Artifacts) read(ctx context.Context, rec *catalog.Artifact) *ocidelta.Artifact {
	raw, err := a.Chunks.Get(ctx, rec.Digest, image.MaxDocument)
	if err != nil {
		return nil
	}
	m, err := ocidelta.Parse(raw)
	if err != nil {
		return nil
	}
	for _, l := range m.Layers {
		if _, err := a.Chunks.Stat(ctx, l.Blob.Digest); err != nil {
			return nil
		}
	}
	return m
}
