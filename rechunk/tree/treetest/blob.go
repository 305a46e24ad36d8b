package treetest

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Tar writes items as an archive, in the order given.
func Tar(tb testing.TB, items ...Item) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		h := i.Header
		if h.Format == tar.FormatUnknown {
			h.Format = tar.FormatPAX
		}
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatalf("header %q: %v", i.Name, err)
		}
		if _, err := io.WriteString(w, i.Body); err != nil {
			tb.Fatalf("content of %q: %v", i.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatalf("closing the archive: %v", err)
	}
	return b.Bytes()
}

// Gzip compresses parts, each as a member of its own.
func Gzip(tb testing.TB, parts ...[]byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	for _, p := range parts {
		w := gzip.NewWriter(&b)
		writeAll(tb, w, p)
	}
	return b.Bytes()
}

// Zstd compresses parts, each as a frame of its own.
func Zstd(tb testing.TB, parts ...[]byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	for _, p := range parts {
		w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			tb.Fatalf("zstd: %v", err)
		}
		writeAll(tb, w, p)
	}
	return b.Bytes()
}

func writeAll(tb testing.TB, w io.WriteCloser, p []byte) {
	tb.Helper()
	if _, err := w.Write(p); err != nil {
		tb.Fatalf("compressing: %v", err)
	}
	if err := w.Close(); err != nil {
		tb.Fatalf("compressing: %v", err)
	}
}

// Index scans items as an uncompressed layer, without keeping contents.
func Index(tb testing.TB, items ...Item) *tree.Index {
	tb.Helper()
	got, err := tree.Scan(context.Background(), bytes.NewReader(Tar(tb, items...)), tree.ScanOptions{})
	if err != nil {
		tb.Fatalf("scanning: %v", err)
	}
	return got.Index
}

// Tree flattens layers, lowest first.
func Tree(tb testing.TB, layers ...[]Item) *tree.Tree {
	tb.Helper()
	indexes := make([]*tree.Index, len(layers))
	for i, items := range layers {
		indexes[i] = Index(tb, items...)
	}
	got, err := tree.Flatten(context.Background(), indexes, tree.Limits{})
	if err != nil {
		tb.Fatalf("flattening: %v", err)
	}
	return got
}
