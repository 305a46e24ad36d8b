package service

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// StatBlob implements registry.Blobs. A blob that is not stored is asked for by HEAD, never downloaded.
func (s *Service) StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	n, err := s.Chunks.Stat(ctx, d)
	if errors.Is(err, chunkstore.ErrNotFound) {
		n, err = s.Upstream.StatBlob(ctx, repo, d)
	}
	return n, clientError(err, registry.BlobUnknown)
}

// OpenBlob implements registry.Blobs: from the store, or by the one download that all who want the blob share.
func (s *Service) OpenBlob(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error) {
	c, err := s.Chunks.Open(ctx, d)
	if err == nil {
		s.Metrics.Hit(metrics.KindBlob)
		return c, nil
	}
	if !errors.Is(err, chunkstore.ErrNotFound) {
		return nil, clientError(err, registry.BlobUnknown)
	}
	s.Metrics.Miss(metrics.KindBlob)
	b, err := s.download(ctx, repo, d, -1)
	return b, clientError(err, registry.BlobUnknown)
}

// download opens a blob while it is being fetched. size is what a manifest says, -1 when unknown.
func (s *Service) download(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (registry.Blob, error) {
	r, err := s.flights.Open(ctx, d, func(ctx context.Context) (io.ReadCloser, int64, error) {
		// Another download may have ended since the caller looked.
		if _, err := s.Chunks.Stat(ctx, d); err == nil {
			return nil, 0, flight.ErrStored
		}
		return s.Upstream.Blob(ctx, repo, d, size)
	})
	if errors.Is(err, flight.ErrStored) {
		c, err := s.Chunks.Open(ctx, d)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	n, err := r.Size()
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return running{r, n}, nil
}

// running is a blob that is still on its way.
type running struct {
	*flight.Reader
	size int64
}

func (r running) Size() int64 { return r.size }
