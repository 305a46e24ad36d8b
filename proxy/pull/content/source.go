package content

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk"
)

// Source returns a repository's blobs as the engine reads them, each through the shared download, so that they are in
// the store as they are.
func (b *Blobs) Source(repo name.Repository) rechunk.Source { return source{b, repo} }

type source struct {
	blobs *Blobs
	repo  name.Repository
}

// Blob implements rechunk.Source.
func (s source) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	size, err := int64(0), error(chunkstore.ErrNotFound)
	if s.blobs.Proofs.Has(ctx, s.repo, d.Digest) {
		size, err = s.blobs.Chunks.Stat(ctx, d.Digest)
	}
	if err == nil && size != d.Size {
		return nil, sizeError(d, size) // DropDamaged finds out whose fault it is
	}
	if err == nil {
		var rc io.ReadCloser
		if rc, err = s.blobs.State.Open(ctx, d.Digest); err == nil {
			return rc, nil
		}
	}
	if !errors.Is(err, chunkstore.ErrNotFound) {
		return nil, err
	}
	b, err := s.blobs.download(ctx, s.repo, d.Digest, d.Size)
	if err != nil {
		return nil, err
	}
	if b.Size() != d.Size {
		return nil, errors.Join(sizeError(d, b.Size()), b.Close())
	}
	return b, nil
}

func sizeError(d ocispec.Descriptor, size int64) error {
	return fmt.Errorf("blob %s has %d bytes, its manifest says %d", d.Digest, size, d.Size)
}

// DropDamaged puts the stored blobs of an image aside that are not what their digests say, so that they are fetched
// again, and reports whether there were any. It reads all of them.
func (b *Blobs) DropDamaged(ctx context.Context, manifest []byte) bool {
	found := false
	for _, d := range BlobsOf(manifest) {
		if b.dropIfDamaged(ctx, d) {
			found = true
		}
	}
	return found
}

func (b *Blobs) dropIfDamaged(ctx context.Context, d digest.Digest) bool {
	err := b.Chunks.Verify(ctx, d)
	return errors.Is(err, chunkstore.ErrCorrupt) && b.State.Quarantine(ctx, d, err) == nil
}
