package bundle

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
)

const (
	annotationContent   = "dev.sigstore.bundle.content"
	annotationPredicate = "dev.sigstore.bundle.predicateType"
	contentDSSE         = "dsse-envelope"
)

// Artifact is a bundle as a referrer: its manifest, and what that names.
type Artifact struct {
	Manifest, Bundle, Config image.Document
	// Annotations are those of the manifest, for lists of referrers.
	Annotations map[string]string
}

// Attach makes a bundle of some predicate a referrer of a manifest.
func Attach(subject ocispec.Descriptor, raw []byte, predicate string) (Artifact, error) {
	out := Artifact{
		Bundle: image.Document{MediaType: MediaType, Digest: digest.FromBytes(raw), Bytes: raw},
		Config: image.Document{MediaType: ocispec.MediaTypeEmptyJSON, Digest: ocispec.DescriptorEmptyJSON.Digest,
			Bytes: []byte("{}")},
		Annotations: map[string]string{annotationContent: contentDSSE, annotationPredicate: predicate},
	}
	b, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: MediaType,
		Config: ocispec.Descriptor{MediaType: out.Config.MediaType, Digest: out.Config.Digest,
			Size: int64(len(out.Config.Bytes))},
		Layers:  []ocispec.Descriptor{{MediaType: MediaType, Digest: out.Bundle.Digest, Size: int64(len(raw))}},
		Subject: &subject, Annotations: out.Annotations,
	})
	if err != nil {
		return Artifact{}, fmt.Errorf("writing a bundle's manifest: %w", err)
	}
	out.Manifest = image.Document{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(b), Bytes: b}
	return out, nil
}

// Layers lists the bundles in a referrer's manifest, as far as they are not too large, and returns the predicate that it
// names. Errors wrap image.ErrInvalid.
func Layers(manifest []byte) (layers []ocispec.Descriptor, predicate string, err error) {
	doc, err := image.ReadManifest(manifest)
	if err != nil {
		return nil, "", err
	}
	for _, l := range doc.Layers {
		if Is(l.MediaType) && l.Size <= MaxBundle {
			layers = append(layers, l)
		}
	}
	return layers, Predicate(doc.Annotations), nil
}

// Predicate returns what a referrer's annotations, in its manifest or in a list, say that its bundles state; empty where
// they say nothing.
func Predicate(annotations map[string]string) string { return annotations[annotationPredicate] }
