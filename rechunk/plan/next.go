package plan

import (
	"fmt"
	"slices"

	"github.com/strata-oci/strata/rechunk/tree"
)

// unchanged returns the layout that keeps all of an image whose stack shows exactly the tree, within the limits; nil when there
// is anything to do.
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
	for _, k := range s.layers {
		l.Layers = append(l.Layers, Layer{Kept: k.prior.Digest, Name: k.prior.Name})
	}
	l.StaleBytes, _ = s.stale()
	return l
}

// next lays a tree out on top of what of a base is worth keeping. Nil means that nothing is.
func (p *planner) next(base *image) *Layout {
	s := p.newStack(base.layers)
	before := slices.Clone(s.home)
	faulty := len(s.layers)
	s.dropFaulty()
	faulty -= len(s.layers)
	s.dropDead()
	dead := len(base.layers) - faulty - len(s.layers)
	packing := p.compact(s)
	if len(s.layers) == 0 {
		return nil
	}
	l := p.keep(s, base)
	lowest := len(l.Layers)
	if packing != nil {
		for _, group := range packing.cut(min(packing.natural(p.worth()), p.budget-lowest)) {
			l.Layers = append(l.Layers, p.layer(packing, group, p.reason(packing, group, before)))
		}
	}
	p.hide(l, s, lowest)
	rewritten := len(base.layers) - faulty - dead - lowest
	l.Notes = append(l.Notes, fmt.Sprintf("built on %s: %d layers kept, %d dropped as hidden, %d rewritten, %d rewritten for a "+
		"changed directory or type, %d new", p.in.Lineage[base.position].Digest, lowest, dead, rewritten, faulty, len(l.Layers)-lowest))
	return l
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

// reason says whether a group was changed or only moved out of layers that were rewritten.
func (p *planner) reason(packing *packing, group []int, before []int32) string {
	var moved, all int64
	for _, n := range group {
		for _, id := range packing.items[n].ids {
			all += p.weight[id]
			if before[id] != none && p.in.Tree.Entries[id].Kind != tree.Dir {
				moved += p.weight[id]
			}
		}
	}
	switch {
	case moved == 0 || all == 0:
		return "changed"
	case moved == all:
		return "compaction"
	}
	return fmt.Sprintf("changed, and %d%% moved by compaction", max(1, scale(100, moved, all)))
}
