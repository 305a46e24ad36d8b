package main

import (
	"math"
	"testing"
)

// naive finds the least expected cost of so many versions by trying everything, without numbering states: a layer is the
// files that it was written with, and which of them live.
type naive struct {
	*process
	price float64
}

type naiveLayer struct{ written, live uint16 }

func (x *naive) updates(layers []naiveLayer, steps int) float64 {
	if steps == 0 {
		return 0
	}
	var sum float64
	n := len(x.size)
	for updated := range 1 << len(x.update) {
		for files := range uint16(1) << n {
			chance := 1.0
			for pkg, q := range x.update {
				if updated>>pkg&1 == 0 {
					q = 1 - q
				}
				chance *= q
			}
			for f, pkg := range x.of {
				q := x.chance[f]
				if updated>>pkg&1 == 0 {
					q = 0
				}
				if files>>f&1 == 0 {
					q = 1 - q
				}
				chance *= q
			}
			if chance > 0 {
				sum += chance * x.decisions(layers, files, steps)
			}
		}
	}
	return sum
}

func (x *naive) decisions(layers []naiveLayer, changed uint16, steps int) float64 {
	least := math.Inf(1)
	all := uint16(1)<<len(x.size) - 1
	for keep := range 1 << len(layers) {
		missing, stale := all, 0
		var kept []naiveLayer
		for k, l := range layers {
			if keep>>k&1 == 1 {
				l.live &^= changed
				missing &^= l.live
				stale += x.units(l.written &^ l.live)
				kept = append(kept, l)
			}
		}
		room := x.layers - len(kept)
		if room < 0 || room == 0 && missing != 0 || float64(stale) > x.maxStale*float64(stale+x.units(all)) {
			continue
		}
		cost := float64(x.units(missing)) + x.price*float64(stale)
		for way := range pow(room, len(x.size)) { // the digits of a number say where each file goes
			fresh := make([]naiveLayer, room)
			for f, w := 0, way; f < len(x.size) && room > 0; f, w = f+1, w/room {
				if bit := missing & (1 << f); bit != 0 {
					fresh[w%room].written |= bit
					fresh[w%room].live |= bit
				}
			}
			next := append([]naiveLayer(nil), kept...)
			for _, l := range fresh {
				if l.written != 0 {
					next = append(next, l)
				}
			}
			least = min(least, cost+x.updates(next, steps-1))
		}
	}
	return least
}

func pow(base, n int) int {
	if base == 0 {
		return 1
	}
	p := 1
	for range n {
		p *= base
	}
	return p
}

// TestProcessAgainstTryingEverything compares the numbered process with the naive one over a few versions.
func TestProcessAgainstTryingEverything(t *testing.T) {
	t.Parallel()
	for _, p := range []process{
		{size: []int{2, 1, 3}, chance: []float64{1, 0.3, 1}, of: []int{0, 0, 1}, update: []float64{0.6, 0.2}, layers: 2,
			maxStale: 0.3},
		{size: []int{1, 1, 2}, chance: []float64{0.5, 0.3, 1}, of: []int{0, 1, 2}, update: []float64{1, 0.5, 0.1}, layers: 3,
			maxStale: 0.2},
	} {
		if err := p.explore(); err != nil {
			t.Fatal(err)
		}
		for _, price := range []float64{0, 0.5} {
			const steps = 2
			value := make([]float64, len(p.states))
			for range steps {
				value, _, _ = p.step(price, value)
			}
			for s, state := range p.states[:min(len(p.states), 5)] {
				var layers []naiveLayer
				fresh := true
				for _, h := range state {
					layers = append(layers, naiveLayer{h.live, h.live})
					fresh = fresh && h.stale == 0
				}
				if !fresh {
					continue
				}
				x := naive{&p, price}
				if want := x.updates(layers, steps); math.Abs(value[s]-want) > 1e-9 {
					t.Errorf("price %g, %v: %.6f, by trying everything %.6f", price, state, value[s], want)
				}
			}
		}
	}
}

func TestProcessKnownAnswers(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name   string
		layers int
		want   float64
	}{
		{"one layer: everything is written whenever the one file changes", 1, 5},
		{"two layers: only what changes", 2, 2},
	} {
		p := process{size: []int{2, 3}, chance: []float64{1, 1}, of: []int{0, 1}, update: []float64{1, 0}, layers: x.layers,
			maxStale: 0.3}
		if err := p.explore(); err != nil {
			t.Fatal(err)
		}
		if got := p.optimum(0); math.Abs(got-x.want) > 0.01 {
			t.Errorf("%s: %.3f, want %.3f", x.name, got, x.want)
		}
	}
}

// TestNoPolicyBeatsTheOptimum lets Strata play, whose luck may be a little better than the mean.
func TestNoPolicyBeatsTheOptimum(t *testing.T) {
	t.Parallel()
	for _, p := range smallProcesses(2) {
		if err := p.explore(); err != nil {
			t.Fatal(err)
		}
		s, err := p.play(7, 200)
		if err != nil {
			t.Fatal(err)
		}
		strata, bound := s.written/s.floor, p.optimum(s.stale)/p.floor()
		if strata < 0.95*bound || strata > 1.3*bound {
			t.Errorf("%v: %.3f of the floor, the best takes %.3f", p.update, strata, bound)
		}
	}
}
