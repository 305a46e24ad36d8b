package scan_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/strata-oci/strata/rechunk/scan"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

func BenchmarkLayer(b *testing.B) {
	layers := map[string][]byte{
		"small files": Tar(b, ManyFiles(10_000, 2000)...),
		"big files":   Tar(b, ManyFiles(20, 4<<20)...),
	}
	for name, raw := range layers {
		for how, blob := range map[string][]byte{"tar": raw, "gzip": Gzip(b, raw), "zstd": Zstd(b, raw)} {
			for _, spooled := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/spool=%v", name, how, spooled), func(b *testing.B) {
					b.SetBytes(int64(len(raw)))
					b.ReportAllocs()
					for b.Loop() {
						opts := scan.Options{DiffID: true}
						if spooled {
							opts.Spool = newSpool(b)
						}
						if _, err := scan.Layer(b.Context(), bytes.NewReader(blob), opts); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}
