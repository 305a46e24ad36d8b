package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/strata-oci/strata/proxy/operate"
)

// deltas shows deltas one by one.
func (c *statusCommand) deltas(ctx context.Context, s *streams) error {
	r, err := c.client().Deltas(ctx)
	switch {
	case err != nil:
		return c.explain(err)
	case c.JSON:
		return printJSON(s.out, r)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	printPairs(w, "made for other Stratas", r.Deltas)
	printPairs(w, "came from other Stratas", r.Came)
	if len(r.Deltas)+len(r.Came) == 0 {
		fmt.Fprintln(w, "no delta was made or came yet")
	}
	return w.Flush()
}

// printPairs lists deltas, if there are any.
func printPairs(w io.Writer, title string, list []operate.DeltaPair) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "%s\tfrom\tlayer\tstate\tdelta\tof\tratio\twhen\n", title)
	for _, p := range list {
		state, bytes, ratio := p.Outcome(), "", ""
		if p.Bytes > 0 {
			bytes, ratio = size(p.Bytes), fmt.Sprintf("%.3f", p.Ratio)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(p.Repository, "-"), brief(p.Seed), brief(p.Layer), state,
			bytes, size(p.LayerBytes), ratio, ago(p.At))
	}
}

// brief shortens a digest.
func brief(d string) string {
	const shown = len("sha256:") + 12
	return cmp.Or(d[:min(len(d), shown)], "-")
}
