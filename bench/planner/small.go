package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/strata-oci/strata/bench/history"
	"github.com/strata-oci/strata/rechunk/plan"
	"github.com/strata-oci/strata/rechunk/tree"
)

// smallCase is an invented history, small enough to find the best of all policies: eight packages, each with programs, data
// and documentation.
type smallCase struct {
	versions []*version
	// every has a part for the files that change in the same versions: what a policy can know that sees the future.
	every []part
	// kinds has a part for each kind of file of each package: what a policy can know that sees the updates of the future but
	// not which data and documentation they will change.
	kinds []part
}

// smallStale is max_stale in small cases: much, as a few files can go stale only in large parts.
const smallStale = 0.3

// smallRates are the packages' probabilities of an update.
var smallRates = [...]float64{1, 0.6, 0.6, 0.4, 0.4, 0.2, 0.2, 0.1}

// smallKinds are the kinds of file: how many, their probability of change with the package, mode and ratio of compression.
var smallKinds = [...]struct {
	name   string
	count  int
	chance float64
	mode   uint32
	packed float64
}{
	{"usr/bin/%s-%02d", 10, 1, 0o755, 0.38},
	{"usr/share/%s/%02d.dat", 20, 0.3, 0o644, 0.35},
	{"usr/share/doc/%s/%02d.txt", 10, 0.1, 0o644, 0.25},
}

// newSmallCase makes a history of so many versions.
func newSmallCase(seed uint64, versions int) *smallCase {
	r := rand.New(rand.NewPCG(seed, uint64(versions)))
	c := history.New()
	updates := smallUpdates(r, c, versions)
	s := &smallCase{}
	entries := make([][]entry, versions)
	same := map[string]float64{} // bytes by when they change
	for p := range smallRates {
		for _, k := range smallKinds {
			kind := part{change: make([]float64, versions)}
			for v, updated := range updates[p] {
				if updated {
					kind.change[v] = k.chance
				}
			}
			for n := range k.count {
				size := int64(50<<10 + r.IntN(300<<10))
				packed := int64(float64(size) * k.packed)
				last, when := 0, make([]byte, versions)
				for v := range versions {
					if updates[p][v] && r.Float64() < k.chance {
						last, when[v] = v, 1
					}
					path := fmt.Sprintf(k.name, fmt.Sprint("p", p), n)
					digest := tree.Digest(sha256.Sum256(fmt.Append(nil, path, last)))
					entries[v] = append(entries[v],
						entry{tree.Entry{Path: path, Kind: tree.Regular, Mode: k.mode, Size: size, Digest: digest},
							packed, fmt.Sprint("rpm/p", p)})
				}
				kind.bytes += float64(packed)
				same[string(when)] += float64(packed)
			}
			s.kinds = append(s.kinds, kind)
		}
	}
	s.every = partsOf(same, versions)
	m := newMaker(c)
	for v := range entries {
		s.versions = append(s.versions, m.assemble(entries[v], smallDate(v).Unix()))
	}
	return s
}

// smallUpdates draws which versions update each package, and tells the history of these and of a year before.
func smallUpdates(r *rand.Rand, c *history.Corpus, versions int) [][]bool {
	const past = 26
	updates := make([][]bool, len(smallRates))
	for p, rate := range smallRates {
		for v := -past; v < versions; v++ {
			updated := v != 0 && r.Float64() < rate
			if updated {
				c.Updates[fmt.Sprint("p", p)] = append(c.Updates[fmt.Sprint("p", p)], smallDate(v).Unix())
			}
			if v >= 0 {
				updates[p] = append(updates[p], updated)
			}
		}
	}
	return updates
}

// partsOf makes a part of the bytes that change in the same versions: a byte for each, 1 where they do.
func partsOf(same map[string]float64, versions int) []part {
	var parts []part
	for _, when := range slices.Sorted(maps.Keys(same)) {
		p := part{bytes: same[when], change: make([]float64, versions)}
		for v := range p.change {
			p.change[v] = float64(when[v])
		}
		parts = append(parts, p)
	}
	return parts
}

func smallDate(v int) time.Time { return time.Unix(int64(100+v)*14*86400, 0) }

// smallResult has update bytes as multiples of the floor.
type smallResult struct {
	strata float64
	stale  float64 // Strata's mean share of stale bytes
	blind  float64 // the best that sees updates of packages, but not of which files
	all    float64 // the best that sees everything
}

// measure runs the planner and finds the best for as many stale bytes as it had.
func (s *smallCase) measure(layers, lag int) (*smallResult, error) {
	p := &strata{limits: plan.Limits{MaxLayers: layers, MaxStale: smallStale}}
	r := &smallResult{}
	var images []plan.Image
	var sent, low int64
	var stale float64
	for n, v := range s.versions {
		img, _, err := p.next(v)
		if err != nil {
			return nil, err
		}
		images = append(images, img)
		var all, live int64
		for _, l := range img.Layers {
			all += l.Size
		}
		for _, b := range v.packed {
			live += b
		}
		stale += float64(all - live)
		r.stale += float64(all-live) / float64(all) / float64(len(s.versions))
		if n >= lag {
			sent += update(images[n-lag], img)
			low += floor(s.versions[n-lag], v)
		}
	}
	all := allLives(len(s.versions), layers)
	r.strata = float64(sent) / float64(low)
	r.all = optimum(all, s.every, lag, stale) / float64(low)
	var expected float64 // the floor when only the updates are known
	for _, k := range s.kinds {
		expected += k.bytes * k.changed(lag)
	}
	r.blind = optimum(all, s.kinds, lag, stale) / expected
	return r, nil
}

// changed returns the expected share of a part that clients must fetch, summed over the versions.
func (p *part) changed(lag int) float64 {
	var sum float64
	for t := lag; t < len(p.change); t++ {
		same := 1.0
		for v := t - lag + 1; v <= t; v++ {
			same *= 1 - p.change[v]
		}
		sum += 1 - same
	}
	return sum
}

// smallTable prints the mean over invented histories of what Strata and the best policies take.
func smallTable(w io.Writer, versions, seeds int) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "%d invented histories of eight packages, %d updates; update bytes as multiples of the floor\n", seeds,
		versions-1)
	fmt.Fprintln(tw, "layers\tlag\tStrata\tsees updates of packages\tsees all\tstale")
	for layers := 2; layers <= 5; layers++ {
		for _, lag := range []int{1, 2} {
			var sum smallResult
			for seed := range seeds {
				r, err := newSmallCase(uint64(seed), versions).measure(layers, lag)
				if err != nil {
					return err
				}
				sum.strata += r.strata / float64(seeds)
				sum.stale += r.stale / float64(seeds)
				sum.blind += r.blind / float64(seeds)
				sum.all += r.all / float64(seeds)
			}
			fmt.Fprintf(tw, "%d\t%d\t%.3f\t%.3f\t%.3f\t%.1f%%\n", layers, lag, sum.strata, sum.blind, sum.all, 100*sum.stale)
		}
	}
	return tw.Flush()
}

// smallTables prints all comparisons on small cases.
func smallTables(w io.Writer) error {
	if err := onlineTable(w, 800, 3); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return smallTable(w, 6, 10)
}
