package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/strata-oci/strata/bench/history"
)

// A bound on what any layout policy can reach on a series, if it keeps the mean share of stale bytes within a limit.
//
// A cohort is the bytes of one kind in one package that were written in one version. Each later update of the package
// changes a share f of what is left of it, and no policy knows which files that will be. A layer may mix cohorts, but then
// it must be dropped whole; so to let a policy drop every cohort by itself, in as many layers as it likes, only makes things
// cheaper. With a price λ on a stale byte per version the cohorts do not concern each other any more, and dynamic
// programming backwards in time finds what the best policy pays for each; it even knows when packages will be updated. For
// every λ ≥ 0,
//
//	Σ least cost(λ) − λ · stale bytes allowed
//
// is then a lower bound on the expected update bytes (Lagrangian duality), and the largest of them is reported. The share of
// a cohort that changes is taken to be its mean, which is so for layers of many files: single files die whole, but there are
// a hundred files to a layer.

// cohort is the bytes of one kind in one package.
type cohort struct {
	bytes  float64
	change float64   // share of it that an update changes
	update []float64 // probability of an update, by version from the package's first
	from   int
}

// cohorts sorts the bytes of a series. With foresight, updates are certain in the versions that have them; else they are
// equally likely in all.
func cohorts(s *history.Series, c *history.Corpus, foresight bool) []cohort {
	var all []cohort
	releases := s.Releases(c)
	files := history.NewFiles(c)
	seen := map[string]bool{}
	for from, r := range releases {
		for pkg := range r.Packages {
			if seen[pkg] {
				continue
			}
			seen[pkg] = true
			update := updates(releases[from:], func(r history.Release) string {
				if v := r.Packages[pkg]; v != "" && history.IsKernel(pkg) {
					return v + " " + r.Packages["kernel"]
				}
				return r.Packages[pkg]
			})
			if !foresight {
				even(update)
			}
			sums := map[float64]float64{}
			for _, f := range files.Of(pkg) {
				sums[f.Chance()] += float64(f.Packed)
			}
			for chance, bytes := range sums {
				all = append(all, cohort{bytes, chance, update, from})
			}
		}
	}
	initramfs := updates(releases, func(r history.Release) string { return fmt.Sprint(history.Initramfs(r)) })
	always := make([]float64, len(releases))
	for i := range always {
		always[i] = 1
	}
	all = append(all, cohort{initramfsBytes, 1, initramfs, 0}, cohort{rpmdbPacked, 1, always, 0})
	slices.SortFunc(all, func(a, b cohort) int { // sums of floats depend on their order
		return cmp.Or(cmp.Compare(a.bytes, b.bytes), cmp.Compare(a.change, b.change), cmp.Compare(a.from, b.from))
	})
	return all
}

// updates says in which releases something is another than in the one before, up to the last that has it.
func updates(releases []history.Release, version func(history.Release) string) []float64 {
	var out []float64
	last := ""
	for i, r := range releases {
		v := version(r)
		if v == "" {
			break
		}
		changed := 0.0
		if i > 0 && v != last {
			changed = 1
		}
		out, last = append(out, changed), v
	}
	return out
}

// even spreads updates over all versions but the first.
func even(update []float64) {
	var sum float64
	for _, u := range update {
		sum += u
	}
	for i := 1; i < len(update); i++ {
		update[i] = sum / float64(len(update)-1)
	}
}

// maxAge bounds the updates that a cohort is followed for; what little is left of it then is taken to change no more.
const maxAge = 24

// least returns the least expected cost of a cohort, in update bytes to clients lag versions behind plus λ for each stale
// byte and version.
func (c *cohort) least(lag int, lambda float64) float64 {
	var size [maxAge + 1]float64 // written bytes per live byte, by updates since
	for a := range size {
		size[a] = 1
		if c.change < 1 {
			size[a] = math.Pow(1-c.change, -float64(a))
		}
	}
	// ahead[a][b]: cost to come per live byte, from this version on, of what was written b versions (at most lag) and a
	// updates ago.
	var ahead, now [maxAge + 2][9]float64
	for t := len(c.update) - 1; t >= 0; t-- {
		for a := range size {
			for b := 0; b <= lag; b++ {
				v := lambda * (size[a] - 1)
				if b < lag && c.from+t >= lag && (c.from > 0 || t > b) {
					v += size[a]
				}
				if t+1 < len(c.update) {
					again, older, u := ahead[0][0], min(b+1, lag), c.update[t+1]
					v += u*(c.change*again+(1-c.change)*min(ahead[min(a+1, maxAge)][older], again)) +
						(1-u)*min(ahead[a][older], again)
				}
				now[a][b] = v
			}
		}
		ahead = now
	}
	return c.bytes * ahead[0][0]
}

// floor returns the expected share of the cohort's bytes that clients must fetch, summed over the versions.
func (c *cohort) floor(lag int) float64 {
	var sum float64
	for t := range c.update {
		if c.from+t < lag {
			continue
		}
		same := 1.0
		for k := max(0, t-lag+1); k <= t; k++ {
			same *= 1 - c.update[k]*c.change
		}
		if c.from > 0 && t < lag {
			same = 0 // the client does not have the package
		}
		sum += 1 - same
	}
	return sum
}

// staleLimit is max_stale in the bound: no version has a larger share of stale bytes.
const staleLimit = 0.1

// lowest returns the bound for clients lag versions behind, as a multiple of the floor, when the mean share of stale bytes
// is at most stale. A version with the share s has s/(1-s) stale bytes for each live one, which is at most s/(1-staleLimit).
func lowest(all []cohort, lag int, stale float64) float64 {
	var live, floor float64 // bytes · versions
	for i := range all {
		live += all[i].bytes * float64(len(all[i].update))
		floor += all[i].bytes * all[i].floor(lag)
	}
	dual := func(log float64) float64 {
		lambda := math.Exp(log)
		sum := -lambda * live * stale / (1 - staleLimit)
		for i := range all {
			sum += all[i].least(lag, lambda)
		}
		return sum
	}
	low, high := math.Log(1e-4), math.Log(10)
	for range 24 { // the dual is concave in λ, so it has one maximum in its logarithm, too
		a, b := low+(high-low)*0.382, low+(high-low)*0.618
		if dual(a) < dual(b) {
			low = a
		} else {
			high = b
		}
	}
	return max(1, dual((low+high)/2)/floor)
}

// bounds prints the bounds of a series.
func bounds(w io.Writer, s *history.Series, c *history.Corpus) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "\n%s\tlag 1\tlag 2\tlag 4\n", s.Name)
	for _, foresight := range []bool{false, true} {
		all := cohorts(s, c, foresight)
		for _, stale := range []float64{0.05, 0.07, 0.09} {
			fmt.Fprintf(tw, "stale %.0f%%, foresight of updates: %t", 100*stale, foresight)
			for _, lag := range lags {
				fmt.Fprintf(tw, "\t%.3f", lowest(all, lag, stale))
			}
			fmt.Fprintln(tw)
		}
	}
	return tw.Flush()
}
