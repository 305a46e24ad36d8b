package delta_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/tree"
)

// host is an image's files in memory.
type host map[string][]byte

type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

// Open implements delta.Contents.
func (h host) Open(_ context.Context, f delta.File) (delta.Content, error) {
	b, ok := h[f.Path]
	if !ok {
		return nil, fmt.Errorf("%w: %s is not there", delta.ErrSource, f.Path)
	}
	return file{bytes.NewReader(b)}, nil
}

// layerOf is a layer with one file.
func layerOf(path string, content []byte) (delta.Target, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg})
	_, err2 := w.Write(content)
	if err := errors.Join(err, err2, w.Close()); err != nil {
		return delta.Target{}, err
	}
	return delta.Target{
		Tar: bytes.NewReader(b.Bytes()), TarSize: int64(b.Len()), DiffID: digest.FromBytes(b.Bytes()),
		Blob: digest.FromBytes(b.Bytes()), BlobSize: int64(b.Len()), // a layer that is not compressed
		Entries: []tree.Entry{{Path: path, Kind: tree.Regular, Size: int64(len(content)), Digest: sha256.Sum256(content)}},
	}, nil
}

// A layer has the next version of a program that the host has.
func Example() {
	old := bytes.Repeat([]byte("what the program does, step by step. "), 1000)
	now := append(bytes.Clone(old[:20_000]), append([]byte("What is new."), old[20_000:]...)...)
	have := host{"usr/bin/tool-1.0": old}
	layer, err := layerOf("usr/bin/tool-1.1", now)
	if err != nil {
		fmt.Println(err)
		return
	}
	seed := delta.Seed{Manifest: digest.FromString("the host's image"), Files: []delta.File{
		{Path: "usr/bin/tool-1.0", Size: int64(len(old)), Digest: sha256.Sum256(old)},
	}}
	var sent bytes.Buffer
	report, err := delta.Make(context.Background(), &sent, layer, seed, delta.Options{Contents: have})
	if err != nil {
		fmt.Println(err)
		return
	}
	item := report.Items[0]
	fmt.Println(item.Path, "as a", item.How, "of", item.Source, "in less than 1 KB:", sent.Len() < 1000)

	d, err := delta.Open(&sent, delta.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var tarball bytes.Buffer // where the layer goes; what was written counts only when Apply gives no error
	if err := d.Apply(context.Background(), &tarball, delta.ApplyOptions{Contents: have}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the layer again:", digest.FromBytes(tarball.Bytes()) == d.Header().DiffID)
	// Output:
	// usr/bin/tool-1.1 as a patch of usr/bin/tool-1.0 in less than 1 KB: true
	// the layer again: true
}
