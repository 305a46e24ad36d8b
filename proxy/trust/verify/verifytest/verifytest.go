// Package verifytest holds what real cosign made of an image in a registry: how the fixtures of proxy/trust/verify are kept.
package verifytest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/trust/verify"
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk/image"
)

// Fixture is an image of registry.test/org/os that one command of cosign signed or attested.
type Fixture struct {
	// Cosign is its major version, Command what was run: $REGISTRY is where the image was, $SIGSTORE the services of the
	// tests, $TOKEN the identity's.
	Cosign  int
	Command string
	// Key is the public key in PEM.
	Key string
	// Identity of Issuer is whose certificate it is, by the trusted root Root.
	Identity, Issuer string
	Root             []byte
	// Image is the manifest or the index, Referrers the answer of the API for referrers; Manifests are those of signatures
	// and attestations, by tag or digest, and Blobs their layers.
	Image, Referrers string
	Manifests, Blobs map[string]string
}

// Read reads a file with a fixture.
func Read(tb testing.TB, file string) Fixture {
	tb.Helper()
	b, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		tb.Fatal(err)
	}
	var f Fixture
	if err := json.Unmarshal(b, &f); err != nil {
		tb.Fatal(err)
	}
	return f
}

// Registry is a registry with the fixture, and the image in it.
func (f Fixture) Registry() (*Registry, verify.Image) {
	raw := []byte(f.Image)
	r := &Registry{Manifests: map[name.Reference][]byte{}, Blobs: map[digest.Digest][]byte{},
		ReferrersOf: []byte(f.Referrers)}
	for ref, m := range f.Manifests {
		r.Manifests[name.Reference(ref)] = []byte(m)
	}
	for d, b := range f.Blobs {
		r.Blobs[digest.Digest(d)] = []byte(b)
	}
	return r, verify.Image{Repository: nametest.Repository("registry.test/org/os"),
		MediaType: f.mediaType(), Digest: digest.FromBytes(raw), Bytes: raw}
}

// mediaType is the image's: that of an index where it is one.
func (f Fixture) mediaType() string {
	if idx, err := image.ParseIndex([]byte(f.Image)); err == nil && len(idx.Manifests()) > 0 {
		return ocispec.MediaTypeImageIndex
	}
	return ocispec.MediaTypeImageManifest
}

// Registry is an upstream in memory.
type Registry struct {
	Manifests   map[name.Reference][]byte // by tag and digest
	ReferrersOf []byte                    // the list
	Blobs       map[digest.Digest][]byte
}

// Manifest implements verify.Source, and so do the next two.
func (r *Registry) Manifest(_ context.Context, _ name.Repository, ref name.Reference) (client.Manifest, error) {
	b, ok := r.Manifests[ref]
	if !ok {
		return client.Manifest{}, &upstream.Error{Kind: upstream.NotFound}
	}
	return client.Manifest{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(b), Bytes: b}, nil
}

// Referrers lists what there is.
func (r *Registry) Referrers(context.Context, name.Repository, digest.Digest, string) ([]byte, bool, error) {
	return r.ReferrersOf, false, nil
}

// Blob opens a blob.
func (r *Registry) Blob(_ context.Context, _ name.Repository, d digest.Digest, _ int64) (io.ReadCloser, int64, error) {
	b, ok := r.Blobs[d]
	if !ok {
		return nil, 0, &upstream.Error{Kind: upstream.NotFound}
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
}
