package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// upstream is a registry that keeps blobs and manifests by repository, as honest ones do, and lies where a test says so.
type upstream struct {
	*httptest.Server
	t *testing.T

	mu    sync.Mutex
	holds map[string]held             // by path
	lies  map[string]http.HandlerFunc // by path; they come first
	asked []string                    // "GET path"
}

// held is a document or a blob.
type held struct {
	mediaType string
	body      []byte
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{t: t, holds: map[string]held{}, lies: map[string]http.HandlerFunc{}}
	u.Server = httptest.NewServer(u)
	t.Cleanup(func() {
		u.CloseClientConnections()
		u.Close()
	})
	return u
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.asked = append(u.asked, r.Method+" "+r.URL.Path)
	kept, lie := u.holds[r.URL.Path], u.lies[r.URL.Path]
	u.mu.Unlock()
	switch {
	case lie != nil:
		lie(w, r)
	case r.URL.Path == "/v2/":
	case kept.mediaType != "":
		w.Header().Set("Content-Type", kept.mediaType)
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(kept.body).String())
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(kept.body))
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"NAME_UNKNOWN","message":"not here"}]}`)
	}
}

// count is how many requests had a part in their path.
func (u *upstream) count(part string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, a := range u.asked {
		if strings.Contains(a, part) {
			n++
		}
	}
	return n
}

// lie has a path answered otherwise.
func (u *upstream) lie(path string, answer http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lies[path] = answer
}

func (u *upstream) put(path, mediaType string, body []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.holds[path] = held{mediaType, body}
}

// blob keeps a blob in a repository.
func (u *upstream) blob(repository, mediaType string, b []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	u.put("/v2/"+repository+"/blobs/"+d.Digest.String(), "application/octet-stream", b)
	return d
}

// manifest keeps a document under a tag and by its digest.
func (u *upstream) manifest(repository, tag, mediaType string, doc any) ocispec.Descriptor {
	u.t.Helper()
	b, err := json.Marshal(doc)
	if err != nil {
		u.t.Fatal(err)
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	u.put("/v2/"+repository+"/manifests/"+d.Digest.String(), mediaType, b)
	u.put("/v2/"+repository+"/manifests/"+tag, mediaType, b)
	return d
}

// layer is a layer's blob and the digest of its tar stream.
type layer struct {
	mediaType string
	blob      []byte
	diffID    digest.Digest
}

// gzipped makes a layer of items.
func gzipped(t *testing.T, items ...treetest.Item) layer {
	t.Helper()
	raw := treetest.Tar(t, items...)
	return layer{ocispec.MediaTypeImageLayerGzip, treetest.Gzip(t, raw), digest.FromBytes(raw)}
}

// image keeps a bootable image with layers under a tag.
func (u *upstream) image(repository, tag string, layers ...layer) (ocispec.Descriptor, ocispec.Manifest) {
	u.t.Helper()
	config := ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		Config:   ocispec.ImageConfig{Labels: map[string]string{"containers.bootc": "1"}},
		RootFS:   ocispec.RootFS{Type: "layers"},
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, l := range layers {
		m.Layers = append(m.Layers, u.blob(repository, l.mediaType, l.blob))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.diffID)
		config.History = append(config.History, ocispec.History{CreatedBy: "test"})
	}
	raw, err := json.Marshal(config)
	if err != nil {
		u.t.Fatal(err)
	}
	m.Config = u.blob(repository, ocispec.MediaTypeImageConfig, raw)
	return u.manifest(repository, tag, ocispec.MediaTypeImageManifest, m), m
}

// goodImage keeps a small image that nothing is wrong with.
func (u *upstream) goodImage(repository, tag string) {
	u.t.Helper()
	u.image(repository, tag, gzipped(u.t, treetest.Dir("usr"), treetest.Dir("usr/bin"),
		treetest.File("usr/bin/"+tag, strings.Repeat(repository, 1000)), treetest.File("usr/os-release", "ID=good")))
}

// serveRange answers a request for all or a part of some bytes.
func serveRange(w http.ResponseWriter, r *http.Request, b []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}
