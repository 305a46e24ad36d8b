// Command planner measures layout policies on the real package history of Fedora CoreOS: what a client that is one, two or
// four versions behind downloads, against the compressed bytes of the files that changed.
//
//	go run ./bench/planner -corpus DIR
//
// DIR holds fcos-history.tsv.xz, fcos-sources.tsv and package-sizes.tsv. Versions of packages and their dates are real;
// which files a package has and which of them an update changes is generated from its name, the same way every time.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/strata-oci/strata/bench/history"
	"github.com/strata-oci/strata/rechunk/plan"
)

func main() {
	dir := flag.String("corpus", os.Getenv("STRATA_CORPUS"), "directory with the package history")
	only := flag.String("series", "", "run this series only")
	match := flag.String("policy", "", "run only policies whose name contains this")
	bound := flag.Bool("bound", false, "print what no policy can beat, instead of measuring policies")
	small := flag.Bool("small", false, "compare the planner with the best of all policies on small invented cases; needs no corpus")
	cost := flag.Int64("layer-cost", 0, "bytes that a host could download while it imports a layer")
	flag.Parse()
	if *small {
		if err := smallTables(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "planner:", err)
			os.Exit(1)
		}
		return
	}
	if *dir == "" {
		fmt.Fprintln(os.Stderr, "planner: no corpus: give -corpus DIR or set STRATA_CORPUS")
		os.Exit(2)
	}
	if err := report(os.Stdout, *dir, *only, *match, *bound, *cost); err != nil {
		fmt.Fprintln(os.Stderr, "planner:", err)
		os.Exit(1)
	}
}

func allSeries() []history.Series {
	const fortnight = 14 * 24 * time.Hour
	return []history.Series{
		{Name: "biweekly", Branch: "testing-devel", From: date("2022-02-01"), Count: 13, Every: fortnight},
		{Name: "biweekly-long", Branch: "testing-devel", From: date("2021-01-01"), Count: 53, Every: fortnight},
		{Name: "biweekly-pinned", Branch: "testing-devel", From: date("2022-02-01"), Count: 27, Every: fortnight,
			Pinned: true},
		{Name: "stable", Branch: "stable", From: date("2022-01-01"), Count: 53},
		{Name: "stable-2020", Branch: "stable", From: date("2020-01-01"), Count: 27},
		{Name: "stable-2023", Branch: "stable", From: date("2023-02-01"), Count: 40},
		{Name: "biweekly-2023", Branch: "testing-devel", From: date("2023-03-01"), Count: 27, Every: fortnight},
		{Name: "daily-2020", Branch: "testing-devel", From: date("2020-05-01"), Count: 40},
		{Name: "daily", Branch: "testing-devel", From: date("2022-03-01"), Count: 60},
		{Name: "daily-2024", Branch: "testing-devel", From: date("2024-01-10"), Count: 40},
		{Name: "small", Branch: "testing-devel", From: date("2022-02-01"), Count: 40, Every: 48 * time.Hour, Pinned: true},
	}
}

func date(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// trees makes the trees of a series.
func trees(s *history.Series, c *history.Corpus) []*version {
	m := newMaker(c)
	var out []*version
	for _, r := range s.Releases(c) {
		out = append(out, m.make(r))
	}
	return out
}

// contender is a named policy, made anew for each series.
type contender struct {
	name string
	make func() policy
}

func contenders(cost int64) []contender {
	var all []contender
	for _, n := range []int{64, 120} {
		all = append(all, contender{fmt.Sprintf("chunkah's packing, %d", n), func() policy { return &chunkah{n} }})
		all = append(all, contender{fmt.Sprintf("first layout each time, %d", n),
			func() policy { return &strata{limits: plan.Limits{MaxLayers: n, MaxStale: 0.1}, forget: true} }})
		for _, stale := range []float64{0.05, 0.1, 0.15} {
			all = append(all, contender{fmt.Sprintf("strata, %d, stale %g%%", n, stale*100),
				func() policy { return &strata{limits: plan.Limits{MaxLayers: n, MaxStale: stale, LayerCost: cost}} }})
		}
	}
	return all
}

func report(w io.Writer, dir, only, match string, bound bool, cost int64) error {
	c, err := history.Load(dir)
	if err != nil {
		return err
	}
	for _, s := range allSeries() {
		if only != "" && only != s.Name {
			continue
		}
		if bound {
			if err := bounds(w, &s, c); err != nil {
				return err
			}
			continue
		}
		versions := trees(&s, c)
		if len(versions) < 2 {
			return fmt.Errorf("series %s: %d versions", s.Name, len(versions))
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
			s.Name, len(versions), len(versions[0].tree.Entries), len(versions[0].owners.Components),
			all/int64(len(versions)-1)>>20, 100*float64(changed)/float64(all))
		if err := table(w, contenders(cost), match, versions, low); err != nil {
			return err
		}
	}
	return nil
}

func table(w io.Writer, all []contender, match string, versions []*version, low [][len(lags)]int64) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "policy\tlag 1\tlag 2\tlag 4\tstale\tlayers\tslowest plan")
	for _, c := range all {
		if !strings.Contains(c.name, match) {
			continue
		}
		r, err := run(c.make(), versions, low)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(tw, "%s\t%.3f\t%.3f\t%.3f\t%.1f%%\t%.0f\t%s\n", c.name, r.ratio(0), r.ratio(1), r.ratio(2), 100*r.stale,
			r.layers,
			r.slowest.Round(time.Millisecond))
	}
	return tw.Flush()
}
