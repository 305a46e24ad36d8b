package trust

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/verify"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk/image"
)

// maxEvidence bounds what is kept about one image, in bytes, and what a check remembers.
const maxEvidence = image.MaxDocument

// witness is the source of one check of signatures, and remembers what that saw. It is for one goroutine.
type witness struct {
	verify.Source
	repo      name.Repository
	tags      map[name.Reference]*client.Manifest // nil for what there is none of
	lists     map[digest.Digest][]byte            // likewise
	manifests map[digest.Digest]client.Manifest
	blobs     map[digest.Digest][]byte
	room      int
}

func newWitness(of verify.Source, repo name.Repository) *witness {
	return &witness{Source: of, repo: repo, tags: map[name.Reference]*client.Manifest{}, lists: map[digest.Digest][]byte{},
		manifests: map[digest.Digest]client.Manifest{}, blobs: map[digest.Digest][]byte{}, room: maxEvidence}
}

// fits reports whether some bytes may be remembered.
func (w *witness) fits(b []byte) bool {
	if len(b) > w.room {
		return false
	}
	w.room -= len(b)
	return true
}

// Manifest implements verify.Source, and so do the next two.
func (w *witness) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (client.Manifest, error) {
	m, err := w.Source.Manifest(ctx, repo, ref)
	switch {
	case upstream.Is(err, upstream.NotFound) && !ref.IsDigest():
		w.tags[ref] = nil
	case err != nil || m.MediaType != ocispec.MediaTypeImageManifest || !w.fits(m.Bytes):
	case ref.IsDigest():
		w.manifests[m.Digest] = m
	default:
		w.tags[ref] = &m
	}
	return m, err
}

// Referrers remembers a list.
func (w *witness) Referrers(ctx context.Context, repo name.Repository, d digest.Digest, artifactType string) ([]byte, bool,
	error) {
	list, filtered, err := w.Source.Referrers(ctx, repo, d, artifactType)
	switch {
	case upstream.Is(err, upstream.NotFound):
		w.lists[d] = nil
	case err == nil && !filtered && w.fits(list):
		w.lists[d] = list
	}
	return list, filtered, err
}

// Blob remembers a blob that is small, and reads that one at once.
func (w *witness) Blob(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64,
	error) {
	if b, ok := w.blobs[d]; ok {
		return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
	}
	rc, n, err := w.Source.Blob(ctx, repo, d, size)
	if err != nil || size < 0 || size > bundle.MaxBundle {
		return rc, n, err
	}
	b, err := io.ReadAll(io.LimitReader(rc, bundle.MaxBundle+1))
	if cerr := rc.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading %s: %w", d, err)
	}
	if int64(len(b)) == size && d.Algorithm().FromBytes(b) == d && w.fits(b) {
		w.blobs[d] = b
	}
	return io.NopCloser(bytes.NewReader(b)), n, nil
}

// about returns what was seen about an image, and the documents of that. What is not whole is left out.
func (w *witness) about(ctx context.Context, d digest.Digest) (rec catalog.Evidence, documents []image.Document) {
	room := maxEvidence
	add := func(more []image.Document) bool {
		n := room
		for _, doc := range more {
			n -= len(doc.Bytes)
		}
		if len(more) == 0 || n < 0 {
			return false
		}
		room, documents = n, append(documents, more...)
		return true
	}
	if m, asked := w.tags[name.TagAbout(d, ".sig")]; asked && m == nil {
		rec.Absent = append(rec.Absent, ".sig")
	} else if asked && add(w.whole(ctx, *m)) {
		rec.Image = m.Digest
	}
	list, asked := w.lists[d]
	if !asked {
		return rec, documents
	}
	idx, err := image.ParseLayout(list)
	if err != nil || len(idx.Manifests()) == 0 {
		rec.Absent = append(rec.Absent, "")
		return rec, documents
	}
	for _, r := range idx.Manifests() {
		if m, seen := w.manifests[r.Digest]; seen && len(rec.Bundles) < maxAboutParts && add(w.whole(ctx, m)) {
			rec.Bundles = append(rec.Bundles, r.Digest)
		}
	}
	if listed := (image.Document{Digest: digest.FromBytes(list), Bytes: list}); add([]image.Document{listed}) {
		rec.Referrers = listed.Digest
	} else {
		rec.Bundles = nil
	}
	return rec, documents
}

// whole returns a manifest of signatures or bundles with all that it names; what the check did not ask for is fetched. It
// returns nothing of one of which a part is missing, or that is none.
func (w *witness) whole(ctx context.Context, m client.Manifest) []image.Document {
	doc, err := image.ReadManifest(m.Bytes)
	if err != nil || !aboutLayers(doc.Layers) {
		return nil
	}
	out := []image.Document{{MediaType: m.MediaType, Digest: m.Digest, Bytes: m.Bytes}}
	var total int64
	for _, l := range append([]ocispec.Descriptor{doc.Config}, doc.Layers...) {
		if total += l.Size; l.Size > bundle.MaxBundle || total > maxEvidence {
			return nil
		}
		b, err := w.read(ctx, l)
		if err != nil {
			return nil
		}
		out = append(out, image.Document{MediaType: l.MediaType, Digest: l.Digest, Bytes: b})
	}
	return out
}

// read returns the bytes of a blob that is small.
func (w *witness) read(ctx context.Context, of ocispec.Descriptor) ([]byte, error) {
	if of.Digest == ocispec.DescriptorEmptyJSON.Digest {
		return ocispec.DescriptorEmptyJSON.Data, nil
	}
	rc, _, err := w.Blob(ctx, w.repo, of.Digest, of.Size)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, of.Size+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != of.Size || of.Digest.Algorithm().FromBytes(b) != of.Digest {
		return nil, fmt.Errorf("%s: %w", of.Digest, catalog.ErrDamaged)
	}
	return b, nil
}
