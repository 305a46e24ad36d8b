package plan

import (
	"github.com/strata-oci/strata/rechunk/tree"
)

// maxHistory is the number of lineage images that are compared to learn what changes.
const maxHistory = 8

// history counts what changed from image to image of the lineage, the tree being the newest.
type history struct {
	steps   []int32 // by component: updates of the image in which it was there before and after
	updates []int32 // by component: of these, the ones that changed it
	chances []int32 // by entry: updates of its component in which it was there before and after
	changes []int32 // by entry: of these, the ones that changed it
}

// ref is an entry in a layer of the lineage.
type ref struct {
	layer *stratum
	i     int32
}

func (r ref) entry() *tree.Entry { return &r.layer.prior.Index.Entries[r.i] }

// learn compares up to maxHistory images of the lineage with their successors. Steps that changed nothing or more than half
// of the paths (another variant, another distribution) teach nothing and are passed over.
func (m *model) learn(images []image) *history {
	h := &history{
		steps: make([]int32, len(m.in.Owners.Components)), updates: make([]int32, len(m.in.Owners.Components)),
		chances: make([]int32, m.paths.tree), changes: make([]int32, m.paths.tree),
	}
	var newer []ref
	for k := range images {
		if k == maxHistory {
			break
		}
		older := m.view(images[k].layers)
		h.step(m, newer, older)
		newer = older
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

// step counts one update from older to newer; newer is nil for the tree itself.
func (h *history) step(m *model, newer, older []ref) {
	outcome := make([]uint8, m.paths.tree)
	there, moved := 0, 0
	for id := range outcome {
		if m.in.Tree.Entries[id].Kind == tree.Dir {
			continue
		}
		outcome[id] = m.outcome(int32(id), newer, older[id])
		if outcome[id] != absent {
			there++
		}
		if outcome[id] >= appeared {
			moved++
		}
	}
	if moved == 0 || moved > there/2 {
		return
	}
	h.count(m, outcome)
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

func (h *history) count(m *model, outcome []uint8) {
	const before, update = 1, 2
	state := make([]uint8, len(h.steps))
	for id, o := range outcome {
		c := m.in.Owners.Of[id]
		switch o {
		case kept:
			state[c] |= before
		case changed:
			state[c] |= before | update
		case appeared:
			state[c] |= update
		}
	}
	for c, s := range state {
		if s&before != 0 {
			h.steps[c]++
		}
		if s == before|update {
			h.updates[c]++
		}
	}
	for id, o := range outcome {
		if state[m.in.Owners.Of[id]] != before|update {
			continue
		}
		if o == kept || o == changed {
			h.chances[id]++
		}
		if o == changed {
			h.changes[id]++
		}
	}
}
