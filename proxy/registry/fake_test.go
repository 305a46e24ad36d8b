package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// fake is a backend in memory with one repository, whatever its name. What fail holds is the error of every method.
type fake struct {
	manifests map[name.Reference]*registry.Manifest
	blobs     map[digest.Digest][]byte
	open      func(content []byte) registry.Blob // how blobs are opened; nil: from memory
	tags      []string
	catalog   []string
	index     []byte
	filtered  bool
	fail      error
	grows     io.Reader           // what a delta is while it is being made; nil: it is there
	delta     registry.DeltaQuery // the last one

	mu     sync.Mutex
	repo   name.Repository // of the last call
	opened int             // calls of OpenBlob
}

const (
	testRepo = "ghcr.io/ublue-os/bluefin"
	testTag  = "stable"
)

// newFake returns a backend with an image, and its config as a blob.
func newFake() (*fake, *registry.Manifest, []byte) {
	blob := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz\n"), 100)
	manifest := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"layers":[]}`, ocispec.MediaTypeImageManifest))
	m := &registry.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Digest:    digest.FromBytes(manifest),
		Bytes:     manifest,
		Source:    digest.FromString("source"),
		Served:    registry.Rechunked,
		Origin:    registry.MadeHere,
	}
	return &fake{
		manifests: map[name.Reference]*registry.Manifest{testTag: m, name.Reference(m.Digest): m},
		blobs:     map[digest.Digest][]byte{digest.FromBytes(blob): blob},
		tags:      []string{"41", "42", testTag, "testing"},
		catalog:   []string{"ghcr.io/a/b", testRepo, "quay.io/c"},
	}, m, blob
}

func (f *fake) saw(repo name.Repository) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.repo = repo
}

func (f *fake) Manifest(_ context.Context, repo name.Repository, ref name.Reference) (*registry.Manifest, error) {
	f.saw(repo)
	if f.fail != nil {
		return nil, f.fail
	}
	if m, ok := f.manifests[ref]; ok {
		return m, nil
	}
	return nil, registry.ManifestUnknown("no such manifest")
}

func (f *fake) StatBlob(_ context.Context, repo name.Repository, d digest.Digest) (int64, error) {
	f.saw(repo)
	if f.fail != nil {
		return 0, f.fail
	}
	if b, ok := f.blobs[d]; ok {
		return int64(len(b)), nil
	}
	return 0, registry.BlobUnknown("no such blob")
}

func (f *fake) OpenBlob(ctx context.Context, repo name.Repository, d digest.Digest) (registry.Blob, error) {
	if _, err := f.StatBlob(ctx, repo, d); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.opened++
	f.mu.Unlock()
	if f.open != nil {
		return f.open(f.blobs[d]), nil
	}
	return memoryBlob{bytes.NewReader(f.blobs[d])}, nil
}

func (f *fake) OpenRanges(ctx context.Context, repo name.Repository, d digest.Digest, _ int64) (registry.Blob, error) {
	return f.OpenBlob(ctx, repo, d)
}

func (f *fake) Tags(_ context.Context, repo name.Repository, p registry.Page) ([]string, bool, error) {
	f.saw(repo)
	return page(f.tags, p, f.fail)
}

func (f *fake) Repositories(_ context.Context, p registry.Page) ([]string, bool, error) {
	return page(f.catalog, p, f.fail)
}

func page(all []string, p registry.Page, err error) ([]string, bool, error) {
	if err != nil {
		return nil, false, err
	}
	i, found := slices.BinarySearch(all, p.Last)
	if found {
		i++
	}
	rest := all[i:]
	if p.N >= 0 && p.N < len(rest) {
		return rest[:p.N], true, nil
	}
	return rest, false, nil
}

func (f *fake) Referrers(context.Context, name.Repository, digest.Digest, string) ([]byte, bool, error) {
	return f.index, f.filtered, f.fail
}

// options are those of a registry with the backend in every place.
func (f *fake) options(log *slog.Logger) registry.Options {
	return registry.Options{Manifests: f, Blobs: f, Deltas: f, Listings: f, Referrers: f, Logger: log}
}

func (f *fake) handler() http.Handler { return registry.New(f.options(nil)) }

type memoryBlob struct{ *bytes.Reader }

func (memoryBlob) Close() error { return nil }

func (memoryBlob) Origin() registry.Origin { return registry.FromUpstream }

// fileBlob is a blob in a file.
type fileBlob struct{ *osFile }

type osFile = os.File

func (b fileBlob) File() (*os.File, bool) { return b.osFile, true }

func (fileBlob) Origin() registry.Origin { return registry.FromStore }

func (b fileBlob) Size() int64 {
	info, err := b.Stat()
	if err != nil {
		return -1
	}
	return info.Size()
}

// openFile returns a function for fake.open that keeps blobs in files.
func openFile(t testing.TB) func([]byte) registry.Blob {
	dir := t.TempDir()
	return func(content []byte) registry.Blob {
		path := filepath.Join(dir, digest.FromBytes(content).Encoded())
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Error(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Error(err)
		}
		return fileBlob{file}
	}
}

// brokenBlob claims a size and fails when what it has is read.
type brokenBlob struct {
	io.ReadSeeker
	size int64
	err  error
}

func (b brokenBlob) Size() int64           { return b.size }
func (b brokenBlob) Close() error          { return nil }
func (brokenBlob) Origin() registry.Origin { return registry.FromStore }
func (b brokenBlob) Read(p []byte) (int, error) {
	n, err := b.ReadSeeker.Read(p)
	if err == io.EOF && b.err != nil {
		err = b.err
	}
	return n, err
}

// call asks a handler without a network.
func call(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// equateNames compares repositories with ==.
var equateNames = cmpopts.EquateComparable(name.Repository{})
