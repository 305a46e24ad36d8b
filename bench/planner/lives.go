package main

import "math"

// What the best policy of all could do when a layout may have few layers, found by trying all of them.
//
// A layer is born in one version and dies in a later one. What it holds is written at its birth; whatever of that still
// lives when it dies is written again. Two layers with the same birth and death may as well be one, so a policy is a set of
// lives, at most as many at a time as a layout may have layers, and for each file, whenever it is written, the choice of a
// layer born then. Once the lives are chosen, files do not concern each other: dynamic programming finds the best choices of
// each. So what has to be tried is sets of lives, and for half a dozen updates and layers these are some thousands, however
// many files there are.
//
// A file may also be written into a new layer while the old one lives on; its old copy is stale from then on. A layer that
// died does not come back, which cannot help clients one version behind: for them it is as good as new.

// lives are the layers of a whole series: for each version in which some are born, the versions in which they die,
// ascending. Those that never die, die in the version after the last.
type lives [][]int

// allLives lists the sets of lives with at most so many layers at a time that can be best. A set that leaves room without
// having a layer for one version there is left out: one more layer for that version alone does no harm.
func allLives(versions, layers int) []lives {
	var all []lives
	var grow func(t int, alive []int, so lives)
	grow = func(t int, alive []int, so lives) {
		if t == versions {
			all = append(all, append(lives(nil), so...))
			return
		}
		var still []int
		for _, d := range alive {
			if d > t {
				still = append(still, d)
			}
		}
		room := layers - len(still)
		options := versions - t
		for set := range 1 << options {
			var born []int
			for i := range options {
				if set>>i&1 == 1 {
					born = append(born, t+1+i)
				}
			}
			if len(born) > room || len(born) < room && set&1 == 0 {
				continue
			}
			grow(t+1, append(append([]int(nil), still...), born...), append(so, born))
		}
	}
	grow(0, nil, nil)
	return all
}

// part is bytes that nobody can tell apart.
type part struct {
	bytes  float64
	change []float64 // by version: the share of them that it changes; none in the first
}

// outcome is what a policy costs: update bytes to the clients, and stale bytes summed over the versions.
type outcome struct{ update, stale float64 }

func (o outcome) at(price float64) float64 { return o.update + price*o.stale }

func (o outcome) plus(share float64, p outcome) outcome {
	if share == 0 {
		return o
	}
	return outcome{o.update + share*p.update, o.stale + share*p.stale}
}

// fetches counts the versions in which a client so many versions behind fetches a layer.
func fetches(birth, death, lag int) float64 {
	return float64(max(0, min(death, birth+lag)-max(birth, lag)))
}

// cheapest returns what a part costs, for each byte, when a stale byte costs price in each version: expected, when single
// files change at random.
func (p *part) cheapest(l lives, lag int, price float64) outcome {
	versions := len(l)
	lost := outcome{math.Inf(1), 0}
	// stays[d] is what a live byte costs from the next version on in a layer that dies in d.
	stays := make([]outcome, versions+1)
	written := lost // what a byte that is written in this version costs
	for t := versions - 1; t >= 0; t-- {
		written = lost
		for _, d := range l[t] {
			if o := stays[d].plus(1, outcome{fetches(t, d, lag), 0}); o.at(price) < written.at(price) {
				written = o
			}
		}
		for d := t + 1; d <= versions; d++ {
			moved := written.plus(1, outcome{0, float64(d - t)})
			kept := stays[d]
			if moved.at(price) < kept.at(price) {
				kept = moved
			}
			stays[d] = outcome{}.plus(p.change[t], moved).plus(1-p.change[t], kept)
		}
		stays[t] = written
	}
	return written
}

// best returns what the cheapest set of lives costs at a price of stale bytes.
func best(all []lives, parts []part, lag int, price float64) outcome {
	least := outcome{math.Inf(1), 0}
	for _, l := range all {
		var sum outcome
		for i := range parts {
			sum = sum.plus(parts[i].bytes, parts[i].cheapest(l, lag, price))
			if sum.at(price) >= least.at(price) {
				break
			}
		}
		if sum.at(price) < least.at(price) {
			least = sum
		}
	}
	return least
}

// optimum returns update bytes that no policy can beat whose stale bytes, summed over the versions, are at most allowed. At
// any price of a stale byte the cheapest costs are a bound, less the price of what is allowed; the largest of them is
// sought.
func optimum(all []lives, parts []part, lag int, allowed float64) float64 {
	const dear = 1e4
	free, strict := best(all, parts, lag, 0), best(all, parts, lag, dear)
	bound := max(free.update, strict.at(dear)-dear*allowed)
	for range 20 {
		if free.stale <= allowed || free.stale <= strict.stale {
			break
		}
		price := (strict.update - free.update) / (free.stale - strict.stale) // at which both cost the same
		o := best(all, parts, lag, price)
		bound = max(bound, o.at(price)-price*allowed)
		if o.at(price) >= free.at(price)*(1-1e-9) {
			break
		}
		if o.stale > allowed {
			free = o
		} else {
			strict = o
		}
	}
	return bound
}
