package imageref

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func emptyIndex() ocispec.Index {
	return ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
}

// replaceTag returns index.json with the entries of a tag, or those without any when it is empty, replaced by desc. The rest
// stays as it was, unknown fields included, because other tools keep theirs there.
func replaceTag(index []byte, tag string, desc ocispec.Descriptor) (map[string]json.RawMessage, error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(index, &top); err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	if top == nil {
		return nil, errors.New("holds no index")
	}
	var old []json.RawMessage
	if raw, ok := top["manifests"]; ok {
		if err := json.Unmarshal(raw, &old); err != nil {
			return nil, fmt.Errorf("not valid: %w", err)
		}
	}
	kept := make([]json.RawMessage, 0, len(old)+1)
	for _, raw := range old {
		var d ocispec.Descriptor
		if err := json.Unmarshal(raw, &d); err != nil {
			return nil, fmt.Errorf("an entry is not valid: %w", err)
		}
		if d.Annotations[ocispec.AnnotationRefName] != tag {
			kept = append(kept, raw)
		}
	}
	if tag != "" {
		desc.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	}
	raw, err := json.Marshal(desc)
	if err != nil {
		return nil, err
	}
	if top["manifests"], err = json.Marshal(append(kept, raw)); err != nil {
		return nil, err
	}
	if _, ok := top["schemaVersion"]; !ok {
		top["schemaVersion"] = json.RawMessage("2")
	}
	return top, nil
}
