// Package layouts opens images of OCI layouts by their tags.
package layouts

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Open opens the image of a layout that has a tag.
func Open(dir, tag string) (v1.Image, error) {
	index, m, err := read(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range m.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] == tag {
			return index.Image(d.Digest)
		}
	}
	return nil, fmt.Errorf("%s has no image %q", dir, tag)
}

// Tags are those of a layout, in its order.
func Tags(dir string) ([]string, error) {
	_, m, err := read(dir)
	if err != nil {
		return nil, err
	}
	var tags []string
	for _, d := range m.Manifests {
		tags = append(tags, d.Annotations[ocispec.AnnotationRefName])
	}
	return tags, nil
}

func read(dir string) (v1.ImageIndex, *v1.IndexManifest, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	return index, m, nil
}
