package wiring

import (
	"context"
	"encoding/json"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/rechunk/image"
)

// labels know what stored images call themselves.
type labels struct{ chunks *chunkstore.Store }

// of is the version that an image calls itself, in its manifest or else in its config, or that of an index's first image;
// "" where that is not stored, or not said.
func (l labels) of(ctx context.Context, _ string, d digest.Digest) string {
	for range 2 { // an index, and an image
		var m struct {
			Annotations map[string]string
			Config      ocispec.Descriptor
			Manifests   []ocispec.Descriptor
		}
		if l.document(ctx, d, &m) != nil {
			return ""
		}
		if v := m.Annotations[ocispec.AnnotationVersion]; v != "" {
			return v
		}
		if len(m.Manifests) > 0 {
			d = m.Manifests[0].Digest
			continue
		}
		var c ocispec.Image
		if m.Config.Digest == "" || l.document(ctx, m.Config.Digest, &c) != nil {
			return ""
		}
		return c.Config.Labels[ocispec.AnnotationVersion]
	}
	return ""
}

// document reads a stored document.
func (l labels) document(ctx context.Context, d digest.Digest, into any) error {
	b, err := l.chunks.Get(ctx, d, image.MaxDocument)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}
