package plan

import "slices"

// A layer is borrowed when it gives at least so much of its bytes: clients fetch the rest for nothing.
const (
	borrowedGives = 49
	borrowedOf    = 50
)

// borrow puts layers of siblings' images on top of a stack that hold what is missing there and little else: what changed in
// one variant of a family mostly changed in the others, too, and a host that has it from one needs nothing of it for
// another. The newest images come first. Earlier images of the series itself lend nothing: few clients have what is in them
// and not in the base. A layer too small to be made for itself is borrowed only while the stack takes no more layers than a
// first layout may.
func (p *planner) borrow(s *stack, images []image) {
	small := sizesFor(p.bytes).small
	missing := s.missingBytes()
	for i := range images {
		if images[i].series == p.in.Series {
			continue
		}
		for _, l := range images[i].layers {
			switch {
			case missing == 0:
				return
			case l.total < small && len(s.layers) >= firstShare(p.budget):
			case l.fault != "" || slices.Contains(s.layers, l) || !gives(s.wants(l), l):
			case p.conflict(append(slices.Clone(s.layers), l)) != "":
			default:
				missing = s.tryOn(l, missing)
			}
		}
	}
}

// gives reports whether so many bytes are enough of a layer to borrow it.
func gives(bytes int64, l *stratum) bool {
	return bytes > 0 && bytes >= l.total/borrowedOf*borrowedGives
}

// wants estimates what of a layer is missing in the stack; what its hardlinks and whiteouts do is left aside.
func (s *stack) wants(l *stratum) int64 {
	var n int64
	for i, id := range l.ids {
		if l.match[i] && id < s.m.paths.tree && s.m.leaf[id] && s.home[id] == none {
			n += s.m.weight[id]
		}
	}
	return n
}

// tryOn puts a layer on top and takes it off again if it gives too little of what was missing. It returns what is missing
// then.
func (s *stack) tryOn(l *stratum, missing int64) int64 {
	s.layers = append(s.layers, l)
	s.eval()
	if left := s.missingBytes(); gives(missing-left, l) {
		return left
	}
	s.layers = s.layers[:len(s.layers)-1]
	s.eval()
	return missing
}

// without counts the layers of a stack that an image does not have.
func (s *stack) without(base *image) int {
	n := 0
	for _, l := range s.layers {
		if !slices.Contains(base.layers, l) {
			n++
		}
	}
	return n
}

// exclusives marks the paths of the tree that no other variant has, by the newest image of each in the lineage: layers of
// them are of no use to the others. It is nil when there are no other variants.
func (m *model) exclusives(images []image) []bool {
	var out []bool
	seen := map[string]bool{m.in.Series: true}
	for i := range images {
		if seen[images[i].series] {
			continue
		}
		seen[images[i].series] = true
		if out == nil {
			out = slices.Repeat([]bool{true}, int(m.paths.tree))
		}
		for _, l := range images[i].layers {
			for _, id := range l.ids {
				if id < m.paths.tree {
					out[id] = false
				}
			}
		}
	}
	return out
}
