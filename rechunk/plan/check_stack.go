package plan

import (
	"fmt"
	"slices"

	"github.com/strata-oci/strata/rechunk/tree"
)

// pile applies the layers from the highest down: what is there already hides what comes.
func (c *checker) pile() error {
	c.shown = make(map[string]shown, len(c.in.Tree.Entries))
	c.hidden = map[string]bool{}
	for k := len(c.layout.Layers) - 1; k >= c.lowest; k-- {
		for _, i := range c.layout.Layers[k].Entries {
			c.showAll(k, &c.in.Tree.Entries[i])
		}
		for _, w := range c.layout.Layers[k].Whiteouts {
			c.showParents(k, w)
		}
	}
	c.under = map[string]bool{}
	for k := c.lowest - 1; k >= 0; k-- {
		ix := c.priors[k].Index
		for i := range ix.Entries {
			e := &ix.Entries[i]
			if !c.covered(e.Path) {
				c.under[e.Path] = true
				if _, ok := c.shown[e.Path]; !ok {
					c.shown[e.Path] = shown{k, e}
				}
			}
		}
		for _, w := range ix.Whiteouts {
			c.hidden[w] = true
		}
	}
	return nil
}

// showAll shows a new layer's entry and the ancestors that the layer's writer adds.
func (c *checker) showAll(k int, e *tree.Entry) {
	if _, ok := c.shown[e.Path]; !ok {
		c.shown[e.Path] = shown{k, e}
	}
	c.showParents(k, e.Path)
}

func (c *checker) showParents(k int, p string) {
	for p != "." {
		p = tree.Parent(p)
		if _, ok := c.shown[p]; ok {
			return
		}
		if e := c.in.Tree.Lookup(p); e != nil {
			c.shown[p] = shown{k, e}
		}
	}
}

// covered reports whether a whiteout of a higher kept layer hides a path.
func (c *checker) covered(p string) bool {
	if len(c.hidden) == 0 {
		return false
	}
	for ; p != "."; p = tree.Parent(p) {
		if c.hidden[p] {
			return true
		}
	}
	return false
}

// result compares what shows with the tree.
func (c *checker) result() error {
	for i := range c.in.Tree.Entries {
		want := &c.in.Tree.Entries[i]
		got, ok := c.shown[want.Path]
		if !ok {
			return fmt.Errorf("%q is in no layer", want.Path)
		}
		if !c.same(got.entry, want) {
			return fmt.Errorf("%q in layer %d is not what the tree has", want.Path, got.layer)
		}
	}
	outs := map[string]bool{}
	if c.lowest < len(c.layout.Layers) {
		for _, w := range c.layout.Layers[c.lowest].Whiteouts {
			outs[w] = true
		}
	}
	for p := range c.under {
		if p == "." || c.in.Tree.Lookup(p) != nil {
			continue
		}
		out := false
		for q := p; q != "." && !out; q = tree.Parent(q) {
			out = outs[q]
		}
		if !out {
			return fmt.Errorf("%q shows though the tree does not have it", p)
		}
	}
	return nil
}

// links compares the hardlink groups of what shows with the tree's.
func (c *checker) links() error {
	type group struct {
		layer int
		link  string
	}
	ofTree := map[string]group{}
	ofLayer := map[group]string{}
	single := func(e *tree.Entry) string {
		if e.Link == "" {
			return e.Path
		}
		return e.Link
	}
	for i := range c.in.Tree.Entries {
		want := &c.in.Tree.Entries[i]
		if want.Kind == tree.Dir {
			continue
		}
		got := c.shown[want.Path]
		g := group{got.layer, single(got.entry)}
		if got.layer >= c.lowest {
			g.link = single(want)
		}
		if have, ok := ofTree[single(want)]; ok && have != g {
			return fmt.Errorf("the hardlink group of %q is torn apart at %q", single(want), want.Path)
		}
		ofTree[single(want)] = g
		if have, ok := ofLayer[g]; ok && have != single(want) {
			return fmt.Errorf("layer %d links %q with something that the tree keeps apart", got.layer, want.Path)
		}
		ofLayer[g] = single(want)
	}
	return nil
}

// whiteouts checks that each is needed, the topmost possible and in order.
func (c *checker) whiteouts() error {
	if c.lowest == len(c.layout.Layers) {
		return nil
	}
	outs := c.layout.Layers[c.lowest].Whiteouts
	if !slices.IsSorted(outs) {
		return fmt.Errorf("whiteouts are not in ascending order")
	}
	for i, w := range outs {
		switch {
		case i > 0 && outs[i-1] == w:
			return fmt.Errorf("whiteout %q occurs twice", w)
		case w == "." || c.in.Tree.Lookup(w) != nil:
			return fmt.Errorf("whiteout %q hides a path of the tree", w)
		case tree.Parent(w) != "." && c.in.Tree.Lookup(tree.Parent(w)) == nil:
			return fmt.Errorf("whiteout %q lies under a directory that is gone as well", w)
		case !c.under[w]:
			return fmt.Errorf("whiteout %q hides nothing", w)
		}
	}
	return nil
}

// stale recomputes the share of stale bytes.
func (c *checker) stale() error {
	var stale, total int64
	for k, p := range c.priors {
		live, all := c.weights(k, p.Index)
		total += p.Size
		if all > 0 {
			stale += scale(p.Size, all-live, all)
		}
	}
	for k := c.lowest; k < len(c.layout.Layers); k++ {
		for _, i := range c.layout.Layers[k].Entries {
			e := &c.in.Tree.Entries[i]
			total += weigh(e, e.Link == "" || e.Link == e.Path)
		}
	}
	if float64(stale) > c.in.Limits.MaxStale*float64(total) {
		return fmt.Errorf("%d of %d bytes are stale, %.2f%% allowed", stale, total, 100*c.in.Limits.MaxStale)
	}
	return nil
}

// weights returns the weight of what is live in kept layer k and of all that it holds. The content of a hardlink group is
// live while one of its names is.
func (c *checker) weights(k int, ix *tree.Index) (live, all int64) {
	type group struct {
		members int
		content int64
		live    bool
	}
	groups := map[string]*group{}
	for i := range ix.Entries {
		if e := &ix.Entries[i]; e.Link != "" {
			if groups[e.Link] == nil {
				groups[e.Link] = &group{content: estimate(e)}
			}
			groups[e.Link].members++
		}
	}
	for i := range ix.Entries {
		e := &ix.Entries[i]
		g := groups[e.Link]
		linked := g != nil && g.members > 1
		w := weigh(e, !linked)
		all += w
		if c.in.Tree.Lookup(e.Path) == nil || c.shown[e.Path].entry != e || c.shown[e.Path].layer != k {
			continue
		}
		live += w
		if linked {
			g.live = true
		}
	}
	for _, g := range groups {
		if g.members < 2 {
			continue
		}
		all += g.content
		if g.live {
			live += g.content
		}
	}
	return live, all
}
