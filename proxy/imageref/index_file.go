package imageref

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/image"
)

func emptyIndex() ocispec.Index {
	return ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
}

// parseIndexFile reads index.json.
func parseIndexFile(raw []byte) (*image.Index, error) {
	x, err := image.ParseLayout(raw)
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax), errors.As(err, &shape):
		return nil, fmt.Errorf("%s is not valid JSON: %w", ocispec.ImageIndexFile, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	return x, nil
}

// replaceTag returns index.json with the entries of a tag, or those without any when it is empty, replaced by desc. The rest
// stays as it was, unknown fields included, because other tools keep theirs there.
func replaceTag(index []byte, tag string, desc ocispec.Descriptor) (json.RawMessage, error) {
	x, err := parseIndexFile(index)
	if err != nil {
		return nil, err
	}
	entries := x.Entries()
	kept := make([]json.RawMessage, 0, len(entries)+1)
	for i, d := range x.Manifests() {
		if d.Annotations[ocispec.AnnotationRefName] != tag {
			kept = append(kept, entries[i])
		}
	}
	if tag != "" {
		desc.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	}
	raw, err := json.Marshal(desc)
	if err != nil {
		return nil, err
	}
	return x.WithEntries(append(kept, raw))
}
