// Package ocidelta reads and writes delta artifacts: OCI manifests that hold how an image is made of an older one, in the
// form of github.com/containers/oci-delta. docs/delta-artifacts.md specifies them. The layers' deltas are those of package
// tardiff, or of package delta, whose artifacts have a type of their own.
package ocidelta

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/tardiff"
	"github.com/strata-oci/strata/rechunk/image"
)

// Artifact types.
const (
	// TypeTarDiff is that of artifacts whose layers are tar-diffs, which others read, too.
	TypeTarDiff = "application/vnd.io.github.containers.oci-delta.v1"
	// TypeStrata is that of artifacts whose layers are deltas of this project.
	TypeStrata = "application/vnd.strata.image-delta.v1"
)

const (
	annotationContent      = "io.github.containers.delta.content"
	annotationTo           = "io.github.containers.delta.to"
	annotationTarget       = "io.github.containers.delta.target"
	annotationSource       = "io.github.containers.delta.source"
	annotationSourceConfig = "io.github.containers.delta.source-config"
	annotationReused       = "io.github.containers.delta.reused"
	annotationReusedDiffs  = "io.github.containers.delta.reused-diff-id"
	annotationEncoder      = "io.github.strata-oci.delta.encoder"

	contentManifest = "image-manifest"
	contentConfig   = "image-config"
	contentLayer    = "image-layer"
)

const (
	// EmptyConfig is the config of every artifact.
	EmptyConfig = "{}"
	// maxLayers bounds the descriptors of an artifact: those of an image, its documents, and signatures that others add.
	maxLayers  = 1100
	maxEncoder = 200
)

// ErrInvalid marks a manifest that is no delta artifact, or breaks the form of one.
var ErrInvalid = errors.New("invalid delta artifact")

// Artifact says how an image is made of an older one.
type Artifact struct {
	// Type is TypeTarDiff or TypeStrata.
	Type string
	// Target and Config are the image's manifest and config, which are blobs of the artifact.
	Target, Config ocispec.Descriptor
	// Source is the older image's manifest, SourceConfig its config.
	Source, SourceConfig digest.Digest
	// Layers are those of the target that the source lacks, in the target's order.
	Layers []Layer
	// Reused are those that it has.
	Reused []Reused
	// Inert says that no client can take it for an image, since its config is the empty one. Parse sets it.
	Inert bool
}

// Layer is a layer of the target in an artifact.
type Layer struct {
	// To is the digest of the target's blob.
	To digest.Digest
	// Blob is the delta, or the layer as it is: the target's blob itself, or its tar stream compressed in another way.
	Blob ocispec.Descriptor
	// Encoder makes the target's blob of the tar stream (layer.Encoder.String); "" when that is not known.
	Encoder string
}

// Whole reports whether the blob is a layer and no delta.
func (l Layer) Whole() bool {
	return l.Blob.MediaType != tardiff.MediaType && l.Blob.MediaType != delta.MediaType
}

// Reused is a layer of the target that the source has, too, under that diff_id.
type Reused struct{ Blob, DiffID digest.Digest }

// IsType reports whether an artifact type is that of delta artifacts.
func IsType(artifactType string) bool {
	return artifactType == TypeTarDiff || artifactType == TypeStrata
}

// MediaType is that of the deltas in artifacts of the type.
func MediaType(artifactType string) string {
	if artifactType == TypeStrata {
		return delta.MediaType
	}
	return tardiff.MediaType
}

// Manifest gives the artifact's manifest. Equal artifacts give equal bytes.
func (a *Artifact) Manifest() ([]byte, error) {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: a.Type,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: digest.FromString(EmptyConfig),
			Size: int64(len(EmptyConfig))},
		Subject:     &ocispec.Descriptor{MediaType: a.Target.MediaType, Digest: a.Target.Digest, Size: a.Target.Size},
		Annotations: a.Annotations(),
		Layers:      []ocispec.Descriptor{annotated(a.Target, contentManifest), annotated(a.Config, contentConfig)},
	}
	for _, l := range a.Layers {
		d := annotated(l.Blob, contentLayer)
		d.Annotations[annotationTo] = l.To.String()
		if l.Encoder != "" {
			d.Annotations[annotationEncoder] = l.Encoder
		}
		m.Layers = append(m.Layers, d)
	}
	if len(a.Reused) > 0 {
		var blobs, diffs []digest.Digest
		for _, r := range a.Reused {
			blobs, diffs = append(blobs, r.Blob), append(diffs, r.DiffID)
		}
		for name, list := range map[string][]digest.Digest{annotationReused: blobs, annotationReusedDiffs: diffs} {
			if slices.Contains(list, "") { // an artifact of others that does not say
				continue
			}
			b, err := json.Marshal(list)
			if err != nil {
				return nil, fmt.Errorf("annotation %s: %w", name, err)
			}
			m.Annotations[name] = string(b)
		}
	}
	raw, err := json.Marshal(m)
	if err == nil && len(raw) > image.MaxDocument {
		err = fmt.Errorf("%w: a manifest of %d bytes, at most %d", ErrInvalid, len(raw), image.MaxDocument)
	}
	return raw, err
}

