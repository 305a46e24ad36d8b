package plan

import (
	"slices"

	"github.com/strata-oci/strata/rechunk/tree"
)

// apply is the plainest possible implementation of the changeset rules: objects with identity, layers lowest first. It
// returns the entries with hardlink groups named anew.
func apply(img Image) []tree.Entry {
	type object struct {
		entry tree.Entry
		paths []string
	}
	fs := map[string]*object{}
	remove := func(p string) {
		for k := range fs {
			if tree.Within(k, p) {
				delete(fs, k)
			}
		}
	}
	for _, l := range img.Layers {
		for _, w := range l.Index.Whiteouts {
			remove(w)
		}
		links := map[string]*object{}
		for _, e := range l.Index.Entries {
			if old := fs[e.Path]; old != nil && (old.entry.Kind == tree.Dir) != (e.Kind == tree.Dir) {
				remove(e.Path)
			}
			o := &object{entry: e}
			if e.Link != "" {
				if links[e.Link] == nil {
					links[e.Link] = o
				}
				o = links[e.Link]
			}
			fs[e.Path] = o
		}
	}
	for p, o := range fs {
		o.paths = append(o.paths, p)
	}
	var entries []tree.Entry
	for p, o := range fs {
		e := o.entry
		e.Path, e.Link = p, ""
		if len(o.paths) > 1 {
			e.Link = slices.Min(o.paths)
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b tree.Entry) int { return tree.ComparePaths(a.Path, b.Path) })
	return entries
}
