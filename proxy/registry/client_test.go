package registry_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ggcr "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
)

// TestRealClient pulls with the library behind crane, ko and cosign.
func TestRealClient(t *testing.T) {
	t.Parallel()
	backend, m, blob := newFake()
	server := httptest.NewServer(backend.handler())
	t.Cleanup(server.Close)
	own := &http.Transport{}
	t.Cleanup(own.CloseIdleConnections)
	options := []remote.Option{remote.WithTransport(own), remote.WithContext(t.Context()), remote.WithPageSize(1)}
	host := strings.TrimPrefix(server.URL, "http://")
	repo, err := ggcr.NewRepository(host + "/" + testRepo)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []ggcr.Reference{repo.Tag(testTag), repo.Digest(m.Digest.String())} {
		got, err := remote.Get(ref, options...)
		if err != nil || string(got.MediaType) != m.MediaType || !bytes.Equal(got.Manifest, m.Bytes) {
			t.Errorf("%s: %v, %v", ref, got, err)
		}
		if head, err := remote.Head(ref, options...); err != nil || head.Digest.String() != m.Digest.String() {
			t.Errorf("HEAD %s: %v, %v", ref, head, err)
		}
	}
	layer, err := remote.Layer(repo.Digest(digest.FromBytes(blob).String()), options...)
	if err != nil {
		t.Fatal(err)
	}
	body, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, blob) {
		t.Errorf("blob: %d bytes, %v", len(got), err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	tags, err := remote.List(repo, options...)
	if diff := cmp.Diff(backend.tags, tags); diff != "" || err != nil {
		t.Errorf("tags: %s %v", diff, err)
	}
	catalog, err := remote.Catalog(t.Context(), repo.Registry, options...)
	if diff := cmp.Diff(backend.catalog, catalog); diff != "" || err != nil {
		t.Errorf("catalog: %s %v", diff, err)
	}
	if index, err := remote.Referrers(repo.Digest(m.Digest.String()), options...); err != nil {
		t.Errorf("referrers: %v, %v", index, err)
	}
	var refused *transport.Error
	if err := remote.Delete(repo.Tag(testTag), options...); !errors.As(err, &refused) ||
		refused.Errors[0].Code != transport.UnsupportedErrorCode {
		t.Errorf("delete: %v", err)
	}
}
