package rechunk_test

import (
	"testing"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Two layers of any bytes end in an error or in the same filesystem, with the contract kept, also as a next version.
func FuzzLayers(f *testing.F) {
	r := NewRandom(7)
	one := r.Tree(12)
	two := r.Edit(one, 5)
	f.Add(Tar(f, r.Layer(nil, one)...), Tar(f, r.Layer(one, two)...))
	f.Add(Tar(f, r.Chaos(9)...), Tar(f, r.Chaos(9)...))
	f.Add(Tar(f, File("a//./b", "x"), Symlink("s", "a"), File("s/c", "y")),
		Tar(f, Opaque("a"), Hardlink("h", "/s/c"), Fifo("p")))
	f.Add(Zstd(f, Tar(f, Char("c", 1, 3).WithXattr("user.x", "\x00"))),
		Gzip(f, Tar(f, File(".wh..wh.x", ""), File("é\xff", ""))))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		e := &bench{store: &rechunktest.MemoryStore{}}
		e.Engine = rechunk.New(rechunk.Config{Store: e.store, Records: e.store, WorkDir: t.TempDir(), Parallel: 1,
			Limits: tree.Limits{
				LayerBytes: 1 << 20, Entries: 1000, MetaBytes: 1 << 20, Window: 1 << 20,
			}})
		o := rechunktest.ImageOptions{Compress: asIs, MediaType: "application/vnd.oci.image.layer.v1.tar"}
		rules := rechunk.Options{MaxLayers: 5, MaxStale: 0.2, Format: layer.Zstd, ExactTime: true, Versions: 2}
		for _, img := range []*rechunktest.Image{rechunktest.NewImageOf(t, o, a), rechunktest.NewImageOf(t, o, a, b)} {
			result, err := e.Rechunk(t.Context(), img.Request("test", rules))
			if err != nil {
				continue
			}
			served, err := rechunktest.Check(e.store, e.version(t, "test", result))
			if err != nil {
				t.Fatal(err)
			}
			inspected, err := e.Inspect(t.Context(), img.Request("", rules))
			if err != nil {
				t.Fatal(err)
			}
			same(t, inspected.Tree, served.Tree, true)
			if err := inspected.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// asIs takes the bytes for a layer blob.
func asIs(_ testing.TB, parts ...[]byte) []byte { return parts[0] }
