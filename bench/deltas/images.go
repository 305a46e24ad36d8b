package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/strata-oci/strata/bench/layouts"
)

// open opens an image of an OCI layout, DIR:TAG.
func open(ref string) (v1.Image, error) {
	dir, tag := ref[:strings.LastIndexByte(ref, ':')+1], ref[strings.LastIndexByte(ref, ':')+1:]
	if dir == "" {
		return nil, fmt.Errorf("%q is not DIR:TAG", ref)
	}
	dir = strings.TrimSuffix(dir, ":")
	return layouts.Open(dir, tag)
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
	b.oldLayers, err = write(b.oldTar, before, func(h v1.Hash, _ int64) bool { has[h] = true; return true })
	if err != nil {
		return err
	}
	b.newLayers, err = write(b.newTar, after, func(h v1.Hash, size int64) bool {
		if !has[h] {
			b.newBytes += size
		}
		return !has[h]
	})
	return err
}

// write writes the tar streams of an image's layers, as far as they are wanted, one after another and each to a file of its
// own, whose names it returns.
func write(name string, img v1.Image, want func(v1.Hash, int64) bool) (names []string, err error) {
	all, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	for i, l := range layers {
		d, err := l.Digest()
		if err != nil {
			return nil, err
		}
		size, err := l.Size()
		if err != nil {
			return nil, err
		}
		if !want(d, size) {
			continue
		}
		own := fmt.Sprintf("%s.%d", name, i)
		if err := writeLayer(own, all, l); err != nil {
			return nil, fmt.Errorf("layer %s: %w", d, err)
		}
		names = append(names, own)
	}
	return names, nil
}

// writeLayer writes a layer's tar stream to a new file and to all.
func writeLayer(name string, all io.Writer, l v1.Layer) (err error) {
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.MultiWriter(f, all), r)
	return errors.Join(err, f.Close())
}
