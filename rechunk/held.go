package rechunk

import "github.com/strata-oci/strata/rechunk/tree"

// held is what a layer holds. A new layer that was read back holds entries of the tree, to the last detail, and is remembered by
// their positions: all indexes together would take the memory of the tree once more.
type held struct {
	index     *tree.Index // nil when the positions say it
	positions []int32
	hides     []string
}

// heldOf remembers an index: by positions in t if every entry is one of t's just as it is there, else as it is.
func heldOf(t *tree.Tree, x *tree.Index) held {
	if len(x.Links)+len(x.Opaque)+len(x.Inline) > 0 {
		return held{index: x}
	}
	h := held{positions: make([]int32, 0, len(x.Entries)), hides: x.Whiteouts}
	merge(t.Entries, x.Entries, func(want, got *tree.Entry, i int) {
		if got.Same(want) && got.SameTime(want) && got.Link == want.Link {
			h.positions = append(h.positions, int32(i))
		}
	})
	if len(h.positions) < len(x.Entries) {
		return held{index: x}
	}
	return h
}

// layer returns what the layer changes, for the tree that heldOf was given.
func (h *held) layer(t *tree.Tree) tree.Layer {
	if h.index != nil {
		return h.index.Layer()
	}
	return t.Layer(h.positions, h.hides)
}

// entries is the number of the layer's entries.
func (h *held) entries() int {
	if h.index != nil {
		return len(h.index.Entries)
	}
	return len(h.positions)
}

// whiteouts is the number of the layer's whiteouts.
func (h *held) whiteouts() int {
	if h.index != nil {
		return len(h.index.Whiteouts)
	}
	return len(h.hides)
}