// Annotations are those of the manifest by which hosts find out whether it is for them.
func (a *Artifact) Annotations() map[string]string {
	return map[string]string{annotationTarget: a.Target.Digest.String(), annotationSource: a.Source.String(),
		annotationSourceConfig: a.SourceConfig.String()}
}

// annotated is a descriptor with what its blob is, and nothing else beside type, digest and size.
func annotated(d ocispec.Descriptor, content string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size,
		Annotations: map[string]string{annotationContent: content}}
}

// Parse reads an artifact's manifest. What it names is not looked at. Layers of another content are passed over: others put
// signatures there.
func Parse(raw []byte) (*Artifact, error) {
	m, err := image.ReadManifest(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !IsType(m.ArtifactType) {
		return nil, fmt.Errorf("%w: artifact type %q", ErrInvalid, shorten(m.ArtifactType))
	}
	if len(m.Layers) > maxLayers {
		return nil, fmt.Errorf("%w: %d layers, at most %d", ErrInvalid, len(m.Layers), maxLayers)
	}
	a := &Artifact{Type: m.ArtifactType}
	a.Inert = m.Config.MediaType == ocispec.MediaTypeEmptyJSON && m.Config.Digest == digest.FromString(EmptyConfig)
	for _, d := range m.Layers {
		if err := a.add(d); err != nil {
			return nil, err
		}
	}
	a.Source = digest.Digest(m.Annotations[annotationSource])
	a.SourceConfig = digest.Digest(m.Annotations[annotationSourceConfig])
	switch {
	case a.Target.Digest == "" || a.Config.Digest == "":
		return nil, fmt.Errorf("%w: it lacks the target's manifest or config", ErrInvalid)
	case m.Subject != nil && m.Subject.Digest != a.Target.Digest:
		return nil, fmt.Errorf("%w: its subject is not its target", ErrInvalid)
	case !valid(a.SourceConfig) || a.Source != "" && !valid(a.Source):
		return nil, fmt.Errorf("%w: it does not name its source", ErrInvalid)
	}
	return a, a.readReused(m.Annotations)
}

// add takes one of the manifest's layers over.
func (a *Artifact) add(d ocispec.Descriptor) error {
	if !valid(d.Digest) || d.Size < 0 {
		return fmt.Errorf("%w: a blob with digest %q and size %d", ErrInvalid, shorten(d.Digest.String()), d.Size)
	}
	plain := ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	switch d.Annotations[annotationContent] {
	case contentManifest, contentConfig:
		if d.Size > image.MaxDocument {
			return fmt.Errorf("%w: a document of %d bytes, at most %d", ErrInvalid, d.Size, image.MaxDocument)
		}
		to := &a.Target
		if d.Annotations[annotationContent] == contentConfig {
			to = &a.Config
		}
		if to.Digest != "" {
			return fmt.Errorf("%w: two documents of a kind", ErrInvalid)
		}
		*to = plain
	case contentLayer:
		l := Layer{To: digest.Digest(d.Annotations[annotationTo]), Blob: plain, Encoder: d.Annotations[annotationEncoder]}
		switch {
		case !valid(l.To):
			return fmt.Errorf("%w: a layer for %q", ErrInvalid, shorten(l.To.String()))
		case !l.Whole() && l.Blob.MediaType != MediaType(a.Type):
			return fmt.Errorf("%w: a layer of type %q", ErrInvalid, shorten(l.Blob.MediaType))
		case len(l.Encoder) > maxEncoder:
			return fmt.Errorf("%w: an encoder of %d characters", ErrInvalid, len(l.Encoder))
		case slices.ContainsFunc(a.Layers, func(o Layer) bool { return o.To == l.To }):
			return fmt.Errorf("%w: two layers for %s", ErrInvalid, l.To)
		}
		a.Layers = append(a.Layers, l)
	}
	return nil
}

// readReused reads which layers are not there. They are for people: who applies an artifact goes by the target's manifest.
func (a *Artifact) readReused(annotations map[string]string) error {
	var blobs, diffs []digest.Digest
	for name, list := range map[string]*[]digest.Digest{annotationReused: &blobs, annotationReusedDiffs: &diffs} {
		text, ok := annotations[name]
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(text), list); err != nil {
			return fmt.Errorf("%w: annotation %s: %w", ErrInvalid, name, err)
		}
		if len(*list) > maxLayers || slices.ContainsFunc(*list, func(d digest.Digest) bool { return !valid(d) }) {
			return fmt.Errorf("%w: annotation %s lists what are no digests, or too many", ErrInvalid, name)
		}
	}
	for i, b := range blobs {
		r := Reused{Blob: b}
		if i < len(diffs) {
			r.DiffID = diffs[i]
		}
		a.Reused = append(a.Reused, r)
	}
	return nil
}

func valid(d digest.Digest) bool { return d.Validate() == nil && d.Algorithm() == digest.SHA256 }

// shorten bounds text from outside in an error.
func shorten(s string) string { return s[:min(len(s), 100)] }
