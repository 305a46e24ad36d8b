package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// open opens an image of an OCI layout, DIR:TAG.
func open(ref string) (v1.Image, error) {
	dir, tag := ref[:strings.LastIndexByte(ref, ':')+1], ref[strings.LastIndexByte(ref, ':')+1:]
	if dir == "" {
		return nil, fmt.Errorf("%q is not DIR:TAG", ref)
	}
	dir = strings.TrimSuffix(dir, ":")
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
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

// unpack writes what the programs compare.
func (b *bench) unpack() error {
	before, err := open(b.old)
	if err != nil {
		return err
	}
	after, err := open(b.new)
	if err != nil {
		return err
	}
	has := map[v1.Hash]bool{}
	b.oldTar, b.newTar = filepath.Join(b.work, "old.tar"), filepath.Join(b.work, "new.tar")
	if err := write(b.oldTar, before, func(h v1.Hash, _ int64) bool { has[h] = true; return true }); err != nil {
		return err
	}
	return write(b.newTar, after, func(h v1.Hash, size int64) bool {
		if !has[h] {
			b.newBytes += size
		}
		return !has[h]
	})
}

// write writes the tar streams of an image's layers, as far as they are wanted, one after another.
func write(name string, img v1.Image, want func(v1.Hash, int64) bool) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		d, err := l.Digest()
		if err != nil {
			return err
		}
		size, err := l.Size()
		if err != nil {
			return err
		}
		if !want(d, size) {
			continue
		}
		r, err := l.Uncompressed()
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, r); err != nil {
			return errors.Join(fmt.Errorf("layer %s: %w", d, err), r.Close())
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}
