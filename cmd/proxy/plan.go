package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/rechunk/compare"
	"github.com/strata-oci/strata/rechunk/legible"
)

type planCommand struct {
	Src string `arg:"" help:"Source image: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REF."`

	Explain bool `help:"Show every layer, what was dropped, and the earlier images that were looked at."`
	ruleFlags
	imageFlags
}

// Help follows the flags in strata plan --help.
func (planCommand) Help() string {
	return `Decides the layers of an image as strata rechunk would, and writes nothing: not to the state, and no image. Sizes of new
layers are estimates. The state directory may be the storage of a proxy, and the name a repository or family of its:

    strata plan --explain --state ./state --name os oci:build:v2
    strata plan --state /var/lib/strata/strata-data --name ghcr.io/ublue-os/bluefin docker://ghcr.io/ublue-os/bluefin:stable`
}

func (c *planCommand) Run(ctx context.Context, s *streams) error {
	rules, err := c.rules()
	if err != nil {
		return err
	}
	b := newBars(s.terminal)
	o := c.options(s, b)
	o.State, o.Prior = c.State, c.Prior
	p, err := oneshot.Plan(ctx, c.Src, c.Name, rules, o)
	b.close()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, p)
	}
	return c.print(s, p)
}

func (c *planCommand) print(s *streams, p *compare.Preview) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "source\t%s, %s\n", p.SourceDigest, p.Platform)
	if p.Made != "" {
		fmt.Fprintf(w, "made\t%s: strata rechunk would do nothing\n", p.Made)
	}
	fmt.Fprintf(w, "layers\t%d of at most %d: %d kept, %d new\n", p.LayersTotal, p.MaxLayers, p.LayersKept, p.LayersNew)
	fmt.Fprintf(w, "size\t%s, of which %s are new and %s stale (%s, at most %s)\n", size(p.TotalBytes), size(p.NewBytes),
		size(p.StaleBytes),
		shareOf(float64(p.StaleBytes)/float64(max(p.TotalBytes, 1))), shareOf(p.MaxStale))
	if len(p.Candidates) > 0 {
		fmt.Fprintf(w, "update\t%s for the clients to be expected (%s); %s next time\n", size(p.UpdateBytes), p.Demand,
			size(p.NextBytes))
	}
	printNoise(w, p.NoiseKept, false)
	for _, n := range p.Notes {
		fmt.Fprintf(w, "note\t%s\n", n)
	}
	if c.Explain {
		printPlanLayers(w, p)
		printCandidates(w, p)
	}
	return w.Flush()
}

// printPlanLayers shows the layers of a plan: what an update costs, and why, stands before the many that are kept.
func printPlanLayers(w *tabwriter.Writer, p *compare.Preview) {
	fmt.Fprintf(w, "\nlayer\tsize\tstale\theat\tholds\twhy\n")
	row := func(id string, l compare.PreviewLayer, why string) {
		if l.Whiteouts > 0 {
			why += ", " + legible.Count(l.Whiteouts, "whiteout")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", id, size(l.Size), shareOf(l.StaleShare), shareOf(l.Heat), l.Name, why)
	}
	for _, l := range p.Layers {
		if !l.Kept {
			row("new", l, l.Reason)
		}
	}
	for _, d := range p.Dropped {
		fmt.Fprintf(w, "%.19s\t%s\t%s\t\t%s\tdropped: %s\n", d.Digest, size(d.Size),
			shareOf(1-float64(d.LiveBytes)/float64(max(d.Size, 1))), d.Name, whyDropped(d))
	}
	for _, l := range p.Layers {
		if l.Kept {
			row(fmt.Sprintf("%.19s", l.Digest), l, "kept")
		}
	}
}

// printCandidates shows the earlier images that a plan looked at.
func printCandidates(w *tabwriter.Writer, p *compare.Preview) {
	if len(p.Candidates) == 0 {
		return
	}
	fmt.Fprintf(w, "\nearlier image\tversion\tfor\tlayers kept\tits clients fetch\t\n")
	for _, c := range p.Candidates {
		base := ""
		if c.Base {
			base = "base: the newest of those that leave the least to write"
		}
		fmt.Fprintf(w, "%.19s\t%d\t%s\t%d\t%s\t%s\n", c.Digest, c.Sequence, shortReference(c.Reference), c.LayersKept,
			size(c.UpdateBytes), base)
	}
}
