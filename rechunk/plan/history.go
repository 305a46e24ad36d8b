package plan

import (
	"github.com/strata-oci/strata/rechunk/tree"
)

// maxLearned is the number of lineage images that are compared to learn what changes, when there is no history.
const maxLearned = 8

// ref is an entry in a layer of the lineage.
type ref struct {
	layer *stratum
	i     int32
}

func (r ref) entry() *tree.Entry { return &r.layer.prior.Index.Entries[r.i] }

// learn returns the history that leads to the tree. A given one gets one more step, from the image of the lineage that is
// most like the tree: the newest may be another variant. Without one, the images of the lineage are compared with their
// successors.
func (m *model) learn(h *History, images []image) *History {
	images = images[:min(len(images), maxLearned)]
	views := make([][]ref, len(images))
	for k := range images {
		views[k] = m.view(images[k].layers)
	}
	if h == nil {
		for k := len(images) - 1; k > 0; k-- {
			if outcome := m.outcomes(views[k-1], views[k]); instructive(outcome) {
				h = m.observe(h, m.newStep(h, outcome, false))
			}
		}
	}
	var best []uint8
	least := 0
	for k := range views {
		outcome := m.outcomes(nil, views[k])
		if _, moved := tally(outcome); best == nil || moved < least {
			best, least = outcome, moved
		}
	}
	switch {
	case best != nil && instructive(best):
		return m.observe(h, m.newStep(h, best, true))
	case h == nil:
		return m.begin()
	}
	return h
}

// view returns what an image shows at each path of the tree; a zero ref where it shows nothing.
func (m *model) view(layers []*stratum) []ref {
	n := len(m.paths.name)
	s := stack{m: m, layers: layers, top: make([]int32, n), cover: make([]int32, n)}
	s.pile()
	refs := make([]ref, m.paths.tree)
	for k, l := range layers {
		for i, id := range l.ids {
			if id < m.paths.tree && s.shows(id) == int32(k) {
				refs[id] = ref{l, int32(i)}
			}
		}
	}
	return refs
}

// The outcomes of a step for one entry.
const (
	absent uint8 = iota
	kept
	appeared
	changed
)

// outcomes compares two images at the paths of the tree; newer is nil for the tree itself.
func (m *model) outcomes(newer, older []ref) []uint8 {
	out := make([]uint8, m.paths.tree)
	for id := range out {
		if m.in.Tree.Entries[id].Kind != tree.Dir {
			out[id] = m.outcome(int32(id), newer, older[id])
		}
	}
	return out
}

func (m *model) outcome(id int32, newer []ref, old ref) uint8 {
	switch {
	case newer != nil && newer[id].layer == nil:
		return absent
	case old.layer == nil:
		return appeared
	case newer == nil && old.layer.match[old.i], newer != nil && newer[id] == old:
		return kept
	case newer != nil && newer[id].entry().Same(old.entry()):
		return kept
	}
	return changed
}

// tally counts the entries that are there after a step, and those of them that it brought or changed.
func tally(outcome []uint8) (there, moved int) {
	for _, o := range outcome {
		if o != absent {
			there++
		}
		if o >= appeared {
			moved++
		}
	}
	return there, moved
}

// instructive reports whether a step teaches anything: one that changes nothing does not, nor one that changes more than
// half of the paths (another variant, another distribution).
func instructive(outcome []uint8) bool {
	there, moved := tally(outcome)
	return moved > 0 && moved <= there/2
}
