package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// upstream is a registry that has one repository with one tag, which stands for one version of a series after another.
type upstream struct {
	*httptest.Server
	dir      string
	versions []version
	current  atomic.Int32
}

// version is an image of a series.
type version struct {
	tag, digest, mediaType string
}

// newUpstream serves the images of an OCI layout: those of the tags, or all.
func newUpstream(dir string, tags []string) (*upstream, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	u := &upstream{dir: dir}
	byTag := map[string]version{}
	for _, d := range m.Manifests {
		tag := d.Annotations[ocispec.AnnotationRefName]
		byTag[tag] = version{tag, d.Digest.String(), string(d.MediaType)}
		if len(tags) == 0 {
			u.versions = append(u.versions, byTag[tag])
		}
	}
	for _, tag := range tags {
		v, ok := byTag[tag]
		if !ok {
			return nil, fmt.Errorf("%s has no image %q", dir, tag)
		}
		u.versions = append(u.versions, v)
	}
	u.Server = httptest.NewServer(u)
	return u, nil
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, ref := filepath.Base(filepath.Dir(r.URL.Path)), filepath.Base(r.URL.Path)
	v := u.versions[u.current.Load()]
	switch {
	case kind == "manifests" && (ref == tag || ref == v.digest):
		w.Header().Set("Content-Type", v.mediaType)
		w.Header().Set("Docker-Content-Digest", v.digest)
		u.blob(w, r, v.digest)
	case kind == "blobs":
		w.Header().Set("Content-Type", "application/octet-stream")
		u.blob(w, r, ref)
	case r.URL.Path == "/v2/":
	default:
		http.NotFound(w, r)
	}
}

func (u *upstream) blob(w http.ResponseWriter, r *http.Request, digest string) {
	name := filepath.Join(u.dir, "blobs", filepath.FromSlash(strings.Replace(digest, ":", "/", 1)))
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, "", info.ModTime(), f)
}
