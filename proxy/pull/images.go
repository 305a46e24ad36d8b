// Package pull is the door between the registry and the rooms in which a pull is answered: tags, jobs and content. It
// gives clients' errors the registry's words, counts what is pulled, and answers from memory while the store cannot be
// reached.
package pull

import (
	"context"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/rechunk/image"
)

// Tags resolve tags.
type Tags interface {
	// Resolve returns what a tag stands for now.
	Resolve(ctx context.Context, repo name.Repository, tag name.Reference) (*registry.Manifest, error)
}

// Manifests have manifests by digest.
type Manifests interface {
	Get(ctx context.Context, repo name.Repository, d digest.Digest) (*registry.Manifest, error)
}

// Blobs have layers and configs.
type Blobs interface {
	Stat(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error)
	Open(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error)
	// URL returns where a client can get a stored blob, or nothing.
	URL(r *http.Request, repo name.Repository, d digest.Digest) (string, registry.Origin)
	// NoteMade remembers the blobs of an image that was made here and is being served.
	NoteMade(m *registry.Manifest)
}

// Tally counts pulls.
type Tally interface {
	// Manifest counts a pull of an image, and finds out its layers when it needs to know them.
	Manifest(d digest.Digest, layers func() []digest.Digest)
}

// Cache has manifests in memory.
type Cache interface {
	Get(ctx context.Context, d digest.Digest, limit int64) ([]byte, error)
}

// Options are what Images are made of.
type Options struct {
	Tags      Tags
	Manifests Manifests
	Blobs     Blobs
	Tally     Tally
	// Cache is the store's, for answers while it cannot be reached.
	Cache Cache
}

// Images are manifests and blobs as clients pull them. They are safe for concurrent use.
type Images struct {
	Options
	answers answers
}

var (
	_ registry.Manifests = (*Images)(nil)
	_ registry.Blobs     = (*Images)(nil)
	_ registry.Redirects = (*Images)(nil)
)

// NewImages returns images.
func NewImages(o Options) *Images { return &Images{o, newAnswers()} }

// Manifest implements registry.Manifests.
func (i *Images) Manifest(ctx context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error) {
	var m *registry.Manifest
	var err error
	if ref.IsDigest() {
		m, err = i.Manifests.Get(ctx, repo, digest.Digest(ref))
	} else {
		m, err = i.Tags.Resolve(ctx, repo, ref)
	}
	if err == nil {
		i.answers.note(repo, ref, m)
	} else if m = i.fromMemory(ctx, repo, ref, err); m == nil {
		return nil, ClientError(err, registry.ManifestUnknown)
	}
	if m.Origin == registry.MadeHere {
		i.Blobs.NoteMade(m)
	}
	i.Tally.Manifest(m.Digest, func() []digest.Digest { return layersMade(m) })
	return m, nil
}

// layersMade lists the layers of an image that was rechunked: only what was planned here is counted.
func layersMade(m *registry.Manifest) []digest.Digest {
	if m.Origin != registry.MadeHere || image.IsIndex(m.MediaType) {
		return nil
	}
	blobs := content.BlobsOf(m.Bytes)
	return blobs[min(1, len(blobs)):] // the config comes first
}

// StatBlob implements registry.Blobs.
func (i *Images) StatBlob(ctx context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	n, err := i.Blobs.Stat(ctx, repo, d)
	return n, ClientError(err, registry.BlobUnknown)
}

// OpenBlob implements registry.Blobs.
func (i *Images) OpenBlob(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error) {
	b, err := i.Blobs.Open(ctx, repo, d)
	if err != nil {
		return nil, ClientError(err, registry.BlobUnknown)
	}
	return b, nil
}

// BlobURL implements registry.Redirects.
func (i *Images) BlobURL(r *http.Request, repo name.Repository, d digest.Digest) (string, registry.Origin) {
	return i.Blobs.URL(r, repo, d)
}
