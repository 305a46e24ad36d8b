package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// AnnotationSource is the manifest annotation that holds the source image's digest.
const AnnotationSource = "io.github.strata-oci.source.digest"

// Layer is a layer of a served image.
type Layer struct {
	MediaType string
	Digest    digest.Digest
	Size      int64
	DiffID    digest.Digest
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

// Build makes config and manifest of a served image. Everything that the source's config says stays, unknown fields included,
// but for the layers' diff_ids, the history, which has one entry for each layer as bootc demands, and, in a plain bootc image,
// the labels that announce an ostree encapsulation. Equal arguments give equal bytes.
func Build(src *Source, layers []Layer, plain bool) (config, manifest Document, err error) {
	raw, err := editConfig(src, layers, plain)
	if err != nil {
		return Document{}, Document{}, err
	}
	if config, err = document(ocispec.MediaTypeImageConfig, raw); err != nil {
		return Document{}, Document{}, err
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: config.MediaType, Digest: config.Digest, Size: int64(len(config.Bytes))},
		Subject:   src.Manifest.Subject,
	}
	m.Annotations = map[string]string{}
	maps.Copy(m.Annotations, src.Manifest.Annotations)
	if plain {
		dropOSTree(m.Annotations)
	}
	m.Annotations[AnnotationSource] = src.Digest.String()
	for _, l := range layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
	}
	manifest, err = document(m.MediaType, m)
	return config, manifest, err
}

func dropOSTree(labels map[string]string) {
	delete(labels, labelCommit)
	delete(labels, labelFinalDiffID)
}

// editConfig changes the source's config document without losing what this program does not know.
func editConfig(src *Source, layers []Layer, plain bool) (map[string]json.RawMessage, error) {
	doc := map[string]json.RawMessage{}
	if err := json.Unmarshal(src.RawConfig, &doc); err != nil {
		return nil, fmt.Errorf("%w: config: %w", ErrInvalid, err)
	}
	created := time.Unix(0, 0).UTC()
	if src.Config.Created != nil {
		created = src.Config.Created.UTC()
	}
	rootfs := ocispec.RootFS{Type: "layers"}
	var history []ocispec.History
	for _, l := range layers {
		rootfs.DiffIDs = append(rootfs.DiffIDs, l.DiffID)
		history = append(history, ocispec.History{Created: &created, CreatedBy: "strata: " + l.Name})
	}
	if err := setField(doc, "rootfs", rootfs); err != nil {
		return nil, err
	}
	if err := setField(doc, "history", history); err != nil {
		return nil, err
	}
	if plain {
		return doc, editLabels(doc)
	}
	return doc, nil
}

func editLabels(doc map[string]json.RawMessage) error {
	if len(doc["config"]) == 0 {
		return nil
	}
	config := map[string]json.RawMessage{}
	if err := json.Unmarshal(doc["config"], &config); err != nil {
		return fmt.Errorf("%w: config: %w", ErrInvalid, err)
	}
	labels := map[string]string{}
	if len(config["Labels"]) > 0 {
		if err := json.Unmarshal(config["Labels"], &labels); err != nil {
			return fmt.Errorf("%w: config labels: %w", ErrInvalid, err)
		}
	}
	if config == nil || labels == nil {
		return nil // both may be null
	}
	dropOSTree(labels)
	if err := setField(config, "Labels", labels); err != nil {
		return err
	}
	return setField(doc, "config", config)
}

// setField replaces a field. Readers in Go take a name in any case, so that others of its spellings go.
func setField(doc map[string]json.RawMessage, name string, v any) error {
	maps.DeleteFunc(doc, func(k string, _ json.RawMessage) bool { return strings.EqualFold(k, name) })
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("config field %s: %w", name, err)
	}
	doc[name] = b
	return nil
}
