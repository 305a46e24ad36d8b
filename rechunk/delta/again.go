package delta

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/tree"
)

// again knows which contents of a layer the seed lacks and the layer still needs, so that what is made once is kept: a
// module lies in the initramfs and in the tree.
type again struct {
	left  map[tree.Digest]int // files that still need that content
	sizes map[int64]int       // and their sizes
	kept  map[tree.Digest]int // contents that are kept, and their numbers

	allowance *allowance
}

// leastAgain is the size of a content from which on it is kept.
const leastAgain = 256

func newAgain(entries []tree.Entry, seed *Finder, allowed *allowance) again {
	a := again{left: map[tree.Digest]int{}, sizes: map[int64]int{}, kept: map[tree.Digest]int{}, allowance: allowed}
	for _, e := range entries {
		if e.Kind != tree.Regular || e.Size < leastAgain || e.Link != "" && e.Link != e.Path {
			continue
		}
		if _, ok := seed.Same(e.Digest, e.Size); !ok {
			a.left[e.Digest]++
			a.sizes[e.Size]++
		}
	}
	return a
}

// want reports whether a content of a size may be needed again.
func (a *again) want(size int64) bool { return a.sizes[size] > 0 }

// pass takes note of a file that is made now, and returns the number under which it is to be kept, or -1.
func (a *again) pass(d tree.Digest, size int64) int {
	if a.left[d] == 0 {
		return -1
	}
	a.sizes[size]--
	if a.left[d]--; a.left[d] == 0 {
		return -1
	}
	return a.keep(d, size)
}

// keep gives a content a number, or -1 when no file needs it, it is kept already, or too much is.
func (a *again) keep(d tree.Digest, size int64) int {
	if _, ok := a.kept[d]; ok || a.left[d] == 0 || !a.allowance.part(size) {
		return -1
	}
	n := len(a.kept)
	a.kept[d] = n
	return n
}

// register finds the parts of a content that files need later. What is found in compressed parts counts when they can be
// made again.
func (c *coder) register(ctx context.Context, kids []*node, whole int64) error {
	for _, n := range kids {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n.n < whole && c.m.again.want(n.n) {
			d, err := n.digest()
			if err != nil {
				return err
			}
			n.kept = c.m.again.keep(d, n.n)
		}
		if n.decoder != "" {
			if err := c.inner(ctx, n); err != nil {
				return err
			}
		}
		if err := c.register(ctx, n.kids, whole); err != nil {
			return err
		}
	}
	return nil
}

// inner opens a compressed part when there may be something in it that files need later, and it can be made again for no
// more than all of its bytes are worth: it will be, when what is found in it is kept.
func (c *coder) inner(ctx context.Context, n *node) error {
	if n.size > c.m.o.Memory/4 || n.n < leastWrapped || !c.m.again.promising(n.part.Parts) {
		return nil
	}
	if err := c.try(ctx, n); err != nil || n.part.Encoder == nil {
		return err
	}
	if float64(n.n) < float64(c.m.o.Worth)*n.part.Seconds {
		return nil
	}
	_, err := n.open(ctx, c.m, c.m.again.want)
	if errors.Is(err, errNoPart) {
		return nil
	}
	return err
}

// promising reports whether a part may be needed again.
func (a *again) promising(parts []wrap.Part) bool {
	return slices.ContainsFunc(parts, func(p wrap.Part) bool {
		return a.want(p.Length) || p.Decoder == "" && a.promising(p.Parts)
	})
}

// sortPrograms sorts by name and version.
func sortPrograms(p []Program) {
	slices.SortFunc(p, func(a, b Program) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Version, b.Version))
	})
}

// estimate is about what chunks are in a delta.
func (m *maker) estimate(chunks []chunk) int64 {
	var n int64
	var buf []byte
	for _, c := range chunks {
		for i, b := range c.data {
			buf = m.packer.EncodeAll(b, buf[:0])
			if i == differences {
				n += int64(len(buf)) / 2 // they have a better encoder
			} else {
				n += int64(len(buf))
			}
		}
	}
	return n
}
