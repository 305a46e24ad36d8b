package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/legible"
	"github.com/strata-oci/strata/rechunk/tree"
)

// unchanged returns the layout that keeps all of an image whose stack shows exactly the tree, within the limits; nil when
// there is anything to do.
func (p *planner) unchanged(s *stack, base *image) *Layout {
	if len(s.layers) > p.in.Limits.MaxLayers || len(s.leftovers()) > 0 || len(s.missing()) > 0 || !s.rootShown() {
		return nil
	}
	for _, l := range s.layers {
		if l.fault != "" {
			return nil
		}
	}
	if stale, total := s.stale(); !p.bearable(stale, total) {
		return nil
	}
	l := p.keep(s, base)
	l.Notes = []string{"nothing changed: all layers kept"}
	return l
}

// bearable reports whether a share of stale bytes is within the limit.
func (p *planner) bearable(stale, total int64) bool {
	return float64(stale) <= p.in.Limits.MaxStale*float64(total)
}

// keep starts a layout with the layers of a stack.
func (p *planner) keep(s *stack, base *image) *Layout {
	l := &Layout{Base: base.position}
	heat := p.stackHeat(s)
	for k, layer := range s.layers {
		l.Layers = append(l.Layers, Layer{
			Kept: layer.prior.Digest, Name: layer.prior.Name, Bytes: layer.prior.Size,
			StaleBytes: layer.stale(s.sums[k].weight), Heat: heat[k],
		})
	}
	l.StaleBytes, _ = s.stale()
	return l
}

// stackHeat returns the expected share of each layer's live bytes that the next version changes.
func (p *planner) stackHeat(s *stack) []float64 {
	hot, all := make([]float64, len(s.layers)), make([]float64, len(s.layers))
	for id, k := range s.home {
		if k != none {
			w := float64(p.weight[id])
			all[k] += w
			hot[k] += float64(w * p.rates.chance(int32(id), p.in.Owners.Of[id]))
		}
	}
	for k := range hot {
		if all[k] > 0 {
			hot[k] /= all[k]
		}
	}
	return hot
}

// next lays a tree out on top of what of a base, and of other images, is worth keeping. Nil means that nothing is.
func (p *planner) next(base *image, images []image) *Layout {
	s := p.newStack(base.layers)
	before := slices.Clone(s.home)
	s.dropUnfit()
	p.borrow(s, images)
	packing := p.compact(s)
	if len(s.layers) == 0 {
		return nil
	}
	l := p.keep(s, base)
	l.Dropped = inOrder(s.dropped, base)
	lowest := len(l.Layers)
	if packing != nil {
		for _, group := range packing.cut(min(packing.natural(p.worth()), p.budget-lowest)) {
			layer := p.layer(packing, group, "")
			p.explain(&layer, before)
			l.Layers = append(l.Layers, layer)
		}
	}
	p.hide(l, s, lowest)
	l.Notes = append(l.Notes, p.summary(l, lowest, s.without(base)))
	return l
}

// inOrder sorts the dropped layers of the base as they lay there, and leaves out borrowed ones.
func inOrder(dropped []Dropped, base *image) []Dropped {
	at := make(map[digest.Digest]int, len(base.layers))
	for k, l := range base.layers {
		at[l.prior.Digest] = k
	}
	dropped = slices.DeleteFunc(dropped, func(d Dropped) bool {
		_, ok := at[d.Digest]
		return !ok
	})
	slices.SortFunc(dropped, func(a, b Dropped) int { return cmp.Compare(at[a.Digest], at[b.Digest]) })
	return dropped
}

// summary is the note of a layout that builds on an earlier image.
func (p *planner) summary(l *Layout, lowest, borrowed int) string {
	n := map[Why]int{}
	for _, d := range l.Dropped {
		n[d.Why]++
	}
	return fmt.Sprintf("built on %s: %s kept, %d borrowed, %d new; dropped: %d hidden, %d stale, %d for room, %d for a changed directory or type",
		p.in.Lineage[l.Base].Digest, legible.Count(lowest-borrowed, "layer"), borrowed,
		len(l.Layers)-lowest, n[WhyHidden], n[WhyStale], n[WhyRoom], n[WhyHeader])
}

// hide puts the whiteouts, and a root entry that nothing carries, into the lowest new layer.
func (p *planner) hide(l *Layout, s *stack, lowest int) {
	var outs []string
	for _, id := range s.leftovers() {
		outs = append(outs, p.paths.name[id])
	}
	slices.Sort(outs)
	if lowest == len(l.Layers) && (len(outs) > 0 || !s.rootShown()) {
		l.Layers = append(l.Layers, Layer{Name: "removals", Reason: "changed"})
		if !s.rootShown() {
			l.Layers[lowest].Entries = p.rootOnly()
		}
	}
	if len(outs) > 0 {
		l.Layers[lowest].Whiteouts = outs
	}
}

// explain says whether a new layer's bytes changed or were only moved out of layers that were dropped.
func (p *planner) explain(l *Layer, before []int32) {
	for _, id := range l.Entries {
		if before[id] != none && p.in.Tree.Entries[id].Kind != tree.Dir {
			l.MovedBytes += p.weight[id]
		}
	}
	switch {
	case l.MovedBytes == 0 || l.Bytes == 0:
		l.Reason = "changed"
	case l.MovedBytes == l.Bytes:
		l.Reason = "compaction"
	default:
		l.Reason = fmt.Sprintf("changed, and %d%% moved by compaction", max(1, scale(100, l.MovedBytes, l.Bytes)))
	}
}
