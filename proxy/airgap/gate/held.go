package gate

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/airgap"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/tags"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/trust/verify"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
)

// held is what there is once a file has come in: what it holds, and what the store has else.
type held struct {
	file    airgap.Held
	chunks  *chunkstore.Store
	records *catalog.Records
}

var (
	_ tags.Manifests = (*held)(nil)
	_ rechunk.Source = (*held)(nil)
)

// missing is what a registry says of what it does not have.
func missing() error { return &upstream.Error{Kind: upstream.NotFound} }

// Get implements tags.Manifests, and so do the next three.
func (h *held) Get(ctx context.Context, _ name.Repository, d digest.Digest) (*registry.Manifest, error) {
	if doc, source, ok := h.file.Document(d); ok {
		out := &registry.Manifest{MediaType: doc.MediaType, Digest: d, Bytes: doc.Bytes, Source: source,
			Served: registry.Original, Origin: registry.FromStore}
		if source != d {
			out.Served, out.Origin = registry.Rechunked, registry.MadeHere
		}
		return out, nil
	}
	rec, err := h.records.Manifests.Get(ctx, d)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, missing()
	}
	b, err := h.bytes(ctx, d)
	if err != nil {
		return nil, err
	}
	out := &registry.Manifest{MediaType: rec.MediaType, Digest: d, Bytes: b, Source: rec.Source, Served: registry.Original,
		Origin: registry.FromStore}
	if rec.Served == catalog.Rechunked {
		out.Served, out.Origin = registry.Rechunked, registry.MadeHere
	}
	return out, nil
}

func (h *held) bytes(ctx context.Context, d digest.Digest) ([]byte, error) {
	b, err := h.chunks.Get(ctx, d, image.MaxDocument)
	if errors.Is(err, chunkstore.ErrNotFound) {
		return nil, missing()
	}
	return b, err
}

// Stored returns what the file or the store has, or nil.
func (h *held) Stored(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error) {
	m, err := h.Get(ctx, repo, d)
	if upstream.Absent(err) {
		return nil, nil
	}
	return m, err
}

// Proven returns the bytes of a manifest: who brings a file may have all of it.
func (h *held) Proven(ctx context.Context, repo name.Repository, d digest.Digest) ([]byte, error) {
	m, err := h.Get(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	return m.Bytes, nil
}

// Whole says that all is there: it was stored before any tag moves.
func (*held) Whole(context.Context, string, []byte) bool { return true }

// Blob implements rechunk.Source.
func (h *held) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	return h.open(ctx, d.Digest, d.Size)
}

// open opens a blob that verifies itself.
func (h *held) open(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	rc, err := h.file.Blob(ctx, d, size)
	if !errors.Is(err, airgap.ErrNotHeld) {
		return rc, err
	}
	stored, err := h.chunks.Open(ctx, d)
	if errors.Is(err, chunkstore.ErrNotFound) {
		return nil, missing()
	}
	if err != nil {
		return nil, err
	}
	return airgap.Verified(stored, d, size), nil
}

// source is held as signatures are looked for in it.
type source struct{ *held }

var _ verify.Source = source{}

// Manifest implements verify.Source, and so do the next two. What a tag stands for in the file comes first, since that is
// what it will stand for.
func (s source) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (client.Manifest, error) {
	d := digest.Digest(ref)
	if !ref.IsDigest() {
		var ok bool
		if d, ok = s.file.Tag(repo, ref); !ok {
			rec, err := s.records.Tags.Get(ctx, catalog.TagKey{Repository: repo.String(), Tag: string(ref)})
			if err != nil {
				return client.Manifest{}, err
			}
			if rec == nil {
				return client.Manifest{}, missing()
			}
			d = rec.SourceDigest
		}
	}
	m, err := s.Get(ctx, repo, d)
	if err != nil {
		return client.Manifest{}, err
	}
	return client.Manifest{MediaType: m.MediaType, Digest: d, Bytes: m.Bytes}, nil
}

// Referrers returns the list of the file, or that which was imported before.
func (s source) Referrers(ctx context.Context, repo name.Repository, d digest.Digest, _ string) ([]byte, bool, error) {
	list, err := s.file.Referrers(ctx, repo, d)
	if err != nil || list != nil {
		return list, false, err
	}
	m, err := s.Manifest(ctx, repo, name.TagAbout(d, ""))
	return m.Bytes, false, err
}

// Blob opens a blob.
func (s source) Blob(ctx context.Context, _ name.Repository, d digest.Digest, size int64) (io.ReadCloser, int64, error) {
	rc, err := s.open(ctx, d, size)
	return rc, size, err
}
