package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"text/tabwriter"

	"github.com/strata-oci/strata/bench/history"
	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// unit is the compressed size of a unit of a process.
const unit = 1 << 20

// played is what Strata did on a process, per version: units written and stale.
type played struct{ written, stale, floor float64 }

// play runs the planner for so many versions. The first ones, in which it learns, do not count.
func (p *process) play(seed uint64, versions int) (*played, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	c := history.New()
	m := newMaker(c)
	s := &strata{limits: plan.Limits{MaxLayers: p.layers, MaxStale: p.maxStale}}
	content := make([]int, len(p.size))
	out, learning := &played{}, versions/8
	var last plan.Image
	for v := range versions {
		changed := 0.0
		for pkg, rate := range p.update {
			if v == 0 || r.Float64() >= rate {
				continue
			}
			id := fmt.Sprint("p", pkg)
			c.Updates[id] = append(c.Updates[id], smallDate(v).Unix())
			for f, of := range p.of {
				if of == pkg && r.Float64() < p.chance[f] {
					content[f] = v
					changed += float64(p.size[f])
				}
			}
		}
		tree := m.assemble(p.files(content), smallDate(v).Unix())
		img, _, err := s.next(tree)
		if err != nil {
			return nil, err
		}
		if v > learning {
			out.written += float64(update(last, img)) / unit
			out.floor += changed
			for _, l := range img.Layers {
				out.stale += float64(l.Size) / unit
			}
			for _, size := range p.size {
				out.stale -= float64(size)
			}
		}
		last = img
	}
	n := float64(versions - learning - 1)
	return &played{out.written / n, out.stale / n, out.floor / n}, nil
}

// files makes the process's files: programs if they always change with their package, else data.
func (p *process) files(content []int) []entry {
	var entries []entry
	for f, size := range p.size {
		path, mode, ratio := fmt.Sprintf("usr/bin/p%d-%d", p.of[f], f), uint32(0o755), 0.38
		if p.chance[f] < 1 {
			path, mode, ratio = fmt.Sprintf("usr/share/p%d/%d.dat", p.of[f], f), 0o644, 0.35
		}
		packed := int64(size) * unit
		e := tree.Entry{Path: path, Kind: tree.Regular, Mode: mode, Size: int64(float64(packed) / ratio),
			Digest: sha256.Sum256(fmt.Append(nil, path, content[f]))}
		entries = append(entries, entry{e, packed, fmt.Sprint("rpm/p", p.of[f])})
	}
	return entries
}

// smallProcesses are processes that can be solved: three packages, of each a program that changes with it and twice as small
// data that does so three times in ten, by how often the packages are updated.
func smallProcesses(layers int) []*process {
	var all []*process
	for _, update := range [][]float64{{0.6, 0.3, 0.1}, {0.9, 0.9, 0.05}, {0.3, 0.3, 0.3}} {
		all = append(all, &process{
			size: []int{2, 1, 2, 1, 2, 1}, chance: []float64{1, 0.3, 1, 0.3, 1, 0.3}, of: []int{0, 0, 1, 1, 2, 2},
			update: update, layers: layers, maxStale: smallStale,
		})
	}
	return all
}

// onlineTable prints what Strata and the best policy that does not see the future take in the long run.
func onlineTable(w io.Writer, versions, seeds int) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "three packages of two files, %d updates %d times, max_stale %.0f%%; update bytes as multiples of the floor\n",
		versions, seeds, 100*smallStale)
	fmt.Fprintln(tw, "updates per version\tlayers\tbest that does not see the future\tStrata\tratio\tstale")
	for layers := 2; layers <= 4; layers++ {
		for _, p := range smallProcesses(layers) {
			if err := p.explore(); err != nil {
				return err
			}
			var sum played
			for seed := range seeds {
				s, err := p.play(uint64(seed), versions)
				if err != nil {
					return err
				}
				sum = played{sum.written + s.written, sum.stale + s.stale, sum.floor + s.floor}
			}
			stale := sum.stale / float64(seeds)
			bound, strata := p.optimum(stale)/p.floor(), sum.written/sum.floor
			fmt.Fprintf(tw, "%v\t%d\t%.3f\t%.3f\t%.3f\t%.1f%%\n", p.update, layers, bound, strata, strata/bound,
				100*stale/(stale+float64(p.units(1<<len(p.size)-1))))
		}
	}
	return tw.Flush()
}
