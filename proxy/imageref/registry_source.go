package imageref

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/verify"
)

// registrySource is an image in a registry.
type registrySource struct {
	*registryClient
	manifest
	puller *remote.Puller
}

var _ Source = (*registrySource)(nil)

func openRegistry(ctx context.Context, named string, want platform, opts Options) (*registrySource, error) {
	client, err := newRegistryClient(named, opts)
	if err != nil {
		return nil, err
	}
	puller, err := remote.NewPuller(client.options...)
	if err != nil {
		return nil, err
	}
	s := &registrySource{registryClient: client, puller: puller}
	if err := s.resolve(ctx, want); err != nil {
		return nil, join(err, client.Close())
	}
	return s, nil
}

func (s *registrySource) resolve(ctx context.Context, want platform) error {
	top, err := s.puller.Get(ctx, s.ref)
	if err != nil {
		return s.fail(err)
	}
	res := resolver{want: want, fetch: s.document}
	s.manifest, err = res.image(ctx, string(top.MediaType), top.Manifest)
	return err
}

// document reads a manifest; the library verifies its digest.
func (s *registrySource) document(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	got, err := s.puller.Get(ctx, s.ref.Context().Digest(d.Digest.String()))
	if err != nil {
		return nil, s.fail(err)
	}
	if int64(len(got.Manifest)) != d.Size {
		return nil, fmt.Errorf("%d bytes, not %d: %w", len(got.Manifest), d.Size, verify.ErrMismatch)
	}
	return got.Manifest, nil
}

// Blob implements Source.
func (s *registrySource) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	layer, err := s.puller.Layer(ctx, s.ref.Context().Digest(d.String()))
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, s.fail(err))
	}
	body, err := layer.Compressed()
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, s.fail(err))
	}
	return verified(body, d, size), nil
}
