package tree_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// manyFiles is a layer such as a distribution's: directories of some dozen small files.
func manyFiles(n, size int) []Item {
	items := []Item{Dir(".")}
	for i := range n {
		if i%30 == 0 {
			items = append(items, Dir(fmt.Sprintf("usr/lib/package-%d", i/30)))
		}
		body := bytes.Repeat([]byte(fmt.Sprintf("%08d", i)), size/8)
		items = append(items, File(fmt.Sprintf("usr/lib/package-%d/file-%d", i/30, i), string(body)))
	}
	return items
}

func BenchmarkScan(b *testing.B) {
	layers := map[string][]byte{
		"small files": Tar(b, manyFiles(10_000, 2000)...),
		"big files":   Tar(b, manyFiles(20, 4<<20)...),
	}
	for name, raw := range layers {
		for how, blob := range map[string][]byte{"tar": raw, "gzip": Gzip(b, raw), "zstd": Zstd(b, raw)} {
			for _, spooled := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/spool=%v", name, how, spooled), func(b *testing.B) {
					b.SetBytes(int64(len(raw)))
					b.ReportAllocs()
					for b.Loop() {
						opts := tree.ScanOptions{DiffID: true}
						if spooled {
							opts.Spool = newSpool(b)
						}
						if _, err := tree.Scan(b.Context(), bytes.NewReader(blob), opts); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

func BenchmarkFlatten(b *testing.B) {
	base := Index(b, manyFiles(100_000, 0)...)
	update := Index(b, append(manyFiles(5_000, 8), Whiteout("usr/lib/package-7/file-210"))...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tree.Flatten(b.Context(), []*tree.Index{base, update}, tree.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIndexWrite(b *testing.B) {
	x := Index(b, manyFiles(100_000, 0)...)
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
	if _, err := Index(b, manyFiles(100_000, 0)...).WriteTo(&buf); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tree.ReadIndex(bytes.NewReader(buf.Bytes()), tree.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
