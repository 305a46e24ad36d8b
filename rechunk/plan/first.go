package plan

import (
	"fmt"

	"github.com/strata-oci/strata/rechunk/legible"
)

// first lays a tree out without regard to what was served before.
func (p *planner) first() *Layout {
	ids := p.leaves()
	l := &Layout{Base: -1}
	reason := "first version"
	if len(p.in.Lineage) > 0 {
		reason = "planned anew"
	}
	if len(ids) == 0 {
		l.Layers = []Layer{{Name: "empty", Entries: p.rootOnly(), Reason: reason}}
		return l
	}
	packing := newPacking(p.items(ids, p.rates), sizesFor(p.bytes))
	n := max(1, min(packing.natural(p.worth()), firstShare(p.budget)))
	for _, group := range packing.cut(n) {
		l.Layers = append(l.Layers, p.layer(packing, group, reason))
	}
	l.Notes = append(l.Notes, fmt.Sprintf("%s: %s for %s", reason, legible.Count(len(l.Layers), "layer"),
		legible.Count(len(packing.items), "item")))
	return l
}

// firstShare is the part of the budget that a first layout takes: the rest is for the deltas of the versions to come.
func firstShare(budget int) int { return max(1, budget-budget/4) }

func (p *planner) leaves() []int32 {
	var ids []int32
	for id, leaf := range p.leaf {
		if leaf {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

// rootOnly is the entry list of a tree without leaves.
func (p *planner) rootOnly() []int {
	if p.paths.root < p.paths.tree {
		return []int{int(p.paths.root)}
	}
	return nil
}

// worth is the waste per version that another layer must save: what the request for it and its import cost a client, and a
// place in a budget that fills up. In a small image, whose layers are small, too, it is less. Where it is known what an
// import costs, that counts.
func (p *planner) worth() float64 {
	return float64(max(min(max(p.bytes>>14, 2<<10), 16<<10)*3/10, p.in.Limits.LayerCost))
}
