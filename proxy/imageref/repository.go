package imageref

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/verify"
)

// Repository is one in a registry, for who reads more of it than one image. It is safe for concurrent use.
type Repository struct {
	client *registryClient
	puller *remote.Puller
}

// OpenRepository returns the repository that a reference of a registry is in. The caller closes it.
func OpenRepository(r Ref, opts Options) (*Repository, error) {
	if r.kind != kindRegistry {
		return nil, fmt.Errorf("%s is in no registry", r)
	}
	client, err := newRegistryClient(r.named, opts)
	if err != nil {
		return nil, r.describe("open", err)
	}
	puller, err := remote.NewPuller(client.options...)
	if err != nil {
		return nil, r.describe("open", err)
	}
	return &Repository{client, puller}, nil
}

// Impatient returns the repository for who does not ask again where the registry answers that it can't serve now. It has the
// connections of r, which is closed for both.
func (r *Repository) Impatient() (*Repository, error) {
	client := *r.client
	client.options = append(slices.Clone(client.options), remote.WithRetryStatusCodes())
	puller, err := remote.NewPuller(client.options...)
	if err != nil {
		return nil, err
	}
	return &Repository{&client, puller}, nil
}

// Named returns what the reference itself stands for.
func (r *Repository) Named(ctx context.Context) (ocispec.Descriptor, []byte, error) {
	got, err := r.puller.Get(ctx, r.client.ref)
	if err != nil {
		return ocispec.Descriptor{}, nil, r.client.fail(err)
	}
	return described(got)
}

// Tag returns what a tag stands for, or ErrNotFound.
func (r *Repository) Tag(ctx context.Context, tag string) (ocispec.Descriptor, []byte, error) {
	got, err := r.puller.Get(ctx, r.client.ref.Context().Tag(tag))
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return ocispec.Descriptor{}, nil, fmt.Errorf("tag %s %w", tag, ErrNotFound)
	}
	if err != nil {
		return ocispec.Descriptor{}, nil, r.client.fail(err)
	}
	return described(got)
}

func described(got *remote.Descriptor) (ocispec.Descriptor, []byte, error) {
	m, _, err := identify(string(got.MediaType), got.Manifest)
	return ocispec.Descriptor{MediaType: m.mediaType, Digest: m.digest, Size: int64(len(got.Manifest))}, got.Manifest, err
}

// ByDigest returns a manifest or an index by its digest, verified.
func (r *Repository) ByDigest(ctx context.Context, d digest.Digest) (ocispec.Descriptor, []byte, error) {
	if err := checkDigest(d); err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	got, err := r.puller.Get(ctx, r.client.ref.Context().Digest(d.String()))
	if err != nil {
		return ocispec.Descriptor{}, nil, r.client.fail(err)
	}
	return described(got)
}

// Image is an image of the repository whose manifest is at hand. To close it does nothing.
func (r *Repository) Image(d ocispec.Descriptor, raw []byte) Source {
	return inRepository{manifest{mediaType: d.MediaType, raw: raw, digest: d.Digest}, r}
}

type inRepository struct {
	manifest
	repository *Repository
}

// Blob implements Source.
func (i inRepository) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	return i.repository.Blob(ctx, d, size)
}

// Close implements Source.
func (inRepository) Close() error { return nil }

// MadeOf returns the digest of what the registry, a Strata, made an image or an index of; empty where it says nothing.
func (r *Repository) MadeOf(ctx context.Context, d digest.Digest) (digest.Digest, error) {
	repository := r.client.ref.Context()
	url := repository.Registry.Scheme() + "://" + repository.RegistryStr() + "/v2/" + repository.RepositoryStr() +
		"/manifests/" + d.String()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageIndex+", "+ocispec.MediaTypeImageManifest)
	auth, err := authn.Resolve(ctx, r.client.keychain, repository)
	if err != nil {
		return "", r.client.fail(err)
	}
	rt, err := transport.NewWithContext(ctx, repository.Registry, auth, r.client.transport,
		[]string{repository.Scope(transport.PullScope)})
	if err != nil {
		return "", r.client.fail(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return "", r.client.fail(err)
	}
	source := digest.Digest(resp.Header.Get("Strata-Source-Digest"))
	if resp.StatusCode != http.StatusOK || checkDigest(source) != nil {
		source = ""
	}
	return source, resp.Body.Close()
}

// Document returns a manifest or an index by its descriptor, verified.
func (r *Repository) Document(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if err := checkDigest(d.Digest); err != nil {
		return nil, err
	}
	got, err := r.puller.Get(ctx, r.client.ref.Context().Digest(d.Digest.String()))
	if err != nil {
		return nil, r.client.fail(err)
	}
	if int64(len(got.Manifest)) != d.Size {
		return nil, fmt.Errorf("%s has %d bytes, not %d: %w", d.Digest, len(got.Manifest), d.Size, verify.ErrMismatch)
	}
	return got.Manifest, nil
}

// Referrers lists what refers to a manifest.
func (r *Repository) Referrers(ctx context.Context, d digest.Digest) ([]ocispec.Descriptor, error) {
	index, err := remote.Referrers(r.client.ref.Context().Digest(d.String()),
		append([]remote.Option{remote.WithContext(ctx)}, r.client.options...)...)
	if err != nil {
		return nil, r.client.fail(err)
	}
	raw, err := index.RawManifest()
	if err != nil {
		return nil, err
	}
	x, err := parseIndexFile(raw)
	if err != nil {
		return nil, fmt.Errorf("referrers of %s: %w", d, err)
	}
	return x.Manifests(), nil
}

// Blob opens a blob; wrong content gives an error that is verify.ErrMismatch before its end. The caller closes it.
func (r *Repository) Blob(ctx context.Context, d digest.Digest, size int64) (io.ReadCloser, error) {
	return (&registrySource{registryClient: r.client, puller: r.puller}).Blob(ctx, d, size)
}

// Close ends the connections.
func (r *Repository) Close() error { return r.client.Close() }
