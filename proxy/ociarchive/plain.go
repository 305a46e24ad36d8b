package ociarchive

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
)

// Plain is an archive of one image whose layers are not compressed, so that what stays of one version is in the archive of
// the next, byte for byte: oci-layout, the layers' tar streams in the manifest's order, config, manifest, index.json. The
// config is the image's own; the manifest names the tar streams, and so has another digest.
//
// The archive is what Layer returns, the bytes of that layer, and so on for all Layers, and what End returns.
type Plain struct {
	config   []byte
	manifest ocispec.Manifest
	all      []digest.Digest // diff_ids by position
	layers   []digest.Digest // each once
	blobs    []ocispec.Descriptor
	sizes    []int64
}

// NewPlain returns the archive of an image, given its manifest and config. What is no image with tar layers gives an error
// that wraps image.ErrPassThrough or image.ErrInvalid.
func NewPlain(manifest, config []byte) (*Plain, error) {
	m, err := image.ParseManifest(manifest)
	if err != nil {
		return nil, err
	}
	c, err := image.ParseConfig(m, config)
	if err != nil {
		return nil, err
	}
	p := &Plain{config: config, all: c.RootFS.DiffIDs, manifest: ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: m.ArtifactType, Annotations: m.Annotations,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config),
			Size: int64(len(config))},
	}}
	for i, d := range p.all {
		if err := d.Validate(); err != nil {
			return nil, fmt.Errorf("%w: diff_id %q: %w", image.ErrInvalid, d, err)
		}
		if !slices.Contains(p.layers, d) {
			p.layers, p.blobs = append(p.layers, d), append(p.blobs, m.Layers[i])
		}
	}
	return p, nil
}

// Layers returns the diff_ids of the layers in their order, each once.
func (p *Plain) Layers() []digest.Digest { return p.layers }

// Blobs returns the descriptors of the same layers in the image's manifest.
func (p *Plain) Blobs() []ocispec.Descriptor { return p.blobs }

// Layer returns the bytes before those of the next layer, whose tar stream has so many bytes.
func (p *Plain) Layer(size int64) ([]byte, error) {
	var out bytes.Buffer
	if len(p.sizes) == 0 {
		version, err := LayoutFile()
		if err != nil {
			return nil, err
		}
		if err := file(&out, ocispec.ImageLayoutFile, version); err != nil {
			return nil, err
		}
	} else {
		pad(&out, p.sizes[len(p.sizes)-1])
	}
	name := BlobName(p.layers[len(p.sizes)])
	p.sizes = append(p.sizes, size)
	err := header(&out, name, size)
	return out.Bytes(), err
}

// End returns the bytes behind the last layer.
func (p *Plain) End() ([]byte, error) {
	if len(p.sizes) != len(p.layers) {
		return nil, fmt.Errorf("an archive of %d layers, of which %d were written", len(p.layers), len(p.sizes))
	}
	var out bytes.Buffer
	pad(&out, p.sizes[len(p.sizes)-1])
	m := p.manifest
	for _, d := range p.all {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d,
			Size: p.sizes[slices.Index(p.layers, d)]})
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	d := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
	index, err := IndexFile([]ocispec.Descriptor{d})
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{BlobName(m.Config.Digest), p.config}, {BlobName(d.Digest), manifest}, {ocispec.ImageIndexFile, index}} {
		if err := file(&out, f.name, f.content); err != nil {
			return nil, err
		}
	}
	out.Write(make([]byte, 2*block)) // the end of a tar stream
	return out.Bytes(), nil
}

// block is what tar streams are padded to.
const block = 512

func header(out *bytes.Buffer, name string, size int64) error {
	if err := tar.NewWriter(out).WriteHeader(Header(name, size)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func file(out *bytes.Buffer, name string, content []byte) error {
	if err := header(out, name, int64(len(content))); err != nil {
		return err
	}
	out.Write(content)
	pad(out, int64(len(content)))
	return nil
}

func pad(out *bytes.Buffer, size int64) { out.Write(make([]byte, (block-size%block)%block)) }
