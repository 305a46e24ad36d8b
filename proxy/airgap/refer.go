package airgap

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk/image"
)

// refer makes the tags that the OCI distribution specification falls back to for lists of referrers, sha256-HEX, of what the
// file holds.
func (l *load) refer(ctx context.Context) error {
	var order []about
	for _, e := range l.entries {
		if subject := e.subject(); subject != "" && !slices.Contains(order, about{e.repo, subject}) {
			order = append(order, about{e.repo, subject})
		}
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
		raw, err := l.listed(ctx, key)
		if err == nil && raw == nil {
			raw, err = listOf([]ocispec.Descriptor{})
		}
		if err == nil {
			err = l.list(ctx, key, raw)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// subject is what an entry says that it refers to, or empty.
func (p placed) subject() digest.Digest {
	if p.doc.doc.Manifest == nil || p.doc.doc.Manifest.Subject == nil {
		return ""
	}
	return p.doc.doc.Manifest.Subject.Digest
}

// listed is the list of what refers to a manifest as it is after the import: by the file, and by what was imported before.
// It is nil where the file says nothing.
func (l *load) listed(ctx context.Context, key about) ([]byte, error) {
	var all []ocispec.Descriptor
	for _, e := range l.entries {
		if e.repo != key.repo || e.subject() != key.subject || key.subject == "" {
			continue
		}
		m := e.doc.doc.Manifest
		all = append(all, ocispec.Descriptor{MediaType: e.doc.MediaType, Digest: e.doc.Digest, Size: e.doc.Size,
			ArtifactType: cmp.Or(m.ArtifactType, m.Config.MediaType), Annotations: m.Annotations})
	}
	if all == nil {
		return nil, nil
	}
	before, err := l.listedBefore(ctx, key)
	if err != nil {
		return nil, err
	}
	for _, d := range before {
		if !slices.ContainsFunc(all, func(have ocispec.Descriptor) bool { return have.Digest == d.Digest }) {
			all = append(all, d)
		}
	}
	return listOf(all[:min(len(all), maxDocuments)])
}

// listedBefore is the list that the store has: what was imported or pulled, or what is kept of the upstream's. One that
// cannot be read is none.
func (l *load) listedBefore(ctx context.Context, key about) ([]ocispec.Descriptor, error) {
	rec, err := l.Records.Tags.Get(ctx, catalog.TagKey{Repository: key.repo.String(), Tag: fallback(key.subject)})
	if err != nil {
		return nil, err
	}
	var raw []byte
	if rec != nil {
		raw, err = l.Chunks.Get(ctx, rec.Digest, image.MaxDocument)
	} else {
		raw, err = l.keptList(ctx, key)
	}
	if errors.Is(err, chunkstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	idx, err := image.ParseLayout(raw)
	if err != nil {
		return nil, nil //nolint:nilerr // it is made anew
	}
	return idx.Manifests(), nil
}

// keptList is the list that an image was seen with when it passed, or nil.
func (l *load) keptList(ctx context.Context, key about) ([]byte, error) {
	rec, err := l.Records.Evidence.Get(ctx, catalog.ContentKey{Repository: key.repo.String(), Digest: key.subject})
	if rec == nil || err != nil || rec.Referrers == "" {
		return nil, err
	}
	i := slices.IndexFunc(rec.Documents, func(p catalog.Packed) bool { return p.Digest == rec.Referrers })
	if i < 0 {
		return nil, nil
	}
	pack, err := l.Chunks.Get(ctx, rec.Pack, image.MaxDocument)
	if err != nil {
		return nil, err
	}
	list, err := rec.Documents[i].In(pack)
	if err != nil {
		return nil, nil //nolint:nilerr // it is made anew
	}
	return list, nil
}

func listOf(all []ocispec.Descriptor) ([]byte, error) {
	return json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: all})
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
func (l *load) list(ctx context.Context, key about, raw []byte) error {
	d, err := l.Chunks.Put(ctx, raw)
	if err != nil {
		return err
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: d, Size: int64(len(raw))}
	if err := l.describe(ctx, desc); err != nil {
		return err
	}
	proof := &catalog.Proof{At: l.Now(), All: true}
	if err := l.Records.Proofs.Put(ctx, catalog.ContentKey{Repository: key.repo.String(), Digest: d}, proof); err != nil {
		return err
	}
	doc := Document{desc, raw}
	return l.Gate.Bring(ctx, Brought{key.repo, name.Reference(fallback(key.subject)), doc, doc})
}
