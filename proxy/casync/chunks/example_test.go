package chunks_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/casync"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/casync/chunks"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/registry"
)

// An image is served as an index and its chunks: the index says which there are, and each has the name of its content.
func Example() {
	images := newImages(strings.Repeat("a system", 100_000))
	store, err := chunkstore.New(inmemory.New(), chunkstore.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	work := background.New(background.Options{})
	defer work.Close(context.Background())
	c := chunks.New(chunks.Options{
		Settings: func() chunks.Settings {
			return chunks.Settings{On: true, Sizes: []casync.Sizes{casync.DefaultSizes()}, Keep: 1 << 30}
		},
		Images: images, Manifests: images, Proofs: images, Chunks: store, Content: content{store},
		Records: catalog.New(store, nil), Work: work,
	})
	srv := httptest.NewServer(registry.New(registry.Options{Chunks: c}))
	defer srv.Close()
	at := srv.URL + "/casync/registry.example/os/"

	index, err := casync.ReadIndex(bytes.NewReader(get(at + "stable.caibx")))
	if err != nil {
		fmt.Println(err)
		return
	}
	whole := true
	for _, chunk := range index.Chunks {
		whole = whole && casync.Sum(get(at+"store/"+casync.Path(chunk.ID, false))) == chunk.ID
	}
	fmt.Println(len(index.Chunks) > 3, whole)
	// Output: true true
}

func get(url string) []byte {
	r, err := http.Get(url)
	if err != nil {
		return nil
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		fmt.Printf("%s: %s: %s\n", url, r.Status, b)
	}
	return b
}

// images has one image, in place of what pulls from an upstream.
type images struct {
	manifest []byte
	blobs    map[digest.Digest][]byte
}

func newImages(content string) *images {
	layer := []byte(tarOf("usr/lib/os", content))
	i := &images{blobs: map[digest.Digest][]byte{digest.FromBytes(layer): layer}}
	config, _ := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
	})
	i.blobs[digest.FromBytes(config)] = config
	i.manifest, _ = json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: descriptor(ocispec.MediaTypeImageConfig, config),
		Layers: []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageLayer, layer)},
	})
	return i
}

func descriptor(mediaType string, b []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
}

func tarOf(path, content string) string {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	_ = w.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(content))})
	_, _ = w.Write([]byte(content))
	_ = w.Close()
	return out.String()
}

func (i *images) Manifest(context.Context, name.Repository, name.Reference) (*registry.Manifest, error) {
	return &registry.Manifest{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(i.manifest),
		Bytes: i.manifest}, nil
}

func (i *images) Get(ctx context.Context, repo name.Repository, _ digest.Digest) (*registry.Manifest, error) {
	return i.Manifest(ctx, repo, "")
}

func (i *images) Shown(context.Context, name.Repository, digest.Digest) error { return nil }

func (i *images) Policy(name.Repository) string { return "" }

func (i *images) Has(context.Context, name.Repository, digest.Digest) bool { return true }

func (i *images) OpenBlob(_ context.Context, _ name.Repository, d digest.Digest) (registry.Blob, error) {
	return blob{bytes.NewReader(i.blobs[d])}, nil
}

// content opens what is stored.
type content struct{ store *chunkstore.Store }

func (c content) Open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	return c.store.Open(ctx, d)
}

type blob struct{ *bytes.Reader }

func (blob) Close() error            { return nil }
func (blob) Origin() registry.Origin { return registry.FromStore }
