package rechunk

import "github.com/strata-oci/strata/rechunk/tree"

// layerContent is what a layer holds. A new layer that was read back holds entries of the tree, to the last detail, and is
// remembered by their positions: all indexes together would take the memory of the tree once more.
type layerContent struct {
	index     *tree.Index // nil when the positions say it
	positions []int32
	hides     []string
}

// contentOf remembers an index: by positions in t if every entry is one of t's just as it is there, else as it is.
func contentOf(t *tree.Tree, x *tree.Index) layerContent {
	if len(x.Links)+len(x.Opaque)+len(x.Inline) > 0 {
		return layerContent{index: x}
	}
	c := layerContent{positions: make([]int32, 0, len(x.Entries)), hides: x.Whiteouts}
	tree.Common(t.Entries, x.Entries, func(want, got *tree.Entry, i int) {
		if got.Same(want) && got.SameTime(want) && got.Link == want.Link {
			c.positions = append(c.positions, int32(i))
		}
	})
	if len(c.positions) < len(x.Entries) {
		return layerContent{index: x}
	}
	return c
}

// layer returns what the layer changes, for the tree that contentOf was given.
func (c *layerContent) layer(t *tree.Tree) tree.Layer {
	if c.index != nil {
		return c.index.Layer()
	}
	return t.Layer(c.positions, c.hides)
}

// entries is the number of the layer's entries.
func (c *layerContent) entries() int {
	if c.index != nil {
		return len(c.index.Entries)
	}
	return len(c.positions)
}

// whiteouts is the number of the layer's whiteouts.
func (c *layerContent) whiteouts() int {
	if c.index != nil {
		return len(c.index.Whiteouts)
	}
	return len(c.hides)
}
