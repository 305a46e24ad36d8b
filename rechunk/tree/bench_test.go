package tree_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

func BenchmarkFlatten(b *testing.B) {
	base := Index(b, ManyFiles(100_000, 0)...)
	update := Index(b, append(ManyFiles(5_000, 8), Whiteout("usr/lib/package-7/file-210"))...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tree.Flatten(b.Context(), []*tree.Index{base, update}, tree.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIndexWrite(b *testing.B) {
	x := Index(b, ManyFiles(100_000, 0)...)
	b.ReportAllocs()
	for b.Loop() {
		n, err := x.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(n), "index-bytes")
	}
}

func BenchmarkIndexRead(b *testing.B) {
	var buf bytes.Buffer
	if _, err := Index(b, ManyFiles(100_000, 0)...).WriteTo(&buf); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tree.ReadIndex(bytes.NewReader(buf.Bytes()), tree.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
