package main

import (
	"cmp"
	"slices"

	"github.com/strata-oci/strata/rechunk/pkgdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

// component is what a packing places as a whole.
type component struct {
	name    string
	size    int64   // uncompressed bytes of its objects
	entries []int   // of the version's tree
	changes []int64 // times of the changelog, newest first
	// always components are taken to change with every version.
	always bool
}

// The names of what no package owns.
const (
	unpackaged = "unpackaged"
	initramfs  = "initramfs"
)

// byPackage gives the components that rpm-ostree's tools see: a binary package each, the initramfs, and all that nothing
// owns. Objects of equal content are one, and belong to the first that has them. inEtc says whether packages keep what they
// have in /etc.
func (v *version) byPackage(objects []int, inEtc bool) []component {
	names := map[string]int{}
	var out []component
	get := func(name string) *component {
		n, ok := names[name]
		if !ok {
			n = len(out)
			names[name] = n
			out = append(out, component{name: name})
		}
		return &out[n]
	}
	placed := map[int]string{}
	for _, i := range v.leaves() {
		e := &v.tree().Entries[i]
		o := objects[i]
		name, ok := placed[o]
		if !ok {
			name = v.holder(i, inEtc)
			placed[o] = name
			get(name).size += e.Size
		}
		c := get(name)
		c.entries = append(c.entries, i)
	}
	for _, p := range v.packages {
		if n, ok := names[p.name]; ok {
			out[n].changes = p.changes
		}
	}
	for i := range out {
		out[i].always = out[i].name == unpackaged || out[i].name == initramfs
	}
	return out
}

// holder names the component of an entry.
func (v *version) holder(i int, inEtc bool) string {
	c := &v.in.Owners.Components[v.in.Owners.Of[i]]
	switch o := v.owner[i]; {
	case c.Kind == pkgdb.Initramfs:
		return initramfs
	case o < 0, !inEtc && tree.Within(v.tree().Entries[i].Path, "etc"):
		return unpackaged
	default:
		return v.packages[o].name
	}
}

// largestFirst sorts by size, equal sizes by name.
func largestFirst(list []component) {
	slices.SortFunc(list, func(a, b component) int {
		return cmp.Or(cmp.Compare(b.size, a.size),
			cmp.Compare(a.name, b.name))
	})
}

// within counts the changes in the year that ends at a time.
func (c *component) within(now int64) int {
	const year = 365 * 86400
	n := 0
	for _, t := range c.changes {
		if now-t <= year {
			n++
		}
	}
	return n
}

// perSource has one layer for each source package, and for each other component that Strata knows, as many as that takes.
type perSource struct{}

func (perSource) next(v *version) [][]int {
	out := make([][]int, len(v.in.Owners.Components))
	for _, i := range v.leaves() {
		c := v.in.Owners.Of[i]
		out[c] = append(out[c], i)
	}
	return out
}
