package plan

import (
	"fmt"

	"github.com/strata-oci/strata/rechunk/tree"
)

// stratum is a layer of the lineage matched against the tree.
type stratum struct {
	prior  *Prior
	ids    []int32 // path of each entry
	outs   []int32 // whiteouts
	match  []bool  // the entry is what the tree wants at its path
	weight []int64 // estimated compressed bytes; a hardlink group's content is in shared
	group  []int32
	groups [][]int32
	shared []int64 // content bytes of each group
	total  int64
	files  int // entries that are not directories
	// broken says why no image with this layer can be built on, fault why the layer cannot be kept for this tree.
	broken, fault string
}

// stratum returns the layer matched against the tree, once per digest.
func (m *model) stratum(p *Prior) *stratum {
	if s, ok := m.layers[p.Digest]; ok {
		return s
	}
	s := &stratum{prior: p}
	m.layers[p.Digest] = s
	s.broken = m.read(s)
	return s
}

func (m *model) read(s *stratum) string {
	ix := s.prior.Index
	switch {
	case ix == nil:
		return "has no index"
	case s.prior.Digest == "":
		return "has no digest"
	case s.prior.Size < 0:
		return "has a negative size"
	case len(ix.Opaque) > 0:
		return fmt.Sprintf("has an opaque directory, %q", ix.Opaque[0])
	case len(ix.Links) > 0:
		return fmt.Sprintf("links %q into a lower layer", ix.Links[0].Path)
	}
	s.ids = make([]int32, len(ix.Entries))
	s.match = make([]bool, len(ix.Entries))
	s.weight = make([]int64, len(ix.Entries))
	s.group, s.groups = linkGroups(ix.Entries)
	s.shared = make([]int64, len(s.groups))
	holds := make(map[int32]struct{}, 64) // directories, to see that ancestors are there
	for i := range ix.Entries {
		e := &ix.Entries[i]
		if i > 0 && tree.ComparePaths(ix.Entries[i-1].Path, e.Path) >= 0 {
			return fmt.Sprintf("has an unsorted index at %q", e.Path)
		}
		if !clean(e.Path) {
			return fmt.Sprintf("holds %q, which is not a clean path", e.Path)
		}
		s.ids[i] = m.paths.intern(e.Path)
		if e.Kind == tree.Dir {
			holds[s.ids[i]] = struct{}{}
		}
		m.compare(s, i)
	}
	for i, id := range s.ids {
		if up := m.paths.parent[id]; up != none && up != m.paths.root && s.fault == "" {
			if _, ok := holds[up]; !ok {
				s.fault = fmt.Sprintf("does not carry the parent directory of %q", ix.Entries[i].Path)
			}
		}
	}
	for _, w := range ix.Whiteouts {
		if w == "." || !clean(w) {
			return fmt.Sprintf("has a whiteout of %q", w)
		}
		s.outs = append(s.outs, m.paths.intern(w))
	}
	return ""
}

// compare matches the layer's i-th entry against the tree and weighs it.
func (m *model) compare(s *stratum, i int) {
	e, id := &s.prior.Index.Entries[i], s.ids[i]
	g := s.group[i]
	s.weight[i] = weigh(e, g == none)
	s.total += s.weight[i]
	if g != none && s.groups[g][0] == int32(i) {
		s.shared[g] = estimate(e)
		s.total += s.shared[g]
	}
	if e.Kind != tree.Dir {
		s.files++
	}
	if id >= m.paths.tree {
		return
	}
	want := &m.in.Tree.Entries[id]
	s.match[i] = m.same(e, want)
	switch {
	case s.fault != "" || s.match[i]:
	case e.Kind == tree.Dir && want.Kind == tree.Dir:
		s.fault = fmt.Sprintf("directory %q has another header now", e.Path)
	case e.Kind == tree.Dir || want.Kind == tree.Dir:
		s.fault = fmt.Sprintf("%q was a %s and is a %s", e.Path, e.Kind, want.Kind)
	}
}

// stale estimates the compressed bytes of the layer that are not live, given its live weight.
func (s *stratum) stale(live int64) int64 {
	if s.total <= 0 {
		return 0
	}
	return scale(s.prior.Size, s.total-live, s.total)
}
