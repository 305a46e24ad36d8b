package plan

import (
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Check validates a layout against the contract (docs/plan.md): applying its layers in order gives exactly in.Tree, kept
// layers are layers of the base in their order and above them layers of other images, hardlink groups and directory headers
// are sound, whiteouts are the ones needed, and both limits hold. It is written without the planner's own simulation, on
// paths, as a last defence before bytes are written. Errors wrap ErrLimits, ErrInput or, for a bad layout, ErrLayout.
func Check(in Input, l *Layout) error {
	if err := checkInput(&in); err != nil {
		return err
	}
	c := &checker{in: &in, layout: l}
	for _, step := range []func() error{c.shape, c.newLayers, c.keptLayers, c.pile, c.result, c.links, c.whiteouts,
		c.stale} {
		if err := step(); err != nil {
			return fmt.Errorf("%w: %w", ErrLayout, err)
		}
	}
	return nil
}

type checker struct {
	in     *Input
	layout *Layout
	lowest int      // first new layer
	priors []*Prior // kept layers
	shown  map[string]shown
	// hidden holds the whiteouts of higher layers while piling from the top; under, what kept layers alone show.
	hidden map[string]bool
	under  map[string]bool
}

// shown is what a client sees at a path.
type shown struct {
	layer int
	entry *tree.Entry
}

func (c *checker) shape() error {
	layers := c.layout.Layers
	if len(layers) == 0 {
		return fmt.Errorf("no layers")
	}
	if len(layers) > c.in.Limits.MaxLayers {
		return fmt.Errorf("%d layers, %d allowed", len(layers), c.in.Limits.MaxLayers)
	}
	for c.lowest < len(layers) && layers[c.lowest].Kept != "" {
		c.lowest++
	}
	for k := c.lowest; k < len(layers); k++ {
		if layers[k].Kept != "" {
			return fmt.Errorf("kept layer %s lies above a new one", layers[k].Kept)
		}
	}
	if c.lowest == 0 {
		return nil
	}
	if c.layout.Base < 0 || c.layout.Base >= len(c.in.Lineage) {
		return fmt.Errorf("kept layers, but base %d of %d images", c.layout.Base, len(c.in.Lineage))
	}
	return c.kept(c.in.Lineage[c.layout.Base].Layers)
}

// kept finds the kept layers: those of the base in its order, and above them borrowed ones, which are of other images.
func (c *checker) kept(base []Prior) error {
	at := 0
	for k := range c.lowest {
		d := c.layout.Layers[k].Kept
		if i := position(base, d); i >= at {
			c.priors = append(c.priors, &base[i])
			at = i + 1
			continue
		} else if i >= 0 {
			return fmt.Errorf("kept layer %s is not in the order of the base", d)
		}
		at = len(base)
		i := slices.IndexFunc(c.in.Lineage, func(img Image) bool { return position(img.Layers, d) >= 0 })
		if i < 0 {
			return fmt.Errorf("kept layer %s is in no image of the lineage", d)
		}
		other := c.in.Lineage[i].Layers
		c.priors = append(c.priors, &other[position(other, d)])
	}
	return nil
}

func position(layers []Prior, d digest.Digest) int {
	return slices.IndexFunc(layers, func(p Prior) bool { return p.Digest == d })
}

func (c *checker) newLayers() error {
	owner := map[int]int{}
	for k := c.lowest; k < len(c.layout.Layers); k++ {
		l := &c.layout.Layers[k]
		if l.Name == "" || l.Reason == "" {
			return fmt.Errorf("new layer %d lacks a name or a reason", k)
		}
		if len(l.Entries)+len(l.Whiteouts) == 0 && len(c.in.Tree.Entries) > 0 {
			return fmt.Errorf("new layer %d (%s) is empty", k, l.Name)
		}
		for n, i := range l.Entries {
			if i < 0 || i >= len(c.in.Tree.Entries) || n > 0 && l.Entries[n-1] >= i {
				return fmt.Errorf("new layer %d (%s): entry number %d is out of range or order", k, l.Name, i)
			}
			e := &c.in.Tree.Entries[i]
			if other, ok := owner[i]; ok && e.Kind != tree.Dir {
				return fmt.Errorf("%q is in the new layers %d and %d", e.Path, other, k)
			}
			owner[i] = k
		}
		if k > c.lowest && len(l.Whiteouts) > 0 {
			return fmt.Errorf("new layer %d (%s) has whiteouts and is not the lowest new one", k, l.Name)
		}
	}
	return nil
}

// keptLayers checks that what a kept layer holds does not contradict the tree in a way that clients resolve differently.
func (c *checker) keptLayers() error {
	seen := map[digest.Digest]bool{}
	for _, p := range c.priors {
		if seen[p.Digest] {
			return fmt.Errorf("layer %s is kept twice", p.Digest)
		}
		seen[p.Digest] = true
		if p.Index == nil || len(p.Index.Links) > 0 || len(p.Index.Opaque) > 0 {
			return fmt.Errorf("kept layer %s has no index, links into lower layers or opaque directories", p.Digest)
		}
		held := map[string]bool{".": true}
		for i := range p.Index.Entries {
			e := &p.Index.Entries[i]
			if e.Kind == tree.Dir {
				held[e.Path] = true
			}
			if !held[tree.Parent(e.Path)] {
				return fmt.Errorf("kept layer %s holds %q without its parent directory", p.Digest, e.Path)
			}
			want := c.in.Tree.Lookup(e.Path)
			if want == nil || want.Kind != tree.Dir && e.Kind != tree.Dir {
				continue
			}
			if want.Kind != e.Kind {
				return fmt.Errorf("kept layer %s holds %q as %s, the tree as %s", p.Digest, e.Path, e.Kind, want.Kind)
			}
			if !c.same(e, want) {
				return fmt.Errorf("kept layer %s holds directory %q with another header", p.Digest, e.Path)
			}
		}
	}
	return nil
}

func (c *checker) same(e, want *tree.Entry) bool {
	return e.Same(want) && (e.SameTime(want) || !c.in.Limits.ExactTime && !c.in.Timed[want.Path])
}
