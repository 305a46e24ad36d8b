package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// AnnotationSource is the manifest annotation that holds the source image's digest.
const AnnotationSource = "io.github.strata-oci.source.digest"

// AnnotationNoise is the manifest annotation of a served image in which files stayed as they were served before though the
// source's differ, in build noise only. Its value is NoiseKept. It proves nothing: who wants to know compares the files.
const (
	AnnotationNoise = "io.github.strata-oci.noise"
	NoiseKept       = "kept"
)

// createdBy begins the history entries of served images.
const createdBy = "strata: "

// Layer is a layer of a served image.
type Layer struct {
	MediaType string
	Digest    digest.Digest
	Size      int64
	DiffID    digest.Digest
	// Annotations are those of the layer's descriptor; nil for none.
	Annotations map[string]string
	// Name says what the layer holds; it becomes the history's created_by.
	Name string
}

// Document is a manifest or config as it is stored and served.
type Document struct {
	MediaType string
	Digest    digest.Digest
	Bytes     []byte
}

func document(mediaType string, v any) (Document, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return Document{}, fmt.Errorf("writing %s: %w", mediaType, err)
	}
	return Document{mediaType, digest.FromBytes(b), b}, nil
}

// Made says what a served image is, apart from its layers.
type Made struct {
	Plain     bool // a plain bootc image
	KeptNoise bool // AnnotationNoise is set
	// Commit is that of an ostree-encapsulated image, whose lowest layer holds it; nil for another one.
	Commit *Commit
}

// Commit is the ostree commit that an image encapsulates.
type Commit struct {
	// Checksum is in lower-case hexadecimal.
	Checksum string
	// Linux is the version of its kernel; empty when it has none.
	Linux string
	// HHD is the label LabelHHD of the image; empty where the source has none.
	HHD string
}

// labels are those that clients and other tools know an encapsulated image by. An image that says by another label that it
// is bootable gets these, too: clients look for either.
func (c *Commit) labels(layers []Layer) map[string]string {
	out := map[string]string{
		labelBootc: "1", LabelBootable: "true", LabelCommit: c.Checksum,
		labelFinalDiffID: layers[len(layers)-1].DiffID.String(),
	}
	if c.Linux != "" {
		out[LabelLinux] = c.Linux
	}
	if c.HHD != "" {
		out[LabelHHD] = c.HHD
	}
	return out
}

// Build makes config and manifest of a served image. Everything that the source's config says stays, unknown fields
// included, but for the layers' diff_ids, the history, which has one entry for each layer as bootc demands, and, in a plain
// bootc image, the labels that announce an ostree encapsulation. Equal arguments give equal bytes.
func Build(src *Source, layers []Layer, made Made) (config, manifest Document, err error) {
	raw, err := editConfig(src, layers, made)
	if err != nil {
		return Document{}, Document{}, err
	}
	if config, err = document(ocispec.MediaTypeImageConfig, raw); err != nil {
		return Document{}, Document{}, err
	}
	m := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: src.Manifest.ArtifactType,
		Config:       ocispec.Descriptor{MediaType: config.MediaType, Digest: config.Digest, Size: int64(len(config.Bytes))},
		Subject:      src.Manifest.Subject,
	}
	m.Annotations = map[string]string{}
	maps.Copy(m.Annotations, src.Manifest.Annotations)
	if made.Plain {
		dropOSTree(m.Annotations)
	}
	if made.Commit != nil {
		maps.Copy(m.Annotations, made.Commit.labels(layers))
		delete(m.Annotations, LabelHHD) // it is long, and read as a label alone
	}
	m.Annotations[AnnotationSource] = src.Digest.String()
	if delete(m.Annotations, AnnotationNoise); made.KeptNoise {
		m.Annotations[AnnotationNoise] = NoiseKept
	}
	for _, l := range layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size,
			Annotations: l.Annotations})
	}
	manifest, err = document(m.MediaType, m)
	return config, manifest, err
}

// With is the image that Build makes of a source with the layers of another image.
func With(src, of *Source, made Made) (*Source, error) {
	layers := make([]Layer, len(of.Manifest.Layers))
	names := of.LayerNames()
	for i, l := range of.Manifest.Layers {
		layers[i] = Layer{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size, DiffID: of.Config.RootFS.DiffIDs[i],
			Annotations: l.Annotations, Name: names[i]}
	}
	config, manifest, err := Build(src, layers, made)
	if err != nil {
		return nil, err
	}
	m, err := ParseManifest(manifest.Bytes)
	if err != nil {
		return nil, err
	}
	c, err := ParseConfig(m, config.Bytes)
	if err != nil {
		return nil, err
	}
	return &Source{Digest: manifest.Digest, Manifest: *m, RawConfig: config.Bytes, Config: *c}, nil
}

func dropOSTree[V any](labels map[string]V) {
	delete(labels, LabelCommit)
	delete(labels, labelFinalDiffID)
}

// editConfig changes the source's config document without losing what this program does not know.
func editConfig(src *Source, layers []Layer, made Made) (fields, error) {
	doc, err := parseFields("config", src.RawConfig)
	if err != nil {
		return nil, err
	}
	if doc == nil {
		return nil, fmt.Errorf("%w: config is null", ErrInvalid)
	}
	created := time.Unix(0, 0).UTC()
	if src.Config.Created != nil {
		created = *src.Config.Created
	}
	rootfs := ocispec.RootFS{Type: "layers"}
	var history []ocispec.History
	for _, l := range layers {
		rootfs.DiffIDs = append(rootfs.DiffIDs, l.DiffID)
		history = append(history, ocispec.History{Created: &created, CreatedBy: createdBy + l.Name})
	}
	if err := doc.set("rootfs", rootfs); err != nil {
		return nil, err
	}
	if err := doc.set("history", history); err != nil {
		return nil, err
	}
	if !made.Plain {
		return doc, nil
	}
	var labels map[string]string
	if made.Commit != nil {
		labels = made.Commit.labels(layers)
	}
	return doc, editLabels(doc, labels)
}

// editLabels drops the labels that announce an ostree encapsulation, and sets others.
func editLabels(doc fields, set map[string]string) error {
	config, err := parseFields("config's config", orNull(doc.get("config")))
	if err != nil {
		return err
	}
	labels := map[string]json.RawMessage{}
	if err := json.Unmarshal(orNull(config.get("Labels")), &labels); err != nil {
		return fmt.Errorf("%w: config labels: %w", ErrInvalid, err)
	}
	if len(labels)+len(set) == 0 {
		return nil
	}
	dropOSTree(labels)
	for name, value := range set {
		if _, there := labels[name]; there && name != LabelLinux && name != LabelHHD {
			continue // it says so in its own way
		}
		b, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("label %s: %w", name, err)
		}
		labels[name] = b
	}
	if err := config.set("Labels", labels); err != nil {
		return err
	}
	return doc.set("config", config)
}
