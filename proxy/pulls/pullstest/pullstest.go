// Package pullstest is the conformance suite for pulls.Counters.
package pullstest

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/pulls"
)

// Run checks an implementation. open returns counters on one shared and empty place, as another replica has them: each call
// gives a view of its own.
func Run(t *testing.T, open func(t *testing.T) func() pulls.Counters) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, func() pulls.Counters){
		"never pulled": neverPulled, "replicas add up": addUp, "the later time stays": laterStays, "forget": forget,
		"at once": atOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, open(t))
		})
	}
}

var (
	image  = digest.FromString("image")
	layerA = digest.FromString("a")
	layerB = digest.FromString("b")
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func add(t *testing.T, c pulls.Counters, manifest digest.Digest, delta pulls.Counts) {
	t.Helper()
	if err := c.Add(t.Context(), manifest, delta); err != nil {
		t.Error(err)
	}
}

func want(t *testing.T, c pulls.Counters, manifest digest.Digest, want pulls.Counts) {
	t.Helper()
	got, err := c.Get(t.Context(), manifest)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts of %.13s (-want +got):\n%s", manifest, diff)
	}
}

func neverPulled(t *testing.T, open func() pulls.Counters) { want(t, open(), image, pulls.Counts{}) }

func addUp(t *testing.T, open func() pulls.Counters) {
	one, other := open(), open()
	add(t, one, image, pulls.Counts{Last: noon, Layers: map[digest.Digest]int64{layerA: 2, layerB: 1}})
	add(t, other, image, pulls.Counts{Layers: map[digest.Digest]int64{layerA: 3}})
	add(t, other, layerA, pulls.Counts{Layers: map[digest.Digest]int64{layerB: 9}}) // another image
	for _, c := range []pulls.Counters{one, other, open()} {
		want(t, c, image, pulls.Counts{Last: noon, Layers: map[digest.Digest]int64{layerA: 5, layerB: 1}})
	}
}

func laterStays(t *testing.T, open func() pulls.Counters) {
	c := open()
	for _, at := range []time.Time{noon, noon.Add(time.Hour), noon.Add(-time.Hour), {}} {
		add(t, c, image, pulls.Counts{Last: at})
	}
	want(t, c, image, pulls.Counts{Last: noon.Add(time.Hour)})
}

func forget(t *testing.T, open func() pulls.Counters) {
	c := open()
	add(t, c, image, pulls.Counts{Last: noon, Layers: map[digest.Digest]int64{layerA: 2}})
	for range 2 {
		if err := c.Forget(t.Context(), image); err != nil {
			t.Error(err)
		}
		want(t, c, image, pulls.Counts{})
	}
}

func atOnce(t *testing.T, open func() pulls.Counters) {
	c := open()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				add(t, c, image, pulls.Counts{Layers: map[digest.Digest]int64{layerA: 1}})
			}
		})
	}
	wg.Wait()
	want(t, c, image, pulls.Counts{Layers: map[digest.Digest]int64{layerA: 40}})
}
