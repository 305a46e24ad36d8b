package client

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-containerregistry/pkg/authn"
	registryname "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/name/nametest"
	"github.com/strata-oci/strata/proxy/upstream"
)

// brokenOnce breaks off the first answer to each blob request that asks for no range.
func brokenOnce(next http.Handler) http.Handler {
	seen := map[string]bool{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Header.Get("Range") != "" || seen[r.URL.Path] || !isBlobPath(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		seen[r.URL.Path] = true
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
}

func isBlobPath(path string) bool { return bytes.Contains([]byte(path), []byte("/blobs/sha256:")) }

// Every operation against registries that others wrote.
func TestAgainstRegistries(t *testing.T) {
	quiet := log.New(io.Discard, "", 0)
	for implementation, handler := range map[string]func(*testing.T) http.Handler{
		"go-containerregistry": func(*testing.T) http.Handler {
			return registry.New(registry.Logger(quiet), registry.WithReferrersSupport(true))
		},
		"distribution": distributionApp,
	} {
		t.Run(implementation, func(t *testing.T) {
			srv := httptest.NewServer(brokenOnce(handler(t)))
			t.Cleanup(srv.Close)
			img := push(t, srv)
			c, _ := client(t, srv.URL)
			pullAll(t, c, img)
			askInVain(t, c)
		})
	}
}

func distributionApp(t *testing.T) http.Handler {
	conf := &configuration.Configuration{Storage: configuration.Storage{
		"inmemory":    configuration.Parameters{},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}}
	conf.Catalog.MaxEntries = 100
	conf.HTTP.Secret = "test"
	logrus.SetOutput(io.Discard)
	return handlers.NewApp(t.Context(), conf)
}

// push stores an image of two layers as org/app:latest.
func push(t *testing.T, srv *httptest.Server) v1.Image {
	t.Helper()
	img, err := random.Image(100_000, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := registryname.ParseReference(srv.Listener.Addr().String()+"/org/app:latest", registryname.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	own := &http.Transport{DisableKeepAlives: true}
	if err := remote.Write(ref, img, remote.WithAuth(authn.Anonymous), remote.WithTransport(own)); err != nil {
		t.Fatal(err)
	}
	return img
}

func pullAll(t *testing.T, c *Client, img v1.Image) {
	t.Helper()
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.Head(t.Context(), testRepo, "latest")
	if err != nil || head.Digest.String() != want.String() {
		t.Fatalf("head: %+v, %v", head, err)
	}
	m, err := c.Manifest(t.Context(), testRepo, name.Reference(head.Digest))
	if err != nil || m.MediaType != head.MediaType || int64(len(m.Bytes)) != head.Size {
		t.Fatalf("manifest: %+v, %v", m, err)
	}
	if tags, err := c.Tags(t.Context(), testRepo); err != nil || len(tags) != 1 || tags[0] != "latest" {
		t.Errorf("tags: %v, %v", tags, err)
	}
	if index, _, err := c.Referrers(t.Context(), testRepo, head.Digest, ""); err != nil ||
		!bytes.Contains(index, []byte(`"manifests":[]`)) {
		t.Errorf("referrers: %s, %v", index, err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		pullLayer(t, c, layer)
	}
}

func pullLayer(t *testing.T, c *Client, layer v1.Layer) {
	t.Helper()
	hash, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	want, err := layer.Size()
	if err != nil {
		t.Fatal(err)
	}
	d := digest.Digest(hash.String())
	if n, err := c.StatBlob(t.Context(), testRepo, d); err != nil || n != want {
		t.Errorf("stat: %d, %v", n, err)
	}
	r, _, err := c.Blob(t.Context(), testRepo, d, want)
	if err != nil {
		t.Fatal(err)
	}
	data, err := readAll(t, r)
	if err != nil || d != digest.FromBytes(data) {
		t.Errorf("blob: %d of %d bytes, %v", len(data), want, err)
	}
	r, err = c.BlobRange(t.Context(), testRepo, d, 100, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if part, err := readAll(t, r); err != nil || !bytes.Equal(part, data[100:1100]) {
		t.Errorf("range: %d bytes, %v", len(part), err)
	}
}

// distribution answers 500 for an unknown digest and 404 in an outage; we tell them apart.
func askInVain(t *testing.T, c *Client) {
	t.Helper()
	none := digest.FromString("none")
	_, err := c.Head(t.Context(), testRepo, "missing")
	wantKind(t, err, upstream.NotFound)
	_, err = c.Manifest(t.Context(), testRepo, name.Reference(none))
	if e := wantKind(t, err, upstream.NotFound); e.Code == "" {
		t.Errorf("no error code: %v", e)
	}
	_, err = c.StatBlob(t.Context(), testRepo, none)
	wantKind(t, err, upstream.NotFound)
	_, _, err = c.Blob(t.Context(), testRepo, none, -1)
	wantKind(t, err, upstream.NotFound)
	_, err = c.Tags(t.Context(), nametest.Repository(testRepo.Host()+"/no/such"))
	if !errors.Is(err, asError(t, err)) {
		t.Error("an error is not itself")
	}
	wantKind(t, err, upstream.NotFound)
}
