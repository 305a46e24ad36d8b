package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// rpmOSTree packs as rpm-ostree's build-chunked-oci does (ostree-rs-ext, lib/src/chunking.rs): sizes and frequencies of
// change are sorted into classes by median, mean and deviation; large packages are alone; the next versions keep the
// assignment by name, and put new packages into the last layer.
//
// The layer of OSTree's own metadata, which differs in every version, is left out.
type rpmOSTree struct {
	layers int
	prior  [][]string // names by layer
}

func (p *rpmOSTree) next(v *version) [][]int {
	parts := v.byPackage(v.objects(true), true)
	largestFirst(parts)
	var bins [][]component
	if p.prior == nil {
		bins = p.fresh(parts, v.built)
	} else {
		bins = p.keep(parts)
	}
	p.prior = nil
	out := make([][]int, len(bins))
	for i, bin := range bins {
		names := []string{}
		for _, c := range bin {
			names = append(names, c.name)
			out[i] = append(out[i], c.entries...)
		}
		p.prior = append(p.prior, names)
	}
	return out
}

// keep assigns by name as before.
func (p *rpmOSTree) keep(parts []component) [][]component {
	byName := map[string]component{}
	for _, c := range parts {
		byName[c.name] = c
	}
	out := make([][]component, len(p.prior))
	for i, names := range p.prior {
		for _, n := range names {
			if c, ok := byName[n]; ok {
				out[i] = append(out[i], c)
				delete(byName, n)
			}
		}
	}
	last := len(out) - 1
	for _, c := range parts {
		if _, isNew := byName[c.name]; isNew {
			out[last] = append(out[last], c)
		}
	}
	return out
}

// fresh computes the assignment of a first version; parts are largest first.
func (p *rpmOSTree) fresh(parts []component, now int64) [][]component {
	if len(parts) < p.layers {
		var out [][]component
		for _, c := range parts {
			out = append(out, []component{c})
		}
		return append(out, nil)
	}
	var usual, always []component
	for _, c := range parts {
		if c.always {
			always = append(always, c)
		} else {
			usual = append(usual, c)
		}
	}
	// One layer for what is small, one for new packages, one for what always changes.
	reserved := 2 + min(len(always), 1)
	large := int(0.6 * float32(p.layers-reserved))
	room := p.layers - 1 - min(len(always), 1)
	out := classes(usual, now, large, p.layers-reserved-large)
	for len(out) > room {
		merged := mergePairs(out, 1+large, room)
		if len(merged) == len(out) {
			break
		}
		out = merged
	}
	if len(always) > 0 {
		out = append(out, always)
	}
	return append(out, nil)
}

// mergePairs merges neighbours from the end, down to the layer with the given number or until there is room.
func mergePairs(bins [][]component, from, room int) [][]component {
	last := len(bins) - 2
	if last < from {
		return bins
	}
	for i := from + (last-from)/2*2; i >= from && len(bins) > room; i -= 2 {
		merged := slices.Concat(bins[i-1], bins[i])
		bins = slices.Delete(bins, i-1, i+1)
		bins = slices.Insert(bins, i, merged)
	}
	return bins
}

// deviations are how many deviations from the middle make a size or frequency high or low.
const deviations = 2

// classes sorts components into layers by class, the classes in the order of their names there.
func classes(parts []component, now int64, large, rest int) [][]component {
	sizes := make([]float64, len(parts))
	for i, c := range parts {
		sizes[i] = float64(c.size)
	}
	high, medium, low := bySize(parts, sizes)
	out := [][]component{}
	spill := high[min(large, len(high)):]
	for _, c := range high[:len(high)-len(spill)] {
		out = append(out, []component{c})
	}
	if len(low) > 0 {
		out = append(out, low)
	}
	each := max(1, (len(parts)-large-len(low))/max(1, rest))
	medium = slices.Concat(spill, medium)
	slices.SortStableFunc(medium, func(a, b component) int { return cmp.Compare(a.within(now), b.within(now)) })
	groups := byFrequency(medium, now)
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		out = slices.AppendSeq(out, slices.Chunk(groups[name], each))
	}
	return out
}

// bySize splits by the median absolute deviation of all sizes.
func bySize(parts []component, sizes []float64) (high, medium, low []component) {
	mid, dev := median(sizes)
	top, bottom := mid+deviations*dev, 0.5*math.Abs(mid-deviations*dev)
	for _, c := range parts {
		switch s := float64(c.size); {
		case s >= top:
			high = append(high, c)
		case s <= bottom:
			low = append(low, c)
		default:
			medium = append(medium, c)
		}
	}
	return high, medium, low
}

// byFrequency gives groups by frequency and size, named so that they sort as the layers do: most frequent first.
func byFrequency(parts []component, now int64) map[string][]component {
	var sizes, frequencies []float64
	for _, c := range parts {
		sizes = append(sizes, float64(c.size))
		frequencies = append(frequencies, float64(c.within(now)))
	}
	class := func(x, mean, dev float64, names string) string {
		list := strings.Fields(names)
		switch {
		case x >= mean+deviations*dev:
			return list[0]
		case x <= 0.5*math.Abs(mean-deviations*dev):
			return list[2]
		}
		return list[1]
	}
	sizeMean, sizeDev := spread(sizes)
	freqMean, freqDev := spread(frequencies)
	out := map[string][]component{}
	for i, c := range parts {
		name := fmt.Sprint(class(frequencies[i], freqMean, freqDev, "3hf 4mf 5lf"), "_",
			class(sizes[i], sizeMean, sizeDev, "hs ms ls"))
		out[name] = append(out[name], c)
	}
	return out
}
