// Command planner measures layout policies on the real package history of Fedora CoreOS: what a client that is one, two or four
// versions behind downloads, against the compressed bytes of the files that changed.
//
//	go run ./bench/planner -corpus DIR
//
// DIR holds fcos-history.tsv.xz, fcos-sources.tsv and package-sizes.tsv. Versions of packages and their dates are real; which
// files a package has and which of them an update changes is generated from its name, the same way every time.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/strata-oci/strata/rechunk/plan"
)

func main() {
	dir := flag.String("corpus", os.Getenv("STRATA_CORPUS"), "directory with the package history")
	only := flag.String("series", "", "run this series only")
	match := flag.String("policy", "", "run only policies whose name contains this")
	flag.Parse()
	if *dir == "" {
		fmt.Fprintln(os.Stderr, "planner: no corpus: give -corpus DIR or set STRATA_CORPUS")
		os.Exit(2)
	}
	if err := report(os.Stdout, *dir, *only, *match); err != nil {
		fmt.Fprintln(os.Stderr, "planner:", err)
		os.Exit(1)
	}
}

// series is a choice of releases.
type series struct {
	name   string
	branch string
	from   time.Time
	count  int
	every  time.Duration // least time between two releases taken
	pinned bool          // the kernel and what makes the initramfs stay as they are
}

func date(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

func allSeries() []series {
	const fortnight = 14 * 24 * time.Hour
	return []series{
		{name: "biweekly", branch: "testing-devel", from: date("2022-02-01"), count: 13, every: fortnight},
		{name: "biweekly-long", branch: "testing-devel", from: date("2021-01-01"), count: 53, every: fortnight},
		{name: "biweekly-pinned", branch: "testing-devel", from: date("2022-02-01"), count: 27, every: fortnight, pinned: true},
		{name: "stable", branch: "stable", from: date("2022-01-01"), count: 53},
		{name: "small", branch: "testing-devel", from: date("2022-02-01"), count: 40, every: 48 * time.Hour, pinned: true},
	}
}

// versions makes the trees of a series.
func (s *series) versions(c *corpus) []*version {
	m := newMaker(c)
	var out []*version
	var last time.Time
	var first release
	for _, r := range c.branches[s.branch] {
		if r.date.Before(s.from) || len(out) == s.count || len(out) > 0 && r.date.Sub(last) < s.every {
			continue
		}
		if len(out) == 0 {
			first = r
		}
		if s.pinned {
			r = pin(r, first)
		}
		last = r.date
		out = append(out, m.make(r))
	}
	return out
}

func pin(r, first release) release {
	held := release{date: r.date, packages: map[string]string{}}
	for p, v := range r.packages {
		if !isKernel(p) {
			held.packages[p] = v
		}
	}
	for p, v := range first.packages {
		if isKernel(p) {
			held.packages[p] = v
		}
	}
	for _, p := range initramfsParts {
		if v, ok := first.packages[p]; ok {
			held.packages[p] = v
		}
	}
	return held
}

// contender is a named policy, made anew for each series.
type contender struct {
	name string
	make func() policy
}

func contenders() []contender {
	var all []contender
	for _, n := range []int{64, 128} {
		all = append(all, contender{fmt.Sprintf("chunkah's packing, %d", n), func() policy { return &chunkah{n} }})
		all = append(all, contender{fmt.Sprintf("first layout each time, %d", n),
			func() policy { return &strata{limits: plan.Limits{MaxLayers: n, MaxStale: 0.1}, forget: true} }})
		for _, stale := range []float64{0.05, 0.1, 0.15} {
			all = append(all, contender{fmt.Sprintf("strata, %d, stale %g%%", n, stale*100),
				func() policy { return &strata{limits: plan.Limits{MaxLayers: n, MaxStale: stale}} }})
		}
	}
	return all
}

func report(w io.Writer, dir, only, match string) error {
	c, err := loadCorpus(dir)
	if err != nil {
		return err
	}
	for _, s := range allSeries() {
		if only != "" && only != s.name {
			continue
		}
		versions := s.versions(c)
		if len(versions) < 2 {
			return fmt.Errorf("series %s: %d versions", s.name, len(versions))
		}
		low := floors(versions)
		var changed, all int64
		for n, v := range versions[1:] {
			changed += low[n+1][0]
			for _, p := range v.packed {
				all += p
			}
		}
		fmt.Fprintf(w, "\n%s: %d versions, %d entries, %d components, %d MB compressed, %.0f%% of bytes change per update\n",
			s.name, len(versions), len(versions[0].tree.Entries), len(versions[0].owners.Components),
			all/int64(len(versions)-1)>>20, 100*float64(changed)/float64(all))
		if err := table(w, match, versions, low); err != nil {
			return err
		}
	}
	return nil
}

func table(w io.Writer, match string, versions []*version, low [][len(lags)]int64) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "policy\tlag 1\tlag 2\tlag 4\tstale\tlayers\tslowest plan")
	for _, c := range contenders() {
		if !strings.Contains(c.name, match) {
			continue
		}
		r, err := run(c.make(), versions, low)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(tw, "%s\t%.3f\t%.3f\t%.3f\t%.1f%%\t%.0f\t%s\n", c.name, r.ratio(0), r.ratio(1), r.ratio(2), 100*r.stale, r.layers,
			r.slowest.Round(time.Millisecond))
	}
	return tw.Flush()
}
