package main

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// The best policy that does not see the future, for a handful of files: a Markov decision process, solved.
//
// Updates are drawn anew for each version: each package changes with its probability, and each file with its own when its
// package does. The policy knows these probabilities and the layers as they are; it decides which layers stay and how what
// must be written is spread over new ones, within the limits on layers and on stale bytes that Strata has. It writes a file
// again only when it changed or its layer goes. What matters is the mean over an endless series of versions.

// process is a decision process.
type process struct {
	size     []int     // of each file, in units
	chance   []float64 // probability that it changes when its package does
	of       []int     // its package
	update   []float64 // probability of each package's update
	layers   int
	maxStale float64

	outcomes []drawn
	states   []pile
	number   map[string]int32
	after    map[string]int32 // number of a pile before a decision
	choices  [][]choice       // by that number
	next     [][]int32        // by state and outcome: the number
}

// drawn is a set of files that may change together.
type drawn struct {
	files  uint16
	chance float64
}

// pile is the layers of an image, as far as they matter, in ascending order.
type pile []heap

// heap is a layer: its live files and the units of it that are stale.
type heap struct {
	live  uint16
	stale uint8
}

// choice is a decision: what is written, what lies stale then, and the state it leads to.
type choice struct {
	written, stale uint8
	state          int32
}

func (p pile) key() string {
	slices.SortFunc(p, func(a, b heap) int { return int(a.live)<<8 + int(a.stale) - int(b.live)<<8 - int(b.stale) })
	b := make([]byte, 0, 3*len(p))
	for _, h := range p {
		b = append(b, byte(h.live), byte(h.live>>8), h.stale)
	}
	return string(b)
}

// maxStates bounds a process.
const maxStates = 1 << 18

// explore lists the states that can be reached and what can be decided in them.
func (p *process) explore() error {
	p.draw(0, drawn{0, 1})
	p.number, p.after = map[string]int32{}, map[string]int32{}
	p.decide(nil) // the first version
	for s := 0; s < len(p.states); s++ {
		next := make([]int32, len(p.outcomes))
		for o, d := range p.outcomes {
			next[o] = p.decide(p.change(p.states[s], d.files))
		}
		p.next = append(p.next, next)
		if len(p.states) > maxStates {
			return fmt.Errorf("more than %d states", maxStates)
		}
	}
	return nil
}

// draw lists what the packages from one on may change.
func (p *process) draw(pkg int, so drawn) {
	if pkg == len(p.update) {
		p.outcomes = append(p.outcomes, so)
		return
	}
	p.draw(pkg+1, drawn{so.files, so.chance * (1 - p.update[pkg])})
	var files uint16
	for f, of := range p.of {
		if of == pkg {
			files |= 1 << f
		}
	}
	for some := files; ; some = (some - 1) & files {
		chance := so.chance * p.update[pkg]
		for f := range p.of {
			if files>>f&1 == 1 {
				chance *= math.Abs(float64(1-some>>f&1) - p.chance[f])
			}
		}
		if chance > 0 {
			p.draw(pkg+1, drawn{so.files | some, chance})
		}
		if some == 0 {
			return
		}
	}
}

func (p *process) units(files uint16) int {
	n := 0
	for ; files != 0; files &= files - 1 {
		n += p.size[bits.TrailingZeros16(files)]
	}
	return n
}

// change returns the layers that are left of a pile when files change.
func (p *process) change(s pile, files uint16) pile {
	var out pile
	for _, h := range s {
		if live := h.live &^ files; live != 0 {
			out = append(out, heap{live, h.stale + uint8(p.units(h.live&files))})
		}
	}
	return out
}

// decide numbers a pile before a decision, with what can be decided.
func (p *process) decide(before pile) int32 {
	key := before.key()
	if n, ok := p.after[key]; ok {
		return n
	}
	all := uint16(1)<<len(p.size) - 1
	var out []choice
	for keep := range 1 << len(before) {
		var kept pile
		missing, stale := all, 0
		for k, h := range before {
			if keep>>k&1 == 1 {
				kept = append(kept, h)
				missing &^= h.live
				stale += int(h.stale)
			}
		}
		if float64(stale) > p.maxStale*float64(stale+p.units(all)) {
			continue
		}
		p.spread(missing, kept, p.layers-len(kept), func(s pile) {
			out = append(out, choice{uint8(p.units(missing)), uint8(stale), p.state(s)})
		})
	}
	n := int32(len(p.choices))
	p.after[key] = n
	p.choices = append(p.choices, out)
	return n
}

// spread calls f for each way to put files into so many new layers at most.
func (p *process) spread(files uint16, s pile, room int, f func(pile)) {
	if files == 0 {
		f(s)
		return
	}
	if room <= 0 {
		return
	}
	first := files & -files
	rest := files &^ first
	for some := rest; ; some = (some - 1) & rest {
		p.spread(rest&^some, append(slices.Clone(s), heap{first | some, 0}), room-1, f)
		if some == 0 {
			return
		}
	}
}

func (p *process) state(s pile) int32 {
	key := s.key()
	if n, ok := p.number[key]; ok {
		return n
	}
	n := int32(len(p.states))
	p.number[key] = n
	p.states = append(p.states, s)
	return n
}

// step returns what each state costs in one version more than value says, and the least and the most that it grew.
func (p *process) step(price float64, value []float64) (grown []float64, low, high float64) {
	best := make([]float64, len(p.choices))
	for n, choices := range p.choices {
		best[n] = math.Inf(1)
		for _, c := range choices {
			best[n] = min(best[n], float64(c.written)+price*float64(c.stale)+value[c.state])
		}
	}
	grown, low, high = make([]float64, len(value)), math.Inf(1), math.Inf(-1)
	for s, next := range p.next {
		for o, n := range next {
			grown[s] += p.outcomes[o].chance * best[n]
		}
		low, high = min(low, grown[s]-value[s]), max(high, grown[s]-value[s])
	}
	return grown, low, high
}

// solve returns the least mean of written units per version, plus price times the stale ones, of any policy, to within a
// thousandth from below: by value iteration, in which no mean can be less than the least growth in a step. Value is where it
// begins, and ends.
func (p *process) solve(price float64, value []float64) float64 {
	for {
		grown, low, high := p.step(price, value)
		for s := range value {
			value[s] = grown[s] - grown[0]
		}
		if high-low <= 1e-3*high {
			return low
		}
	}
}

// optimum returns a bound on the mean of written units per version of any policy whose mean of stale units is at most
// allowed: the best of the bounds at several prices of a stale unit.
func (p *process) optimum(allowed float64) float64 {
	value := make([]float64, len(p.states))
	bound := p.solve(0, value)
	for price, rising := 1.0/32, true; rising && price <= 4; price *= 2 {
		b := p.solve(price, value) - price*allowed
		rising = b > bound
		bound = max(bound, b)
	}
	return bound
}

// floor is the mean of the units that change in a version.
func (p *process) floor() float64 {
	var sum float64
	for f, pkg := range p.of {
		sum += float64(p.size[f]) * p.chance[f] * p.update[pkg]
	}
	return sum
}
