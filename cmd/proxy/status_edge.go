package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/rechunk/legible"
)

// printEdge tells of the layers that came from other Stratas.
func printEdge(w io.Writer, r *via.Report) {
	fmt.Fprintf(w, "edge\t%s of deltas, %s for %s", legible.Count(r.Deltas, "layer"), size(r.DeltaBytes), size(r.DeltaBytes+r.SavedBytes))
	if r.Whole > 0 {
		var why []string
		for _, reason := range slices.Sorted(maps.Keys(r.Reasons)) {
			why = append(why, fmt.Sprintf("%s %d", reason, r.Reasons[reason]))
		}
		fmt.Fprintf(w, "; %d whole: %s", r.Whole, strings.Join(why, ", "))
	}
	fmt.Fprintln(w)
	for _, c := range r.Centrals {
		switch {
		case c.Unknown != "":
			fmt.Fprintf(w, "\t%s: not known whether its upstream makes deltas: %s\n", c.Host, c.Unknown)
		case !c.Makes:
			fmt.Fprintf(w, "\t%s: its upstream makes no deltas\n", c.Host)
		case c.Slow != nil:
			fmt.Fprintf(w, "\t%s: its upstream let deltas wait too long, and is asked for none until %s\n", c.Host,
				c.Slow.Local().Format(time.TimeOnly))
		case c.Rate > 0:
			fmt.Fprintf(w, "\t%s: %s/s\n", c.Host, size(c.Rate))
		}
	}
}
