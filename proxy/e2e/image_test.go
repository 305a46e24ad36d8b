package e2e

import (
	"bytes"
	"cmp"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// sourceImage is an image to put into the upstream.
type sourceImage struct {
	layers       [][]byte // gzip
	labels       map[string]string
	architecture string // default: amd64
	subject      *ocispec.Descriptor
}

// upload stores the image's blobs and returns its manifest.
func (i sourceImage) upload(u *upstream, repository string) document {
	u.tb.Helper()
	config := ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: cmp.Or(i.architecture, "amd64")},
		Config:   ocispec.ImageConfig{Labels: i.labels},
		RootFS:   ocispec.RootFS{Type: "layers"},
	}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Subject: i.subject}
	for _, b := range i.layers {
		manifest.Layers = append(manifest.Layers, u.blob(repository, ocispec.MediaTypeImageLayerGzip, b))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID(u.tb, b))
		config.History = append(config.History, ocispec.History{CreatedBy: "test"})
	}
	manifest.Config = u.blob(repository, ocispec.MediaTypeImageConfig, marshal(u.tb, "", config).raw)
	return marshal(u.tb, ocispec.MediaTypeImageManifest, manifest)
}

// diffID is the digest of a layer without its compression.
func diffID(tb testing.TB, compressed []byte) digest.Digest {
	tb.Helper()
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		tb.Fatal(err)
	}
	d := digest.Canonical.Digester()
	if _, err := io.Copy(d.Hash(), r); err != nil {
		tb.Fatal(err)
	}
	return d.Digest()
}
