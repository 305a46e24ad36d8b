package main

import (
	"math/bits"
	"slices"
	"time"

	"github.com/strata-oci/strata/rechunk/tree"
)

// weeks is a year's set of calendar weeks.
type weeks uint64

// hhdRechunk packs as hhd-dev/rechunk does (src/rechunk/alg.py, with the values of its meta.yml): groups of packages that
// its authors know to change together have layers of their own, the rest is added one by one where the product of size and
// weeks with a change grows least; the next versions keep the assignment by name and add what is new in the same way.
type hhdRechunk struct {
	layers int
	// scale is the size of the images, of real ones: sizes that the program compares with are scaled like them.
	scale float64
	prior [][]string
}

const (
	// prefill and most are the shares of an average layer up to which layers are begun and filled.
	prefill, most = 0.4, 1.3
	// ownLayer is the least size of a group that has a layer of its own.
	ownLayer = 10_000_000
)

// part is a package or group on its way into a layer.
type part struct {
	component
	dedicated bool
	weeks     weeks
}

// bin is a layer being filled.
type bin struct {
	parts []part
	weeks weeks
	size  int64
}

func (b *bin) add(p part) {
	b.parts = append(b.parts, p)
	b.weeks |= p.weeks
	b.size += p.size
}

// cost is the expected traffic, in bytes times weeks, when a part is added.
func (b *bin) cost(p part) float64 {
	return float64(bits.OnesCount64(uint64(b.weeks|p.weeks))) * float64(b.size+p.size)
}

func (h *hhdRechunk) next(v *version) [][]int {
	parts := v.grouped(v.byPackage(v.objects(true), false), int64(ownLayer*h.scale))
	var total int64
	for _, p := range parts {
		total += p.size
	}
	average := float64(total) / float64(h.layers)
	var bins []bin
	var left []part
	own := 0
	if h.prior == nil {
		bins, left, own = h.begin(parts, int64(average*prefill))
	} else {
		bins, left, own = h.resume(parts)
	}
	fill(bins[own:], left, int64(average*most))
	h.prior = nil
	out := make([][]int, len(bins))
	for i, b := range bins {
		names := []string{}
		for _, p := range b.parts {
			names = append(names, p.name)
			out[i] = append(out[i], p.entries...)
		}
		h.prior = append(h.prior, names)
	}
	return out
}

// begin lays out a first version: groups alone, two layers of small parts, then layers begun with the largest part each. The
// first own layers are those of the groups.
func (h *hhdRechunk) begin(parts []part, begun int64) (bins []bin, left []part, own int) {
	var rest []part
	for _, p := range parts {
		if p.dedicated {
			b := bin{}
			b.add(p)
			bins = append(bins, b)
		} else {
			rest = append(rest, p)
		}
	}
	own = len(bins)
	for _, limit := range []float64{500_000, 1_000_000} {
		small := int64(limit * h.scale)
		b := bin{}
		rest = slices.DeleteFunc(rest, func(p part) bool {
			if p.size < small {
				b.add(p)
			}
			return p.size < small
		})
		if len(b.parts) > 0 {
			bins = append(bins, b)
		}
	}
	for len(bins) < h.layers && len(rest) > 0 {
		b := bin{}
		for b.size <= begun && len(rest) > 0 {
			i := next(&b, rest)
			b.add(rest[i])
			rest = slices.Delete(rest, i, i+1)
		}
		bins = append(bins, b)
	}
	return bins, rest, own
}

// next picks the part to add: the largest to an empty layer, else the one that costs least, the first among equals.
func next(b *bin, rest []part) int {
	best := 0
	for i, p := range rest {
		if len(b.parts) == 0 && p.size > rest[best].size || len(b.parts) > 0 && b.cost(p) < b.cost(rest[best]) {
			best = i
		}
	}
	return best
}

