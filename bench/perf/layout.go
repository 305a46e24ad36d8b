package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ociLayout is a directory in the OCI image layout.
type ociLayout string

func (l ociLayout) blob(d digest.Digest) string {
	return filepath.Join(string(l), ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// ref names an image as skopeo and strata do.
func (l ociLayout) ref(tag string) string { return "oci:" + string(l) + ":" + tag }

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	return err
}

func (l ociLayout) index() (ocispec.Index, error) {
	var x ocispec.Index
	err := readJSON(filepath.Join(string(l), ocispec.ImageIndexFile), &x)
	return x, err
}

// tags lists the images that have a name, in the index's order.
func (l ociLayout) tags() ([]string, error) {
	x, err := l.index()
	var out []string
	for _, m := range x.Manifests {
		if tag := m.Annotations[ocispec.AnnotationRefName]; tag != "" {
			out = append(out, tag)
		}
	}
	return out, err
}

// manifest reads the manifest of a tag.
func (l ociLayout) manifest(tag string) (ocispec.Manifest, error) {
	var m ocispec.Manifest
	x, err := l.index()
	if err != nil {
		return m, err
	}
	i := slices.IndexFunc(x.Manifests, func(d ocispec.Descriptor) bool {
		return d.Annotations[ocispec.AnnotationRefName] == tag
	})
	if i < 0 {
		return m, fmt.Errorf("%s has no image %q", l, tag)
	}
	return m, readJSON(l.blob(x.Manifests[i].Digest), &m)
}

// layerBlob is a layer in a layout.
type layerBlob struct {
	desc   ocispec.Descriptor
	diffID digest.Digest
}

// writeLayer stores what fill writes as a gzip layer.
func (l ociLayout) writeLayer(fill func(io.Writer) error) (layerBlob, error) {
	w, err := l.newLayer()
	if err != nil {
		return layerBlob{}, err
	}
	err = fill(w)
	return w.finish(err)
}

// layerWriter takes the tar stream of a layer.
type layerWriter struct {
	layout ociLayout
	file   *os.File
	zip    *gzip.Writer
	blob   digest.Digester
	diff   digest.Digester
	out    io.Writer
}

func (l ociLayout) newLayer() (*layerWriter, error) {
	dir := filepath.Join(string(l), ocispec.ImageBlobsDir, string(digest.SHA256))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return nil, err
	}
	w := &layerWriter{layout: l, file: f, blob: digest.SHA256.Digester(), diff: digest.SHA256.Digester()}
	if w.zip, err = gzip.NewWriterLevel(io.MultiWriter(f, w.blob.Hash()), gzip.BestSpeed); err != nil {
		return nil, err
	}
	w.out = io.MultiWriter(w.zip, w.diff.Hash())
	return w, nil
}

func (w *layerWriter) Write(p []byte) (int, error) { return w.out.Write(p) }

// finish names the blob, or removes it when there was an error.
func (w *layerWriter) finish(err error) (layerBlob, error) {
	if cerr := w.zip.Close(); err == nil {
		err = cerr
	}
	info, serr := w.file.Stat()
	if cerr := w.file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = serr
	}
	if err != nil {
		_ = os.Remove(w.file.Name())
		return layerBlob{}, err
	}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: w.blob.Digest(), Size: info.Size()}
	return layerBlob{d, w.diff.Digest()}, os.Rename(w.file.Name(), w.layout.blob(d.Digest))
}

func (l ociLayout) writeJSON(mediaType string, v any) (ocispec.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.NewDigestFromBytes(digest.SHA256, sum(b)),
		Size: int64(len(b))}
	return d, os.WriteFile(l.blob(d.Digest), b, 0o644)
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

// writeImage adds a bootable image of these layers under a tag that is not there yet.
func (l ociLayout) writeImage(tag string, layers ...layerBlob) error {
	created := time.Unix(1_700_000_000, 0).UTC()
	c := ocispec.Image{Created: &created, Platform: ocispec.Platform{Architecture: "amd64", OS: "linux"}}
	c.Config.Labels = map[string]string{"containers.bootc": "1"}
	c.RootFS.Type = "layers"
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, b := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, b.diffID)
		c.History = append(c.History, ocispec.History{Created: &created, CreatedBy: "bench"})
		m.Layers = append(m.Layers, b.desc)
	}
	var err error
	if m.Config, err = l.writeJSON(ocispec.MediaTypeImageConfig, c); err != nil {
		return err
	}
	d, err := l.writeJSON(ocispec.MediaTypeImageManifest, m)
	if err != nil {
		return err
	}
	d.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	x, err := l.index()
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	x.SchemaVersion, x.Manifests = 2, append(x.Manifests, d)
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(string(l), ocispec.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`),
		0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(string(l), ocispec.ImageIndexFile), b, 0o644)
}
