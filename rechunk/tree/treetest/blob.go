package treetest

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/strata-oci/strata/rechunk/scan"
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
	x, err := TryIndex(tb, tree.Limits{}, items...)
	if err != nil {
		tb.Fatalf("scanning: %v", err)
	}
	return x
}

// TryIndex is Index for items that may be refused, under limits.
func TryIndex(tb testing.TB, lim tree.Limits, items ...Item) (*tree.Index, error) {
	tb.Helper()
	got, err := scan.Layer(context.Background(), bytes.NewReader(Tar(tb, items...)), scan.Options{Limits: lim})
	if err != nil {
		return nil, err
	}
	return got.Index, nil
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

// Stored writes an index and reads it back under limits, and fails the test unless it is the same.
func Stored(tb testing.TB, x *tree.Index, lim tree.Limits) *tree.Index {
	tb.Helper()
	var b bytes.Buffer
	n, err := x.WriteTo(&b)
	if err != nil {
		tb.Fatalf("writing an index: %v", err)
	}
	if n != int64(b.Len()) {
		tb.Fatalf("WriteTo says %d bytes and wrote %d", n, b.Len())
	}
	got, err := tree.ReadIndex(&b, lim)
	if err != nil {
		tb.Fatalf("reading an index back: %v", err)
	}
	if d := cmp.Diff(x, got); d != "" {
		tb.Fatalf("an index reads back as another one (-want +got):\n%s", d)
	}
	return got
}
