package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// policy lays versions out one after the other.
type policy interface {
	next(v *version) (plan.Image, float64, error) // the image, lowest layer first, and its stale share
}

// strata is the planner under test.
type strata struct {
	limits  plan.Limits
	lineage []plan.Image
	forget  bool // plan every version as the first
	history *plan.History
}

// lineageKept is the number of images that the planner is shown.
const lineageKept = 8

func (s *strata) next(v *version) (plan.Image, float64, error) {
	in := plan.Input{Tree: v.tree, Owners: v.owners, Lineage: s.lineage, Limits: s.limits, History: s.history}
	l, err := plan.Make(in)
	if err != nil {
		return plan.Image{}, 0, err
	}
	if err := plan.Check(in, l); err != nil {
		return plan.Image{}, 0, err
	}
	var img plan.Image
	var total int64
	for _, layer := range l.Layers {
		p := prior(in, l.Base, layer.Kept)
		if p == nil {
			written := write(v, layer)
			p = &written
		}
		img.Layers = append(img.Layers, *p)
		total += p.Size
	}
	if !s.forget {
		s.history = l.History
		s.lineage = append([]plan.Image{img}, s.lineage...)
		s.lineage = s.lineage[:min(len(s.lineage), lineageKept)]
	}
	return img, float64(l.StaleBytes) / float64(total), nil
}

func prior(in plan.Input, base int, d digest.Digest) *plan.Prior {
	if d == "" {
		return nil
	}
	for i := range in.Lineage[base].Layers {
		if p := &in.Lineage[base].Layers[i]; p.Digest == d {
			return p
		}
	}
	return nil
}

// write makes the layer that the layer writer would make.
func write(v *version, l plan.Layer) plan.Prior {
	held := make([]bool, len(v.tree.Entries))
	parents := func(p string) {
		for p != "." {
			p = tree.Parent(p)
			i, ok := v.tree.Find(p)
			if !ok || held[i] {
				return
			}
			held[i] = true
		}
	}
	for _, w := range l.Whiteouts {
		parents(w)
	}
	for _, i := range l.Entries {
		held[i] = true
		parents(v.tree.Entries[i].Path)
	}
	h := sha256.New()
	p := plan.Prior{Name: l.Name, Size: 64, Index: &tree.Index{Whiteouts: l.Whiteouts}}
	for i := range v.tree.Entries {
		if held[i] {
			e := &v.tree.Entries[i]
			p.Index.Entries = append(p.Index.Entries, *e)
			p.Size += v.packed[i]
			fmt.Fprintf(h, "%q %d %x\n", e.Path, e.Mode, e.Digest)
		}
	}
	fmt.Fprintf(h, "%q", l.Whiteouts)
	p.Digest = digest.NewDigest(digest.SHA256, h)
	return p
}

// chunkah is the packing of chunkah 0.6 as its documentation describes it: components whose size is at least the median plus
// one and a half times the median absolute deviation get layers of their own, up to four fifths of the budget; the others go
// into three tiers of stability, exp(-7n/365) for n changelog days in a year, and within a tier to the bin of their name's
// hash.
type chunkah struct{ maxLayers int }

func (c *chunkah) next(v *version) (plan.Image, float64, error) {
	n := len(v.owners.Components)
	size, members := make([]int64, n), make([][]int, n)
	for i := range v.tree.Entries {
		if v.tree.Entries[i].Kind != tree.Dir {
			o := v.owners.Of[i]
			size[o] += v.tree.Entries[i].Size
			members[o] = append(members[o], i)
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(size[b], size[a]) })
	med := median(size)
	dev := make([]int64, n)
	for i := range dev {
		dev[i] = max(size[i]-med, med-size[i])
	}
	limit := float64(med) + 1.5*float64(median(dev))
	bins := map[string][]int{}
	var rest []int
	for _, o := range order {
		if float64(size[o]) >= limit && len(bins) < c.maxLayers*4/5 {
			bins[fmt.Sprint("own ", o)] = members[o]
		} else {
			rest = append(rest, o)
		}
	}
	slices.SortStableFunc(rest, func(a, b int) int { return cmp.Compare(stability(v, a), stability(v, b)) })
	spread := max(1, (c.maxLayers-len(bins))/3)
	for i, o := range rest {
		bin := fmt.Sprint("tier ", 3*i/len(rest), " ", fnvHash(v.owners.Components[o].ID)%uint64(spread))
		bins[bin] = append(bins[bin], members[o]...)
	}
	var img plan.Image
	for _, entries := range bins {
		if len(entries) == 0 {
			continue
		}
		slices.Sort(entries)
		img.Layers = append(img.Layers, write(v, plan.Layer{Entries: entries}))
	}
	return img, 0, nil
}

func median(v []int64) int64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

func stability(v *version, component int) float64 {
	days := map[int64]bool{}
	for _, t := range v.owners.Components[component].Changes {
		if t > v.now-365*86400 {
			days[t/86400] = true
		}
	}
	if len(days) == 0 {
		return 0.99
	}
	return math.Exp(-7 * float64(len(days)) / 365)
}
