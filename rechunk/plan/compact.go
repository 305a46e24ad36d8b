package plan

import (
	"cmp"
	"math"
	"slices"
)

// compact drops layers of a stack until what stays is within the limits on stale bytes and layers, and returns how to pack
// what is missing then; nil when nothing is.
func (p *planner) compact(s *stack) *packing {
	for len(s.layers) > 0 {
		p.reclaim(s)
		ids := s.missing()
		var packing *packing
		room := p.budget - len(s.layers)
		if len(ids) > 0 {
			packing = newPacking(p.items(ids, p.rates), sizesFor(p.bytes))
		} else if len(s.leftovers()) == 0 && s.rootShown() && room >= 0 {
			return nil
		}
		victims := p.makeRoom(s, packing, room)
		if len(victims) == 0 {
			victims = p.thin(s, ids, packing)
		}
		if len(victims) == 0 {
			return packing
		}
		for _, l := range victims {
			s.remove(l)
		}
		s.dropDead()
	}
	return nil
}

// remove takes a layer out if it is still there.
func (s *stack) remove(l *stratum) {
	for k := range s.layers {
		if s.layers[k] == l {
			s.drop(k, WhyRoom)
			return
		}
	}
}

// comfortable is the part of MaxStale that compaction aims at. To reclaim a little in each version costs no more than much
// of it at the limit, and fresh installs pay for what is stale meanwhile.
const comfortable = 0.75

// reclaim drops layers until the stale bytes are comfortably within the limit.
func (p *planner) reclaim(s *stack) {
	for len(s.layers) > 0 {
		stale, total := s.stale()
		if float64(stale) <= float64(comfortable*p.in.Limits.MaxStale)*float64(total) {
			return
		}
		s.drop(p.victim(s), WhyStale)
		s.dropDead()
	}
}

// victim returns the layer whose dropping gives most for what it costs. It gives its stale bytes, for as long as they would
// have stayed: longer in cold layers than in hot ones, which soon go by themselves. It costs its live bytes, once for each
// updating client that has the layer; the ones further behind fetch it or its successor in any case, and are spared its
// stale bytes.
func (p *planner) victim(s *stack) int {
	best, score := 0, -1.0
	heat := p.stackHeat(s)
	for k, l := range s.layers {
		stale := l.stale(s.sums[k].weight)
		lasts := math.Sqrt(1 / (heat[k] + 0.05))
		share := p.share(l)
		spared := float64(float64(stale) * (1 - share))
		cost := max(float64(float64(l.prior.Size-stale)*share)-spared, 0) + perLayer
		if v := float64(float64(stale)*lasts) / cost; v > score {
			best, score = k, v
		}
	}
	return best
}

// perLayer is what a layer costs besides its bytes: a request and an import.
const perLayer = 4096.0

// share returns the share of updating clients that have a layer, for which writing it again would cost something. One that
// none has, as it was borrowed, counts as one that all have: others do.
func (p *planner) share(l *stratum) float64 {
	if v := p.held(l); v > 0 {
		return v
	}
	return 1
}

// held returns the share of updating clients that have a layer, by the images of the series that hold it; 1 when it has no
// image.
func (p *planner) held(l *stratum) float64 {
	if v, ok := p.shares[l]; ok {
		return v
	}
	var have, all float64
	lag := 0
	for i := range p.in.Lineage {
		if lag == len(p.demand.Lags) {
			break
		}
		if p.in.Lineage[i].Series != p.in.Series {
			continue
		}
		all += p.demand.Lags[lag]
		if slices.ContainsFunc(p.in.Lineage[i].Layers, func(o Prior) bool { return o.Digest == l.prior.Digest }) {
			have += p.demand.Lags[lag]
		}
		lag++
	}
	v := 1.0
	if all > 0 {
		v = have / all
	}
	p.shares[l] = v
	return v
}

// horizon is for how many versions a coarser packing is taken to cost its waste.
const horizon = 3.0

// makeRoom returns kept layers to dissolve so that what is missing finds room: the smallest ones, as many as it takes and as
// many more as cost less to write again now than a coarser packing would cost over the horizon.
func (p *planner) makeRoom(s *stack, packing *packing, room int) []*stratum {
	want := 1
	if packing != nil {
		want = packing.natural(p.worth())
	}
	if want <= room {
		return nil
	}
	order := s.byCost()
	bestN, bestCost := -1, 0.0
	rewrite := 0.0
	for n := 0; n <= len(order) && room+n <= want; n++ {
		if n > 0 {
			rewrite += float64(s.liveBytes(order[n-1]))
		}
		if room+n < 1 {
			continue
		}
		cost := rewrite
		if packing != nil {
			cost += float64(horizon * packing.squeeze(want, room+n))
		}
		if bestN < 0 || cost < bestCost {
			bestN, bestCost = n, cost
		}
	}
	if bestN < 0 {
		bestN = len(order)
	}
	victims := make([]*stratum, bestN)
	for i := range victims {
		victims[i] = s.layers[order[i]]
	}
	return victims
}

// liveBytes returns what must be written again when a layer is dropped.
func (s *stack) liveBytes(k int) int64 {
	return s.layers[k].prior.Size - s.layers[k].stale(s.sums[k].weight)
}

// byCost returns the layers in ascending order of what dropping them costs.
func (s *stack) byCost() []int {
	order := make([]int, len(s.layers))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(s.liveBytes(a), s.liveBytes(b)) })
	return order
}
