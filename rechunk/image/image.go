// Package image reads the manifest and config of a source image and writes those of a served one (OCI image specification
// 1.1, Docker image manifest version 2 schema 2).
package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var (
	// ErrInvalid marks a document that breaks the specification.
	ErrInvalid = errors.New("invalid image")
	// ErrPassThrough marks an image that must reach clients untouched: it is served as the upstream published it.
	ErrPassThrough = errors.New("image is passed through")
)

// Media types of Docker's schema 2, which registries still hold.
const (
	DockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	DockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig       = "application/vnd.docker.container.image.v1+json"
	dockerLayer        = "application/vnd.docker.image.rootfs.diff.tar"
)

// IsIndex reports whether a media type is that of an image index or manifest list.
func IsIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == DockerManifestList
}

// Source is a source image: its manifest and what is to be known of its config.
type Source struct {
	Digest   digest.Digest
	Manifest ocispec.Manifest
	// RawConfig is the config's document; Config is what it says.
	RawConfig []byte
	Config    ocispec.Image
}

// LayerNames are what an image's history says of its layers, lowest first; empty strings where it has not an entry for each.
func (s *Source) LayerNames() []string {
	names := make([]string, len(s.Manifest.Layers))
	k := 0
	for _, h := range s.Config.History {
		if h.EmptyLayer {
			continue
		}
		if k < len(names) {
			names[k] = strings.TrimPrefix(h.CreatedBy, createdBy)
		}
		k++
	}
	if k != len(names) {
		clear(names)
	}
	return names
}

// ParseManifest checks a platform manifest. One that holds no tar layers, or layers that are not the registry's own, gives
// an error that wraps ErrPassThrough.
func ParseManifest(raw []byte) (*ocispec.Manifest, error) {
	m, err := ReadManifest(raw)
	if err != nil {
		return nil, err
	}
	if m.SchemaVersion != 2 {
		return nil, fmt.Errorf("%w: manifest of schema version %d", ErrPassThrough, m.SchemaVersion)
	}
	if m.ArtifactType != "" && m.Config.MediaType != ocispec.MediaTypeImageConfig {
		return nil, fmt.Errorf("%w: artifact of type %q", ErrPassThrough, m.ArtifactType)
	}
	if m.Config.MediaType != ocispec.MediaTypeImageConfig && m.Config.MediaType != dockerConfig {
		return nil, fmt.Errorf("%w: config of type %q", ErrPassThrough, m.Config.MediaType)
	}
	if len(m.Layers) == 0 {
		return nil, fmt.Errorf("%w: no layers", ErrPassThrough)
	}
	if len(m.Layers) > MaxLayers {
		return nil, fmt.Errorf("%w: %d layers, at most %d", ErrInvalid, len(m.Layers), MaxLayers)
	}
	for _, l := range m.Layers {
		if err := checkLayer(l); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func checkLayer(l ocispec.Descriptor) error {
	if len(l.URLs) > 0 {
		return fmt.Errorf("%w: foreign layer %s", ErrPassThrough, l.Digest)
	}
	switch l.MediaType {
	case ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd,
		dockerLayer, dockerLayer + ".gzip", dockerLayer + ".zstd":
		return nil
	}
	// Foreign and encrypted layers have types of their own, too.
	return fmt.Errorf("%w: layer of type %q", ErrPassThrough, l.MediaType)
}

// ParseConfig checks a config against its manifest: it must be one that Build can edit.
func ParseConfig(m *ocispec.Manifest, raw []byte) (*ocispec.Image, error) {
	if len(raw) > MaxDocument {
		return nil, fmt.Errorf("%w: config of %d bytes, at most %d", ErrInvalid, len(raw), MaxDocument)
	}
	if err := checkMembers("config", raw, MaxMembers); err != nil {
		return nil, err
	}
	doc, err := parseFields("config", raw)
	if err != nil {
		return nil, err
	}
	if _, err := parseFields("config's config", orNull(doc.get("config"))); err != nil {
		return nil, err
	}
	var c ocispec.Image
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("%w: config: %w", ErrInvalid, err)
	}
	if n := len(c.RootFS.DiffIDs); n != len(m.Layers) {
		return nil, fmt.Errorf("%w: %d diff_ids for %d layers", ErrInvalid, n, len(m.Layers))
	}
	return &c, nil
}

// orNull stands null in for a member that is not there.
func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// Labels that make an image bootable, and those that name its ostree encapsulation. LabelBootable and LabelLinux, the
// version of the kernel, are keys of the commit's metadata, too; LabelCommit is the commit's checksum.
const (
	LabelBootable = "ostree.bootable"
	LabelCommit   = "ostree.commit"
	LabelLinux    = "ostree.linux"

	labelBootc       = "containers.bootc"
	labelFinalDiffID = "ostree.final-diffid"
)

// BootableLabels are those that say that an image is a bootable container.
func BootableLabels() []string { return []string{labelBootc, LabelBootable} }

// Bootable reports whether an image's labels say that it is a bootable container.
func Bootable(c *ocispec.Image) bool {
	for _, l := range BootableLabels() {
		if v, ok := c.Config.Labels[l]; ok && v != "" && v != "0" && !strings.EqualFold(v, "false") {
			return true
		}
	}
	return false
}
