package service

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/flight"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// StatBlob implements registry.Blobs. A blob that is not stored is asked for by HEAD, never downloaded; one that is on its way is not
// asked for again.
func (s *Service) StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	n, err := s.Chunks.Stat(ctx, d)
	if errors.Is(err, chunkstore.ErrNotFound) {
		n, err = s.statUpstream(ctx, repo, d)
	}
	return n, s.blobError(repo, err)
}

func (s *Service) statUpstream(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	if n, ok := s.flights.Size(d); ok {
		return n, nil
	}
	return shared(ctx, s, &s.stats, repo.String()+"@"+d.String(), func(ctx context.Context) (int64, error) {
		return s.Upstream.StatBlob(ctx, repo, d)
	})
}

// OpenBlob implements registry.Blobs: from the store, or by the one download that all who want the blob share.
func (s *Service) OpenBlob(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error) {
	c, err := s.Chunks.Open(ctx, d)
	if err == nil {
		return s.stored(ctx, repo, d, c), nil
	}
	if !errors.Is(err, chunkstore.ErrNotFound) {
		return nil, s.blobError(repo, err)
	}
	b, err := s.download(ctx, repo, d, -1)
	if err != nil {
		return nil, s.blobError(repo, err)
	}
	return b, nil
}

// blobError is clientError for blobs.
func (s *Service) blobError(repo name.Repository, err error) error {
	if isNotFound(err) {
		s.losses.note(repo, s.Now())
	}
	return clientError(err, registry.BlobUnknown)
}

// download opens a blob while it is being fetched. size is what a manifest says, -1 when unknown.
func (s *Service) download(ctx context.Context, repo name.Repository, d digest.Digest, size int64) (registry.Blob, error) {
	r, err := s.flights.Open(ctx, d, s.fetch(repo, d, size))
	if errors.Is(err, flight.ErrStored) {
		c, err := s.Chunks.Open(ctx, d)
		if err != nil {
			return nil, err
		}
		return s.stored(ctx, repo, d, c), nil
	}
	if errors.Is(err, flight.ErrNoSpace) {
		s.Logger.DebugContext(ctx, "blob is passed on without being kept", "digest", d.String(), "error", err)
		return s.through(ctx, repo, d, size)
	}
	if err != nil {
		return nil, err
	}
	n, err := r.Size()
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &incomingBlob{Reader: r, ctx: ctx, s: s, repo: repo, key: d, size: n}, nil
}

// fetch gets a blob from the upstream.
func (s *Service) fetch(repo name.Repository, d digest.Digest, size int64) flight.Fetch {
	return func(ctx context.Context) (io.ReadCloser, int64, error) {
		// Another download may have ended since the caller looked.
		if _, err := s.Chunks.Stat(ctx, d); err == nil {
			return nil, 0, flight.ErrStored
		}
		release, finished := s.turn(ctx, "blob "+d.String(), blobPatience, func(ctx context.Context) bool {
			_, err := s.Chunks.Stat(ctx, d)
			return err == nil
		})
		if finished {
			return nil, 0, flight.ErrStored
		}
		rc, n, err := s.Upstream.Blob(ctx, repo, d, size)
		if err != nil {
			release()
			return nil, 0, err
		}
		// The turn ends when the download has, and the store has the blob.
		s.wg.Add(1)
		context.AfterFunc(ctx, func() {
			defer s.wg.Done()
			release()
		})
		return rc, n, nil
	}
}

func (s *Service) storedOrigin(d digest.Digest) registry.Origin {
	if s.madeBlobs.has(d) {
		return registry.MadeHere
	}
	return registry.FromStore
}

// storedBlob is a blob from the store.
type storedBlob struct {
	*chunkstore.Content
	origin registry.Origin
}

var _ registry.FileBlob = storedBlob{}

// Origin implements registry.Blob.
func (b storedBlob) Origin() registry.Origin { return b.origin }
