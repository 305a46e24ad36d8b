package main

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// lags are how many versions behind a client is.
var lags = [...]int{1, 2, 4}

// result is what a policy did on a series.
type result struct {
	update, floor [len(lags)]int64
	stale         float64 // mean share
	layers        float64 // mean number
	slowest       time.Duration
}

func (r *result) ratio(lag int) float64 {
	return float64(r.update[lag]) / float64(max(1, r.floor[lag]))
}

// floors are the compressed bytes of changed files, for each version and lag.
func floors(versions []*version) [][len(lags)]int64 {
	out := make([][len(lags)]int64, len(versions))
	for n, v := range versions {
		for l, lag := range lags {
			if n >= lag {
				out[n][l] = floor(versions[n-lag], v)
			}
		}
	}
	return out
}

func floor(old, new *version) int64 {
	var n int64
	j := 0
	for i := range new.tree.Entries {
		e := &new.tree.Entries[i]
		for j < len(old.tree.Entries) && tree.ComparePaths(old.tree.Entries[j].Path, e.Path) < 0 {
			j++
		}
		if e.Kind != tree.Dir && (j == len(old.tree.Entries) || !old.tree.Entries[j].Same(e)) {
			n += new.packed[i]
		}
	}
	return n
}

// run lays a series out and adds up what clients download.
func run(p policy, versions []*version, floors [][len(lags)]int64) (*result, error) {
	r := &result{}
	var images []plan.Image
	for n, v := range versions {
		start := time.Now()
		img, stale, err := p.next(v)
		if err != nil {
			return nil, err
		}
		r.slowest = max(r.slowest, time.Since(start))
		images = append(images, img)
		r.stale += stale / float64(len(versions))
		r.layers += float64(len(img.Layers)) / float64(len(versions))
		for l, lag := range lags {
			if n >= lag {
				r.update[l] += update(images[n-lag], img)
				r.floor[l] += floors[n][l]
			}
		}
	}
	return r, nil
}

// update is what a client on the old image fetches.
func update(old, new plan.Image) int64 {
	have := map[digest.Digest]bool{}
	for _, l := range old.Layers {
		have[l.Digest] = true
	}
	var n int64
	for _, l := range new.Layers {
		if !have[l.Digest] {
			n += l.Size
		}
	}
	return n
}
