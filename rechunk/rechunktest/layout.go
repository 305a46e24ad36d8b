package rechunktest

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// WriteLayout puts an image into an OCI layout, as the only one in its index; other images' blobs stay. The directory is
// made if need be; blob gives what the manifest names.
func WriteLayout(tb testing.TB, dir, tag string, manifest []byte, blob func(digest.Digest) []byte) {
	tb.Helper()
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		tb.Fatal(err)
	}
	write := func(name string, b []byte) {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, b, 0o644)); err != nil {
			tb.Fatal(err)
		}
	}
	d := digest.FromBytes(manifest)
	write(blobName(d), manifest)
	for _, part := range append(m.Layers, m.Config) {
		write(blobName(part.Digest), blob(part.Digest))
	}
	write(ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	write(ocispec.ImageIndexFile, marshal(tb, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{{
			MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: int64(len(manifest)),
			Annotations: map[string]string{ocispec.AnnotationRefName: tag},
		}},
	}))
}

// ReadLayout takes an image of an OCI layout into memory, as it is.
func ReadLayout(tb testing.TB, dir, tag string) *Image {
	tb.Helper()
	img := &Image{blobs: map[digest.Digest][]byte{}, reads: map[digest.Digest]int{}}
	var index ocispec.Index
	unmarshal(tb, readFile(tb, dir, ocispec.ImageIndexFile), &index)
	for _, d := range index.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] == tag {
			img.Digest = d.Digest
		}
	}
	if img.Digest == "" {
		tb.Fatalf("%s has no image %s", dir, tag)
	}
	img.Manifest = readFile(tb, dir, blobName(img.Digest))
	var m ocispec.Manifest
	unmarshal(tb, img.Manifest, &m)
	for _, l := range m.Layers {
		img.Layers = append(img.Layers, l.Digest)
		img.blobs[l.Digest] = readFile(tb, dir, blobName(l.Digest))
	}
	img.blobs[m.Config.Digest] = readFile(tb, dir, blobName(m.Config.Digest))
	return img
}

func blobName(d digest.Digest) string {
	return filepath.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func readFile(tb testing.TB, dir, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func unmarshal(tb testing.TB, b []byte, v any) {
	tb.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		tb.Fatal(err)
	}
}
