package pulls_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/pulls"
)

// pull counts what a client fetches that has an image, or none.
func pull(c *pulls.Counts, img pulls.Image, has []digest.Digest) {
	if c.Layers == nil {
		c.Layers = map[digest.Digest]int64{}
	}
	for _, l := range img.Layers {
		if !slices.Contains(has, l) {
			c.Layers[l]++
		}
	}
}

var near = cmpopts.EquateApprox(0, 1e-9)

func TestObserve(t *testing.T) {
	t.Parallel()
	img := func(layers ...string) pulls.Image {
		out := pulls.Image{}
		for _, l := range layers {
			out.Layers = append(out.Layers, d(l))
		}
		return out
	}
	count := func(n map[string]int64) pulls.Counts {
		c := pulls.Counts{Layers: map[digest.Digest]int64{}}
		for l, k := range n {
			c.Layers[d(l)] = k
		}
		return c
	}
	for name, tc := range map[string]struct {
		chain  []pulls.Image
		counts pulls.Counts
		want   pulls.Lags
	}{
		"nothing":         {},
		"no pulls":        {chain: []pulls.Image{img("a")}},
		"a first version": {[]pulls.Image{img("a", "b")}, count(map[string]int64{"a": 7, "b": 7}), pulls.Lags{Fresh: 7}},
		"one version behind": {
			[]pulls.Image{img("a", "b"), img("a")}, count(map[string]int64{"a": 1, "b": 5}),
			pulls.Lags{Fresh: 1, Behind: [8]float64{4}},
		},
		"each lag has a layer": {
			[]pulls.Image{img("a", "b", "c"), img("a", "b"), img("a")}, count(map[string]int64{"a": 1, "b": 4, "c": 10}),
			pulls.Lags{Fresh: 1, Behind: [8]float64{6, 3}},
		},
		"two lags that look alike": {
			[]pulls.Image{img("a", "c"), img("a"), img("a", "old"), img("old")}, count(map[string]int64{"a": 2, "c": 8}),
			pulls.Lags{Fresh: 2. / 3, Behind: [8]float64{4, 2, 4. / 3}},
		},
		"a whole new image": {
			[]pulls.Image{img("n"), img("a")}, count(map[string]int64{"n": 6}), pulls.Lags{Fresh: 2, Behind: [8]float64{4}},
		},
		"broken off": {
			[]pulls.Image{img("a", "b", "b2", "b3"), img("a")}, count(map[string]int64{"a": 6, "b": 5, "b2": 9, "b3": 5}),
			pulls.Lags{Fresh: 6},
		},
		"nothing new": {[]pulls.Image{img("a"), img("a")}, count(map[string]int64{"a": 2}), pulls.Lags{Fresh: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, pulls.Observe(tc.chain, tc.counts), near); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// Random fleets: the clients that were there are found again, wherever the layers tell them apart.
func TestObserveFleets(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		// Each version keeps the base, most of the others and brings one.
		chain := []pulls.Image{{Layers: []digest.Digest{d("base")}}}
		for v := range 1 + r.IntN(12) {
			next := pulls.Image{Layers: []digest.Digest{d("base"), d("version", v)}}
			for _, l := range chain[0].Layers[1:] {
				if r.IntN(10) > 0 || v < 3 {
					next.Layers = append(next.Layers, l)
				}
			}
			chain = slices.Insert(chain, 0, next)
		}
		var want pulls.Lags
		var c pulls.Counts
		want.Fresh = float64(r.IntN(5))
		for range int(want.Fresh) {
			pull(&c, chain[0], nil)
		}
		for k := 1; k < min(len(chain), pulls.MaxLag+1); k++ {
			n := r.IntN(20)
			want.Behind[k-1] = float64(n)
			for range n {
				pull(&c, chain[0], chain[k].Layers)
			}
		}
		got := pulls.Observe(chain, c)
		if math.Abs(got.Pulls()-want.Pulls()) > 1e-9 {
			t.Errorf("seed %d: %v clients of %v", seed, got.Pulls(), want.Pulls())
		}
		if diff := cmp.Diff(want, got, near); diff != "" && told(chain) {
			t.Errorf("seed %d (-want +got):\n%s", seed, diff)
		}
	}
}

// told reports whether the newest image has a layer for each lag.
func told(chain []pulls.Image) bool {
	for k := 1; k < min(len(chain), pulls.MaxLag+1); k++ {
		if !slices.ContainsFunc(chain[0].Layers, func(l digest.Digest) bool {
			return slices.Contains(chain[k-1].Layers, l) && !slices.Contains(chain[k].Layers, l)
		}) {
			return false
		}
	}
	return true
}
