package plan

import "slices"

// mostThinned bounds the layers that one version writes again to have fewer, and with them the packings that are tried.
const mostThinned = 32

// thin returns kept layers to write again together with what is missing, since hosts then import fewer: the smallest ones,
// as many as pay best. It costs each updating client that has such a layer its live bytes, once; a layer less spares every
// client Limits.LayerCost in each version, over the horizon. How many layers come of what is written again is tried, as
// bytes of unlike fates stay apart at any price below what that would waste.
func (p *planner) thin(s *stack, missing []int32, packing *packing) []*stratum {
	spared := horizon * float64(p.in.Limits.LayerCost)
	if spared == 0 || packing == nil {
		return nil
	}
	order := s.byCost()
	order = order[:min(len(order), mostThinned)]
	ids, rewrite := slices.Clone(missing), 0.0
	best, least := 0, float64(spared*float64(packing.natural(p.worth())))
	for n, k := range order {
		live := float64(s.liveBytes(k))
		if live > spared {
			break
		}
		rewrite += float64(live * p.share(s.layers[k]))
		for id, home := range s.home {
			if home == int32(k) {
				ids = append(ids, int32(id))
			}
		}
		slices.Sort(ids)
		layers := newPacking(p.items(ids, p.rates), sizesFor(p.bytes)).natural(p.worth()) - n - 1
		if cost := rewrite + float64(spared*float64(layers)); cost < least {
			best, least = n+1, cost
		}
	}
	victims := make([]*stratum, best)
	for i := range victims {
		victims[i] = s.layers[order[i]]
	}
	return victims
}
