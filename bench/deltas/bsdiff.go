package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// bsdiffMost is how many bytes bsdiff is given: it takes 17 times as much memory as the old ones are.
const bsdiffMost = 500 << 20

// bsdiff makes each new layer of the old image's files that have the paths of the layer's. All of an old image would take it
// more memory than machines have; so it is told which of it are of use, which the other programs find out.
func bsdiff(ctx context.Context, b *bench) (size, peak int64, err error) {
	old, err := readSeed(b.oldLayers, b.oldTar)
	if err != nil {
		return 0, 0, err
	}
	defer old.tar.Close()
	was, out := filepath.Join(b.work, "counterparts.tar"), filepath.Join(b.work, "delta")
	defer os.Remove(was)
	defer os.Remove(out)
	for _, layer := range b.newLayers {
		given, err := old.counterparts(was, layer)
		if err != nil {
			return 0, 0, err
		}
		if given > bsdiffMost {
			return 0, 0, fmt.Errorf("%w: %d bytes of old files", errTooLarge, given)
		}
		n, rss, err := measure(ctx, out, "bsdiff", was, layer, out)
		if err != nil {
			return 0, 0, err
		}
		size, peak = size+n, max(peak, rss)
	}
	return size, peak, nil
}

// errTooLarge says that a program can't be given so much.
var errTooLarge = errors.New("too large for it")

// counterparts writes an archive of the files that have the paths of a layer's, and returns how long it is.
func (s *seed) counterparts(name, layer string) (n int64, err error) {
	entries, _, _, err := index(layer)
	if err != nil {
		return 0, err
	}
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	for _, e := range entries {
		p, ok := s.files[e.Path]
		if !ok {
			continue
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: p.Path, Mode: 0o644, Size: p.Size}); err != nil {
			return 0, err
		}
		if _, err := io.Copy(w, io.NewSectionReader(s.tar, p.at, p.Size)); err != nil {
			return 0, err
		}
		n += p.Size
	}
	return n, w.Close()
}