// fill adds the parts that are left where they cost least; layers that are too large take none.
func fill(bins []bin, left []part, largest int64) {
	for len(left) > 0 {
		where, which, least := -1, -1, 0.0
		for b := range bins {
			if bins[b].size > largest {
				continue
			}
			now := float64(bits.OnesCount64(uint64(bins[b].weeks))) * float64(bins[b].size)
			for i, p := range left {
				if c := bins[b].cost(p) - now; where < 0 || c < least {
					where, which, least = b, i, c
				}
			}
		}
		if where < 0 {
			// The program ends here; what is left goes into the last layer instead.
			for _, p := range left {
				bins[len(bins)-1].add(p)
			}
			return
		}
		bins[where].add(left[which])
		left = slices.Delete(left, which, which+1)
	}
}

// resume keeps the assignment of the version before, by name, and has empty layers up to the limit.
func (h *hhdRechunk) resume(parts []part) (bins []bin, left []part, own int) {
	byName := map[string]part{}
	for _, p := range parts {
		byName[p.name] = p
	}
	var shared []bin
	for _, names := range h.prior {
		b := bin{}
		for _, n := range names {
			p, ok := byName[n]
			if !ok {
				continue
			}
			delete(byName, n)
			if p.dedicated {
				alone := bin{}
				alone.add(p)
				bins = append(bins, alone)
			} else {
				b.add(p)
			}
		}
		if len(b.parts) > 0 {
			shared = append(shared, b)
		}
	}
	own = len(bins)
	bins = append(bins, shared...)
	for len(bins) < max(h.layers, own+1) {
		bins = append(bins, bin{})
	}
	for _, p := range parts {
		if _, isNew := byName[p.name]; isNew {
			left = append(left, p)
		}
	}
	return bins, left, own
}

// yearWeeks gives the calendar weeks of the year before a time in which a component changed: all when its changelog is too
// short.
func yearWeeks(c *component, now int64) weeks {
	if len(c.changes) <= 2 {
		return 1<<54 - 2
	}
	var out weeks
	for _, t := range c.changes {
		if now-t > 366*86400 {
			continue
		}
		_, w := time.Unix(t, 0).UTC().ISOWeek()
		out |= 1 << w
	}
	return out
}

// grouped gathers packages into the known groups. Those of ten megabytes and what nothing owns have layers of their own; the
// size is given.
func (v *version) grouped(parts []component, ownLayer int64) []part {
	slices.SortFunc(parts, func(a, b component) int { return compareNames(a.name, b.name) })
	at := map[string]int{}
	var out []part
	add := func(name string, c component, may bool) {
		i, ok := at[name]
		if !ok {
			i = len(out)
			at[name] = i
			out = append(out, part{component: component{name: name}, dedicated: may})
		}
		p := &out[i]
		p.size += c.size
		p.entries = append(p.entries, c.entries...)
		p.changes = append(p.changes, c.changes...)
	}
	for _, c := range parts {
		g := groupOf(c.name)
		kept := c
		kept.entries = nil
		for _, i := range c.entries {
			e := &v.tree().Entries[i]
			if k := fileGroup(e.Path); k != "" && c.name != initramfs {
				add("group "+k, component{size: e.Size, entries: []int{i}}, true)
				kept.size -= e.Size
			} else {
				kept.entries = append(kept.entries, i)
			}
		}
		if g != nil {
			add("group "+g.name, kept, g.alone)
		} else {
			add(kept.name, kept, c.name == unpackaged)
		}
	}
	for i := range out {
		p := &out[i]
		p.dedicated = p.dedicated && (p.size >= ownLayer || p.name == unpackaged)
		p.weeks = yearWeeks(&p.component, v.built)
	}
	return out
}

func compareNames(a, b string) int {
	// What nothing owns comes last, as there.
	if (a == unpackaged) != (b == unpackaged) {
		if a == unpackaged {
			return 1
		}
		return -1
	}
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// fileGroup names the group of a file that belongs to one whoever owns it.
func fileGroup(path string) string {
	if tree.Within(path, "usr/lib/modules") && (matches("*ko.xz", path) || matches("*vmlinuz*", path)) {
		return "kernel"
	}
	return ""
}
