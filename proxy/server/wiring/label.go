package wiring

import (
	"context"
	"encoding/json"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/legible"
)

// mostLabels is how many images' labels are remembered.
const mostLabels = 4096

// labels know what stored images call themselves. They are safe for concurrent use.
type labels struct {
	chunks *chunkstore.Store
	known  *lru.Cache[digest.Digest, string] // of images whose documents were read, which never change
}

func newLabels(chunks *chunkstore.Store) *labels {
	known, _ := lru.New[digest.Digest, string](mostLabels) // which fails for sizes that are not positive only
	return &labels{chunks, known}
}

// of is the version that an image calls itself, in its manifest or else in its config, or that of an index's first image;
// "" where that is not stored, or not said. It is a line of at most catalog.MaxFleetLabel bytes, without control characters.
func (l *labels) of(ctx context.Context, _ string, d digest.Digest) string {
	if label, ok := l.known.Get(d); ok {
		return label
	}
	label, ok := l.read(ctx, d)
	if ok {
		l.known.Add(d, label)
	}
	return label
}

// read is of without memory; ok is false where not all that might say it is stored.
func (l *labels) read(ctx context.Context, d digest.Digest) (_ string, ok bool) {
	for range 2 { // an index, and an image
		var m struct {
			Annotations map[string]string
			Config      ocispec.Descriptor
			Manifests   []ocispec.Descriptor
		}
		if l.document(ctx, d, &m) != nil {
			return "", false
		}
		if v := m.Annotations[ocispec.AnnotationVersion]; v != "" {
			return line(v), true
		}
		if len(m.Manifests) > 0 {
			d = m.Manifests[0].Digest
			continue
		}
		var c ocispec.Image
		if m.Config.Digest == "" || l.document(ctx, m.Config.Digest, &c) != nil {
			return "", false
		}
		return line(c.Config.Labels[ocispec.AnnotationVersion]), true
	}
	return "", true
}

// line makes a text that came with an image one that terminals and tables can show.
func line(label string) string {
	return legible.Clip(strings.TrimSpace(label), catalog.MaxFleetLabel)
}

// document reads a stored document.
func (l labels) document(ctx context.Context, d digest.Digest, into any) error {
	b, err := l.chunks.Get(ctx, d, image.MaxDocument)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}
