package complaints

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
)

// noise returns bytes that no compression makes smaller, the same for the same seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b) // never fails
	return b
}

// layer is a compressed layer of a system: a few files and one of n bytes.
func layer(seed uint64, n int) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, f := range []struct {
		name string
		data []byte
	}{{"usr/", nil}, {"usr/lib/", nil}, {"usr/lib/data", noise(seed, n)}, {"usr/lib/os-release", []byte("ID=test\n")}} {
		h := &tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.data)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		_ = w.WriteHeader(h) // a buffer takes everything
		_, _ = w.Write(f.data)
	}
	_ = w.Close()
	_ = z.Close()
	return out.Bytes()
}

// image makes an image of a bootable system from one layer.
func image(seed uint64, n int, architecture string) v1.Image {
	l, err := mutate.AppendLayers(empty.Image, gzipLayer(layer(seed, n)))
	if err == nil {
		l, err = mutate.ConfigFile(l, &v1.ConfigFile{
			Architecture: architecture, OS: "linux", RootFS: must(l.ConfigFile()).RootFS,
			History: []v1.History{{CreatedBy: "test"}},
			Config:  v1.Config{Labels: map[string]string{"containers.bootc": "1"}},
		})
	}
	return mutate.ConfigMediaType(mutate.MediaType(must(l, err), types.OCIManifestSchema1), types.OCIConfigJSON)
}

// must is for what only fails when the test is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// compressedLayer is a layer of which ggcr has to know the diff_id.
type compressedLayer struct {
	v1.Layer
	diff v1.Hash
}

func (l compressedLayer) DiffID() (v1.Hash, error) { return l.diff, nil }

func gzipLayer(b []byte) v1.Layer {
	r := must(gzip.NewReader(bytes.NewReader(b)))
	diff, _, err := v1.SHA256(r)
	return compressedLayer{static.NewLayer(b, types.OCILayer), must(diff, err)}
}

func (u *upstream) ref(image string) name.Reference {
	return must(name.ParseReference(strings.TrimPrefix(u.server.URL, "http://") + "/" + image))
}

// push stores an image under "repository:tag" and returns its digest.
func (u *upstream) push(ref string, i v1.Image) digest.Digest {
	u.t.Helper()
	if err := remote.Write(u.ref(ref), i); err != nil {
		u.t.Fatal(err)
	}
	return digest.Digest(must(i.Digest()).String())
}

// pushIndex stores an index of two images, for amd64 and arm64.
func (u *upstream) pushIndex(ref string, seed uint64) digest.Digest {
	u.t.Helper()
	var idx v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, arch := range []string{"amd64", "arm64"} {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add:        image(seed+uint64(i), 10_000, arch),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	if err := remote.WriteIndex(u.ref(ref), idx); err != nil {
		u.t.Fatal(err)
	}
	return digest.Digest(must(idx.Digest()).String())
}

// blob stores bytes in a repository and returns the path of their blob.
func (u *upstream) blob(repository string, b []byte) string {
	u.t.Helper()
	if err := remote.WriteLayer(u.ref(repository).Context(), static.NewLayer(b, types.OCILayer)); err != nil {
		u.t.Fatal(err)
	}
	return fmt.Sprintf("/v2/%s/blobs/%s", repository, digest.FromBytes(b))
}

// largeBlob is blob for many bytes.
func (u *upstream) largeBlob(repository string, b []byte) string {
	path := fmt.Sprintf("/v2/%s/blobs/%s", repository, digest.FromBytes(b))
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.large == nil {
		u.large = map[string][]byte{}
	}
	u.large[path] = b
	return path
}

// layersOf returns the digests of a manifest's config and layers.
func layersOf(manifest []byte) []string {
	var doc struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	if json.Unmarshal(manifest, &doc) != nil {
		return nil
	}
	out := []string{doc.Config.Digest}
	for _, l := range doc.Layers {
		out = append(out, l.Digest)
	}
	return out
}
