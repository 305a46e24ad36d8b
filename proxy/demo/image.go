package demo

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/imageref"
)

// built is an image as a naive build makes it: one gzip layer.
type built struct {
	files int   // regular files
	bytes int64 // their content
	layer ocispec.Descriptor
	diff  digest.Digest
}

// publish builds a release and puts it where to says; temp holds its layer meanwhile.
func publish(ctx context.Context, fs *filesystem, r release, to imageref.Destination, temp string,
	wrote func(int64)) (*built, error) {
	f, err := os.CreateTemp(temp, "layer-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	b, err := writeLayer(ctx, f, fs, r, wrote)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if err := to.PutBlob(ctx, b.layer, f); err != nil {
		return nil, err
	}
	return b, b.describe(ctx, r, to)
}

// writeLayer writes a filesystem as one compressed layer.
func writeLayer(ctx context.Context, w io.Writer, fs *filesystem, r release, wrote func(int64)) (*built, error) {
	b := &built{}
	compressed := &measure{digest: digest.Canonical.Digester()}
	plain := &measure{digest: digest.Canonical.Digester()}
	out := bufio.NewWriterSize(io.MultiWriter(w, compressed), 256<<10)
	z := gzip.NewWriter(out)
	t := tar.NewWriter(io.MultiWriter(z, plain))
	for i, n := range fs.sorted() {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		h := n.header
		// A naive build stamps files as it goes along.
		h.ModTime, h.Format = time.Unix(r.built+int64(i/100), 0), tar.FormatPAX
		if err := t.WriteHeader(&h); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		if n.open == nil {
			continue
		}
		if _, err := io.Copy(t, n.open()); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		b.files++
		b.bytes += h.Size
		wrote(h.Size)
	}
	for _, end := range []func() error{t.Close, z.Close, out.Flush} {
		if err := end(); err != nil {
			return nil, err
		}
	}
	b.diff = plain.digest.Digest()
	b.layer = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: compressed.digest.Digest(),
		Size: compressed.size}
	return b, nil
}

// measure takes the digest and size of what is written to it.
type measure struct {
	digest digest.Digester
	size   int64
}

func (m *measure) Write(p []byte) (int, error) {
	m.size += int64(len(p))
	return m.digest.Hash().Write(p)
}

// describe publishes config and manifest.
func (b *built) describe(ctx context.Context, r release, to imageref.Destination) error {
	created := time.Unix(r.built, 0).UTC()
	config, err := json.Marshal(ocispec.Image{
		Created: &created, Platform: platform(),
		Config: ocispec.ImageConfig{Labels: map[string]string{"containers.bootc": "1",
			"org.opencontainers.image.version": r.tag}},
		RootFS:  ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{b.diff}},
		History: []ocispec.History{{Created: &created, CreatedBy: "COPY rootfs /"}},
	})
	if err != nil {
		return err
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config),
		Size: int64(len(config))}
	if err := to.PutBlob(ctx, desc, bytes.NewReader(config)); err != nil {
		return err
	}
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: desc, Layers: []ocispec.Descriptor{b.layer},
	})
	if err != nil {
		return err
	}
	return to.PutManifest(ctx, ocispec.MediaTypeImageManifest, manifest)
}

// platform is that of this machine, so that the proxy's defaults fit it.
func platform() ocispec.Platform {
	return ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
}
