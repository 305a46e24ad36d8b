package imageref

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/verify"
)

// registryDestination writes an image into a registry.
type registryDestination struct {
	*registryClient
	puller *remote.Puller
	pusher *remote.Pusher
}

var _ Destination = (*registryDestination)(nil)

func createRegistry(named string, opts Options) (*registryDestination, error) {
	client, err := newRegistryClient(named, opts)
	if err != nil {
		return nil, err
	}
	puller, err := remote.NewPuller(client.options...)
	if err != nil {
		return nil, err
	}
	pusher, err := remote.NewPusher(client.options...)
	if err != nil {
		return nil, err
	}
	return &registryDestination{registryClient: client, puller: puller, pusher: pusher}, nil
}

// Has implements Destination. Registries answer for repositories that don't exist yet, or that may only be written to, as if
// access was denied; then Has says no, and PutBlob, with the rights to push, finds out.
func (r *registryDestination) Has(ctx context.Context, d digest.Digest) (bool, error) {
	if err := checkDigest(d); err != nil {
		return false, err
	}
	layer, err := r.puller.Layer(ctx, r.ref.Context().Digest(d.String()))
	if err == nil {
		_, err = layer.Size() // a HEAD request
	}
	var answer *transport.Error
	if errors.As(err, &answer) {
		switch answer.StatusCode {
		case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden:
			return false, nil
		}
	}
	if err != nil {
		return false, fmt.Errorf("blob %s: %w", d, r.fail(err))
	}
	return true, nil
}

// PutBlob implements Destination. The blob is streamed: memory doesn't grow with it. When the connection breaks it is sent
// again if r is an io.Seeker.
func (r *registryDestination) PutBlob(ctx context.Context, desc ocispec.Descriptor, content io.Reader) error {
	if err := checkDigest(desc.Digest); err != nil {
		return err
	}
	u, err := newUpload(desc, content)
	if err != nil {
		return err
	}
	err = r.pusher.Upload(ctx, r.ref.Context(), u)
	u.end()
	if err != nil {
		return fmt.Errorf("blob %s: %w", desc.Digest, r.fail(err))
	}
	return nil
}

// PutManifest implements Destination.
func (r *registryDestination) PutManifest(ctx context.Context, mediaType string, raw []byte) error {
	m, _, err := identify(mediaType, raw)
	if err != nil {
		return err
	}
	if d, ok := r.ref.(name.Digest); ok && d.DigestStr() != m.digest.String() {
		return fmt.Errorf("manifest has the digest %s: %w; give a tag instead", m.digest, verify.ErrMismatch)
	}
	return r.fail(r.pusher.Put(ctx, r.ref, taggable{m}))
}

// taggable is a manifest in the library's terms.
type taggable struct{ m manifest }

func (t taggable) RawManifest() ([]byte, error)        { return t.m.raw, nil }
func (t taggable) MediaType() (types.MediaType, error) { return types.MediaType(t.m.mediaType), nil }
