package rechunk_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/layer"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	"github.com/strata-oci/strata/rechunk/tree"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// series is a sequence of source images, each an edit of the one before.
type series struct {
	images []*rechunktest.Image
	trees  []*tree.Tree
}

// newSeries makes versions from a seed. Now and then an image is built anew; otherwise it has the layers of the one before
// and one more.
func newSeries(tb testing.TB, seed uint64, versions int) series {
	tb.Helper()
	var s series
	r, rng := NewRandom(seed), rand.New(rand.NewPCG(seed, 1))
	r.Bootable = true
	o := rechunktest.ImageOptions{}
	if seed%2 == 1 {
		o.Compress, o.MediaType = Zstd, ocispec.MediaTypeImageLayerZstd
	}
	var layers [][]Item
	var last *tree.Tree
	for n := range versions {
		t := last
		switch {
		case n == 0:
			t = components(r.Tree(20 + rng.IntN(60)))
		case rng.IntN(6) > 0:
			t = components(r.Edit(last, 1+rng.IntN(12)))
		}
		if n == 0 || rng.IntN(4) == 0 {
			layers, last = nil, nil
		}
		layers = append(slices.Clip(layers), r.Layer(last, t))
		s.images = append(s.images, rechunktest.NewImage(tb, o, layers...))
		s.trees = append(s.trees, reference(tb, layers...))
		last = t
	}
	return s
}

// components gives some files an owner, so that there is something to tell apart.
func components(t *tree.Tree) *tree.Tree {
	for i := range t.Entries {
		h := fnv.New32a()
		h.Write([]byte(t.Entries[i].Path))
		if e := &t.Entries[i]; e.Kind == tree.Regular && e.Link == "" && len(e.Xattrs) == 0 && h.Sum32()%3 == 0 {
			e.Xattrs = []tree.Xattr{{Name: "user.component", Value: fmt.Sprint("c", h.Sum32()%7)}}
		}
	}
	return t
}

func randomRules(seed uint64) rechunk.Options {
	rng := rand.New(rand.NewPCG(seed, 2))
	o := rechunk.Options{
		MaxLayers: 1 + rng.IntN(130), MaxStale: rng.Float64() / 2, Format: layer.Zstd, ExactTime: rng.IntN(3) == 0,
		Versions: 1 + rng.IntN(10),
	}
	if rng.IntN(2) == 0 {
		o.MaxLayers = 1 + rng.IntN(8)
	}
	if rng.IntN(3) == 0 {
		o.Format = layer.Gzip
	}
	if seed%4 == 3 {
		o.Format = layer.Chunked
	}
	return o
}

// Every served image of a random series is its source's filesystem, flattened by other code than the engine's, and keeps
// bootc's contract on the bytes of its layers.
func TestSeries(t *testing.T) {
	t.Parallel()
	seeds, versions := 24, 20
	if testing.Short() {
		seeds, versions = 6, 8
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s, o := newSeries(t, seed, versions), randomRules(seed)
			b := newBench(t, &rechunktest.MemoryStore{}, 2)
			var before *tree.Tree
			ids := map[string]bool{}
			for n, img := range s.images {
				v, served := b.serve(t, img, o)
				if v.LayersTotal > o.MaxLayers {
					t.Fatalf("version %d has %d layers, %d allowed", n, v.LayersTotal, o.MaxLayers)
				}
				if same(t, s.trees[n], served.Tree, o.ExactTime); t.Failed() {
					t.Fatalf("version %d of %d with %+v", n, versions, o)
				}
				if !o.ExactTime {
					keptTimes(t, before, served.Tree, s.trees[n], ids)
				}
				before = served.Tree
				ids[composefsID(served.Tree)] = true
			}
			if n := b.store.OpenWriters(); n > 0 {
				t.Errorf("%d writers were left open", n)
			}
		})
	}
}

// keptTimes checks that a file has the time that it was first served with, or its own if it is new. Directories are in many
// layers, and hardlinks must agree with each other. Where composefs would take the image for one of those before, by their
// ids, one file has the source's time.
func keptTimes(t *testing.T, before, served, source *tree.Tree, ids map[string]bool) {
	t.Helper()
	var others []int
	for i := range served.Entries {
		e := &served.Entries[i]
		if e.Kind == tree.Dir || e.Link != "" || before == nil {
			continue
		}
		old := before.Lookup(e.Path)
		if old != nil && old.Same(e) && old.Link == "" && !old.SameTime(e) {
			others = append(others, i)
		}
	}
	if len(others) == 0 {
		return
	}
	e := served.Entries[others[0]]
	unchanged := served.Clone()
	old := before.Lookup(e.Path)
	unchanged.Entries[others[0]].Sec, unchanged.Entries[others[0]].Nsec = old.Sec, old.Nsec
	if len(others) > 1 || !e.SameTime(source.Lookup(e.Path)) || !ids[composefsID(unchanged)] {
		t.Errorf("%s and %d more were served with another time", e.Path, len(others)-1)
	}
}

// The same images in the same order give the same bytes from an empty state, with one core or many.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	for seed := uint64(100); seed < 104; seed++ {
		s, o := newSeries(t, seed, 8), randomRules(seed)
		var want []digest.Digest
		for run, parallel := range []int{1, 1, 2, 16} {
			b := newBench(t, &rechunktest.MemoryStore{}, parallel)
			var got []digest.Digest
			for _, img := range s.images {
				got = append(got, b.rechunk(t, img, "test", o).Digest)
			}
			if run == 0 {
				want = got
			} else if !slices.Equal(want, got) {
				t.Errorf("seed %d, %d at once: %v, want %v", seed, parallel, got, want)
			}
		}
	}
}
