package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// series is a sequence of versions of one image, oldest first, in an OCI layout.
type series struct {
	name string
	dir  string
	tags []string
	// scale is the size of the images, of real ones.
	scale float64
	// make writes the layout before it is measured; nil when it is there.
	make func(ctx context.Context, dir string) error
}

// ref names a version as strata does.
func (s *series) ref(tag string) string { return "oci:" + s.dir + ":" + tag }

// tags lists the images of a layout that have a name, in the index's order.
func tags(dir string) ([]string, error) {
	x, err := index(dir)
	var out []string
	for _, m := range x {
		out = append(out, m.Annotations[ocispec.AnnotationRefName])
	}
	return out, err
}

// layoutLayer is a layer as a manifest has it.
type layoutLayer struct {
	digest string
	size   int64
}

// manifest lists the layers of a tag, lowest first.
func manifest(dir, tag string) ([]layoutLayer, error) {
	x, err := index(dir)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(x, func(m named) bool { return m.Annotations[ocispec.AnnotationRefName] == tag })
	if i < 0 {
		return nil, fmt.Errorf("%s has no image %q", dir, tag)
	}
	img, err := layout.Path(dir).Image(x[i].Digest)
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	var out []layoutLayer
	for _, l := range m.Layers {
		out = append(out, layoutLayer{l.Digest.String(), l.Size})
	}
	return out, nil
}

// found looks for real series: DIR/NAME/dpkg and DIR/NAME/rpm, as make-corpus writes them.
func found(dir string) ([]*series, error) {
	var out []*series
	for _, kind := range []string{"dpkg", "rpm"} {
		dirs, err := filepath.Glob(filepath.Join(dir, "*", kind, ocispec.ImageIndexFile))
		if err != nil {
			return nil, err
		}
		for _, file := range dirs {
			s := &series{dir: filepath.Dir(file), scale: 1}
			s.name = filepath.Base(filepath.Dir(s.dir)) + " " + kind
			if s.tags, err = tags(s.dir); err != nil {
				return nil, fmt.Errorf("%s: %w", s.dir, err)
			}
			if len(s.tags) > 1 {
				out = append(out, s)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *series) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// prepare makes the layout of a series that has none yet.
func (s *series) prepare(ctx context.Context) (err error) {
	if s.make == nil {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if err := s.make(ctx, s.dir); err != nil {
		return fmt.Errorf("making the images of %s: %w", s.name, err)
	}
	s.tags, err = tags(s.dir)
	return err
}
