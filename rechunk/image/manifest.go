package image

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limits of documents from outside, for the engine and for registries. Those of what an image may cost are the engine's.
const (
	// MaxDocument bounds manifests, indexes and configs, in bytes, as the OCI distribution specification recommends.
	MaxDocument = 4 << 20
	// MaxLayers bounds the layers of a source image.
	MaxLayers = 1024
	// MaxChildren bounds the manifests of an index.
	MaxChildren = 1024
	// MaxLayoutIndex bounds the index.json of an OCI image layout, in bytes.
	MaxLayoutIndex = 16 << 20
	// MaxDepth bounds indexes in indexes.
	MaxDepth = 4
	// MaxDescriptors bounds the layers of any manifest; artifacts may have more of them than images.
	MaxDescriptors = 16 << 10
	// MaxMembers bounds the members and elements of a document at any depth: four megabytes of "{}," would take a hundred
	// times their size.
	MaxMembers = 128 << 10
	// MaxBlob bounds the size that a descriptor may claim, in bytes.
	MaxBlob = 1 << 40
)

// IsManifest reports whether a media type is that of an OCI manifest or a Docker schema 2 manifest.
func IsManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == DockerManifest
}

// ReadManifest reads a manifest of any image or artifact, and checks its descriptors. What has fields of an index, or its
// media type, is refused. Errors wrap ErrInvalid, or ErrPassThrough where the document is an index and nothing else.
func ReadManifest(raw []byte) (*ocispec.Manifest, error) {
	if len(raw) > MaxDocument {
		return nil, fmt.Errorf("%w: manifest of %d bytes, at most %d", ErrInvalid, len(raw), MaxDocument)
	}
	if err := checkMembers("manifest", raw, MaxMembers); err != nil {
		return nil, err
	}
	doc, err := parseFields("manifest", raw)
	if err != nil {
		return nil, err
	}
	if doc.has("manifests") {
		if doc.has("config") || doc.has("layers") {
			return nil, fmt.Errorf("%w: it has the fields of a manifest and of an index", ErrInvalid)
		}
		return nil, fmt.Errorf("%w: it is an index", ErrPassThrough)
	}
	for _, name := range []string{"config", "subject"} {
		if _, err := parseFields(name, orNull(doc.get(name))); err != nil {
			return nil, err
		}
	}
	var layers []json.RawMessage
	if err := json.Unmarshal(orNull(doc.get("layers")), &layers); err != nil {
		return nil, fmt.Errorf("%w: layers: %w", ErrInvalid, err)
	}
	if len(layers) > MaxDescriptors {
		return nil, fmt.Errorf("%w: %d layers, at most %d", ErrInvalid, len(layers), MaxDescriptors)
	}
	for _, l := range layers {
		if _, err := parseFields("layer", l); err != nil {
			return nil, err
		}
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrInvalid, err)
	}
	if IsIndex(m.MediaType) {
		return nil, fmt.Errorf("%w: a manifest that calls itself %q", ErrInvalid, m.MediaType)
	}
	return &m, checkDescriptors(&m)
}

// checkDescriptors looks at all that a manifest names. A config may be missing: what is not an image has none, in old
// formats.
func checkDescriptors(m *ocispec.Manifest) error {
	if m.Config.Digest != "" || m.Config.MediaType != "" {
		if err := checkDescriptor("config", m.Config); err != nil {
			return err
		}
	}
	if m.Subject != nil {
		if err := checkDescriptor("subject", *m.Subject); err != nil {
			return err
		}
	}
	for _, l := range m.Layers {
		if err := checkDescriptor("layer", l); err != nil {
			return err
		}
	}
	return nil
}

// checkDescriptor takes the digests that registries keep, and sizes that can be.
func checkDescriptor(what string, d ocispec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("%w: %s digest %q: %w", ErrInvalid, what, d.Digest, err)
	}
	if alg := d.Digest.Algorithm(); alg != digest.SHA256 && alg != digest.SHA512 {
		return fmt.Errorf("%w: %s digest %q: only sha256 and sha512 are known", ErrInvalid, what, d.Digest)
	}
	if d.Size < 0 || d.Size > MaxBlob {
		return fmt.Errorf("%w: %s %s of %d bytes, at most %d", ErrInvalid, what, d.Digest, d.Size, int64(MaxBlob))
	}
	return nil
}
