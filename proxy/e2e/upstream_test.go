package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // what the upstream keeps its blobs in
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// upstreamHost is the name that images of the upstream have.
const upstreamHost = "registry.test"

// upstream is distribution's own registry on a loopback port. It counts what is asked of it.
type upstream struct {
	tb     testing.TB
	server *httptest.Server

	mu   sync.Mutex
	gets map[string]int // by path
	// gate, when set, stands between clients and the registry.
	gate func(next http.Handler) http.Handler
}

// newUpstream starts an empty registry that ends with the test.
func newUpstream(tb testing.TB) *upstream {
	tb.Helper()
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": configuration.Parameters{"rootdirectory": tb.TempDir()},
	}}
	config.HTTP.Secret = "e2e"
	config.Log.AccessLog.Disabled = true
	config.Validation.Manifests.URLs.Allow = []string{`^https://.*`}
	return newUpstreamOf(tb, handlers.NewApp(tb.Context(), config))
}

// newUpstreamOf is newUpstream with another registry, such as one with the API for referrers, which distribution's lacks.
func newUpstreamOf(tb testing.TB, registry http.Handler) *upstream {
	tb.Helper()
	u := &upstream{tb: tb, gets: map[string]int{}}
	u.server = httptest.NewServer(u.count(registry))
	tb.Cleanup(u.stop)
	return u
}

func (u *upstream) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		gate := u.gate
		if r.Method == http.MethodGet {
			u.gets[r.URL.Path]++
		}
		u.mu.Unlock()
		if gate != nil {
			gate(next).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// stop makes the upstream unreachable.
func (u *upstream) stop() {
	u.server.CloseClientConnections()
	u.server.Close()
}

// setGate puts a middleware before the registry; nil takes it away.
func (u *upstream) setGate(gate func(next http.Handler) http.Handler) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gate = gate
}

// fetched returns how often each path was asked for, those with part in them only.
func (u *upstream) fetched(part string) map[string]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := maps.Clone(u.gets)
	maps.DeleteFunc(out, func(path string, _ int) bool { return !strings.Contains(path, part) })
	return out
}

// host is the registry's own address.
func (u *upstream) host() string { return strings.TrimPrefix(u.server.URL, "http://") }

func (u *upstream) reference(image string) name.Reference {
	u.tb.Helper()
	ref, err := name.ParseReference(u.host() + "/" + image)
	if err != nil {
		u.tb.Fatalf("reference %q: %v", image, err)
	}
	return ref
}

// document is a manifest or an index as it is.
type document struct {
	mediaType string
	raw       []byte
}

func (d document) RawManifest() ([]byte, error)        { return d.raw, nil }
func (d document) MediaType() (types.MediaType, error) { return types.MediaType(d.mediaType), nil }
func (d document) digest() digest.Digest               { return digest.FromBytes(d.raw) }
func (d document) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.mediaType, Digest: d.digest(), Size: int64(len(d.raw))}
}

// marshal makes a document of a manifest or an index.
func marshal(tb testing.TB, mediaType string, v any) document {
	tb.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return document{mediaType, raw}
}

// put stores a manifest or an index under "repository:tag" or "repository@digest".
func (u *upstream) put(image string, d document) {
	u.tb.Helper()
	if err := remote.Put(u.reference(image), d); err != nil {
		u.tb.Fatalf("putting %s: %v", image, err)
	}
}

// blob stores bytes in a repository.
func (u *upstream) blob(repository, mediaType string, b []byte) ocispec.Descriptor {
	u.tb.Helper()
	l := static.NewLayer(b, types.MediaType(mediaType))
	if err := remote.WriteLayer(u.reference(repository).Context(), l); err != nil {
		u.tb.Fatalf("blob for %s: %v", repository, err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
}

// push stores an image under "repository:tag" and returns its manifest.
func (u *upstream) push(image string, i sourceImage) document {
	u.tb.Helper()
	m := i.upload(u, u.reference(image).Context().RepositoryStr())
	u.put(image, m)
	return m
}

// pushLayout stores the images of an OCI layout, each under its own tag of the repository, and returns the tags in their
// order.
func (u *upstream) pushLayout(repository, dir string) []string {
	u.tb.Helper()
	index, err := layout.ImageIndexFromPath(filepath.Clean(dir))
	if err != nil {
		u.tb.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		u.tb.Fatal(err)
	}
	var tags []string
	for _, d := range list.Manifests {
		img, err := index.Image(d.Digest)
		if err != nil {
			u.tb.Fatal(err)
		}
		tag := d.Annotations[ocispec.AnnotationRefName]
		if err := remote.Write(u.reference(repository+":"+tag), img); err != nil {
			u.tb.Fatalf("pushing %s: %v", tag, err)
		}
		tags = append(tags, tag)
	}
	return tags
}
