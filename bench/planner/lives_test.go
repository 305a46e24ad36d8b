package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
)

// copied is a file in a layer: which, and in which version it was written.
type copied struct{ file, written int }

// exhaust finds the cheapest policy by trying every layout of every version on top of every layout of the one before: which
// layers stay, which files are written besides those that must be, and how they are spread over new layers.
type exhaust struct {
	files   []part // they change with probability 0 or 1
	layers  int
	price   float64
	changed [][]int // by file and version: when its content was last made
	memo    map[string]float64
}

func (x *exhaust) least(t int, stack [][]copied) float64 {
	if t == len(x.files[0].change) {
		return 0
	}
	key := fmt.Sprint(t, stack)
	if v, ok := x.memo[key]; ok {
		return v
	}
	least := math.Inf(1)
	for keep := range 1 << len(stack) {
		var kept [][]copied
		for k := range stack {
			if keep>>k&1 == 1 {
				kept = append(kept, stack[k])
			}
		}
		if room := x.layers - len(kept); room >= 0 {
			x.write(t, kept, room, func(next [][]copied, cost float64) {
				least = min(least, cost+x.least(t+1, next))
			})
		}
	}
	x.memo[key] = least
	return least
}

// write tries all new layers on top of the kept ones.
func (x *exhaust) write(t int, kept [][]copied, room int, visit func([][]copied, float64)) {
	place := make([]int, len(x.files)) // the new layer of each file, from 1; 0: none
	for {
		stack := slices.Clone(kept)
		fresh := make([][]copied, room)
		for f, p := range place {
			if p > 0 {
				fresh[p-1] = append(fresh[p-1], copied{f, t})
			}
		}
		sort.Slice(fresh, func(i, j int) bool { return fmt.Sprint(fresh[i]) < fmt.Sprint(fresh[j]) })
		for _, l := range fresh {
			if len(l) > 0 {
				stack = append(stack, l)
			}
		}
		if cost, ok := x.cost(t, stack); ok {
			visit(stack, cost)
		}
		f := 0
		for ; f < len(place) && place[f] == room; f++ {
			place[f] = 0
		}
		if f == len(place) {
			return
		}
		place[f]++
	}
}

// cost is what clients of the version before fetch, and the stale bytes; false when a file is missing.
func (x *exhaust) cost(t int, stack [][]copied) (float64, bool) {
	var cost, all float64
	live := make([]bool, len(x.files))
	for _, l := range stack {
		for _, c := range l {
			b := x.files[c.file].bytes
			all += b
			if c.written == t && t > 0 {
				cost += b
			}
			live[c.file] = live[c.file] || c.written >= x.changed[c.file][t]
		}
	}
	for f, ok := range live {
		if !ok {
			return 0, false
		}
		all -= x.files[f].bytes
	}
	return cost + x.price*all, true
}

// TestLivesAgainstEveryLayout compares what trying sets of lives finds with what trying every layout does.
func TestLivesAgainstEveryLayout(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 0))
		versions, layers := 3+r.IntN(2), 1+r.IntN(3)
		x := exhaust{layers: layers, price: []float64{0, 0.1, 0.5, 2}[r.IntN(4)], memo: map[string]float64{}}
		for range 3 {
			p := part{bytes: float64(1 + r.IntN(9)), change: make([]float64, versions)}
			last := make([]int, versions)
			for v := 1; v < versions; v++ {
				p.change[v] = float64(r.IntN(2))
				last[v] = last[v-1]
				if p.change[v] == 1 {
					last[v] = v
				}
			}
			x.files, x.changed = append(x.files, p), append(x.changed, last)
		}
		got := best(allLives(versions, layers), x.files, 1, x.price).at(x.price)
		if want := x.least(0, nil); math.Abs(got-want) > 1e-9*want {
			t.Errorf("seed %d: %d versions, %d layers, price %g: %.3f by lives, %.3f by trying every layout",
				seed, versions, layers, x.price, got, want)
		}
	}
}

// TestOptimumIsNoMoreThanStrata runs the planner on small cases: it may never beat the optimum, and more layers never harm
// the optimum.
func TestOptimumIsNoMoreThanStrata(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		before := math.Inf(1)
		for _, layers := range []int{2, 3} {
			s := newSmallCase(seed, 5)
			r, err := s.measure(layers, 1)
			if err != nil {
				t.Fatal(err)
			}
			if r.all > r.strata || r.blind < 1 || r.all < 1 {
				t.Errorf("seed %d, %d layers: %+v", seed, layers, r)
			}
			free := best(allLives(len(s.versions), layers), s.every, 1, 0).update // without a limit on stale bytes
			if free > before {
				t.Errorf("seed %d: %d layers cost %.0f, fewer %.0f", seed, layers, free, before)
			}
			before = free
		}
	}
}

func TestAllLivesFit(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, l := range allLives(5, 3) {
		for v := range 5 {
			alive := 0
			for birth, deaths := range l {
				for _, d := range deaths {
					if birth <= v && v < d {
						alive++
					}
				}
			}
			if alive > 3 {
				t.Errorf("%v: %d layers in version %d", l, alive, v)
			}
		}
		key := strings.TrimSpace(fmt.Sprint(l))
		if seen[key] {
			t.Errorf("%v twice", l)
		}
		seen[key] = true
	}
}
