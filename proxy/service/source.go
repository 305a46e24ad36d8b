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
	c, err := src.s.Chunks.Open(ctx, d.Digest)
	if err == nil {
		if c.Size() != d.Size {
			return nil, errors.Join(fmt.Errorf("blob %s has %d bytes, its manifest says %d", d.Digest, c.Size(), d.Size), c.Close())
		}
		return &stored{ReadCloser: c, want: d.Digest, sum: d.Digest.Verifier()}, nil
	}
	if !errors.Is(err, chunkstore.ErrNotFound) {
		return nil, err
	}
	return src.s.download(ctx, src.repo, d.Digest, d.Size)
}

// stored verifies what the store returns: disks rot.
type stored struct {
	io.ReadCloser
	want digest.Digest
	sum  digest.Verifier
}

func (v *stored) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	if _, werr := v.sum.Write(p[:n]); werr != nil {
		return n, werr
	}
	if err == io.EOF && !v.sum.Verified() {
		return n, fmt.Errorf("stored blob %s: %w", v.want, chunkstore.ErrCorrupt)
	}
	return n, err
}
