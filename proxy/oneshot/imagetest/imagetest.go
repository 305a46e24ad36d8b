// Package imagetest makes small images for tests.
package imagetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/imageref"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Image is an image in the making.
type Image struct {
	// Labels are those of the config; nil stands for those of a bootable container.
	Labels map[string]string
	// Layers are its layers, lowest first; each becomes one gzip layer.
	Layers [][]treetest.Item
}

// Write puts the image where ref says, in one of the forms of package imageref, and returns the manifest's digest.
func (i Image) Write(tb testing.TB, ref string) digest.Digest {
	tb.Helper()
	r, err := imageref.Parse(ref)
	if err != nil {
		tb.Fatal(err)
	}
	to, err := r.Create(tb.Context(), imageref.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	d := i.put(tb, to)
	if err := to.Close(); err != nil {
		tb.Fatal(err)
	}
	return d
}

func (i Image) put(tb testing.TB, to imageref.Destination) digest.Digest {
	tb.Helper()
	labels := i.Labels
	if labels == nil {
		labels = map[string]string{"containers.bootc": "1"}
	}
	config := ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Config:   ocispec.ImageConfig{Labels: labels},
		RootFS:   ocispec.RootFS{Type: "layers"},
	}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, items := range i.Layers {
		plain := treetest.Tar(tb, items...)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(plain))
		config.History = append(config.History, ocispec.History{CreatedBy: "test"})
		manifest.Layers = append(manifest.Layers, put(tb, to, ocispec.MediaTypeImageLayerGzip, treetest.Gzip(tb, plain)))
	}
	manifest.Config = put(tb, to, ocispec.MediaTypeImageConfig, document(tb, config))
	raw := document(tb, manifest)
	if err := to.PutManifest(tb.Context(), manifest.MediaType, raw); err != nil {
		tb.Fatal(err)
	}
	return digest.FromBytes(raw)
}

// Noise is content that no compression makes smaller; the same seed and size give the same bytes.
func Noise(seed string, size int) string {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(seed))).Read(b)
	return string(b)
}

func document(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func put(tb testing.TB, to imageref.Destination, mediaType string, b []byte) ocispec.Descriptor {
	tb.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	if err := to.PutBlob(tb.Context(), d, bytes.NewReader(b)); err != nil {
		tb.Fatal(err)
	}
	return d
}
