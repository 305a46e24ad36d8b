package rechunktest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Image is a source image in memory: a rechunk.Source that counts what is read of it.
type Image struct {
	Digest   digest.Digest
	Manifest []byte
	// Layers are the digests of the layer blobs, lowest first.
	Layers []digest.Digest
	// Fault is asked before a blob is opened; an error is what Blob gives then. It may be nil.
	Fault func(ctx context.Context, d digest.Digest) error
	// Wrap may change how a blob reads. It may be nil.
	Wrap func(d digest.Digest, r io.Reader) io.Reader

	blobs map[digest.Digest][]byte
	mu    sync.Mutex
	reads map[digest.Digest]int
}

var _ rechunk.Source = (*Image)(nil)

// ImageOptions say what an image is besides its layers. The zero value is a bootable image for linux/amd64 with gzip layers.
type ImageOptions struct {
	// Labels of the config; nil stands for {"containers.bootc": "1"}.
	Labels      map[string]string
	Annotations map[string]string
	History     []ocispec.History
	Platform    ocispec.Platform
	// Compress makes a layer blob of a tar stream; treetest.Gzip when nil. MediaType is what it makes.
	Compress  func(tb testing.TB, parts ...[]byte) []byte
	MediaType string
	// Docker has the image described by Docker's documents, which have no annotations.
	Docker bool
}

// NewImage makes an image of layers, lowest first.
func NewImage(tb testing.TB, o ImageOptions, layers ...[]treetest.Item) *Image {
	tb.Helper()
	tars := make([][]byte, len(layers))
	for i, items := range layers {
		tars[i] = treetest.Tar(tb, items...)
	}
	return NewImageOf(tb, o, tars...)
}

// NewImageOf makes an image of uncompressed layers, lowest first.
func NewImageOf(tb testing.TB, o ImageOptions, tars ...[]byte) *Image {
	tb.Helper()
	o = o.orDefault()
	img := &Image{blobs: map[digest.Digest][]byte{}, reads: map[digest.Digest]int{}}
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	config := ocispec.Image{
		Created: &created, Platform: o.Platform, Config: ocispec.ImageConfig{Labels: o.Labels, Cmd: []string{"/sbin/init"}},
		RootFS: ocispec.RootFS{Type: "layers"}, History: o.History,
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Annotations: o.Annotations}
	configType := ocispec.MediaTypeImageConfig
	if o.Docker {
		m.MediaType, m.Annotations = "application/vnd.docker.distribution.manifest.v2+json", nil
		configType = "application/vnd.docker.container.image.v1+json"
		o.MediaType = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	}
	for _, plain := range tars {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(plain))
		d := img.add(o.MediaType, o.Compress(tb, plain))
		m.Layers = append(m.Layers, d)
		img.Layers = append(img.Layers, d.Digest)
	}
	m.Config = img.add(configType, marshal(tb, config))
	img.Manifest = marshal(tb, m)
	img.Digest = digest.FromBytes(img.Manifest)
	return img
}

func (o ImageOptions) orDefault() ImageOptions {
	if o.Labels == nil {
		o.Labels = map[string]string{"containers.bootc": "1"}
	}
	if o.Platform.OS == "" {
		o.Platform = ocispec.Platform{OS: "linux", Architecture: "amd64"}
	}
	if o.Compress == nil {
		o.Compress, o.MediaType = treetest.Gzip, ocispec.MediaTypeImageLayerGzip
	}
	return o
}

func marshal(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func (i *Image) add(mediaType string, b []byte) ocispec.Descriptor {
	d := digest.FromBytes(b)
	i.blobs[d] = b
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
}

// Blob implements rechunk.Source.
func (i *Image) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	i.mu.Lock()
	i.reads[d.Digest]++
	i.mu.Unlock()
	if i.Fault != nil {
		if err := i.Fault(ctx, d.Digest); err != nil {
			return nil, err
		}
	}
	b, ok := i.blobs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("source has no blob %s", d.Digest)
	}
	var r io.Reader = bytes.NewReader(b)
	if i.Wrap != nil {
		r = i.Wrap(d.Digest, r)
	}
	return io.NopCloser(&contextReader{ctx.Err, r}), nil
}

// contextReader fails once its context has ended.
type contextReader struct {
	ended func() error
	r     io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ended(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Bytes are those of a blob, nil when there is none.
func (i *Image) Bytes(d digest.Digest) []byte { return i.blobs[d] }

// Reads is the number of times that a blob was asked for.
func (i *Image) Reads(d digest.Digest) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.reads[d]
}

// LayerReads is the number of times that any layer was asked for.
func (i *Image) LayerReads() int {
	n, seen := 0, map[digest.Digest]bool{}
	for _, d := range i.Layers {
		if !seen[d] {
			seen[d] = true
			n += i.Reads(d)
		}
	}
	return n
}

// Request asks for the image.
func (i *Image) Request(lineage string, o rechunk.Options) rechunk.Request {
	return rechunk.Request{Lineage: lineage, Digest: i.Digest, Manifest: i.Manifest, Source: i, Options: o}
}
