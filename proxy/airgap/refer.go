package airgap

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
)

// refer makes the tags that the OCI distribution specification falls back to for lists of referrers, sha256-HEX, of what the
// file holds.
func (l *load) refer(ctx context.Context) error {
	lists := map[about][]ocispec.Descriptor{}
	var order []about
	for _, e := range l.entries {
		if e.doc.doc.Manifest == nil || e.doc.doc.Manifest.Subject == nil {
			continue
		}
		m := e.doc.doc.Manifest
		key := about{e.repo, m.Subject.Digest}
		d := ocispec.Descriptor{MediaType: e.doc.MediaType, Digest: e.doc.Digest, Size: e.doc.Size,
			ArtifactType: m.ArtifactType, Annotations: m.Annotations}
		if d.ArtifactType == "" {
			d.ArtifactType = m.Config.MediaType
		}
		if !slices.Contains(order, key) {
			order = append(order, key)
		}
		lists[key] = append(lists[key], d)
	}
	bare, err := l.bare(ctx)
	if err != nil {
		return err
	}
	for _, key := range bare {
		if !slices.Contains(order, key) {
			order = append(order, key)
		}
	}
	for _, key := range order {
		if err := l.list(ctx, key.repo, key.subject, lists[key]); err != nil {
			return err
		}
	}
	return nil
}

// about is what a list of referrers is of.
type about struct {
	repo    name.Repository
	subject digest.Digest
}

// bare lists the sources without a list of what refers to them: that nothing does is known, too.
func (l *load) bare(ctx context.Context) ([]about, error) {
	var out []about
	for _, e := range l.entries {
		for _, d := range l.below(e.doc) {
			source := l.sources[d]
			if source == nil {
				continue
			}
			tag := catalog.TagKey{Repository: e.repo.String(), Tag: fallback(source.Digest)}
			have, err := l.Records.Tags.Get(ctx, tag)
			if err != nil {
				return nil, err
			}
			if have == nil {
				out = append(out, about{e.repo, source.Digest})
			}
		}
	}
	return out, nil
}

// fallback is the tag of the list of what refers to a manifest.
func fallback(subject digest.Digest) string {
	return string(name.TagAbout(subject, ""))
}

// list stores a list of referrers under its tag.
func (l *load) list(ctx context.Context, repo name.Repository, subject digest.Digest, of []ocispec.Descriptor) error {
	if of == nil {
		of = []ocispec.Descriptor{}
	}
	raw, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: of})
	if err != nil {
		return err
	}
	d, err := l.Chunks.Put(ctx, raw)
	if err != nil {
		return err
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: d, Size: int64(len(raw))}
	if err := l.describe(ctx, desc); err != nil {
		return err
	}
	proof := &catalog.Proof{At: l.Now(), All: true}
	if err := l.Records.Proofs.Put(ctx, catalog.ContentKey{Repository: repo.String(), Digest: d}, proof); err != nil {
		return err
	}
	return l.tag(ctx, repo, fallback(subject), desc)
}
