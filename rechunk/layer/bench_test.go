package layer_test

import (
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

func BenchmarkWrite(b *testing.B) {
	for _, size := range []struct {
		name        string
		files, each int
	}{{"small files", 10_000, 2_000}, {"large file", 1, 32 << 20}} {
		body, contents := noise(size.each+size.files), Contents{}
		t := &tree.Tree{Entries: []tree.Entry{{Path: ".", Kind: tree.Dir, Mode: 0o755}}}
		for i := range size.files {
			t.Entries = append(t.Entries, tree.Entry{
				Path: fmt.Sprintf("f%d", i), Kind: tree.Regular, Mode: 0o644, Size: int64(size.each),
				Digest: contents.Add(body[i : i+size.each]),
			})
		}
		slices.SortFunc(t.Entries, func(a, b tree.Entry) int { return tree.ComparePaths(a.Path, b.Path) })
		for _, c := range layer.Formats() {
			b.Run(size.name+" "+c.Spec().Name, func(b *testing.B) {
				b.SetBytes(int64(size.files) * int64(size.each))
				b.ReportAllocs()
				w, err := c.NewWriter()
				if err != nil {
					b.Fatal(err)
				}
				l := all(t)
				for b.Loop() {
					if _, err := writeTo(b.Context(), w, io.Discard, t, l, contents); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
