package service

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

// source gives the engine the blobs of an image, each through the shared download, so that they are in the store as they are.
type source struct {
	s    *Service
	repo name.Repository
}

var _ rechunk.Source = source{}

// Blob implements rechunk.Source.
func (src source) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	size, err := src.s.Chunks.Stat(ctx, d.Digest)
	if err == nil && size != d.Size {
		return nil, sizeError(d, size) // dropDamaged finds out whose fault it is
	}
	if err == nil {
		var rc io.ReadCloser
		if rc, err = src.s.blobs.Open(ctx, d.Digest); err == nil {
			return rc, nil
		}
	}
	if !errors.Is(err, chunkstore.ErrNotFound) {
		return nil, err
	}
	b, err := src.s.download(ctx, src.repo, d.Digest, d.Size)
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

// foundDamage reports whether a job failed on a stored blob of its image that is gone now, as it was not what its digest says: either the
// job came upon it, and it was removed where it was read, or it is found here. No others are left in either case.
func (s *Service) foundDamage(ctx context.Context, err error, manifest []byte) bool {
	return s.dropDamaged(ctx, manifest) || errors.Is(err, chunkstore.ErrCorrupt)
}

// dropDamaged removes the stored blobs of an image that are not what their digests say, so that they are fetched again, and reports
// whether there were any. It reads all of them.
func (s *Service) dropDamaged(ctx context.Context, manifest []byte) bool {
	found := false
	for _, d := range blobsOf(manifest) {
		if s.dropIfDamaged(ctx, d) {
			found = true
		}
	}
	return found
}

func (s *Service) dropIfDamaged(ctx context.Context, d digest.Digest) bool {
	if err := s.Chunks.Verify(ctx, d); !errors.Is(err, chunkstore.ErrCorrupt) {
		return false
	}
	s.Logger.WarnContext(ctx, "stored blob is damaged and removed", "digest", d.String())
	if err := s.Chunks.Delete(ctx, d); err != nil {
		s.Logger.ErrorContext(ctx, "damaged blob could not be removed", "digest", d.String(), "error", err)
		return false
	}
	return true
}
