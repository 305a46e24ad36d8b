package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/bench/process"
)

// large makes the delta of an image of one file of so many MiB, and the image again, and tells what memory that takes: what
// bounds it has nothing to do with how large a file is.
func (b *bench) large(ctx context.Context, mib int) error {
	b.old, b.new = filepath.Join(b.work, "images:old"), filepath.Join(b.work, "images:new")
	images, err := layout.Write(filepath.Join(b.work, "images"), empty.Index)
	if err != nil {
		return err
	}
	for version, tag := range []string{"old", "new"} {
		if err := b.oneFile(images, tag, mib, version > 0); err != nil {
			return err
		}
	}
	diff := filepath.Join(b.work, "delta")
	made, _, err := process.Measure(ctx, b.strata, "delta", "--format", "strata", "oci:"+b.old, "oci:"+b.new, diff)
	if err != nil {
		return err
	}
	applied, _, err := process.Measure(ctx, b.strata, "delta", "--apply", "oci:"+b.old, diff,
		"oci:"+filepath.Join(b.work, "again:new"))
	if err != nil {
		return err
	}
	info, err := os.Stat(diff)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "one file of %d MiB, a delta of %d bytes\n\n| | peak MiB | CPU s | s |\n| --- | --- | --- | --- |\n",
		mib,
		info.Size())
	for _, row := range []struct {
		what string
		process.Usage
	}{{"made", made}, {"applied", applied}} {
		fmt.Fprintf(b.out, "| %s | %d | %.1f | %.1f |\n", row.what, row.RSS>>20, row.CPU.Seconds(), row.Wall.Seconds())
	}
	return nil
}

// oneFile adds an image to a layout: of one file, half of whose bytes compress. The changed one has new bytes in 40 places
// of each MiB, some of which move what comes after them, and every fiftieth MiB is new.
func (b *bench) oneFile(images layout.Path, tag string, mib int, changed bool) error {
	name := filepath.Join(b.work, tag+".tar")
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer os.Remove(name)
	w := tar.NewWriter(f)
	h := &tar.Header{Name: "usr/lib/large", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(mib) << 20}
	err = w.WriteHeader(h)
	for n := 0; n < mib && err == nil; n++ {
		_, err = w.Write(piece(n, changed))
	}
	if err = errors.Join(err, w.Close(), f.Close()); err != nil {
		return err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return os.Open(name) },
		tarball.WithCompressionLevel(gzip.NoCompression), tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		types.OCIConfigJSON), l)
	if err != nil {
		return err
	}
	return images.AppendImage(image, layout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: tag}))
}

// piece is the nth MiB of the file.
func piece(n int, changed bool) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(n))
	if changed && n%50 == 0 {
		seed[31] = 1
	}
	out := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8(seed).Read(out) // it never fails
	for i := range out[:len(out)/2] {
		out[i] = 'a' + out[i]&15
	}
	if !changed {
		return out
	}
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	for range 40 {
		at := rng.IntN(len(out) - 200)
		moved := rng.IntN(60)
		copy(out[at+moved:at+200], out[at:])
		for i := range moved {
			out[at+i] = byte(rng.Uint32())
		}
	}
	return out
}
