package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/strata-oci/strata/bench/history"
	"github.com/strata-oci/strata/rechunk/plan"
)

// invented is a small corpus: sixty packages, of which each release updates those that its number divides.
func invented(releases int) *history.Corpus {
	c := history.New()
	for n := range releases {
		r := history.Release{Date: time.Unix(int64(n)*14*86400, 0), Packages: map[string]string{"kernel": fmt.Sprint(n / 2)}}
		for p := range 60 {
			name := fmt.Sprintf("p%02d", p)
			c.Size[name] = int64(1+p) << 20
			r.Packages[name] = fmt.Sprint(n / (1 + p%7))
			if n%(1+p%7) == 0 {
				c.Updates[name] = append(c.Updates[name], r.Date.Unix())
			}
		}
		c.Branches["b"] = append(c.Branches["b"], r)
	}
	return c
}

func TestPoliciesOnInventedHistory(t *testing.T) {
	t.Parallel()
	s := history.Series{Branch: "b", Count: 12}
	versions := trees(&s, invented(12))
	low := floors(versions)
	ratio := func(p policy) float64 {
		r, err := run(p, versions, low)
		if err != nil {
			t.Fatal(err)
		}
		for lag := range lags {
			if r.ratio(lag) < 1 {
				t.Errorf("%T, lag %d: %.3f of the floor", p, lags[lag], r.ratio(lag))
			}
		}
		return r.ratio(0)
	}
	keep := ratio(&strata{limits: plan.Limits{MaxLayers: 64, MaxStale: 0.1}})
	flat := ratio(&chunkah{64})
	if keep > 1.15 || keep-1 > (flat-1)/2 {
		t.Errorf("strata takes %.3f of the floor, re-flattening %.3f", keep, flat)
	}
}

// TestReport checks the figures of the documentation on the real history, when STRATA_CORPUS says where it is.
func TestReport(t *testing.T) {
	dir := os.Getenv("STRATA_CORPUS")
	if dir == "" {
		t.Skip("STRATA_CORPUS is not set")
	}
	c, err := history.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	limits := map[string]map[int]float64{ // series → layers → ratio at lag 1
		"biweekly": {64: 1.05, 120: 1.04},
		"small":    {64: 1.06, 120: 1.04},
	}
	for _, s := range allSeries() {
		for layers, most := range limits[s.Name] {
			versions := trees(&s, c)
			r, err := run(&strata{limits: plan.Limits{MaxLayers: layers, MaxStale: 0.1}}, versions, floors(versions))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s, %d layers: %.3f, stale %.1f%%", s.Name, layers, r.ratio(0), 100*r.stale)
			if r.ratio(0) > most || r.stale > 0.1 {
				t.Errorf("%s, %d layers: %.3f of the floor, at most %.2f wanted; stale %.3f", s.Name, layers, r.ratio(0),
					most, r.stale)
			}
		}
	}
}
